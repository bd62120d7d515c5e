//! Rule 8 of the contract.

use std::sync::Arc;
use std::time::Duration;

use super::subject::{HOUR, LIFE, MINUTE, Subject};
use crate::store::{SessionStore, Stored, Watch, WatchStatus};

/// `create` and `load` hand out a watch if the store declares one, and only then.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn watch_is_handed_out_as_declared(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let declared = subject.capabilities().watch;
    let created = subject.begin().await;
    let loaded = subject.present(&created.id).await;
    let handed_out = [created.watch.is_some(), loaded.watch.is_some()];
    assert_eq!(
        handed_out, [declared; 2],
        "a watch is handed out if it is declared, and only then"
    );
}

/// A watch says *current* of the last revision only, also one that was handed out before a `save`.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn watch_follows_the_store(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let able = subject.capabilities();
    if !able.watch || !able.save {
        return;
    }
    let session = subject.begin().await;
    let loaded = subject.present(&session.id).await;
    let revision = subject.saved(&session, subject.record("saved")).await;
    may_say(&[&session, &loaded], WatchStatus::Current(revision));
    if able.idle_expiry {
        let deadline = Some(subject.after(HOUR * 2));
        subject
            .touch(&session.key, subject.after(MINUTE), deadline)
            .await;
    }
    let later = subject.present(&session.id).await;
    may_say(&[&session, &loaded, &later], WatchStatus::Current(revision));
}

/// A watch no longer says *current* once its session was deleted or cleaned up.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn watch_sees_the_end(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_delete().await || !subject.capabilities().watch {
        return;
    }
    let [deleted, removed] = [subject.begin().await, subject.begin().await];
    let loaded = subject.present(&deleted.id).await;
    subject.delete(&deleted.key, subject.now).await;
    may_say(&[&deleted, &loaded], WatchStatus::Gone);

    let loaded = subject.present(&removed.id).await;
    subject.delete_expired(subject.after(LIFE * 2), 10).await;
    may_say(&[&removed, &loaded], WatchStatus::Gone);
}

/// A store may say *ask* whenever it is not sure.
fn may_say(sessions: &[&Stored], expected: WatchStatus) {
    for session in sessions {
        let status = session.watch.as_ref().map(Watch::status);
        assert!(
            status == Some(expected) || status == Some(WatchStatus::Ask),
            "a watch says {status:?} in place of {expected:?}"
        );
    }
}

/// Looks again and again until the watch says something else.
pub(super) async fn will_not_say(session: &Stored, old: WatchStatus) {
    let changes = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while session.watch.as_ref().map(Watch::status) == Some(old) {
            looks.tick().await;
        }
    };
    let changed = tokio::time::timeout(NEWS_TIME, changes).await;
    assert!(
        changed.is_ok(),
        "a watch still says {old:?} after another handle's change"
    );
}

const NEWS_TIME: Duration = Duration::from_secs(10);
