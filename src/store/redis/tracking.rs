//! Messages of the server about records that have changed.

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisError, RedisResult, Value};
use tracing::warn;

use super::form::Names;
use super::watches::Watches;

/// What a store hears of its records: the server tells each connection that tracks of each record that is written.
///
/// It tracks by the prefix of records, and not by what was read: the server remembers nothing for each session, and no
/// read on another connection is missed. Keys of the last use have another prefix, so a touch tells nobody.
pub(super) struct Tracking {
    names: Names,
    pub(super) watches: Watches,
}

impl Tracking {
    pub(super) fn new(names: Names) -> Self {
        let watches = Watches::new();
        Self { names, watches }
    }

    /// Turns tracking on; says whether the server allows it. Without it every watch says *ask*.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    pub(super) async fn begin(&self, connection: &mut MultiplexedConnection) -> RedisResult<bool> {
        let mut command = ::redis::cmd("CLIENT");
        command
            .arg("TRACKING")
            .arg("ON")
            .arg("BCAST")
            .arg("PREFIX")
            .arg(self.names.records());
        match command.query_async::<()>(connection).await {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => {
                warn!("Redis refuses CLIENT TRACKING: each request asks for its session");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in a message: the keys that have changed, or nothing that is understood, which may be all.
    pub(super) fn hear(&self, message: &[Value]) {
        let [Value::Array(keys)] = message else {
            return self.watches.all_changed();
        };
        for key in keys {
            let session = match key {
                Value::BulkString(key) => self.names.session(key),
                Value::SimpleString(key) => self.names.session(key.as_bytes()),
                _ => return self.watches.all_changed(),
            };
            // A key of this prefix that names no session is nobody's.
            if let Some(session) = session {
                self.watches.changed(&session);
            }
        }
    }
}

fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some()
}
