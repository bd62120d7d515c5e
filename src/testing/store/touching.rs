//! Rule 4 of the contract.

use std::sync::Arc;

use super::subject::{AUDIENCE, HOUR, IDLE, LIFE, MILLISECOND, MINUTE, Subject};
use crate::session::{SessionId, SessionKey, Timestamp};
use crate::store::SessionStore;

/// `touch` with a deadline notes the activity and moves the idle deadline; neither ever goes back. Without one it only
/// asks.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn touch_moves_forward_only(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_touch().await {
        return;
    }
    let session = subject.begin().await;
    let [first, second, third] = [1, 2, 3].map(|n| subject.after(MINUTE * n));
    let [end, later] = [subject.after(IDLE), subject.after(IDLE + HOUR)];
    // The touch (when, new deadline), and what is there after it (last activity, deadline).
    for (touch, expected) in [
        ((first, None), (subject.now, end)),
        ((second, Some(later)), (second, later)),
        ((first, Some(end)), (second, later)),
        ((third, None), (second, later)),
        ((third, Some(end)), (third, later)),
    ] {
        let touched = subject.touch(&session.key, touch.0, touch.1).await;
        assert!(touched.is_some(), "`touch` finds a session that is there");
        let loaded = subject.present(&session.id).await;
        let found = (loaded.last_activity, loaded.idle_deadline);
        assert_eq!(
            found, expected,
            "`touch` moves activity and idle deadline forward only, and without a deadline not at all"
        );
    }
    let last = later.saturating_sub(MILLISECOND);
    assert!(
        subject.load(&session.id, last).await.is_some(),
        "a touched session lives longer"
    );
    assert!(
        subject.load(&session.id, later).await.is_none(),
        "a touched session ends at its deadline"
    );
}

/// `touch` never keeps a session beyond its absolute end.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn touch_never_passes_the_absolute_end(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_touch().await {
        return;
    }
    let end = subject.after(LIFE);
    for deadline in [subject.after(LIFE * 2), Timestamp::NEVER] {
        let session = subject.begin().await;
        let touched = subject
            .touch(&session.key, subject.now, Some(deadline))
            .await;
        assert!(touched.is_some(), "`touch` finds a session that is there");
        assert_eq!(
            subject.present(&session.id).await.idle_deadline,
            end,
            "the deadline is cut at the absolute end"
        );
        let last = end.saturating_sub(MILLISECOND);
        assert!(
            subject.load(&session.id, last).await.is_some(),
            "a session that is touched lives to its absolute end"
        );
        assert!(
            subject.load(&session.id, end).await.is_none(),
            "`touch` keeps a session beyond its absolute end"
        );
    }
}

/// `touch` under a key that never was says none and creates nothing.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn touch_creates_nothing(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_touch().await {
        return;
    }
    let id = SessionId::random().expect("the system has random bits");
    let key = SessionKey::new(AUDIENCE, &id);
    for _ in 0..2 {
        let touched = subject
            .touch(&key, subject.now, Some(subject.after(HOUR)))
            .await;
        assert_eq!(touched, None, "`touch` of an unknown session says none");
    }
    assert!(
        subject.load(&id, subject.now).await.is_none(),
        "`touch` creates a session"
    );
}

/// `touch` gives the present revision and leaves it: a save at the revision read before it succeeds.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn touch_does_not_change_the_revision(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_touch().await {
        return;
    }
    let session = subject.begin().await;
    for deadline in [None, Some(subject.after(IDLE + HOUR))] {
        let touched = subject
            .touch(&session.key, subject.after(MINUTE), deadline)
            .await;
        assert_eq!(
            touched,
            Some(session.revision),
            "`touch` gives the present revision"
        );
    }
    let loaded = subject.present(&session.id).await;
    assert_eq!(
        loaded.revision, session.revision,
        "`touch` changes the revision"
    );
    assert_eq!(loaded.record, session.record, "`touch` changes the record");
    if subject.capabilities().save {
        let saved = subject
            .save(&session.key, subject.record("saved"), session.revision)
            .await;
        let saved = saved.expect("`save` succeeds at the revision read before a `touch`");
        let touched = subject.touch(&session.key, subject.now, None).await;
        assert_eq!(
            touched,
            Some(saved),
            "`touch` gives the revision of the last `save`"
        );
    }
}

/// `touch` of a session that is deleted or expired at its `now` says none, and revives nothing.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn touch_of_the_gone_says_none(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_touch().await {
        return;
    }
    let expired = subject.begin().await;
    for late in [subject.after(IDLE), subject.after(LIFE)] {
        let touched = subject
            .touch(&expired.key, late, Some(late.saturating_add(HOUR)))
            .await;
        assert_eq!(touched, None, "`touch` of an expired session says none");
        assert!(
            subject.load(&expired.id, late).await.is_none(),
            "`touch` revives an expired session"
        );
    }
    if subject.capabilities().delete {
        let deleted = subject.begin().await;
        subject.delete(&deleted.key, subject.now).await;
        let touched = subject
            .touch(&deleted.key, subject.now, Some(subject.after(HOUR)))
            .await;
        assert_eq!(touched, None, "`touch` of a deleted session says none");
        assert!(
            subject.load(&deleted.id, subject.now).await.is_none(),
            "`touch` revives a deleted session"
        );
    }
}
