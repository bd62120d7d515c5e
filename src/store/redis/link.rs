//! One connection to the server, made again when it is lost.
//!
//! `redis::aio::ConnectionManager` does the same and hides whether a command was sent, fails the first command after
//! an outage, and has no place to turn tracking on before a new connection is used. Here a command fails at once while
//! there is no server, and what was not sent is known.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, SendError};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, ProtocolVersion, PushInfo,
    PushKind, RedisError, RedisResult,
};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::checks;
use super::errors::{self, Effect};
use super::keeper::Keeper;
use super::scripts::ScriptCall;
use super::tracking::Tracking;
use crate::store::StoreError;

/// The connection of a store, and the task that keeps it.
pub(super) struct Link {
    client: Client,
    pub(super) tracking: Option<Tracking>,
    pub(super) state: watch::Sender<State>,
    /// How many connections were tried: the number of the last one.
    tried: AtomicU64,
    /// Whether a task keeps the connection.
    pub(super) kept: AtomicBool,
    /// Whether the server's settings were looked at.
    checked: AtomicBool,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// The connection lost last. It may be lost before it counts as made.
    pub(super) lost: u64,
}

pub(super) enum Phase {
    /// Calls wait.
    Connecting,
    Up(Connected),
    /// Calls fail with this error, until a later attempt succeeds.
    Down(RedisError),
}

#[derive(Clone)]
pub(super) struct Connected {
    pub(super) number: u64,
    pub(super) connection: MultiplexedConnection,
}

/// What one call sends.
#[derive(Clone, Copy)]
pub(super) enum Request<'r> {
    Command(&'r Cmd),
    Pipeline(&'r Pipeline),
    Script(&'r ScriptCall),
}

impl Link {
    /// A connection that is made when it is first needed.
    ///
    /// # Errors
    ///
    /// If `client` has no address.
    pub(super) fn new(client: &Client, tracking: Option<Tracking>) -> RedisResult<Arc<Self>> {
        // The third version of the protocol says when a connection is lost, also while nobody uses it.
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        let state = State {
            phase: Phase::Connecting,
            lost: 0,
        };
        Ok(Arc::new(Self {
            client: Client::open(info.set_redis_settings(settings))?,
            tracking,
            state: watch::Sender::new(state),
            tried: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            checked: AtomicBool::new(false),
        }))
    }

    /// The same server, with another tracking.
    pub(super) fn with_tracking(&self, tracking: Option<Tracking>) -> Arc<Self> {
        let state = State {
            phase: Phase::Connecting,
            lost: 0,
        };
        Arc::new(Self {
            client: self.client.clone(),
            tracking,
            state: watch::Sender::new(state),
            tried: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            checked: AtomicBool::new(self.checked.load(Ordering::Relaxed)),
        })
    }

    /// Ends when there is a connection.
    ///
    /// # Errors
    ///
    /// If the server could not be reached.
    pub(super) async fn reach(self: &Arc<Self>) -> Result<(), StoreError> {
        self.connected()
            .await
            .map(drop)
            .map_err(errors::of_connection)
    }

    /// The answer to `request`. It is sent once, or twice if it may be and the connection broke.
    pub(super) async fn call<T: FromRedisValue>(
        self: &Arc<Self>,
        request: Request<'_>,
        effect: Effect,
    ) -> Result<T, StoreError> {
        let mut sent = false;
        loop {
            let mut connected = match self.connected().await {
                Ok(connected) => connected,
                Err(error) if sent => return Err(StoreError::new(effect.unanswered(), error)),
                Err(error) => return Err(errors::of_connection(error)),
            };
            let error = match request.send(&mut connected.connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if errors::ends_connection(&error) {
                self.lose(connected.number);
            }
            if sent || effect == Effect::Once || !errors::is_broken(&error) {
                return Err(errors::of_command(error, effect));
            }
            sent = true;
        }
    }

    async fn connected(self: &Arc<Self>) -> RedisResult<Connected> {
        self.keep();
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| !matches!(state.phase, Phase::Connecting));
        match timeout(CONNECT_TIMEOUT, known).await {
            Ok(Ok(state)) => match &state.phase {
                Phase::Up(connected) => Ok(connected.clone()),
                Phase::Down(error) => Err(error.clone()),
                Phase::Connecting => Err(timed_out()),
            },
            Ok(Err(_)) | Err(_) => Err(timed_out()),
        }
    }

    /// Starts the task that keeps the connection, unless one runs: also on a new runtime, when the old one has gone.
    fn keep(self: &Arc<Self>) {
        if self.kept.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.kept.swap(true, Ordering::AcqRel) {
            // It ends by itself when the last store has gone.
            drop(runtime.spawn(Keeper::new(self).run()));
        }
    }

    /// Makes a connection, and gives its number.
    pub(super) async fn connect(self: &Arc<Self>) -> RedisResult<u64> {
        let number = self.tried.fetch_add(1, Ordering::Relaxed) + 1;
        let link = Arc::downgrade(self);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_pipeline_buffer_size(MAX_WAITING)
            .set_push_sender(move |message| {
                if let Some(link) = link.upgrade() {
                    link.hear(number, &message);
                }
                Ok::<(), SendError>(())
            });
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        if !self.checked.swap(true, Ordering::Relaxed) {
            checks::look_at_server(&mut connection).await;
        }
        let tracks = match &self.tracking {
            Some(tracking) => tracking.begin(&mut connection).await?,
            None => false,
        };
        self.state.send_modify(|state| {
            if state.lost >= number {
                return;
            }
            // Under the lock of the state, as the loss is: the two cannot pass each other.
            if let Some(tracking) = self.tracking.as_ref().filter(|_| tracks) {
                tracking.watches.established(number);
            }
            state.phase = Phase::Up(Connected { number, connection });
        });
        debug!(tracks, "connected to Redis");
        Ok(number)
    }

    fn hear(&self, number: u64, message: &PushInfo) {
        match (&message.kind, &self.tracking) {
            (PushKind::Disconnection, _) => self.lose(number),
            (PushKind::Invalidate, Some(tracking)) => tracking.hear(&message.data),
            _ => {}
        }
    }

    /// The connection of this number is lost: every watch says *ask* before anything else happens.
    pub(super) fn lose(&self, number: u64) {
        self.state.send_modify(|state| {
            if let Some(tracking) = &self.tracking {
                tracking.watches.lost(number);
            }
            state.lost = state.lost.max(number);
            if matches!(&state.phase, Phase::Up(connected) if connected.number == number) {
                state.phase = Phase::Connecting;
            }
        });
    }

    pub(super) fn lose_any(&self) {
        self.lose(self.tried.load(Ordering::Relaxed));
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client has passwords.
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(
        self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Self::Script(call) => match call.by_digest().query_async(connection).await {
                Err(error) if errors::is_unknown_script(&error) => {
                    call.by_text().query_async(connection).await
                }
                answer => answer,
            },
        }
    }
}

pub(super) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Both together stay below the 2 s that the layer gives a call, as nearly all calls need one of them only.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Commands that wait to be written; more wait for room.
const MAX_WAITING: usize = 1024;
