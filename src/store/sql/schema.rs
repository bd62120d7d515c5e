//! The tables, and how they come to be: by whichever instance is first, while the others wait.

use std::cmp::Ordering;

use sqlx::{Database, Executor, FromRow, IntoArguments, Pool};

use super::failure::{self, Access};
use super::fetch::fetch;
use crate::store::{StoreError, StoreErrorKind};

/// What a database is told to get its tables.
pub(super) struct Schema {
    /// Counts tables called `mcp_session_schema`; needs no right but to read.
    pub(super) is_there: &'static str,
    /// Begins a transaction.
    pub(super) begin: &'static str,
    /// Makes the transaction wait for others that do the same, and `mcp_session_schema` if it is not there.
    pub(super) lock: &'static str,
    /// The script at `n` leads from version `n` to version `n + 1`. Never changed once it was released.
    pub(super) scripts: &'static [&'static str],
}

/// Brings the tables to the present version. Writes nothing, and needs no right to, if they are there already.
///
/// # Errors
///
/// [`StoreErrorKind::Unsupported`] if they are of a later version.
pub(super) async fn prepare<D>(pool: &Pool<D>, schema: &Schema) -> Result<(), StoreError>
where
    D: Database,
    D::Arguments: IntoArguments<D>,
    (i64,): for<'r> FromRow<'r, D::Row>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let number = async |statement| -> Result<i64, StoreError> {
        let query = sqlx::query_as::<D, (i64,)>(statement);
        let rows = fetch(pool, Access::Read, query).await?;
        Ok(rows.first().map_or(0, |row| row.0))
    };
    let present = schema.scripts.len() as i64;
    let version = match number(schema.is_there).await? {
        0 => 0,
        _ => number(VERSION).await?,
    };
    match version.cmp(&present) {
        Ordering::Equal => Ok(()),
        Ordering::Less => migrate(pool, schema)
            .await
            .map_err(|error| failure::failed(error, Access::Read)),
        Ordering::Greater => Err(StoreError::new(
            StoreErrorKind::Unsupported,
            "the tables are of a later version of this crate",
        )),
    }
}

async fn migrate<D>(pool: &Pool<D>, schema: &Schema) -> Result<(), sqlx::Error>
where
    D: Database,
    D::Arguments: IntoArguments<D>,
    (i64,): for<'r> FromRow<'r, D::Row>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let mut transaction = pool.begin_with(schema.begin).await?;
    sqlx::raw_sql(schema.lock)
        .execute(&mut *transaction)
        .await?;
    // Another instance may have been here since we looked.
    let (version,): (i64,) = sqlx::query_as(VERSION).fetch_one(&mut *transaction).await?;
    let done = usize::try_from(version).unwrap_or(0);
    for script in schema.scripts.iter().skip(done) {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM mcp_session_schema";
