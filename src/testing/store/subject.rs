//! A store on trial: the calls that rules make, and what they begin with.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock::{Clock, SystemClock};
use crate::protocol::ProtocolVersion;
use crate::session::{
    Handshake, NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, Timestamp,
    Values,
};
use crate::store::{Capabilities, Revision, SessionStore, StoreError, StoreErrorKind, Stored};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
/// When sessions of a [`Subject`] end for want of use.
pub(super) const IDLE: Duration = HOUR;
/// When sessions of a [`Subject`] end in any case.
pub(super) const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) const AUDIENCE: &str = "/mcp";

#[derive(Clone)]
pub(super) struct Subject {
    pub(super) store: Arc<dyn SessionStore>,
    /// When the rule began; the sessions begin then.
    pub(super) now: Timestamp,
}

impl Subject {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        let now = SystemClock.now();
        Self { store, now }
    }

    /// Two handles to the same data, at the same time.
    pub(super) fn pair(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) -> [Self; 2] {
        let now = SystemClock.now();
        [first, second].map(|store| Self { store, now })
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    pub(super) fn after(&self, duration: Duration) -> Timestamp {
        self.now.saturating_add(duration)
    }

    /// When a session of this store ends that should end at `idle_deadline` for want of use.
    pub(super) fn idle_end(&self, idle_deadline: Timestamp, absolute_end: Timestamp) -> Timestamp {
        match self.capabilities().idle_expiry {
            true => idle_deadline.min(absolute_end),
            false => absolute_end,
        }
    }

    /// The latest end that a session of this store may have.
    pub(super) fn latest_end(&self) -> Timestamp {
        let longest = self.capabilities().max_lifetime;
        longest.map_or(Timestamp::NEVER, |life| self.after(life))
    }

    /// A record with something in each field that the store keeps, one value called `name` among it.
    pub(super) fn record(&self, name: &str) -> SessionRecord {
        self.record_until(self.after(LIFE), name)
    }

    pub(super) fn record_until(&self, absolute_end: Timestamp, name: &str) -> SessionRecord {
        let params = json!({ "clientInfo": { "name": name, "version": "1" }, "capabilities": {} });
        let params = serde_json::value::to_raw_value(&params).expect("a JSON value is JSON");
        let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
        let owner = OwnerTag::of(&Principal::new(name));
        let record = SessionRecord::new(self.now, absolute_end, Some(owner), handshake)
            .with_initialized(true)
            .with_mapped(true);
        if !self.capabilities().records {
            return record;
        }
        record.with_values(values(name, "x")).with_suspended(true)
    }

    /// A record with fields that this version does not know, as a later one would write it.
    pub(super) fn record_of_a_later_version(&self, name: &str) -> SessionRecord {
        let json = serde_json::to_string(&self.record(name)).expect("a record can be written");
        let later = format!(
            r#"{{"later":{{"n":18446744073709551616,"s":"\u00e9"}},"none":null,{}"#,
            json.trim_start_matches('{')
        );
        serde_json::from_str(&later).expect("a record of a later version can be read")
    }

    pub(super) fn new_session(&self, record: SessionRecord) -> NewSession {
        NewSession::new(AUDIENCE, record, self.now, self.after(IDLE))
    }

    /// A session that ends after [`IDLE`] and [`LIFE`].
    pub(super) async fn begin(&self) -> Stored {
        self.begin_with(self.new_session(self.record("begun")))
            .await
    }

    pub(super) async fn begin_many(&self, count: usize) -> Vec<Stored> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.begin().await);
        }
        all
    }

    pub(super) async fn begin_with(&self, new: NewSession) -> Stored {
        let id = SessionId::random().expect("the system has random bits");
        done("create", self.create(&id, new).await)
    }

    pub(super) async fn create(
        &self,
        candidate: &SessionId,
        new: NewSession,
    ) -> Result<Stored, StoreError> {
        answered("create", self.store.create(candidate, new)).await
    }

    pub(super) async fn load(&self, id: &SessionId, now: Timestamp) -> Option<Stored> {
        self.load_of(AUDIENCE, id, now).await
    }

    pub(super) async fn load_of(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Option<Stored> {
        done(
            "load",
            answered("load", self.store.load(audience, id, now)).await,
        )
    }

    /// The session as it is now, which must be there.
    pub(super) async fn present(&self, id: &SessionId) -> Stored {
        self.load(id, self.now)
            .await
            .expect("`load` gives a session that is neither expired nor ended")
    }

    pub(super) async fn save(
        &self,
        key: &SessionKey,
        record: SessionRecord,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        answered("save", self.store.save(key, Arc::new(record), expected)).await
    }

    /// The revision that `save` gives at the revision of `read`, where it must work.
    pub(super) async fn saved(&self, read: &Stored, record: SessionRecord) -> Revision {
        done("save", self.save(&read.key, record, read.revision).await)
    }

    pub(super) async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Option<Revision> {
        let call = self.store.touch(key, now, idle_deadline);
        done("touch", answered("touch", call).await)
    }

    pub(super) async fn delete(&self, key: &SessionKey, now: Timestamp) -> bool {
        done(
            "delete",
            answered("delete", self.store.delete(key, now)).await,
        )
    }

    pub(super) async fn delete_expired(&self, now: Timestamp, limit: usize) -> Vec<SessionKey> {
        let call = self.store.delete_expired(now, limit);
        done("delete_expired", answered("delete_expired", call).await)
    }
}

/// One value called `name`.
pub(super) fn values(name: &str, value: &str) -> Values {
    let mut values = Values::default();
    values.insert(name, value).expect("text is JSON");
    values
}

/// Holds all that a store keeps of a session to what it should be; watches are not compared.
pub(super) fn assert_same(found: &Stored, expected: &Stored, what: &str) {
    assert_eq!(found.id, expected.id, "{what}: another id");
    assert_eq!(found.key, expected.key, "{what}: another key");
    assert_eq!(found.record, expected.record, "{what}: another record");
    assert_eq!(
        found.revision, expected.revision,
        "{what}: another revision"
    );
    assert_eq!(
        found.last_activity, expected.last_activity,
        "{what}: another last activity"
    );
    assert_eq!(
        found.idle_deadline, expected.idle_deadline,
        "{what}: another idle deadline"
    );
}

/// The result, if the call worked.
pub(super) fn done<T>(call: impl Display, result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("`{call}` failed: {error} ({error:?})"))
}

pub(super) fn refused_as<T>(kind: StoreErrorKind, call: &str, result: Result<T, StoreError>) {
    match result {
        Ok(_) => panic!("{call} succeeds in place of failing as {kind:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{call} fails as another kind: {error}"),
    }
}

/// The answer of a call, which must come.
pub(super) async fn answered<T>(
    call: &str,
    answer: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    let Ok(result) = tokio::time::timeout(ANSWER_TIME, answer).await else {
        panic!("`{call}` did not answer within 10 s");
    };
    result
}

const ANSWER_TIME: Duration = Duration::from_secs(10);
