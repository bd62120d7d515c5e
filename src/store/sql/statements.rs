//! The statements that both databases understand.
//!
//! Parameters: `$1` is the key and `$2` the time that the caller says it is, where a statement has them.

/// Whether the session of a row was not ended with all others of its owner. Those that `bar` found are tombstones; this
/// is for one whose `create` had begun before `bar` and was done after it had looked.
macro_rules! not_barred {
    () => {
        "NOT EXISTS (SELECT 1 FROM mcp_session_bar AS bar
            WHERE bar.owner = mcp_session.owner AND bar.not_before >= mcp_session.created)"
    };
}

/// Whether a row, of any key, is that of a session; a row without a record is a tombstone.
macro_rules! kept {
    () => {
        concat!("record IS NOT NULL AND ", not_barred!())
    };
}

/// Whether the row of a key is that of a session that is alive.
macro_rules! alive {
    () => {
        concat!("session_key = $1 AND idle_deadline > $2 AND ", kept!())
    };
}

/// A row without a record is a tombstone: `DO NOTHING` spares it as it spares a session.
pub(super) const CREATE: &str = "
    INSERT INTO mcp_session
        (session_key, revision, last_activity, idle_deadline, absolute_end, record, owner, created)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8
    WHERE NOT EXISTS (SELECT 1 FROM mcp_session_bar WHERE owner = $7 AND not_before >= $8)
    ON CONFLICT (session_key) DO NOTHING
    RETURNING revision";

/// Why `CREATE` made nothing: for its owner `$1` and its creation `$2`.
pub(super) const IS_BARRED: &str = "
    SELECT not_before FROM mcp_session_bar WHERE owner = $1 AND not_before >= $2";

pub(super) const LOAD: &str = concat!(
    "SELECT record, revision, last_activity, idle_deadline FROM mcp_session WHERE ",
    alive!()
);

pub(super) const SAVE: &str = concat!(
    "UPDATE mcp_session SET
        record = $2,
        revision = $3,
        absolute_end = $4,
        idle_deadline = CASE WHEN idle_deadline > $4 THEN $4 ELSE idle_deadline END,
        owner = $6,
        created = $7
    WHERE session_key = $1 AND revision = $5 AND ",
    kept!(),
    " RETURNING revision"
);

/// Why `SAVE` found nothing: nothing has changed, so it is no harm if something changes in between.
pub(super) const IS_KEPT: &str = concat!(
    "SELECT revision FROM mcp_session WHERE session_key = $1 AND ",
    kept!()
);

/// Cuts the deadline `$3` at the absolute end, and moves nothing back.
pub(super) const TOUCH: &str = concat!(
    "UPDATE mcp_session SET
        last_activity = CASE WHEN last_activity < $2 THEN $2 ELSE last_activity END,
        idle_deadline = CASE
            WHEN $3 <= idle_deadline THEN idle_deadline
            WHEN $3 > absolute_end THEN absolute_end
            ELSE $3
        END
    WHERE ",
    alive!(),
    " RETURNING revision"
);

pub(super) const ASK: &str = concat!("SELECT revision FROM mcp_session WHERE ", alive!());

/// Leaves a tombstone, with the idle deadline that tells whether there was a session still.
pub(super) const DELETE: &str = "
    UPDATE mcp_session SET record = NULL, history = NULL
    WHERE session_key = $1 AND record IS NOT NULL
    RETURNING idle_deadline";

/// What an instance of version 1 of the tables has left of sessions that it deleted.
pub(super) const FORGET_HISTORIES: &str = "
    UPDATE mcp_session SET history = NULL
    WHERE record IS NULL AND history IS NOT NULL
    RETURNING revision";

pub(super) const HISTORY: &str = concat!("SELECT history FROM mcp_session WHERE ", alive!());

/// Whoever changes the row meanwhile is waited for, and waits for the end of the transaction.
#[cfg(feature = "postgres")]
pub(super) const HISTORY_FOR_UPDATE: &str = concat!(
    "SELECT history FROM mcp_session WHERE ",
    alive!(),
    " FOR UPDATE OF mcp_session"
);

/// Within the transaction that has found the session alive, and holds its row.
#[cfg(feature = "postgres")]
pub(super) const SET_HISTORY: &str = "
    UPDATE mcp_session SET history = $2 WHERE session_key = $1 RETURNING revision";

/// Puts `$3` in the place of what `HISTORY` gave, `$4`, if it is there still.
#[cfg(feature = "sqlite")]
pub(super) const REPLACE_HISTORY: &str = concat!(
    "UPDATE mcp_session SET history = $3 WHERE history IS $4 AND ",
    alive!(),
    " RETURNING revision"
);

pub(super) const CLEAR_HISTORY: &str = concat!(
    "UPDATE mcp_session SET history = NULL WHERE ",
    alive!(),
    " RETURNING revision"
);

macro_rules! list {
    ($of:literal) => {
        concat!(
            "SELECT session_key, record, revision, last_activity, idle_deadline FROM mcp_session
            WHERE session_key > $1 AND idle_deadline > $2 AND ",
            kept!(),
            $of,
            " ORDER BY session_key LIMIT $3"
        )
    };
}

/// At most `$3` sessions whose keys come after `$1`.
pub(super) const LIST: &str = list!("");

/// The same, of the owner `$4`.
pub(super) const LIST_OF_OWNER: &str = list!(" AND owner = $4");

pub(super) const COUNT: &str = concat!(
    "SELECT COUNT(*) FROM mcp_session WHERE idle_deadline > $1 AND ",
    kept!()
);

/// Bars the owner `$1` up to `$2`, until `$3`; neither moves back.
pub(super) const BAR: &str = "
    INSERT INTO mcp_session_bar AS bar (owner, not_before, forget_at) VALUES ($1, $2, $3)
    ON CONFLICT (owner) DO UPDATE SET
        not_before = CASE
            WHEN excluded.not_before > bar.not_before THEN excluded.not_before ELSE bar.not_before
        END,
        forget_at = CASE
            WHEN excluded.forget_at > bar.forget_at THEN excluded.forget_at ELSE bar.forget_at
        END
    RETURNING not_before";

/// After `BAR`, in its transaction: leaves tombstones of the sessions of the owner `$1`.
pub(super) const END_BARRED: &str = "
    UPDATE mcp_session SET record = NULL, history = NULL
    WHERE record IS NOT NULL AND owner = $1
        AND created <= (SELECT not_before FROM mcp_session_bar WHERE owner = $1)
    RETURNING revision";

pub(super) const FORGET_BARS: &str = "
    DELETE FROM mcp_session_bar WHERE forget_at <= $1 RETURNING not_before";

/// Rows that an instance of version 1 of the tables has written. In their order, so that two that go through them do
/// not wait for each other in a circle.
pub(super) const UNTOLD: &str = "
    SELECT session_key, record FROM mcp_session
    WHERE created IS NULL AND record IS NOT NULL
    ORDER BY session_key LIMIT $1";

/// Says of such a row what its record says.
pub(super) const TELL: &str = "
    UPDATE mcp_session SET owner = $2, created = $3
    WHERE session_key = $1 AND created IS NULL AND record IS NOT NULL
    RETURNING revision";
