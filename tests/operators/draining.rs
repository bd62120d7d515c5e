//! Draining an instance, as an operator says it.

use std::time::Duration;

use tower_mcp_session::RefusalCause;

use crate::support::{Instance, SECOND, initialize};
use crate::{is_over, plain, stream};

#[tokio::test]
async fn a_drained_instance_begins_nothing_and_ends_its_streams_after_the_grace() {
    let instance = Instance::new(plain);
    let id = instance.open().await;
    let mut stream = stream(&instance, &id).await;
    let sessions = instance.layer.sessions();
    let mut draining = tokio_test::task::spawn(sessions.drain(SECOND * 5));
    assert!(draining.poll().is_pending());
    assert_eq!(instance.status(initialize()).await, 503);
    assert!(instance.serves(&id).await && !is_over(&mut stream));
    instance.clock.advance(SECOND * 5);
    draining.await;
    assert!(is_over(&mut stream) && instance.serves(&id).await);
    let refused = sessions.statistics().await.refused(RefusalCause::Draining);
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn whoever_does_not_wait_for_the_grace_leaves_the_streams_open() {
    let instance = Instance::new(plain);
    let id = instance.open().await;
    let mut stream = stream(&instance, &id).await;
    let sessions = instance.layer.sessions();
    let mut draining = tokio_test::task::spawn(sessions.drain(SECOND * 5));
    assert!(draining.poll().is_pending());
    drop(draining);
    instance.clock.advance(SECOND * 10);
    assert!(!is_over(&mut stream));
    assert_eq!(instance.status(initialize()).await, 503);
    sessions.drain(Duration::ZERO).await;
    assert!(is_over(&mut stream));
}
