use super::*;
use crate::store::WatchStatus;

const SECOND: Revision = Revision::FIRST.next();

#[test]
fn a_watch_is_current_from_its_answer_until_something_is_heard() {
    let watches = established();
    let watch = watches.answer(watches.ask(key(1)), Revision::FIRST);
    assert_eq!(watch.status(), WatchStatus::Current(Revision::FIRST));
    watches.changed(&key(2));
    assert_eq!(watch.status(), WatchStatus::Current(Revision::FIRST));
    watches.changed(&key(1));
    assert_eq!(watch.status(), WatchStatus::Ask);

    let question = watches.ask_again(key(1)).unwrap();
    let again = watches.answer(question, SECOND);
    for watch in [watch, again] {
        assert_eq!(watch.status(), WatchStatus::Current(SECOND));
    }
}

#[test]
fn an_answer_that_was_overtaken_is_not_current() {
    type Event = fn(&Watches);
    let overtaken_by: [Event; 5] = [
        |watches| watches.changed(&key(1)),
        |watches| watches.all_changed(),
        |watches| watches.lost(1),
        |watches| {
            watches.lost(1);
            watches.established(2);
        },
        |watches| {
            // Somebody else's answer to a newer question.
            watches.changed(&key(1));
            watches.answer(watches.ask(key(1)), SECOND);
            watches.changed(&key(1));
        },
    ];
    for happens in overtaken_by {
        let watches = established();
        let question = watches.ask(key(1));
        happens(&watches);
        let watch = watches.answer(question, Revision::FIRST);
        assert_eq!(watch.status(), WatchStatus::Ask);
    }
}

#[test]
fn without_a_connection_every_watch_says_ask() {
    let watches = Watches::new();
    let watch = watches.answer(watches.ask(key(1)), Revision::FIRST);
    assert_eq!(watch.status(), WatchStatus::Ask);

    watches.established(1);
    let watch = watches.answer(watches.ask(key(1)), Revision::FIRST);
    assert_eq!(watch.status(), WatchStatus::Current(Revision::FIRST));
    // Late news of a connection that was replaced.
    watches.established(2);
    assert_eq!(watch.status(), WatchStatus::Ask);
    let watch = watches.answer(watches.ask(key(1)), Revision::FIRST);
    watches.lost(1);
    assert_eq!(watch.status(), WatchStatus::Current(Revision::FIRST));
    watches.lost(2);
    assert_eq!(watch.status(), WatchStatus::Ask);
}

#[test]
fn a_session_that_is_gone_stays_so_whatever_is_answered_late() {
    let watches = established();
    let late = watches.ask(key(1));
    let watch = watches.answer(watches.ask(key(1)), Revision::FIRST);
    watches.gone(&key(1));
    let late = watches.answer(late, Revision::FIRST);
    for watch in [watch, late] {
        assert_eq!(watch.status(), WatchStatus::Gone);
    }
    assert_eq!(watches.len(), 0);
}

#[test]
fn cells_that_nobody_watches_are_forgotten() {
    let watches = established();
    let watched = watches.answer(watches.ask(key(0)), Revision::FIRST);
    for n in 1..10 * SWEEP_AFTER as u64 {
        drop(watches.answer(watches.ask(key(n)), Revision::FIRST));
    }
    assert!(watches.len() <= 2 * SWEEP_AFTER, "{}", watches.len());
    assert!(watches.ask_again(key(0)).is_some());
    assert_eq!(watched.status(), WatchStatus::Current(Revision::FIRST));
}

#[test]
fn a_full_table_takes_sessions_again_once_others_are_not_watched() {
    let watches = established();
    let watch = |n| watches.answer(watches.ask(key(n)), Revision::FIRST);
    let mut all: Vec<_> = (0..MAX_WATCHED as u64).map(watch).collect();
    let further = MAX_WATCHED as u64;
    assert_eq!(watch(further).status(), WatchStatus::Ask);
    all.clear();
    let taken = |n| watch(further + n).status() != WatchStatus::Ask;
    assert!((0..=MAX_WATCHED as u64).any(taken));
}

#[test]
fn a_question_without_a_session_leaves_nothing_behind() {
    let watches = established();
    watches.nothing(watches.ask(key(1)));
    assert_eq!(watches.len(), 0);

    let watch = watches.answer(watches.ask(key(1)), Revision::FIRST);
    watches.nothing(watches.ask(key(1)));
    assert_eq!(watches.len(), 1, "somebody watches it");
    drop(watch);
}

fn established() -> Watches {
    let watches = Watches::new();
    watches.established(1);
    watches
}

fn key(number: u64) -> SessionKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    SessionKey::from(bytes)
}
