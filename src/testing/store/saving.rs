//! Rule 3 of the contract.

use std::sync::Arc;

use super::subject::{AUDIENCE, Subject, done, refused_as};
use crate::session::{SessionId, SessionKey};
use crate::store::{Revision, SessionStore, StoreErrorKind};

/// `save` at the revision that was read replaces the record and nothing else, and gives a new revision.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn save_replaces_at_the_read_revision(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_save().await {
        return;
    }
    let created = subject.begin().await;
    let mut revision = created.revision;
    for name in ["first", "second", "third"] {
        let record = subject.record(name).with_suspended(false);
        let saved = done(
            "save",
            subject.save(&created.key, record.clone(), revision).await,
        );
        assert_ne!(saved, revision, "`save` gives a new revision");
        let loaded = subject.present(&created.id).await;
        assert_eq!(*loaded.record, record, "`save` replaces the record");
        assert_eq!(
            loaded.revision, saved,
            "`load` gives the revision that `save` gave"
        );
        assert_eq!(
            loaded.last_activity, created.last_activity,
            "`save` is no activity"
        );
        assert_eq!(
            loaded.idle_deadline, created.idle_deadline,
            "`save` leaves the idle deadline"
        );
        revision = saved;
    }
}

/// `save` at any other revision is refused as a conflict, and changes nothing.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn save_conflicts_at_another_revision(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_save().await {
        return;
    }
    let created = subject.begin().await;
    let kept = subject.record("kept");
    let current = done(
        "save",
        subject
            .save(&created.key, kept.clone(), created.revision)
            .await,
    );
    for other in [created.revision, current.next()] {
        let late = subject
            .save(&created.key, subject.record("late"), other)
            .await;
        refused_as(StoreErrorKind::Conflict, "`save` at another revision", late);
    }
    let loaded = subject.present(&created.id).await;
    assert_eq!(*loaded.record, kept, "a refused `save` changes the record");
    assert_eq!(
        loaded.revision, current,
        "a refused `save` changes the revision"
    );
}

/// `save` of a session that was deleted is refused as gone, at whatever revision, and does not revive it.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn save_of_a_deleted_session_reports_gone(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_save().await || subject.cannot_delete().await {
        return;
    }
    let created = subject.begin().await;
    subject.delete(&created.key, subject.now).await;
    for revision in [created.revision, created.revision.next()] {
        let late = subject
            .save(&created.key, subject.record("late"), revision)
            .await;
        refused_as(StoreErrorKind::Gone, "`save` of a deleted session", late);
    }
    assert!(
        subject.load(&created.id, subject.now).await.is_none(),
        "`save` revives a deleted session"
    );
}

/// `save` under a key that never was is refused as gone, and creates nothing.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn save_never_inserts(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_save().await {
        return;
    }
    let id = SessionId::random().expect("the system has random bits");
    let key = SessionKey::new(AUDIENCE, &id);
    let saved = subject
        .save(&key, subject.record("new"), Revision::FIRST)
        .await;
    refused_as(StoreErrorKind::Gone, "`save` under an unknown key", saved);
    assert!(
        subject.load(&id, subject.now).await.is_none(),
        "`save` inserts a session"
    );
}
