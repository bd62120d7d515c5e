//! The tables in PostgreSQL, and the statements that it says in its own way.

use super::schema::Schema;

/// What another instance is at work on, a touch perhaps, is left for the next time.
pub(super) const DELETE_EXPIRED: &str = "
    DELETE FROM mcp_session WHERE session_key = ANY (ARRAY(
        SELECT session_key FROM mcp_session
        WHERE CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END <= $1
        LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
    RETURNING session_key, record IS NOT NULL";

pub(super) const SERVER_TIME: &str =
    "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";

pub(super) const SCHEMA: Schema = Schema {
    is_there: "SELECT COUNT(to_regclass('mcp_session_schema'))",
    // The version must be that which the instance before us has left.
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED",
    // Without the lock, two that say IF NOT EXISTS at once can both try. The number is that of the bytes "mcp sess".
    // Whoever comes after us waits for the tables as long as we do, which is less than the layer waits for an answer.
    lock: "SELECT pg_advisory_xact_lock(7882267057505792883);
        CREATE TABLE IF NOT EXISTS mcp_session_schema (version BIGINT NOT NULL PRIMARY KEY);
        SET LOCAL lock_timeout = '1s'",
    scripts: &[FIRST, SECOND],
};

const FIRST: &str = "
    CREATE TABLE mcp_session (
        session_key BYTEA NOT NULL PRIMARY KEY,
        revision BIGINT NOT NULL,
        last_activity BIGINT NOT NULL,
        idle_deadline BIGINT NOT NULL,
        absolute_end BIGINT NOT NULL,
        record BYTEA
    );
    CREATE INDEX mcp_session_end ON mcp_session (
        (CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END)
    );
    INSERT INTO mcp_session_schema (version) VALUES (1)";

// An instance of the first version goes on with this table: it names its columns, and says nothing of the new ones.
const SECOND: &str = "
    ALTER TABLE mcp_session ADD COLUMN owner BYTEA, ADD COLUMN created BIGINT, ADD COLUMN history BYTEA;
    CREATE INDEX mcp_session_owner ON mcp_session (owner, session_key) WHERE owner IS NOT NULL;
    CREATE INDEX mcp_session_untold ON mcp_session (session_key)
        WHERE created IS NULL AND record IS NOT NULL;
    CREATE INDEX mcp_session_left ON mcp_session (session_key)
        WHERE record IS NULL AND history IS NOT NULL;
    CREATE TABLE mcp_session_bar (
        owner BYTEA NOT NULL PRIMARY KEY,
        not_before BIGINT NOT NULL,
        forget_at BIGINT NOT NULL
    );
    CREATE INDEX mcp_session_bar_end ON mcp_session_bar (forget_at);
    INSERT INTO mcp_session_schema (version) VALUES (2)";
