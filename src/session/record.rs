//! What a store keeps of a session.

mod reading;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::protocol::ProtocolVersion;

use super::{OwnerTag, Timestamp, Values};

/// What client and server settled at initialize, kept for as long as the session lives.
///
/// Equal handshakes are kept once per instance: most sessions come from few clients.
#[derive(Clone, Serialize, Deserialize)]
pub struct Handshake {
    params: Box<RawValue>,
    version: ProtocolVersion,
}

impl Handshake {
    /// A handshake whose client sent `params` (without `_meta`) and whose server answered with `version`.
    pub fn new(params: Box<RawValue>, version: ProtocolVersion) -> Self {
        Self { params, version }
    }

    /// The `params` of the client's initialize as JSON text, without `_meta`.
    pub fn params(&self) -> &RawValue {
        &self.params
    }

    /// The version of the server's answer: the one the session speaks. Wire rule 8.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// What the client says it is. Self-reported: never decide on it (2026-07-28, basic, clientInfo).
    pub fn client_info(&self) -> Option<ClientInfo> {
        #[derive(Deserialize)]
        struct Params {
            #[serde(rename = "clientInfo")]
            client_info: ClientInfo,
        }
        serde_json::from_str::<Params>(self.params.get())
            .ok()
            .map(|params| params.client_info)
    }

    /// The client's capabilities as JSON; `None` if it named none.
    pub fn capabilities(&self) -> Option<Value> {
        #[derive(Deserialize)]
        struct Params {
            capabilities: Value,
        }
        serde_json::from_str::<Params>(self.params.get())
            .ok()
            .map(|params| params.capabilities)
    }
}

/// Shows the version, not what the client sent.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Equal if the version and the JSON text of the params are.
impl PartialEq for Handshake {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.params.get() == other.params.get()
    }
}

impl Eq for Handshake {}

impl std::hash::Hash for Handshake {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.version.hash(state);
        self.params.get().hash(state);
    }
}

/// Name, title and version of a client, as it reports them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The name meant for programs.
    pub name: String,
    /// The name meant for people, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The client's own version.
    #[serde(default)]
    pub version: String,
}

/// A session as a store keeps it.
///
/// It holds neither the id nor the principal: a store finds it by its key and compares owners by their tag. When it
/// was last used, and when it ends for want of use, change with each touch and stand beside it in
/// [`Stored`](crate::store::Stored).
///
/// Written with serde as JSON, it is an object with a `schema` number; what a later schema adds has a default here.
/// Fields that this version does not know are kept as they were written, and so is a higher `schema` number: while a
/// deployment is under way, an older instance that changes a session takes nothing from a newer one. A later schema
/// adds fields to this object and nowhere deeper, and leaves those that there are their meaning. What lacks a field
/// without a default, or has one of another type, is an error to read: a store answers
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tower_mcp_session::{Handshake, ProtocolVersion, SessionRecord, Timestamp};
///
/// let params = serde_json::value::to_raw_value(&serde_json::json!({ "clientInfo": { "name": "curl" } }))?;
/// let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
/// let record = SessionRecord::new(Timestamp::EPOCH, Timestamp::NEVER, None, handshake);
/// let json = serde_json::to_string(&record)?;
/// assert_eq!(serde_json::from_str::<SessionRecord>(&json)?, record);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionRecord {
    schema: u16,
    created: Timestamp,
    absolute_end: Timestamp,
    owner: Option<Box<OwnerTag>>,
    handshake: Arc<Handshake>,
    values: Values,
    initialized: bool,
    mapped: bool,
    suspended: bool,
    /// What a later version wrote and this one does not know: one empty pointer for nearly all.
    #[serde(flatten)]
    unknown: Values,
}

impl SessionRecord {
    /// The number of the form in which records are written.
    pub const SCHEMA: u16 = 1;

    /// A session that begins at `created` and ends at `absolute_end` at the latest.
    pub fn new(
        created: Timestamp,
        absolute_end: Timestamp,
        owner: Option<OwnerTag>,
        handshake: Arc<Handshake>,
    ) -> Self {
        Self {
            schema: Self::SCHEMA,
            created,
            absolute_end,
            owner: owner.map(Box::new),
            handshake,
            values: Values::default(),
            initialized: false,
            mapped: false,
            suspended: false,
            unknown: Values::default(),
        }
    }

    /// The same record with other values.
    #[must_use]
    pub fn with_values(mut self, values: Values) -> Self {
        self.values = values;
        self
    }

    /// The same record, saying whether the client has finished the handshake (`notifications/initialized`).
    #[must_use]
    pub fn with_initialized(mut self, initialized: bool) -> Self {
        self.initialized = initialized;
        self
    }

    /// The same record, saying whether the inner service minted an id of its own.
    #[must_use]
    pub fn with_mapped(mut self, mapped: bool) -> Self {
        self.mapped = mapped;
        self
    }

    /// The same record, saying whether the session is suspended.
    #[must_use]
    pub fn with_suspended(mut self, suspended: bool) -> Self {
        self.suspended = suspended;
        self
    }

    /// The same record with an equal handshake that is kept elsewhere already.
    #[must_use]
    pub(crate) fn with_handshake(mut self, handshake: Arc<Handshake>) -> Self {
        self.handshake = handshake;
        self
    }

    /// The number of the form in which this record was written; above [`SessionRecord::SCHEMA`] if a later version
    /// wrote it first.
    pub fn schema(&self) -> u16 {
        self.schema
    }

    /// When the session's initialize came.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When the session ends, used or not.
    pub fn absolute_end(&self) -> Timestamp {
        self.absolute_end
    }

    /// Whose session it is; `None` if it began without a principal.
    pub fn owner(&self) -> Option<&OwnerTag> {
        self.owner.as_deref()
    }

    /// What was settled at initialize.
    pub fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// The session's values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Whether the client has finished the handshake.
    pub fn initialized(&self) -> bool {
        self.initialized
    }

    /// Whether the inner service minted an id of its own at initialize.
    pub fn mapped(&self) -> bool {
        self.mapped
    }

    /// Whether the session is suspended.
    pub fn suspended(&self) -> bool {
        self.suspended
    }

    /// Whether an id can say all of it that is not said elsewhere: no values, not suspended, nothing unknown.
    #[cfg(feature = "signed")]
    pub(crate) fn is_plain(&self) -> bool {
        self.values.is_empty() && self.unknown.is_empty() && !self.suspended
    }

    /// About how many bytes of memory the record takes: its texts and a fixed part. The handshake counts in full, though
    /// equal ones are shared: a client may send a different one each time.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + self.owner.as_ref().map_or(0, |_| size_of::<OwnerTag>())
            + self.handshake.params.get().len()
            + self.values.size()
            + self.unknown.size()
    }
}

/// A session about to be created: what a manager hands to a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewSession {
    /// The endpoint that the session belongs to.
    pub audience: Arc<str>,
    /// The record to keep.
    pub record: Arc<SessionRecord>,
    /// When the session begins.
    pub now: Timestamp,
    /// When it ends for want of use, unless it is touched.
    pub idle_deadline: Timestamp,
}

impl NewSession {
    /// A session of `audience` that begins at `now` and ends at `idle_deadline` unless it is touched.
    pub fn new(
        audience: impl Into<Arc<str>>,
        record: impl Into<Arc<SessionRecord>>,
        now: Timestamp,
        idle_deadline: Timestamp,
    ) -> Self {
        Self {
            audience: audience.into(),
            record: record.into(),
            now,
            idle_deadline,
        }
    }
}
