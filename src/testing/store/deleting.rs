//! Rule 5 of the contract.

use std::sync::Arc;

use super::subject::{HOUR, IDLE, LIFE, MILLISECOND, Subject, refused_as};
use crate::session::{SessionId, SessionKey};
use crate::store::{SessionStore, StoreErrorKind};

/// From the return of `delete` on, `load`, `touch` and `save` say that the session is gone, and they stay at it.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_is_final_for_load_touch_save(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_delete().await {
        return;
    }
    let session = subject.begin().await;
    subject.delete(&session.key, subject.now).await;
    for _ in 0..2 {
        assert!(
            subject.load(&session.id, subject.now).await.is_none(),
            "`load` gives a deleted session"
        );
        if subject.capabilities().idle_expiry {
            let touched = subject
                .touch(&session.key, subject.now, Some(subject.after(HOUR)))
                .await;
            assert_eq!(touched, None, "`touch` finds a deleted session");
        }
        if subject.capabilities().save {
            let saved = subject
                .save(&session.key, subject.record("late"), session.revision)
                .await;
            refused_as(StoreErrorKind::Gone, "`save` of a deleted session", saved);
        }
    }
}

/// The id of a deleted session cannot be created again, for the rest of the session's absolute life; clean-up does not
/// change that.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_leaves_a_tombstone(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_delete().await {
        return;
    }
    let session = subject.begin().await;
    subject.delete(&session.key, subject.now).await;
    let last = subject.after(LIFE).saturating_sub(MILLISECOND);
    for now in [subject.now, subject.after(IDLE * 2), last] {
        subject.delete_expired(now, 10).await;
        let mut again = subject.new_session(subject.record("again"));
        again.now = now;
        again.idle_deadline = now.saturating_add(HOUR);
        match subject.create(&session.id, again).await {
            Ok(again) => assert_ne!(
                again.id, session.id,
                "`create` gives the id of a deleted session out again"
            ),
            Err(error) => assert_eq!(
                error.kind(),
                StoreErrorKind::AlreadyExists,
                "`create` with the id of a deleted session fails as another kind"
            ),
        }
        assert!(
            subject.load(&session.id, now).await.is_none(),
            "a deleted session is there again"
        );
    }
}

/// `delete` says whether there was a session at its `now`: not the second time, not under an unknown key, not if it
/// had expired. An expired one is gone afterwards nevertheless.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_says_whether_there_was_one(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_delete().await {
        return;
    }
    let session = subject.begin().await;
    assert!(
        subject.delete(&session.key, subject.now).await,
        "`delete` says that there was a session"
    );
    assert!(
        !subject.delete(&session.key, subject.now).await,
        "the second `delete` says that there was none"
    );

    let unknown = SessionId::random().expect("the system has random bits");
    let unknown = SessionKey::new("", &unknown);
    assert!(
        !subject.delete(&unknown, subject.now).await,
        "`delete` under an unknown key says that there was none"
    );

    let expired = subject.begin().await;
    let late = subject.idle_end(subject.after(IDLE), subject.after(LIFE));
    assert!(
        !subject.delete(&expired.key, late).await,
        "`delete` of an expired session says that there was none"
    );
    assert!(
        subject.load(&expired.id, subject.now).await.is_none(),
        "`delete` leaves an expired session in place"
    );
}
