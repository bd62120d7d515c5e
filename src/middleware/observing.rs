//! Who is told what happens to sessions: options of [`SessionLayer`].

use std::sync::Arc;

use super::layer::SessionLayer;
use crate::manager::Observer;

/// Who is told what happens.
impl SessionLayer {
    /// Tells `observer` what happens to sessions. Default: nobody; then it costs nothing.
    ///
    /// Several calls add up: each observer is told all. An observer belongs to the layer and all its clones, those
    /// made before too. What is told, and how, stands at [`Observer`].
    pub fn with_observer(self, observer: impl Observer) -> Self {
        self.manager.add_observer(Arc::new(observer));
        self
    }

    /// Lets `events` wait for the observers; further ones are dropped and counted. Default: 4 096; at least 2.
    ///
    /// Each takes about 64 bytes from the first event on, and holds its session in memory until it is told.
    pub fn with_observer_queue(mut self, events: usize) -> Self {
        self.manager.config_mut().observer_queue = events;
        self
    }
}
