//! Which sessions there are, by the columns beside the record: `owner` and `created` repeat what it says.
//!
//! Rows of version 1 of the tables lack them, and so do those that an instance of it writes while a deployment is under
//! way. They are told what their records say before anybody asks for the sessions of an owner, and in each clean-up.

use async_trait::async_trait;

use super::failure::Access;
#[cfg(feature = "postgres")]
use super::postgres::PostgresStore;
use super::row::{self, ListedRow, SessionRow};
#[cfg(feature = "sqlite")]
use super::sqlite::SqliteStore;
use super::statements;
use crate::config;
use crate::session::{OwnerTag, SessionKey, Timestamp};
use crate::store::{ListedSession, SessionIndex, SessionPage, StoreError};

macro_rules! sql_index {
    ($store:ident) => {
        impl $store {
            /// Fills the columns of at most `limit` rows that an instance of version 1 of the tables has written.
            pub(super) async fn tell(&self, limit: usize) -> Result<(), StoreError> {
                let mut told = 0;
                while told < limit {
                    let wanted = ROWS_TOLD_AT_ONCE.min(limit - told);
                    let query = sqlx::query_as(statements::UNTOLD).bind(wanted as i64);
                    let found: Vec<(Vec<u8>, Vec<u8>)> = self.rows(Access::Read, query).await?;
                    if found.is_empty() {
                        break;
                    }
                    let mut transaction = self.begin().await?;
                    for (key, record) in &found {
                        let (owner, created) = row::owner_and_creation(record);
                        let query = sqlx::query_as(statements::TELL)
                            .bind(&key[..])
                            .bind(owner)
                            .bind(created);
                        let _: Vec<(i64,)> = transaction.rows(query).await?;
                    }
                    transaction.commit().await?;
                    told += found.len();
                }
                Ok(())
            }
        }

        #[async_trait]
        impl SessionIndex for $store {
            async fn list(
                &self,
                now: Timestamp,
                owner: Option<&OwnerTag>,
                after: Option<&SessionKey>,
                limit: usize,
            ) -> Result<SessionPage, StoreError> {
                let limit = limit.clamp(1, config::MAX_PAGE);
                let statement = match owner {
                    Some(_) => statements::LIST_OF_OWNER,
                    None => statements::LIST,
                };
                // No key is less than nothing.
                let mut query = sqlx::query_as(statement)
                    .bind(after.map_or(&[][..], |key| &key.as_bytes()[..]))
                    .bind(row::from_time(now))
                    .bind(limit as i64);
                if let Some(owner) = owner {
                    self.tell(usize::MAX).await?;
                    query = query.bind(&owner.as_bytes()[..]);
                }
                let found: Vec<ListedRow> = self.rows(Access::Read, query).await?;
                row::to_page(found, limit)
            }

            async fn inspect(
                &self,
                key: &SessionKey,
                now: Timestamp,
            ) -> Result<Option<ListedSession>, StoreError> {
                let query = sqlx::query_as(statements::LOAD)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_time(now));
                let found: Option<SessionRow> = self.rows(Access::Read, query).await?.pop();
                found.map(|found| row::to_listed(*key, found)).transpose()
            }

            async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
                let query = sqlx::query_as(statements::COUNT).bind(row::from_time(now));
                let count = self.number(Access::Read, query).await?;
                Ok(count.unwrap_or_default().cast_unsigned())
            }

            async fn bar(
                &self,
                owner: &OwnerTag,
                not_before: Timestamp,
                until: Timestamp,
            ) -> Result<(), StoreError> {
                self.tell(usize::MAX).await?;
                let mut transaction = self.begin().await?;
                // First: what is created from here on sees it, or is seen by what follows, or is gone all the same.
                let query = sqlx::query_as(statements::BAR)
                    .bind(&owner.as_bytes()[..])
                    .bind(row::from_time(not_before))
                    .bind(row::from_time(until));
                let _: Vec<(i64,)> = transaction.rows(query).await?;
                let query = sqlx::query_as(statements::END_BARRED).bind(&owner.as_bytes()[..]);
                let _: Vec<(i64,)> = transaction.rows(query).await?;
                transaction.commit().await
            }
        }
    };
}

#[cfg(feature = "postgres")]
sql_index!(PostgresStore);
#[cfg(feature = "sqlite")]
sql_index!(SqliteStore);

const ROWS_TOLD_AT_ONCE: usize = 100;
