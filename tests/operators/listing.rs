//! Lists: page after page, with filters, over all instances or one.

use std::collections::BTreeSet;

use http::Request;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{
    Clock, MemoryStore, Principal, SessionFilter, SessionInfo, SessionKey, SessionState, Sessions,
    Timestamp,
};

use crate::support::{
    Body, Instance, LIST, MINUTE, SECOND, by, delete, id_of, ping, post, read, shared,
};
use crate::{Pair, key, plain, with_and_without_index};

/// All sessions that `filter` takes, page after page of at most `limit`.
async fn all(sessions: &Sessions, filter: &SessionFilter, limit: usize) -> Vec<SessionInfo> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = sessions.list(filter, after.as_ref(), limit).await.unwrap();
        assert!(page.sessions.len() <= limit && page.unreadable.is_empty());
        found.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn keys(sessions: &[SessionInfo]) -> Vec<SessionKey> {
    sessions.iter().map(|session| session.key).collect()
}

/// The keys of these ids, in their order.
fn sorted<'a>(ids: impl IntoIterator<Item = &'a String>) -> Vec<SessionKey> {
    let keys: BTreeSet<_> = ids.into_iter().map(|id| key(id)).collect();
    keys.into_iter().collect()
}

/// Opens a session of `who`, if anybody, whose client calls itself `client`.
async fn open_by(instance: &Instance, who: Option<&str>, client: &str) -> String {
    let as_caller = |request| match who {
        Some(who) => by(request, who),
        None => request,
    };
    let params = format!(
        r#"{{"protocolVersion":"2025-11-25","clientInfo":{{"name":"{client}","version":"1"}}}}"#
    );
    let body = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
    let request = Request::post("/mcp").body(Body::from(body)).unwrap();
    let answer = instance.send(as_caller(request)).await;
    let id = id_of(answer.headers()).unwrap();
    read(answer).await;
    assert_eq!(instance.status(as_caller(post(&id, LIST))).await, 200);
    id
}

#[tokio::test]
async fn page_after_page_shows_each_session_once_in_the_order_of_the_keys() {
    let Pair { instances, .. } = Pair::new();
    let [a, b] = &instances;
    let mut ids = Vec::new();
    for n in 0..25 {
        ids.push(instances[n % 2].open().await);
    }
    let everybody = SessionFilter::default();
    for limit in [1, 7, 24, 25, 26, 1000] {
        for instance in [a, b] {
            let listed = all(&instance.layer.sessions(), &everybody, limit).await;
            assert_eq!(keys(&listed), sorted(&ids), "pages of {limit}");
        }
    }
    let none = a.layer.sessions().list(&everybody, None, 0).await.unwrap();
    assert_eq!(none.sessions.len(), 1, "a page has room for one at least");
}

#[tokio::test]
async fn a_page_has_room_for_a_thousand_whatever_is_asked_for() {
    for instance in with_and_without_index() {
        for _ in 0..1001 {
            instance.begin().await;
        }
        let (sessions, filter) = (instance.layer.sessions(), SessionFilter::default());
        let first = sessions.list(&filter, None, usize::MAX).await.unwrap();
        assert_eq!(first.sessions.len(), 1000);
        let second = sessions.list(&filter, first.next.as_ref(), usize::MAX);
        let second = second.await.unwrap();
        assert_eq!((second.sessions.len(), second.next), (1, None));
        if let Ok(stored) = sessions.stored_statistics().await {
            assert_eq!((stored.alive.total, stored.ages.count()), (1001, 1001));
        }
    }
}

#[tokio::test]
async fn an_instance_that_holds_none_lists_those_of_the_others() {
    let Pair {
        instances: [a, b], ..
    } = Pair::new();
    let id = a.open_as("alice").await;
    assert_eq!(b.layer.live_sessions(), 0);
    let listed = all(&b.layer.sessions(), &SessionFilter::default(), 10).await;
    assert_eq!(keys(&listed), [key(&id)]);
    assert_eq!(listed[0].fingerprint, None, "the store has no ids");
    assert!(listed[0].principal.is_none() && listed[0].owner.is_some());
    assert_eq!(a.status(by(delete(&id), "alice")).await, 204);
    let listed = all(&b.layer.sessions(), &SessionFilter::default(), 10).await;
    assert!(listed.is_empty(), "an ended session is not listed");
}

