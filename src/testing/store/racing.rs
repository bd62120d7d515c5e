//! What must hold when many tasks do the same things at the same time.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::subject::{HOUR, IDLE, MILLISECOND, MINUTE, Subject, done, refused_as, values};
use crate::session::{SessionId, SessionKey};
use crate::store::{EXPIRED_GRACE, Revision, SessionStore, StoreErrorKind, Stored};

/// Of many tasks that create with one id at most one gets it, no two get the same id, and each has its own record.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn one_winner_in_a_create_race(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    for _ in 0..ROUNDS {
        let id = SessionId::random().expect("the system has random bits");
        let created = at_once(TASKS_OF_A_ROUND, |n| {
            let (subject, id) = (subject.clone(), id.clone());
            async move {
                let new = subject.new_session(subject.record(&format!("task {n}")));
                subject.create(&id, new).await
            }
        });
        let mut winners: HashMap<SessionId, Stored> = HashMap::new();
        for result in created.await {
            if let Ok(winner) = result {
                let second = winners.insert(winner.id.clone(), winner);
                assert!(
                    second.is_none(),
                    "two tasks have created a session of the same id"
                );
            } else {
                let call = "`create` with a taken id";
                refused_as(StoreErrorKind::AlreadyExists, call, result);
            }
        }
        assert!(!winners.is_empty(), "nobody wins a race to create");
        for (id, winner) in winners {
            let there = subject.present(&id).await;
            assert_eq!(
                there.record, winner.record,
                "the record is that of the winner"
            );
        }
    }
}

/// 64 tasks each add a value to one session, by `load` and `save`: all values are there in the end.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn concurrent_saves_lose_nothing(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_save().await {
        return;
    }
    let session = subject.begin().await;
    let revisions = at_once(TASKS, |n| {
        let (subject, session) = (subject.clone(), session.clone());
        async move { add_value(&subject, &session.id, &format!("task {n}")).await }
    });
    let revisions: HashSet<_> = revisions.await.into_iter().collect();
    let record = subject.present(&session.id).await.record;
    for n in 0..TASKS {
        assert!(
            record.values().contains(&format!("task {n}")),
            "the save of task {n} is lost"
        );
    }
    assert_eq!(revisions.len(), TASKS, "two saves got the same revision");
}

/// While tasks save and touch a session without pause, it is deleted: from then on it stays gone.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_wins_over_late_save_and_touch(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_delete().await {
        return;
    }
    for round in 0..ROUNDS {
        let session = subject.begin().await;
        at_once(TASKS_OF_A_ROUND, |n| {
            let (subject, session) = (subject.clone(), session.clone());
            async move {
                if n == 0 {
                    linger(&subject, &session, round).await;
                    subject.delete(&session.key, subject.now).await;
                    is_gone(&subject, &session).await;
                } else {
                    use_until_gone(&subject, &session).await;
                }
            }
        })
        .await;
        is_gone(&subject, &session).await;
    }
}

/// While sessions that are due are cleaned up, others touch them, with a clock that is behind: what was touched with
/// success is there, and what was removed was not.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn clean_up_and_touch_agree(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_delete().await || subject.cannot_touch().await {
        return;
    }
    let last = subject.after(IDLE).saturating_sub(MILLISECOND);
    let due = subject.after(IDLE).saturating_add(EXPIRED_GRACE);
    for round in 0..ROUNDS {
        let sessions = Arc::new(subject.begin_many(TASKS_OF_A_ROUND).await);
        let results = at_once(TASKS_OF_A_ROUND + 1, |n| {
            let (subject, sessions) = (subject.clone(), Arc::clone(&sessions));
            async move {
                let Some(session) = n.checked_sub(1).map(|n| &sessions[n]) else {
                    linger(&subject, &sessions[0], round).await;
                    return subject.delete_expired(due, TASKS_OF_A_ROUND).await;
                };
                linger(&subject, session, ROUNDS - round).await;
                let deadline = Some(due.saturating_add(HOUR));
                let touched = subject.touch(&session.key, last, deadline).await;
                touched.map(|_| session.key).into_iter().collect()
            }
        });
        let mut results = results.await.into_iter();
        let removed = results.next().unwrap_or_default();
        let touched: Vec<SessionKey> = results.flatten().collect();
        for Stored { id, key, .. } in sessions.iter() {
            let there = subject.load(id, last).await.is_some();
            let said = (touched.contains(key), !removed.contains(key));
            assert_eq!(
                said,
                (there, there),
                "(touched, not removed) says whether a session is there"
            );
        }
        // Out of the way of the next round.
        let later = due.saturating_add(HOUR + MINUTE * 2);
        subject.delete_expired(later, TASKS_OF_A_ROUND).await;
    }
}

/// Adds a value of this name by compare-and-swap; gives the revision it got.
async fn add_value(subject: &Subject, id: &SessionId, name: &str) -> Revision {
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
async fn linger(subject: &Subject, session: &Stored, times: usize) {
    for _ in 0..times {
        subject.load(&session.id, subject.now).await;
        tokio::task::yield_now().await;
    }
}

/// Saves and touches the session until it is gone.
async fn use_until_gone(subject: &Subject, session: &Stored) {
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

async fn is_gone(subject: &Subject, session: &Stored) {
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
async fn at_once<F>(count: usize, task: impl Fn(usize) -> F) -> Vec<F::Output>
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

const TASKS: usize = 64;
const ROUNDS: usize = 8;
const TASKS_OF_A_ROUND: usize = 16;
