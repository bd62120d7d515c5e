//! What must hold when many tasks do the same things at the same time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::crowd::{
    ROUNDS, TASKS, TASKS_OF_A_ROUND, add_value, at_once, is_gone, linger, use_until_gone,
};
use super::subject::{HOUR, IDLE, MILLISECOND, MINUTE, Subject, refused_as};
use crate::session::{HistoryLimits, Message, Role, SessionId, SessionKey};
use crate::store::{EXPIRED_GRACE, SessionStore, StoreErrorKind, Stored};

/// Of many tasks that create with one id at most one gets it, no two get the same id, and each has its own record.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn one_winner_in_a_create_race(store: Arc<dyn SessionStore>) {
    one_winner(&[Subject::new(store)]).await;
}

/// The same, with a handle for each task in turn.
pub(super) async fn one_winner(handles: &[Subject]) {
    for _ in 0..ROUNDS {
        let id = SessionId::random().expect("the system has random bits");
        let created = at_once(TASKS_OF_A_ROUND, |n| {
            let (subject, id) = (handles[n % handles.len()].clone(), id.clone());
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
            for subject in handles {
                let there = subject.present(&id).await;
                assert_eq!(
                    there.record, winner.record,
                    "the record is that of the winner"
                );
            }
        }
    }
}

/// 64 tasks each add a value to one session, by `load` and `save`: all values are there in the end.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn concurrent_saves_lose_nothing(store: Arc<dyn SessionStore>) {
    no_save_is_lost(&[Subject::new(store)]).await;
}

/// The same, with a handle for each task in turn.
pub(super) async fn no_save_is_lost(handles: &[Subject]) {
    let subject = &handles[0];
    if subject.cannot_save().await {
        return;
    }
    let session = subject.begin().await;
    let revisions = at_once(TASKS, |n| {
        let (subject, session) = (handles[n % handles.len()].clone(), session.clone());
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

/// 64 tasks each begin a session of their own and save it twice: each session is there, as its task left it.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn sessions_written_at_once_are_all_kept(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let saves = subject.capabilities().save;
    let sessions = at_once(TASKS, |n| {
        let subject = subject.clone();
        async move {
            let mut session = subject.begin().await;
            for time in 0..if saves { 2 } else { 0 } {
                let record = subject.record(&format!("task {n}, time {time}"));
                session.revision = subject.saved(&session, record.clone()).await;
                session.record = Arc::new(record);
            }
            session
        }
    });
    for session in sessions.await {
        let there = subject.present(&session.id).await;
        assert_eq!(
            (there.record.values(), there.revision),
            (session.record.values(), session.revision),
            "a session that is written beside others keeps what was written to it"
        );
    }
}

/// While one task adds values to a session, 63 others touch it, each with a later deadline: all values are there in the
/// end, and the last deadline.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn saves_and_touches_lose_nothing_of_each_other(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    if subject.cannot_save().await || subject.cannot_touch().await {
        return;
    }
    let session = subject.begin().await;
    // One pair at a time, at each distance: what is lost, another save or touch would cover up.
    for n in 0..2 * TASKS_OF_A_ROUND {
        let (name, distance) = (format!("value {n}"), n / 2);
        let end = subject.after(IDLE + Duration::from_millis(1 + n as u64));
        let touching = async {
            linger(&subject, &session, distance * (n % 2)).await;
            subject.touch(&session.key, subject.now, Some(end)).await
        };
        let saving = async {
            linger(&subject, &session, distance * (1 - n % 2)).await;
            add_value(&subject, &session.id, &name).await
        };
        let (touched, _) = tokio::join!(touching, saving);
        assert!(touched.is_some(), "`touch` finds a session that is there");
        let there = subject.present(&session.id).await;
        let values = there.record.values();
        assert!(values.contains(&name), "a `save` is lost beside a `touch`");
        assert_eq!(
            there.idle_deadline, end,
            "a `touch` is lost beside a `save`"
        );
    }
}

/// While tasks save and touch a session without pause, it is deleted: from then on it stays gone.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn delete_wins_over_late_save_and_touch(store: Arc<dyn SessionStore>) {
    delete_wins(&[Subject::new(store)]).await;
}

/// The same, with a handle for each task in turn: the first deletes.
pub(super) async fn delete_wins(handles: &[Subject]) {
    let subject = &handles[0];
    if subject.cannot_delete().await {
        return;
    }
    for round in 0..ROUNDS {
        let session = subject.begin().await;
        for subject in handles {
            subject.present(&session.id).await;
        }
        at_once(TASKS_OF_A_ROUND, |n| {
            let (subject, session) = (handles[n % handles.len()].clone(), session.clone());
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
        for subject in handles {
            is_gone(subject, &session).await;
        }
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

/// Many that append at the same time lose nothing of each other, each one's messages stay in their order, and the
/// limits are kept to.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn concurrent_appends_keep_their_order(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    let session = writer.begin().await;
    let limits = HistoryLimits::new(TASKS * EACH - 10, 1 << 20);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let subject = if task % 2 == 0 {
            writer.clone()
        } else {
            reader.clone()
        };
        let key = session.key;
        tasks.spawn(async move {
            for number in 0..EACH {
                let message = Message::new(Role::User, &(task, number), subject.now);
                subject
                    .append(&key, &[message.expect("numbers are JSON")], limits)
                    .await;
                let summary = subject.summary(&key).await;
                assert!(
                    summary.kept <= limits.messages,
                    "more messages than are allowed"
                );
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.expect("each of them appends what it has to say");
    }
    let summary = reader.summary(&session.key).await;
    assert_eq!(summary.total, (TASKS * EACH) as u64, "an append is lost");
    let kept = reader.recent(&session.key, usize::MAX).await;
    assert_eq!(kept.len(), limits.messages);
    let mut last = [None; TASKS];
    for message in &kept {
        let (task, number) = message
            .content_as::<(usize, usize)>()
            .expect("a message is as it was appended");
        let in_order = last[task].is_none_or(|last: usize| number == last + 1);
        assert!(in_order, "a writer's messages changed places");
        last[task] = Some(number);
    }
    let whole = last.iter().flatten().all(|&last| last == EACH - 1);
    assert!(whole, "a message is missing though older ones are kept");
}

/// How many messages each of a crowd appends.
const EACH: usize = 5;