#[tokio::test]
async fn without_an_index_only_those_that_live_here_are_listed() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let [a, b] = [(); 2].map(|()| {
        let store = shared(&memory).without_index();
        Instance::over(store, &clock, plain)
    });
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(a.open_as(&format!("user {}", n % 3)).await);
    }
    let everybody = SessionFilter::default();
    assert!(all(&b.layer.sessions(), &everybody, 2).await.is_empty());
    for limit in [1, 4, 9, 10] {
        let listed = all(&a.layer.sessions(), &everybody, limit).await;
        assert_eq!(keys(&listed), sorted(&ids), "pages of {limit}");
        assert!(listed.iter().all(|info| info.fingerprint.is_some()));
    }
    let of_one = SessionFilter::default().with_principal(&Principal::new("user 1"));
    let listed = all(&a.layer.sessions(), &of_one, 4).await;
    assert_eq!(keys(&listed), sorted([&ids[1], &ids[4], &ids[7]]));
    assert_eq!(a.status(by(delete(&ids[1]), "user 1")).await, 204);
    let listed = all(&a.layer.sessions(), &of_one, 4).await;
    assert_eq!(keys(&listed), sorted([&ids[4], &ids[7]]));
    assert_eq!(b.status(by(ping(&ids[4]), "user 1")).await, 200);
    let listed = all(&b.layer.sessions(), &of_one, 4).await;
    assert_eq!(keys(&listed), [key(&ids[4])], "taken up, it lives there");
}

/// Filters, alone and together, and which of five sessions they take: an idle one, a suspended one and an active one of
/// Alice, who was there `long_ago`, and `just_now` one of Bob's and nobody's.
fn filters(long_ago: Timestamp, just_now: Timestamp) -> Vec<(SessionFilter, Vec<usize>)> {
    let filter = SessionFilter::default;
    let of = |who| filter().with_principal(&Principal::new(who));
    let in_state = |state| filter().with_state(state);
    let before = |moment| filter().with_idle_since(moment);
    let earlier = long_ago.saturating_sub(SECOND);
    vec![
        (filter(), vec![0, 1, 2, 3, 4]),
        (of("alice"), vec![0, 1, 2]),
        (of("bob"), vec![3]),
        (of("carol"), vec![]),
        (filter().with_client("codex"), vec![0, 2, 3]),
        (filter().with_client("code"), vec![]),
        (in_state(SessionState::Idle), vec![0]),
        (in_state(SessionState::Suspended), vec![1]),
        (in_state(SessionState::Active), vec![2, 3, 4]),
        (in_state(SessionState::Closed), vec![]),
        (before(earlier), vec![]),
        (before(long_ago), vec![0, 1]),
        (before(just_now), vec![0, 1, 2, 3, 4]),
        (of("alice").with_client("codex"), vec![0, 2]),
        (
            of("alice").with_client("codex").with_idle_since(long_ago),
            vec![0],
        ),
        (of("bob").with_state(SessionState::Suspended), vec![]),
    ]
}

#[tokio::test]
async fn a_session_is_listed_if_all_that_the_filter_says_fits() {
    for instance in with_and_without_index() {
        let (clock, sessions) = (instance.clock.clone(), instance.layer.sessions());
        let idle = open_by(&instance, Some("alice"), "codex").await;
        let suspended = open_by(&instance, Some("alice"), "inspector").await;
        sessions.suspend(&key(&suspended)).await.unwrap();
        let long_ago = clock.now();
        instance.pass(MINUTE * 6).await;
        let active = open_by(&instance, Some("alice"), "codex").await;
        let bobs = open_by(&instance, Some("bob"), "codex").await;
        let nobodys = open_by(&instance, None, "inspector").await;
        let ids = [idle, suspended, active, bobs, nobodys];
        for (filter, expected) in filters(long_ago, clock.now()) {
            let listed = all(&sessions, &filter, 2).await;
            let expected = sorted(expected.iter().map(|&n| &ids[n]));
            assert_eq!(keys(&listed), expected, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn with_a_filter_by_principal_only_that_ones_sessions_are_looked_at() {
    let instance = Instance::new(plain);
    for _ in 0..20 {
        instance.begin_as("bob").await;
    }
    let ids = [
        instance.open_as("alice").await,
        instance.open_as("alice").await,
    ];
    let of_alice = SessionFilter::default().with_principal(&Principal::new("alice"));
    let page = instance.layer.sessions().list(&of_alice, None, 3).await;
    let page = page.unwrap();
    assert_eq!(keys(&page.sessions), sorted(&ids));
    assert_eq!(page.next, None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_is_an_error() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), plain);
    instance.open().await;
    let (sessions, filter) = (instance.layer.sessions(), SessionFilter::default());
    store.fail_next(Operation::List, StoreErrorKind::Unavailable);
    let failed = sessions.list(&filter, None, 10).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    store.fail_next(Operation::List, StoreErrorKind::Unavailable);
    let failed = sessions.stored_statistics().await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    store.hang(Operation::List);
    let failed = sessions.list(&filter, None, 10).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::OutcomeUnknown);
    store.release();
    assert_eq!(all(&sessions, &filter, 10).await.len(), 1);
}
