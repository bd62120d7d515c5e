//! The tables in SQLite, and the statements that it says in its own way.

use super::schema::Schema;

pub(super) const DELETE_EXPIRED: &str = "
    DELETE FROM mcp_session WHERE session_key IN (
        SELECT session_key FROM mcp_session
        WHERE CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END <= $1
        LIMIT $2
    )
    RETURNING session_key, record IS NOT NULL";

pub(super) const SCHEMA: Schema = Schema {
    is_there: "SELECT COUNT(*) FROM sqlite_master WHERE name = 'mcp_session_schema'",
    begin: "BEGIN IMMEDIATE",
    lock: "CREATE TABLE IF NOT EXISTS mcp_session_schema (version INTEGER NOT NULL PRIMARY KEY)",
    scripts: &[FIRST, SECOND],
};

// What a touch changes stands before the record: SQLite leaves the pages of a long one alone.
const FIRST: &str = "
    CREATE TABLE mcp_session (
        session_key BLOB NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL,
        last_activity INTEGER NOT NULL,
        idle_deadline INTEGER NOT NULL,
        absolute_end INTEGER NOT NULL,
        record BLOB
    ) STRICT;
    CREATE INDEX mcp_session_end ON mcp_session (
        (CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END)
    );
    INSERT INTO mcp_session_schema (version) VALUES (1)";

// So does what each statement reads, which is why the rows are written anew: a column that is added comes last. An
// instance of the first version goes on with this table: it names its columns, and says nothing of the new ones.
const SECOND: &str = "
    CREATE TABLE mcp_session_2 (
        session_key BLOB NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL,
        last_activity INTEGER NOT NULL,
        idle_deadline INTEGER NOT NULL,
        absolute_end INTEGER NOT NULL,
        owner BLOB,
        created INTEGER,
        record BLOB,
        history BLOB
    ) STRICT;
    INSERT INTO mcp_session_2
        (session_key, revision, last_activity, idle_deadline, absolute_end, record)
        SELECT session_key, revision, last_activity, idle_deadline, absolute_end, record
        FROM mcp_session;
    DROP TABLE mcp_session;
    ALTER TABLE mcp_session_2 RENAME TO mcp_session;
    CREATE INDEX mcp_session_end ON mcp_session (
        (CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END)
    );
    CREATE INDEX mcp_session_owner ON mcp_session (owner, session_key) WHERE owner IS NOT NULL;
    CREATE INDEX mcp_session_untold ON mcp_session (session_key)
        WHERE created IS NULL AND record IS NOT NULL;
    CREATE INDEX mcp_session_left ON mcp_session (session_key)
        WHERE record IS NULL AND history IS NOT NULL;
    CREATE TABLE mcp_session_bar (
        owner BLOB NOT NULL PRIMARY KEY,
        not_before INTEGER NOT NULL,
        forget_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX mcp_session_bar_end ON mcp_session_bar (forget_at);
    INSERT INTO mcp_session_schema (version) VALUES (2)";
