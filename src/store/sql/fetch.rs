//! Statements on a connection of a pool: one, or several in a transaction.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::query::QueryAs;
use sqlx::{Connection, Database, Error, Executor, FromRow, IntoArguments, Pool};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
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
    let mut busy = Busy::new(None);
    let connection = pool.acquire().await.map_err(failure::unsent)?;
    let connection = busy.connection.insert(connection);
    let rows = query.fetch_all(&mut **connection).await;
    // Nothing is under way on it: it goes back to the pool as any other.
    drop(busy.connection.take());
    rows.map_err(|error| failure::failed(error, access))
}

/// Several statements that happen together, or not at all if this is dropped before [`Transaction::commit`].
pub(super) struct Transaction<D: Database>(Busy<D>)
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>;

impl<D> Transaction<D>
where
    D: Database,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    /// Says `begin` on a connection. Whoever waits for `turn` waits for the end of the transaction.
    pub(super) async fn begin(
        pool: &Pool<D>,
        begin: &'static str,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<Self, StoreError> {
        let mut busy = Busy::new(turn);
        let connection = pool.acquire().await.map_err(failure::unsent)?;
        let connection = busy.connection.insert(connection);
        // Not by the pool's own means: if they are dropped here, they do not know whether a transaction has begun.
        busy.in_transaction = true;
        let begun = (&mut **connection).execute(begin).await;
        begun.map_err(|error| failure::failed(error, Access::Read))?;
        Ok(Self(busy))
    }

    pub(super) async fn rows<T>(
        &mut self,
        query: QueryAs<'_, D, T, D::Arguments>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, D::Row> + Send + Unpin,
    {
        let rows = match &mut self.0.connection {
            Some(connection) => query.fetch_all(&mut **connection).await,
            None => Err(Error::PoolClosed),
        };
        // Whatever it was, nothing is committed.
        rows.map_err(|error| failure::failed(error, Access::Read))
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if let Some(connection) = &mut self.0.connection {
            let committed = (&mut **connection).execute("COMMIT").await;
            committed.map_err(|error| failure::failed(error, Access::Write))?;
        }
        drop(self.0.connection.take());
        Ok(())
    }
}

/// A connection with a statement under way. If the call is dropped, the connection goes back to the pool once that
/// statement has ended, or is closed if nothing comes from the other end for too long.
///
/// It is not closed at once: a server that is slow would get a new connection for each call that was given up.
struct Busy<D: Database>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    connection: Option<PoolConnection<D>>,
    /// What was done is to be taken back.
    in_transaction: bool,
    turn: Option<OwnedMutexGuard<()>>,
    /// Whoever drops a call need not be in a runtime, and a pool takes nothing back outside of one.
    runtime: Handle,
}

impl<D: Database> Busy<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    fn new(turn: Option<OwnedMutexGuard<()>>) -> Self {
        Self {
            connection: None,
            in_transaction: false,
            turn,
            runtime: Handle::current(),
        }
    }
}

impl<D: Database> Drop for Busy<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let (in_transaction, turn) = (self.in_transaction, self.turn.take());
        let _entered = self.runtime.enter();
        // It ends by itself.
        drop(self.runtime.spawn(async move {
            let settled = async {
                match in_transaction {
                    true => (&mut *connection).execute("ROLLBACK").await.map(drop),
                    false => connection.ping().await,
                }
            };
            if !matches!(timeout(LAST_ANSWER, settled).await, Ok(Ok(()))) {
                connection.close_on_drop();
            }
            drop(turn);
        }));
    }
}

const LAST_ANSWER: Duration = Duration::from_secs(5);
