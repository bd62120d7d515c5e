//! Rule 10 of the contract, and what records must carry unharmed.

use std::sync::Arc;

use super::subject::{AUDIENCE, HOUR, MINUTE, Subject, assert_same, done, values};
use crate::session::{NewSession, Principal, SessionId};
use crate::store::SessionStore;

/// Sessions share nothing: what is done to one is not seen in another, however alike their ids are.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn sessions_are_isolated(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let able = subject.capabilities();
    let mut sessions = Vec::new();
    for digit in "0123456789abcdef".chars() {
        let id = format!("1{}{digit}", "0".repeat(30));
        let id = SessionId::parse(id.as_bytes()).expect("32 digits are an id");
        let record = subject.record(&format!("session {digit}"));
        let created = subject.create(&id, subject.new_session(record)).await;
        sessions.push(done("create", created));
    }
    let [saved, touched, deleted] = [&sessions[3], &sessions[4], &sessions[5]];
    if able.save {
        subject.saved(saved, subject.record("saved")).await;
    }
    if able.idle_expiry {
        let deadline = Some(subject.after(HOUR * 2));
        subject
            .touch(&touched.key, subject.after(MINUTE), deadline)
            .await;
    }
    if able.delete {
        subject.delete(&deleted.key, subject.now).await;
    }
    for (n, session) in sessions.iter().enumerate() {
        if !(3..6).contains(&n) {
            let loaded = subject.present(&session.id).await;
            assert_same(&loaded, session, "a session that was left alone");
        }
    }
}

/// A session is found only under the audience it was created for; another audience may use the same id.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn audiences_are_apart(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let session = subject.begin().await;
    for other in ["", "/", "/mcp/", "/MCP", "/mcp2", "https://example.com/mcp"] {
        let found = subject.load_of(other, &session.id, subject.now).await;
        assert!(found.is_none(), "a session is found under another audience");
    }
    let record = subject.record("other");
    let other = NewSession::new("/other", record, subject.now, subject.after(HOUR));
    let other = done("create", subject.create(&session.id, other).await);
    assert_ne!(other.key, session.key, "two audiences share a key");
    if subject.capabilities().delete {
        subject.delete(&session.key, subject.now).await;
        let found = subject.load_of("/other", &other.id, subject.now).await;
        assert!(
            found.is_some(),
            "`delete` ends a session of another audience"
        );
    }
    let found = subject.load_of(AUDIENCE, &other.id, subject.now).await;
    assert!(
        found.is_none_or(|found| found.record == session.record),
        "a session shows under another audience"
    );
}

/// Names and values of any characters survive, and so do 64 KiB of them and numbers as they were written.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn odd_characters_and_large_values_survive(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let odd = "\u{0} \t\r\n \"'`\\ \u{7f} \u{1f980} \u{202e} \u{e9}e\u{301} \u{fffd} \u{10ffff} ${x} %s {} '; DROP TABLE";
    let mut all = values(odd, odd);
    all.extend(&values("", ""));
    all.extend(&values("__proto__", "null"));
    all.extend(&values("large", &"\u{e9}".repeat(16 << 10)));
    all.extend(&values("larger", &"x".repeat(30 << 10)));
    for number in [u64::MAX, 1 << 53, 0] {
        all.insert(number.to_string(), &number)
            .expect("a number is JSON");
    }
    let record = subject.record(odd).with_values(all);
    if subject.cannot_keep(record.clone()).await {
        // What it does keep survives all the same.
        let record = subject.record(odd);
        let created = subject.begin_with(subject.new_session(record)).await;
        assert_same(&subject.present(&created.id).await, &created, "odd names");
        return;
    }
    let created = subject
        .begin_with(subject.new_session(record.clone()))
        .await;
    assert_eq!(
        *subject.present(&created.id).await.record,
        record,
        "`create` harms a record"
    );
    if subject.capabilities().save {
        let plain = subject.record("plain");
        let revision = done(
            "save",
            subject.save(&created.key, plain, created.revision).await,
        );
        done(
            "save",
            subject.save(&created.key, record.clone(), revision).await,
        );
        assert_eq!(
            *subject.present(&created.id).await.record,
            record,
            "`save` harms a record"
        );
    }
}

/// Fields that a later version of this crate has written survive what an older instance does with the session: while a
/// deployment is under way, both write.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn fields_of_later_versions_survive(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let record = subject.record_of_a_later_version("later");
    if subject.cannot_keep(record.clone()).await {
        return;
    }
    let created = subject
        .begin_with(subject.new_session(record.clone()))
        .await;
    let read = subject.present(&created.id).await;
    assert_eq!(
        *read.record, record,
        "`create` loses what it does not know of a record"
    );
    if subject.capabilities().save {
        let changed = (*read.record).clone().with_values(values("older", "x"));
        subject.saved(&read, changed.clone()).await;
        assert_eq!(
            *subject.present(&created.id).await.record,
            changed,
            "`save` loses what it does not know of a record"
        );
    }
}

/// Principals that differ in any part, or in whether they have it, have different tags; one principal has one tag per
/// session.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn owner_tags_tell_principals_apart(store: Arc<dyn SessionStore>) {
    let subject = Subject::new(store);
    let id = subject.begin().await.id;
    let principals = [
        Principal::new(""),
        Principal::new("a"),
        Principal::new("A"),
        Principal::new("a").with_issuer(""),
        Principal::new("a").with_issuer("b"),
        Principal::new("a").with_client("b"),
        Principal::new("ab"),
        Principal::new("a").with_issuer("b").with_client("c"),
        Principal::new("a").with_issuer("c").with_client("b"),
    ];
    for (i, one) in principals.iter().enumerate() {
        for (j, other) in principals.iter().enumerate() {
            let same = subject.store.owner_tag(&id, one) == subject.store.owner_tag(&id, other);
            assert_eq!(
                same,
                i == j,
                "principals {i} and {j}: the tags say whether they are the same"
            );
        }
    }
}
