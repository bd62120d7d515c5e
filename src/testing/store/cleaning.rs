//! Rule 6 of the contract.

use std::collections::HashSet;
use std::sync::Arc;

use super::subject::{HOUR, IDLE, LIFE, MILLISECOND, MINUTE, Subject};
use crate::session::Timestamp;
use crate::store::{EXPIRED_GRACE, SessionStore};

/// `delete_expired` removes a session once it has been expired for [`EXPIRED_GRACE`], and not a millisecond before.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_expired_keeps_its_grace(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_clean_up().await {
        return;
    }
    let session = subject.begin().await;
    let end = subject.idle_end(subject.after(IDLE), subject.after(LIFE));
    let due = end.saturating_add(EXPIRED_GRACE);
    for early in [subject.now, end, due.saturating_sub(MILLISECOND)] {
        let removed = subject.delete_expired(early, 10).await;
        assert_eq!(
            removed,
            [],
            "`delete_expired` removes a session before its grace is over"
        );
    }
    let before = end.saturating_sub(MILLISECOND);
    assert!(
        subject.load(&session.id, before).await.is_some(),
        "`delete_expired` removes a session before its grace is over"
    );
    assert_eq!(
        subject.delete_expired(due, 10).await,
        [session.key],
        "`delete_expired` gives the keys of what it removes"
    );
    assert!(
        subject.load(&session.id, before).await.is_none(),
        "`delete_expired` leaves what it says it has removed"
    );
    assert_eq!(
        subject.delete_expired(due, 10).await,
        [],
        "`delete_expired` removes a session twice"
    );
}

/// `delete_expired` removes at most `limit` sessions, each once; called again and again it comes to an end, and the
/// living are left.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_expired_respects_its_limit_and_finishes(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_clean_up().await {
        return;
    }
    let due = subject.begin_many(25).await;
    let end = subject.latest_end();
    let mut living = subject.new_session(subject.record_until(end, "living"));
    living.idle_deadline = end;
    let living = subject.begin_with(living).await;

    let mut removed = HashSet::new();
    for _ in 0..due.len() {
        let some = subject.delete_expired(subject.after(LIFE * 2), 4).await;
        assert!(
            some.len() <= 4,
            "`delete_expired` removes more than its limit"
        );
        assert!(
            some.iter().all(|key| removed.insert(*key)),
            "`delete_expired` removes a session twice"
        );
    }
    let expected: HashSet<_> = due.iter().map(|session| session.key).collect();
    assert_eq!(
        removed, expected,
        "`delete_expired` removes what has expired and nothing else"
    );
    subject.present(&living.id).await;
}

/// `delete_expired` spares a session that was touched, whenever it should have ended without that.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_expired_spares_the_just_touched(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_clean_up().await || subject.cannot_touch().await {
        return;
    }
    let [touched, left] = [subject.begin().await, subject.begin().await];
    let last = subject.after(IDLE).saturating_sub(MILLISECOND);
    let moved = subject.after(IDLE + HOUR);
    assert!(
        subject
            .touch(&touched.key, last, Some(moved))
            .await
            .is_some(),
        "`touch` finds a session that is there"
    );
    let removed = subject
        .delete_expired(subject.after(IDLE + MINUTE * 2), 10)
        .await;
    assert_eq!(
        removed,
        [left.key],
        "`delete_expired` removes the one that was not touched"
    );
    assert!(
        subject.load(&touched.id, last).await.is_some(),
        "`delete_expired` removes a session that was touched"
    );
}

/// Sessions without an end ([`Timestamp::NEVER`]) are kept and found at any time.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn sessions_without_end_stay(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let mut endless = subject.new_session(subject.record_until(Timestamp::NEVER, "endless"));
    endless.idle_deadline = Timestamp::NEVER;
    if subject.cannot_keep_longer(&endless).await {
        return;
    }
    let endless = subject.begin_with(endless).await;
    let far = subject.after(LIFE * 36_500);
    if subject.capabilities().idle_expiry {
        let touched = subject
            .touch(&endless.key, subject.now, Some(Timestamp::NEVER))
            .await;
        assert!(touched.is_some(), "`touch` finds a session that never ends");
    }
    let removed = subject.delete_expired(far, 10).await;
    assert_eq!(
        removed,
        [],
        "`delete_expired` removes a session that never ends"
    );
    let loaded = subject
        .load(&endless.id, far)
        .await
        .expect("a session that never ends is there in a hundred years");
    assert_eq!(
        loaded.idle_deadline,
        Timestamp::NEVER,
        "an idle deadline that never comes stays one"
    );
    assert_eq!(
        loaded.record.absolute_end(),
        Timestamp::NEVER,
        "an absolute end that never comes stays one"
    );
}
