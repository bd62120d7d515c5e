//! The statements that both databases understand.
//!
//! Parameters: `$1` is the key and `$2` the time that the caller says it is, where a statement has them.

/// A row without a record is a tombstone: `DO NOTHING` spares it as it spares a session.
pub(super) const CREATE: &str = "
    INSERT INTO mcp_session
        (session_key, revision, last_activity, idle_deadline, absolute_end, record)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (session_key) DO NOTHING
    RETURNING revision";

pub(super) const LOAD: &str = "
    SELECT record, revision, last_activity, idle_deadline FROM mcp_session
    WHERE session_key = $1 AND record IS NOT NULL AND idle_deadline > $2";

pub(super) const SAVE: &str = "
    UPDATE mcp_session SET
        record = $2,
        revision = $3,
        absolute_end = $4,
        idle_deadline = CASE WHEN idle_deadline > $4 THEN $4 ELSE idle_deadline END
    WHERE session_key = $1 AND record IS NOT NULL AND revision = $5
    RETURNING revision";

/// Why `SAVE` found nothing: nothing has changed, so it is no harm if something changes in between.
pub(super) const IS_KEPT: &str = "
    SELECT revision FROM mcp_session
    WHERE session_key = $1 AND record IS NOT NULL";

/// Cuts the deadline `$3` at the absolute end, and moves nothing back.
pub(super) const TOUCH: &str = "
    UPDATE mcp_session SET
        last_activity = CASE WHEN last_activity < $2 THEN $2 ELSE last_activity END,
        idle_deadline = CASE
            WHEN $3 <= idle_deadline THEN idle_deadline
            WHEN $3 > absolute_end THEN absolute_end
            ELSE $3
        END
    WHERE session_key = $1 AND record IS NOT NULL AND idle_deadline > $2
    RETURNING revision";

pub(super) const ASK: &str = "
    SELECT revision FROM mcp_session
    WHERE session_key = $1 AND record IS NOT NULL AND idle_deadline > $2";

/// Leaves a tombstone, with the idle deadline that tells whether there was a session still.
pub(super) const DELETE: &str = "
    UPDATE mcp_session SET record = NULL
    WHERE session_key = $1 AND record IS NOT NULL
    RETURNING idle_deadline";
