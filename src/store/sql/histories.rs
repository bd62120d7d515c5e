//! Histories: each is one value in the row of its session, and goes with the record.
//!
//! In the row, because a statement that waits for a row sees what others have done to it, and not what they have added
//! to another table meanwhile: a deletion there could pass by the first message. One value, because an append must look
//! at the limits, the numbers and the oldest messages in any case. To a full history of 64 KiB it costs twice what it
//! costs to a short one: some 2 000 in a second in SQLite where the disk is fast, 1 000 in PostgreSQL.

use async_trait::async_trait;

use super::failure::Access;
#[cfg(feature = "postgres")]
use super::postgres::PostgresStore;
#[cfg(feature = "sqlite")]
use super::sqlite::SqliteStore;
use super::{row, statements};
use crate::session::{HistoryLimits, HistorySummary, Message, SessionKey, Timestamp};
use crate::store::{HistoryStore, StoreError, StoreErrorKind};

/// `history`, of a session that is there.
type HistoryRow = (Option<Vec<u8>>,);

macro_rules! sql_histories {
    ($store:ident) => {
        #[async_trait]
        impl HistoryStore for $store {
            async fn append(
                &self,
                key: &SessionKey,
                now: Timestamp,
                messages: Vec<Message>,
                limits: HistoryLimits,
            ) -> Result<(), StoreError> {
                self.append_to(key, now, messages, limits).await
            }

            async fn recent(
                &self,
                key: &SessionKey,
                now: Timestamp,
                count: usize,
            ) -> Result<Vec<Message>, StoreError> {
                let query = sqlx::query_as(statements::HISTORY)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_time(now));
                let found: Option<HistoryRow> = self.rows(Access::Read, query).await?.pop();
                let (column,) = found.ok_or(StoreErrorKind::Gone)?;
                Ok(row::to_history(column.as_deref())?.recent(count))
            }

            async fn summary(
                &self,
                key: &SessionKey,
                now: Timestamp,
            ) -> Result<HistorySummary, StoreError> {
                let query = sqlx::query_as(statements::HISTORY)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_time(now));
                let found: Option<HistoryRow> = self.rows(Access::Read, query).await?.pop();
                let (column,) = found.ok_or(StoreErrorKind::Gone)?;
                Ok(row::to_history(column.as_deref())?.summary())
            }

            async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
                let query = sqlx::query_as(statements::CLEAR_HISTORY)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_time(now));
                match self.number(Access::Write, query).await? {
                    Some(_) => Ok(()),
                    None => Err(StoreErrorKind::Gone.into()),
                }
            }
        }
    };
}

#[cfg(feature = "postgres")]
sql_histories!(PostgresStore);
#[cfg(feature = "sqlite")]
sql_histories!(SqliteStore);

#[cfg(feature = "postgres")]
impl PostgresStore {
    /// Holds the session's row from the look at it to the end of the transaction: others wait for it in line.
    async fn append_to(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let query = sqlx::query_as(statements::HISTORY_FOR_UPDATE)
            .bind(&key.as_bytes()[..])
            .bind(row::from_time(now));
        let found: Option<HistoryRow> = transaction.rows(query).await?.pop();
        let (column,) = found.ok_or(StoreErrorKind::Gone)?;
        let mut history = row::to_history(column.as_deref())?;
        history.append(messages, limits);
        let query = sqlx::query_as(statements::SET_HISTORY)
            .bind(&key.as_bytes()[..])
            .bind(row::from_history(&history)?);
        let _: Vec<(i64,)> = transaction.rows(query).await?;
        transaction.commit().await
    }
}

#[cfg(feature = "sqlite")]
impl SqliteStore {
    /// Writes in one statement, if nobody has written since the look at it. A transaction around both would keep other
    /// processes, which do not wait in a line, from their turn for so long that they give up.
    async fn append_to(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        let turn = self.turn().await;
        loop {
            let query = sqlx::query_as(statements::HISTORY)
                .bind(&key.as_bytes()[..])
                .bind(row::from_time(now));
            let found: Option<HistoryRow> = self.rows(Access::Read, query).await?.pop();
            let (column,) = found.ok_or(StoreErrorKind::Gone)?;
            let mut history = row::to_history(column.as_deref())?;
            history.append(messages.clone(), limits);
            let query = sqlx::query_as(statements::REPLACE_HISTORY)
                .bind(&key.as_bytes()[..])
                .bind(row::from_time(now))
                .bind(row::from_history(&history)?)
                .bind(column);
            let replaced: Vec<(i64,)> = self.rows_in_turn(&turn, query).await?;
            // Otherwise another process has got on: this one finds out how.
            if !replaced.is_empty() {
                return Ok(());
            }
        }
    }
}
