//! Rule 9 of the contract: what one handle has done, every other one sees.

use std::sync::Arc;

use super::crowd::is_gone;
use super::racing::{delete_wins, no_save_is_lost, one_winner};
use super::subject::{HOUR, IDLE, MILLISECOND, MINUTE, Subject, assert_same, refused_as};
use super::watching::will_not_say;
use crate::session::Principal;
use crate::store::{SessionStore, StoreErrorKind, WatchStatus};

/// What one handle has created another one gives, and does not create again.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn every_handle_sees_a_create(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [one, other] = Subject::pair(first, second);
    assert_eq!(
        one.capabilities(),
        other.capabilities(),
        "two handles to the same data declare the same"
    );
    let created = one.begin().await;
    let what = "what another handle gives of a session";
    assert_same(&other.present(&created.id).await, &created, what);
    match other
        .create(&created.id, other.new_session(other.record("again")))
        .await
    {
        Ok(again) => assert_ne!(
            again.id, created.id,
            "another handle gives a taken id out again"
        ),
        Err(error) => assert_eq!(
            error.kind(),
            StoreErrorKind::AlreadyExists,
            "`create` with an id that another handle took fails as another kind"
        ),
    }
    for handle in [&one, &other] {
        assert_same(&handle.present(&created.id).await, &created, what);
    }
}

/// What one handle has saved another one gives, though it had read the session before; at the revision from before it
/// saves nothing.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn every_handle_sees_a_save(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [one, other] = Subject::pair(first, second);
    if one.cannot_save().await {
        return;
    }
    let created = one.begin().await;
    let mut read = other.present(&created.id).await;
    for (writer, reader) in [(&one, &other), (&other, &one), (&one, &other)] {
        let record = writer
            .record("saved")
            .with_suspended(read.record.suspended());
        let record = record.with_initialized(!read.record.initialized());
        let saved = writer.saved(&read, record.clone()).await;
        let found = reader.present(&created.id).await;
        assert_eq!(
            *found.record, record,
            "another handle gives the record from before a `save`"
        );
        assert_eq!(
            found.revision, saved,
            "another handle gives another revision"
        );
        if reader.capabilities().idle_expiry {
            let touched = reader.touch(&created.key, reader.now, None).await;
            assert_eq!(
                touched,
                Some(saved),
                "`touch` of another handle gives another revision"
            );
        }
        let late = reader
            .save(&created.key, reader.record("late"), read.revision)
            .await;
        let call = "`save` at the revision from before another handle's";
        refused_as(StoreErrorKind::Conflict, call, late);
        read = found;
    }
}

/// What one handle has touched lives longer for another one too.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn every_handle_sees_a_touch(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [one, other] = Subject::pair(first, second);
    if one.cannot_touch().await {
        return;
    }
    let created = one.begin().await;
    other.present(&created.id).await;
    let (used, end) = (one.after(MINUTE), one.after(IDLE + HOUR));
    let touched = one.touch(&created.key, used, Some(end)).await;
    assert!(touched.is_some(), "`touch` finds a session that is there");
    let found = other.present(&created.id).await;
    let deadlines = (found.last_activity, found.idle_deadline);
    assert_eq!(
        deadlines,
        (used, end),
        "another handle does not see a `touch`"
    );
    let last = end.saturating_sub(MILLISECOND);
    assert!(
        other.load(&created.id, last).await.is_some(),
        "a session that was touched ends early for another handle"
    );
    let asked = other.touch(&created.key, last, None).await;
    assert!(
        asked.is_some(),
        "a session that was touched ends early for another handle"
    );
}

/// What one handle has deleted is gone for another one, though it had read the session before; its id is taken.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn every_handle_sees_a_delete(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [one, other] = Subject::pair(first, second);
    if one.cannot_delete().await {
        return;
    }
    let created = one.begin().await;
    other.present(&created.id).await;
    one.delete(&created.key, one.now).await;
    for handle in [&other, &one] {
        is_gone(handle, &created).await;
        let again = handle.new_session(handle.record("again"));
        if let Ok(again) = handle.create(&created.id, again).await {
            let what = "the id of a session that another handle deleted is given out again";
            assert_ne!(again.id, created.id, "{what}");
        }
        assert!(
            !handle.delete(&created.key, handle.now).await,
            "a session is deleted twice"
        );
    }
}

/// What one handle has cleaned up is gone for another one, and what another one has touched is spared.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn every_handle_sees_a_clean_up(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [one, other] = Subject::pair(first, second);
    if one.cannot_delete().await || one.cannot_touch().await {
        return;
    }
    let [due, touched] = [one.begin().await, one.begin().await];
    for session in [&due, &touched] {
        other.present(&session.id).await;
    }
    let last = one.after(IDLE).saturating_sub(MILLISECOND);
    one.touch(&touched.key, last, Some(one.after(IDLE + HOUR)))
        .await;
    let late = one.after(IDLE + MINUTE * 2);
    assert_eq!(
        other.delete_expired(late, 10).await,
        [due.key],
        "`delete_expired` removes what is due, and not what another handle has touched"
    );
    assert_eq!(
        one.delete_expired(late, 10).await,
        [],
        "a session is removed twice"
    );
    for handle in [&one, &other] {
        let found = [&due, &touched].map(|session| handle.load(&session.id, last));
        let [due, touched] = found;
        assert!(
            due.await.is_none(),
            "a session that was cleaned up is there for a handle"
        );
        assert!(
            touched.await.is_some(),
            "a session that was touched is gone for a handle"
        );
    }
}

/// A watch stops saying *current* when another handle saves or deletes: within 10 s, for the news may have a way to go.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn a_watch_sees_what_other_handles_do(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [one, other] = Subject::pair(first, second);
    let able = one.capabilities();
    if !able.watch {
        return;
    }
    let created = one.begin().await;
    let read = other.present(&created.id).await;
    let mut last = read.revision;
    if able.save {
        last = one.saved(&created, one.record("saved")).await;
        will_not_say(&read, WatchStatus::Current(read.revision)).await;
    }
    if able.delete {
        let read = other.present(&created.id).await;
        one.delete(&created.key, one.now).await;
        will_not_say(&read, WatchStatus::Current(last)).await;
    }
}

/// 64 tasks on two handles each add a value to one session: all values are there in the end.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn saves_of_two_handles_lose_nothing(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    no_save_is_lost(&Subject::pair(first, second)).await;
}

/// Of many tasks on two handles that create with one id at most one gets it.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn one_winner_in_a_create_race_of_two_handles(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    one_winner(&Subject::pair(first, second)).await;
}

/// While tasks on two handles save and touch a session without pause, one deletes it: it stays gone for both.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_wins_over_late_writes_of_two_handles(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    delete_wins(&Subject::pair(first, second)).await;
}

/// Every handle has the same tag for an owner.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn owner_tags_are_the_same_on_every_handle(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [one, other] = Subject::pair(first, second);
    let id = one.begin().await.id;
    let principal = Principal::new("a").with_issuer("b");
    assert_eq!(
        one.store.owner_tag(&id, &principal),
        other.store.owner_tag(&id, &principal),
        "an owner is a stranger to another handle"
    );
}
