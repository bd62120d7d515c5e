//! The contract of [`SessionIndex::bar`](crate::store::SessionIndex::bar): the end of all sessions of an owner.

use std::sync::Arc;

use super::crowd::{ROUNDS, TASKS_OF_A_ROUND, at_once, linger};
use super::index::keys_of;
use super::subject::{HOUR, IDLE, LIFE, MILLISECOND, Subject, answered, done, refused_as};
use crate::session::{OwnerTag, Principal, SessionId, SessionRecord, Timestamp};
use crate::store::{SessionStore, StoreError, StoreErrorKind, Stored};

/// From the return of `bar` on, the owner's sessions up to then are gone for every method, and nothing brings them
/// back; those of others are left alone.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn bar_ends_what_began_by_then(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    let ended = [
        writer.begin_at(writer.now).await,
        writer.begin_at(writer.now).await,
    ];
    let later = writer.begin_at(writer.after(MILLISECOND)).await;
    let other = writer
        .begin_with(writer.new_session(writer.record("other")))
        .await;
    let nobodys = writer.begin_anonymous(writer.now).await;
    writer.bar(writer.now).await;
    for _ in 0..2 {
        for session in &ended {
            assert!(
                reader.load(&session.id, reader.now).await.is_none(),
                "`load` after `bar`"
            );
            let touched = reader
                .touch(&session.key, reader.now, Some(reader.after(HOUR * 2)))
                .await;
            assert_eq!(touched, None, "`touch` after `bar`");
            let saved = reader
                .save(&session.key, reader.record("late"), session.revision)
                .await;
            refused_as(StoreErrorKind::Gone, "`save` after `bar`", saved);
            assert_eq!(reader.inspect(&session.key, reader.now).await, None);
        }
    }
    for session in [&later, &other, &nobodys] {
        reader.present(&session.id).await;
    }
    let listed = reader.list_all(reader.now, None, 9).await;
    let keys = keys_of([&later, &other, &nobodys]);
    assert!(
        listed.iter().map(|session| session.key).eq(keys),
        "a list after `bar`"
    );
    assert_eq!(reader.count(reader.now).await, 3, "a count after `bar`");
}

/// An initialize that was under way when its owner was barred makes no session; a later one does.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn bar_refuses_what_was_under_way(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    writer.bar(writer.now).await;
    for now in [writer.now, writer.after(HOUR)] {
        let late = reader.try_begin(&reader.owned(writer.now), now).await;
        refused_as(StoreErrorKind::Gone, "`create` of what was under way", late);
    }
    let later = reader.begin_at(reader.after(MILLISECOND)).await;
    writer.present(&later.id).await;
    let anonymous = reader.begin_anonymous(reader.now).await;
    writer.present(&anonymous.id).await;
    assert_eq!(
        writer.count(writer.now).await,
        2,
        "what was refused is not there"
    );
}

/// A `bar` is never taken back by an earlier one, and clean-up keeps it until its time.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn bar_moves_forward_only(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    writer.bar(writer.after(HOUR)).await;
    reader.bar(writer.now).await;
    writer.delete_expired(writer.after(LIFE - HOUR), 10).await;
    let late = reader
        .try_begin(&reader.owned(writer.after(HOUR)), writer.after(HOUR))
        .await;
    refused_as(StoreErrorKind::Gone, "`create` of what was under way", late);
    writer.bar(writer.after(HOUR * 2)).await;
    let late = reader
        .try_begin(&reader.owned(writer.after(HOUR * 2)), writer.after(HOUR))
        .await;
    refused_as(StoreErrorKind::Gone, "`create` after the later `bar`", late);
}

/// Sessions that are created at the same time as their owner is barred are refused or gone: none slips through.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn bar_wins_over_a_create_at_the_same_time(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let handles = Subject::pair(first, second);
    let [writer, reader] = &handles;
    let other = writer.begin().await;
    for round in 0..ROUNDS {
        let at = writer.after(MILLISECOND * round as u32);
        let begun = at_once(TASKS_OF_A_ROUND, |n| {
            let (subject, other) = (handles[n % 2].clone(), other.clone());
            async move {
                if n == 0 {
                    linger(&subject, &other, round).await;
                    subject.bar(at).await;
                    return None;
                }
                // At each distance: a store may look for the bar before it keeps the session.
                linger(&subject, &other, n % ROUNDS).await;
                let begun = subject.try_begin(&subject.owned(at), subject.now).await;
                if begun.is_err() {
                    refused_as(StoreErrorKind::Gone, "`create` beside a `bar`", begun);
                    return None;
                }
                begun.ok()
            }
        });
        for session in begun.await.into_iter().flatten() {
            assert!(
                reader.load(&session.id, reader.now).await.is_none(),
                "a session slipped through"
            );
            assert_eq!(reader.touch(&session.key, reader.now, None).await, None);
        }
    }
    assert_eq!(reader.count(reader.now).await, 1);
}

/// The calls that the rules make.
impl Subject {
    async fn bar(&self, not_before: Timestamp) {
        let owner = owner();
        let call = self.index().bar(&owner, not_before, self.after(LIFE));
        done("bar", answered("bar", call).await);
    }

    /// A record of the owner that is barred, created at `created`.
    fn owned(&self, created: Timestamp) -> SessionRecord {
        let handshake = Arc::clone(self.record("owned").handshake());
        SessionRecord::new(created, self.after(LIFE), Some(owner()), handshake)
    }

    async fn try_begin(
        &self,
        record: &SessionRecord,
        now: Timestamp,
    ) -> Result<Stored, StoreError> {
        let id = SessionId::random().expect("the system has random bits");
        let mut new = self.new_session(record.clone());
        new.now = now;
        new.idle_deadline = now.saturating_add(IDLE);
        self.create(&id, new).await
    }

    async fn begin_at(&self, created: Timestamp) -> Stored {
        done(
            "create",
            self.try_begin(&self.owned(created), self.now).await,
        )
    }

    pub(super) async fn begin_anonymous(&self, created: Timestamp) -> Stored {
        let handshake = Arc::clone(self.record("anonymous").handshake());
        let record = SessionRecord::new(created, self.after(LIFE), None, handshake);
        done("create", self.try_begin(&record, self.now).await)
    }
}

fn owner() -> OwnerTag {
    OwnerTag::of(&Principal::new("barred"))
}
