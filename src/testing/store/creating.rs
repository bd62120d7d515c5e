//! Rule 1 of the contract.

use std::sync::Arc;

use super::subject::{AUDIENCE, MINUTE, Subject, assert_same};
use crate::session::{SessionId, SessionKey};
use crate::store::{SessionStore, StoreErrorKind};

/// `create` with an id that is taken says so, or settles on another id; what is there stays as it is.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn create_never_overwrites(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let first = subject.begin().await;
    let second = subject
        .create(&first.id, subject.new_session(subject.record("second")))
        .await;
    match second {
        Ok(second) => assert_ne!(second.id, first.id, "`create` gives a taken id out again"),
        Err(error) => assert_eq!(
            error.kind(),
            StoreErrorKind::AlreadyExists,
            "`create` with a taken id fails as another kind"
        ),
    }
    let present = subject.present(&first.id).await;
    assert_eq!(
        present.record, first.record,
        "`create` overwrites a session"
    );
    assert_eq!(
        present.revision, first.revision,
        "`create` changes the revision of a session"
    );
}

/// What `create` answers is the session that `load` then finds, under one id of the declared form.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn create_settles_on_one_id(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let candidate = SessionId::random().expect("the system has random bits");
    let new = subject.new_session(subject.record("new"));
    let created = subject
        .create(&candidate, new.clone())
        .await
        .expect("`create` works with a fresh id");
    assert_eq!(
        created.key,
        SessionKey::new(AUDIENCE, &created.id),
        "the key is that of the id"
    );
    assert_eq!(
        created.record, new.record,
        "`create` answers with the record it was given"
    );
    assert_eq!(
        created.last_activity, new.now,
        "a new session was last used when it began"
    );
    let idle_end = subject.idle_end(new.idle_deadline, new.record.absolute_end());
    assert_eq!(
        created.idle_deadline, idle_end,
        "`create` keeps the idle deadline"
    );
    let loaded = subject.present(&created.id).await;
    assert_same(&loaded, &created, "what `load` gives after `create`");
}

/// The idle deadline of a session never lies beyond its absolute end.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn create_cuts_the_idle_deadline(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let end = subject.after(MINUTE);
    let new = subject.new_session(subject.record_until(end, "short"));
    let created = subject.begin_with(new).await;
    assert_eq!(
        created.idle_deadline, end,
        "`create` cuts the idle deadline at the absolute end"
    );
    let loaded = subject.present(&created.id).await;
    assert_eq!(
        loaded.idle_deadline, end,
        "`load` gives an idle deadline within the absolute end"
    );
}
