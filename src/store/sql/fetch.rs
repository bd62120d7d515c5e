//! One statement on one connection of a pool.

use sqlx::pool::PoolConnection;
use sqlx::query::QueryAs;
use sqlx::{Database, Executor, FromRow, IntoArguments, Pool};

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
    let connection = pool.acquire().await.map_err(failure::unsent)?;
    let mut busy = Busy {
        connection,
        is_done: false,
    };
    let rows = query.fetch_all(&mut *busy.connection).await;
    busy.is_done = true;
    rows.map_err(|error| failure::failed(error, access))
}

/// A connection with a statement under way. If the call is dropped, the connection goes too: what comes next on it
/// would wait for an answer that may never come.
struct Busy<D: Database> {
    connection: PoolConnection<D>,
    is_done: bool,
}

impl<D: Database> Drop for Busy<D> {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection.close_on_drop();
        }
    }
}
