//! The contract of [`SessionIndex`](crate::store::SessionIndex).
//!
//! Each rule takes two handles to the same data, which may be two clones: what one does, the other shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::subject::{HOUR, IDLE, LIFE, MILLISECOND, Subject, answered, done};
use crate::session::{OwnerTag, Principal, SessionId, SessionKey, Timestamp};
use crate::store::{ListedSession, SessionIndex, SessionPage, SessionStore, Stored};

/// Page after page shows each living session once, in the order of the keys, and as it is.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn a_list_shows_each_session_once(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    let sessions = writer.begin_many(23).await;
    for limit in [1, 5, 23, 24, 1_000] {
        let listed = reader.list_all(reader.now, None, limit).await;
        let keys: Vec<_> = listed.iter().map(|session| session.key).collect();
        assert!(keys.is_sorted(), "the keys come in their order");
        assert_eq!(
            keys,
            keys_of(&sessions),
            "pages of {limit} show each session once"
        );
    }
    let used = writer.after(HOUR / 2);
    writer
        .touch(&sessions[0].key, used, Some(used.saturating_add(IDLE)))
        .await;
    for session in &sessions {
        let stored = reader.present(&session.id).await;
        let expected = ListedSession::new(
            stored.key,
            stored.record,
            stored.revision,
            stored.last_activity,
            stored.idle_deadline,
        );
        assert_eq!(
            reader.inspect(&session.key, reader.now).await,
            Some(expected.clone())
        );
        let listed = reader.list_all(reader.now, None, 9).await;
        assert!(
            listed.contains(&expected),
            "a list shows a session as it is"
        );
    }
}

/// While sessions begin and end between the pages, also the one that the last page ended with, each session that was
/// there is shown once.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn a_list_goes_on_while_sessions_begin_and_end(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    for limit in [1, 3] {
        let sessions = writer.begin_many(12).await;
        let (mut shown, mut after) = (Vec::new(), None);
        loop {
            let page = reader.page(reader.now, None, after.as_ref(), limit).await;
            shown.extend(page.sessions.iter().map(|session| session.key));
            let Some(next) = page.next else { break };
            writer.delete(&next, writer.now).await;
            writer.begin().await;
            after = Some(next);
        }
        assert!(
            shown.is_sorted_by(|one, next| one < next),
            "pages of {limit} show a session twice"
        );
        let missing = sessions.iter().filter(|there| !shown.contains(&there.key));
        assert_eq!(missing.count(), 0, "pages of {limit} leave sessions out");
    }
}

/// What is unknown, expired or ended is neither listed nor counted nor inspected; to the millisecond.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn a_list_shows_the_living(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    assert_eq!(
        reader.count(reader.now).await,
        0,
        "an empty store has no session"
    );
    assert_eq!(reader.list_all(reader.now, None, 9).await, []);
    let kept = writer.begin().await;
    let ended = writer.begin().await;
    let short = writer.record_until(writer.after(HOUR / 2), "short");
    let short = writer.begin_with(writer.new_session(short)).await;
    writer.delete(&ended.key, writer.now).await;
    let end = short.record.absolute_end();
    for (now, expected) in [
        (writer.now, vec![&kept, &short]),
        (end.saturating_sub(MILLISECOND), vec![&kept, &short]),
        (end, vec![&kept]),
        (writer.after(LIFE), vec![]),
    ] {
        let keys = keys_of(expected.iter().copied());
        let listed = reader.list_all(now, None, 9).await;
        assert!(
            listed
                .iter()
                .map(|session| session.key)
                .eq(keys.iter().copied()),
            "listed at {now}"
        );
        assert_eq!(
            reader.count(now).await,
            keys.len() as u64,
            "counted at {now}"
        );
        for session in [&kept, &ended, &short] {
            let inspected = reader.inspect(&session.key, now).await;
            assert_eq!(
                inspected.is_some(),
                keys.contains(&session.key),
                "inspected at {now}"
            );
        }
    }
    let unknown = SessionId::random().expect("the system has random bits");
    let unknown = SessionKey::new("", &unknown);
    assert_eq!(reader.inspect(&unknown, reader.now).await, None);
}

/// A list of an owner shows the owner's sessions and no others.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn a_list_of_an_owner_shows_no_others(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    let mut sessions = Vec::new();
    for number in 0..12 {
        let name = ["alice", "bob", "carol"][number % 3];
        sessions.push(
            writer
                .begin_with(writer.new_session(writer.record(name)))
                .await,
        );
    }
    writer.begin_anonymous(writer.now).await;
    for limit in [1, 3, 4, 100] {
        let alice = OwnerTag::of(&Principal::new("alice"));
        let listed = reader.list_all(reader.now, Some(&alice), limit).await;
        let keys = keys_of(sessions.iter().step_by(3));
        assert!(
            listed.iter().map(|session| session.key).eq(keys),
            "pages of {limit}"
        );
    }
    let nobody = OwnerTag::of(&Principal::new("nobody"));
    assert_eq!(reader.list_all(reader.now, Some(&nobody), 9).await, []);
}

/// The calls that the rules make.
impl Subject {
    pub(super) fn index(&self) -> &dyn SessionIndex {
        let index = self.store.index();
        index.expect("a store on trial for its index has one")
    }

    /// All pages, which must come to an end.
    pub(super) async fn list_all(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        limit: usize,
    ) -> Vec<ListedSession> {
        let mut all = Vec::new();
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(now, owner, after.as_ref(), limit).await;
            all.extend(page.sessions);
            let Some(next) = page.next else { return all };
            after = Some(next);
        }
        panic!("a list does not come to an end");
    }

    async fn page(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> SessionPage {
        let call = self.index().list(now, owner, after, limit);
        let page: SessionPage = done("list", answered("list", call).await);
        assert_eq!(page.unreadable, [], "what was written can be read");
        assert!(page.sessions.len() <= limit, "a page keeps to its limit");
        assert!(
            page.next.is_none() || after < page.next.as_ref(),
            "each page begins where the last one ended"
        );
        page
    }

    pub(super) async fn inspect(&self, key: &SessionKey, now: Timestamp) -> Option<ListedSession> {
        let call = self.index().inspect(key, now);
        done("inspect", answered("inspect", call).await)
    }

    pub(super) async fn count(&self, now: Timestamp) -> u64 {
        done("count", answered("count", self.index().count(now)).await)
    }
}

pub(super) fn keys_of<'s>(sessions: impl IntoIterator<Item = &'s Stored>) -> Vec<SessionKey> {
    let keys: BTreeSet<_> = sessions.into_iter().map(|session| session.key).collect();
    keys.into_iter().collect()
}

const MOST_PAGES: usize = 100;
