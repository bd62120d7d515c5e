//! Many tasks at the same time, for rules that hold in a crowd.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::subject::{HOUR, Subject, done, refused_as, values};
use crate::session::SessionId;
use crate::store::{Revision, StoreErrorKind, Stored};

/// How many tasks are a crowd.
pub(super) const TASKS: usize = 64;
/// How often a race is run, each time in another order.
pub(super) const ROUNDS: usize = 8;
pub(super) const TASKS_OF_A_ROUND: usize = 16;

/// Adds a value of this name by compare-and-swap; gives the revision it got.
pub(super) async fn add_value(subject: &Subject, id: &SessionId, name: &str) -> Revision {
    loop {
        let stored = subject.present(id).await;
        // Lets the others read the same revision.
        tokio::task::yield_now().await;
        let mut all = stored.record.values().clone();
        all.extend(&values(name, name));
        let record = (*stored.record).clone().with_values(all);
        match subject.save(&stored.key, record, stored.revision).await {
            Ok(revision) => return revision,
            Err(error) => assert_eq!(
                error.kind(),
                StoreErrorKind::Conflict,
                "`save` that comes too late fails as another kind"
            ),
        }
    }
}

/// Lets others go ahead, so that each round has another order.
pub(super) async fn linger(subject: &Subject, session: &Stored, times: usize) {
    for _ in 0..times {
        subject.load(&session.id, subject.now).await;
        tokio::task::yield_now().await;
    }
}

/// Saves and touches the session until it is gone.
pub(super) async fn use_until_gone(subject: &Subject, session: &Stored) {
    // A store that revives sessions would keep this from ending.
    for _ in 0..1_000 {
        if subject.capabilities().idle_expiry {
            subject
                .touch(&session.key, subject.now, Some(subject.after(HOUR * 2)))
                .await;
        }
        let Some(stored) = subject.load(&session.id, subject.now).await else {
            return;
        };
        if subject.capabilities().save {
            match subject
                .save(&session.key, (*stored.record).clone(), stored.revision)
                .await
            {
                Err(error) if error.kind() == StoreErrorKind::Gone => return,
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                other => drop(done("save", other)),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Holds a session to be gone, for good.
pub(super) async fn is_gone(subject: &Subject, session: &Stored) {
    assert!(
        subject.load(&session.id, subject.now).await.is_none(),
        "a late write revives a deleted session"
    );
    if subject.capabilities().idle_expiry {
        let touched = subject.touch(&session.key, subject.now, None).await;
        assert_eq!(touched, None, "`touch` finds a deleted session");
    }
    if subject.capabilities().save {
        let saved = subject
            .save(&session.key, subject.record("late"), session.revision)
            .await;
        refused_as(StoreErrorKind::Gone, "`save` of a deleted session", saved);
    }
}

/// Runs `count` tasks that begin together; gives what they give, in their order, and panics as they do.
pub(super) async fn at_once<F>(count: usize, task: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let (barrier, work) = (Arc::clone(&barrier), task(n));
        tasks.spawn(async move {
            barrier.wait().await;
            (n, work.await)
        });
    }
    let mut outputs = Vec::new();
    while let Some(result) = tasks.join_next().await {
        match result {
            Ok(output) => outputs.push(output),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("a task did not end: {error}"),
            },
        }
    }
    outputs.sort_by_key(|(n, _)| *n);
    outputs.into_iter().map(|(_, output)| output).collect()
}
