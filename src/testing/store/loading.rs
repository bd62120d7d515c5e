//! Rules 2 and 7 of the contract.

use std::sync::Arc;

use super::subject::{AUDIENCE, HOUR, IDLE, LIFE, MILLISECOND, Subject, assert_same};
use crate::session::SessionId;
use crate::store::{Recognition, SessionStore};

/// `load` gives the whole session, as often as it is asked.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn load_gives_what_was_created(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let plain = subject
        .record("plain")
        .with_initialized(false)
        .with_mapped(false)
        .with_suspended(false);
    for record in [subject.record("full"), plain] {
        let created = subject.begin_with(subject.new_session(record)).await;
        for _ in 0..2 {
            let loaded = subject.present(&created.id).await;
            assert_same(&loaded, &created, "what `load` gives");
        }
    }
}

/// From its idle deadline on, and from its absolute end on, a session is absent: at the very millisecond of the `now`
/// that is passed in.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn load_never_gives_the_expired(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let idle = subject.begin().await;
    let mut busy = subject.new_session(subject.record_until(subject.after(HOUR), "busy"));
    busy.idle_deadline = subject.after(LIFE);
    let busy = subject.begin_with(busy).await;
    let idle_end = subject.idle_end(subject.after(IDLE), subject.after(LIFE));
    for (session, end) in [(idle, idle_end), (busy, subject.after(HOUR))] {
        let before = end.saturating_sub(MILLISECOND);
        assert!(
            subject.load(&session.id, before).await.is_some(),
            "a session is there until its deadline"
        );
        for late in [
            end,
            end.saturating_add(MILLISECOND),
            end.saturating_add(LIFE),
        ] {
            assert!(
                subject.load(&session.id, late).await.is_none(),
                "`load` gives an expired session"
            );
        }
    }
}

/// Asking for an expired session does not remove it: to a caller whose clock is behind it is still there.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn looking_at_the_expired_removes_nothing(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let session = subject.begin().await;
    let end = subject.idle_end(subject.after(IDLE), subject.after(LIFE));
    assert!(
        subject.load(&session.id, end).await.is_none(),
        "`load` gives an expired session"
    );
    if subject.capabilities().idle_expiry {
        let late = subject
            .touch(&session.key, end, Some(end.saturating_add(HOUR)))
            .await;
        assert!(late.is_none(), "`touch` revives an expired session");
    }
    let before = end.saturating_sub(MILLISECOND);
    assert!(
        subject.load(&session.id, before).await.is_some(),
        "looking at an expired session has removed it"
    );
}

/// The id of a session is recognized as long as it lasts, without asking; what is not recognized is not there.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn what_is_there_is_recognized(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let session = subject.begin().await;
    let end = subject.idle_end(subject.after(IDLE), subject.after(LIFE));
    for now in [subject.now, end.saturating_sub(MILLISECOND)] {
        match subject.store.recognize(AUDIENCE, &session.id, now) {
            Recognition::Unknown => panic!("the id of a session is not recognized"),
            Recognition::Possible => {}
            Recognition::Owned(owner) => assert_eq!(
                owner.as_ref(),
                session.record.owner(),
                "an id names another owner than the record"
            ),
        }
    }
    let other = SessionId::random().expect("the system has random bits");
    for (audience, id, now) in [
        (AUDIENCE, &other, subject.now),
        ("/other", &session.id, subject.now),
        (AUDIENCE, &session.id, end),
    ] {
        let recognized = subject.store.recognize(audience, id, now);
        let found = subject.load_of(audience, id, now).await;
        assert!(
            recognized != Recognition::Unknown || found.is_none(),
            "`load` gives a session whose id is not recognized"
        );
    }
}

/// An id that names no session is absent, whatever its form: not an error.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn unknown_ids_are_absent(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    subject.begin().await;
    let longest = "~".repeat(SessionId::MAX_LEN);
    for text in [
        "0123456789abcdef0123456789abcdef",
        "a",
        "';--",
        "*",
        "../..",
        "{}",
        "%00",
        &longest,
    ] {
        let id = SessionId::parse(text.as_bytes()).expect("visible ASCII is an id");
        for audience in [AUDIENCE, ""] {
            assert!(
                subject.load_of(audience, &id, subject.now).await.is_none(),
                "`load` finds an unknown session"
            );
        }
    }
}
