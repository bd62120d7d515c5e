//! One statement on one connection of a pool.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::query::QueryAs;
use sqlx::{Connection, Database, Executor, FromRow, IntoArguments, Pool};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::failure::{self, Access};
use crate::store::StoreError;

/// The rows that `query` gives.
///
/// They are read to their end also where one is expected: SQLite commits with the last step.
pub(super) async fn fetch<D, T>(
    pool: &Pool<D>,
    access: Access,
    query: QueryAs<'_, D, T, D::Arguments>,
) -> Result<Vec<T>, StoreError>
where
    D: Database,
    D::Arguments: IntoArguments<D>,
    T: for<'r> FromRow<'r, D::Row> + Send + Unpin,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let mut busy = Busy {
        connection: None,
        runtime: Handle::current(),
    };
    let connection = pool.acquire().await.map_err(failure::unsent)?;
    let connection = busy.connection.insert(connection);
    let rows = query.fetch_all(&mut **connection).await;
    // Nothing is under way on it: it goes back to the pool as any other.
    drop(busy.connection.take());
    rows.map_err(|error| failure::failed(error, access))
}

/// A connection with a statement under way. If the call is dropped, the connection goes back to the pool once that
/// statement has ended, or is closed if nothing comes from the other end for too long.
///
/// It is not closed at once: a server that is slow would get a new connection for each call that was given up.
struct Busy<D: Database> {
    connection: Option<PoolConnection<D>>,
    /// Whoever drops a call need not be in a runtime, and a pool takes nothing back outside of one.
    runtime: Handle,
}

impl<D: Database> Drop for Busy<D> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let _entered = self.runtime.enter();
        // It ends by itself.
        drop(self.runtime.spawn(async move {
            if timeout(LAST_ANSWER, connection.ping()).await.is_err() {
                connection.close_on_drop();
            }
        }));
    }
}

const LAST_ANSWER: Duration = Duration::from_secs(5);
