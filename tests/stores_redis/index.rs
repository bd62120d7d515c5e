//! The index: what comes into it, what leaves it, and owners whose sessions were all ended.

use std::sync::Arc;

use tower_mcp_session::store::redis::aio::MultiplexedConnection;
use tower_mcp_session::store::redis::cmd;
use tower_mcp_session::store::{StoreErrorKind, Stored, WatchStatus};
use tower_mcp_session::{
    HistoryLimits, NewSession, OwnerTag, RedisStore, SessionId, SessionKey, SessionStore,
};

use crate::common::{
    HOUR, admin, after, begin, begin_of, fresh, handle, key_of, keys, load, now, owner, prefix,
    record_of, said, status, tell, tracking, until_current, until_says,
};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

async fn listed(store: &RedisStore, owner: Option<&OwnerTag>) -> Vec<SessionKey> {
    let page = store.index().unwrap().list(now(), owner, None, 1_000).await;
    let sessions = page.unwrap().sessions;
    sessions.iter().map(|session| session.key).collect()
}

async fn bar(store: &RedisStore, owner: &OwnerTag) {
    let index = store.index().unwrap();
    index.bar(owner, now(), after(2 * HOUR)).await.unwrap();
}

async fn is_gone(store: &RedisStore, session: &Stored) {
    assert!(load(store, &session.id).await.is_none(), "`load`");
    let deadline = Some(after(HOUR));
    for deadline in [None, deadline] {
        let touched = store.touch(&session.key, now(), deadline).await.unwrap();
        assert_eq!(touched, None, "`touch`");
    }
    let saved = store.save(&session.key, Arc::clone(&session.record), session.revision);
    assert_eq!(saved.await.unwrap_err().kind(), StoreErrorKind::Gone);
    let history = store.history().unwrap();
    let limits = HistoryLimits::default();
    let appended = history.append(&session.key, now(), vec![said("late")], limits);
    assert_eq!(appended.await.unwrap_err().kind(), StoreErrorKind::Gone);
    let recent = history.recent(&session.key, now(), 1).await;
    assert_eq!(recent.unwrap_err().kind(), StoreErrorKind::Gone);
    let cleared = history.clear(&session.key, now()).await;
    assert_eq!(cleared.unwrap_err().kind(), StoreErrorKind::Gone);
    let index = store.index().unwrap();
    assert_eq!(index.inspect(&session.key, now()).await.unwrap(), None);
}

fn hex(owner: &OwnerTag) -> String {
    SessionKey::from(*owner.as_bytes()).to_string()
}

/// Writes a session as a version without an index did.
async fn begin_as_of_old(
    admin: &mut MultiplexedConnection,
    prefix: &str,
    owner: Option<OwnerTag>,
) -> Stored {
    let id = SessionId::random().unwrap();
    let owned = record_of(&owner.unwrap_or_else(|| crate::common::owner("nobody")));
    let record = match owner {
        Some(_) => owned,
        None => crate::common::record("old"),
    };
    let session = Stored::created(id, NewSession::new("/mcp", record, now(), after(HOUR)));
    let json = serde_json::to_string(&*session.record).unwrap();
    let end = session.record.absolute_end().as_millis();
    let record = format!("R{:020}{end:020}{json}", 1);
    let (used, deadline) = (session.last_activity, session.idle_deadline);
    let seen = format!("{:020}{:020}", used.as_millis(), deadline.as_millis());
    for (kind, text) in [("record", record), ("seen", seen)] {
        let mut set = cmd("SET");
        set.arg(key_of(prefix, kind, &session)).arg(text);
        set.arg("PX")
            .arg(7_200_000)
            .exec_async(admin)
            .await
            .unwrap();
    }
    session
}

#[tokio::test]
async fn sessions_of_a_version_without_an_index_are_served_and_come_into_it() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let alice = owner("alice");
    let mut sessions = Vec::new();
    for owner in [Some(alice), Some(alice), None] {
        sessions.push(begin_as_of_old(&mut admin, &prefix, owner).await);
    }
    for session in &sessions {
        let found = load(&store, &session.id).await.unwrap();
        assert_eq!(found.record, session.record);
        let touched = store.touch(&session.key, now(), Some(after(HOUR))).await;
        assert_eq!(touched.unwrap(), Some(session.revision));
    }
    assert_eq!(listed(&store, None).await, []);
    let first = &sessions[0];
    let saved = store.save(&first.key, Arc::clone(&first.record), first.revision);
    saved.await.unwrap();
    assert_eq!(listed(&store, Some(&alice)).await, [first.key], "by a save");
    store.delete_expired(now(), 10).await.unwrap();
    let mut keys: Vec<_> = sessions.iter().map(|session| session.key).collect();
    keys.sort_unstable();
    assert_eq!(listed(&store, None).await, keys, "by a clean-up");
    keys.retain(|key| *key != sessions[2].key);
    assert_eq!(listed(&store, Some(&alice)).await, keys, "by a clean-up");
}

#[tokio::test]
async fn sessions_that_no_index_names_end_with_their_owner_too() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = tracking(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let (alice, bob) = (owner("alice"), owner("bob"));
    let old = begin_as_of_old(&mut admin, &prefix, Some(alice)).await;
    let lost = begin_of(&store, &alice).await;
    let others = begin_as_of_old(&mut admin, &prefix, Some(bob)).await;
    let lost_key = key_of(&prefix, "record", &lost);
    for set in ["sessions".to_owned(), format!("owner:{{{}}}", hex(&alice))] {
        tell::<()>(&mut admin, &format!("DEL {prefix}:{set}")).await;
    }
    let watched = load(&store, &old.id).await.unwrap();
    until_current(&store, &watched).await;
    bar(&store, &alice).await;
    for session in [&old, &lost] {
        is_gone(&store, session).await;
    }
    assert!(load(&store, &others.id).await.is_some());
    // Whoever watches hears of it by the next clean-up, which leaves tombstones.
    store.delete_expired(now(), 10).await.unwrap();
    assert_eq!(status(&watched), WatchStatus::Gone);
    let size: u64 = tell(&mut admin, &format!("STRLEN {lost_key}")).await;
    assert_eq!(size, 21);
    assert_eq!(listed(&store, None).await, [others.key]);
}

#[tokio::test]
async fn nothing_of_what_a_bar_has_ended_is_left_and_all_who_watch_hear_of_it() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let here = tracking(&server.url(), &prefix).await;
    let elsewhere = tracking(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let alice = owner("alice");
    let session = begin_of(&here, &alice).await;
    let history = here.history().unwrap();
    let limits = HistoryLimits::default();
    let appended = history.append(&session.key, now(), vec![said("hello")], limits);
    appended.await.unwrap();
    until_current(&here, &session).await;
    let there = load(&elsewhere, &session.id).await.unwrap();
    until_current(&elsewhere, &there).await;
    bar(&here, &alice).await;
    assert_eq!(status(&session), WatchStatus::Gone);
    until_says(&there, WatchStatus::Ask).await;
    is_gone(&elsewhere, &there).await;
    let record = key_of(&prefix, "record", &session);
    let mut left = keys(&mut admin, &prefix).await;
    // The first session of a handle that tracks was deleted.
    left.retain(|key| *key == record || !key.contains(":record:"));
    assert_eq!(
        left,
        [format!("{prefix}:bar:{{{}}}", hex(&alice)), record.clone()]
    );
    let left: u64 = tell(&mut admin, &format!("PTTL {record}")).await;
    assert!(
        (7_000_000..=7_500_000).contains(&left),
        "as long as it would have been: {left}"
    );
    let new = NewSession::new("/mcp", record_of(&owner("bob")), now(), after(HOUR));
    let again = here.create(&session.id, new).await;
    assert_eq!(again.unwrap_err().kind(), StoreErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bar_ends_more_sessions_than_a_page_has_and_a_count_goes_through_all_parts() {
    let server = RedisServer::start(&["--save", ""]);
    let store = handle(&server.url(), "mcp").await;
    let (alice, bob) = (owner("alice"), owner("bob"));
    begin_many(&store, alice, 70).await;
    let other = begin_of(&store, &bob).await;
    let index = store.index().unwrap();
    assert_eq!(index.count(now()).await.unwrap(), 1121);
    bar(&store, &alice).await;
    assert_eq!(index.count(now()).await.unwrap(), 1);
    assert_eq!(listed(&store, None).await, [other.key]);
    let mut admin = admin(&server).await;
    let set = format!("EXISTS mcp:owner:{{{}}}", hex(&alice));
    assert!(!tell::<bool>(&mut admin, &set).await, "all were ended");
}

/// 16 times `count` sessions.
async fn begin_many(store: &RedisStore, owner: OwnerTag, count: usize) {
    let begin = |store: RedisStore| async move {
        for _ in 0..count {
            begin_of(&store, &owner).await;
        }
    };
    let tasks: Vec<_> = (0..16)
        .map(|_| tokio::spawn(begin(store.clone())))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clean_up_removes_leaves_the_index_in_the_same_step() {
    let server = RedisServer::start(&["--save", ""]);
    let store = handle(&server.url(), "mcp").await;
    // More than the part of the index that a clean-up looks through.
    begin_many(&store, owner("alice"), 130).await;
    let removed = store.delete_expired(after(3 * HOUR), 10_000).await;
    assert_eq!(removed.unwrap().len(), 2080);
    let mut admin = admin(&server).await;
    assert_eq!(keys(&mut admin, "mcp").await, [""; 0]);
}

#[tokio::test]
async fn a_list_by_a_clock_that_is_ahead_takes_nothing_out_of_the_index() {
    let store = fresh().await;
    let alice = owner("alice");
    let session = begin_of(&store, &alice).await;
    let index = store.index().unwrap();
    for owner in [None, Some(&alice)] {
        let page = index.list(after(9 * HOUR), owner, None, 9).await.unwrap();
        assert_eq!(page.sessions, []);
        assert_eq!(listed(&store, owner).await, [session.key]);
    }
}

#[tokio::test]
async fn a_bar_stays_until_its_time_and_moves_forward_only() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let (alice, index) = (owner("alice"), store.index().unwrap());
    let key = format!("{prefix}:bar:{{{}}}", hex(&alice));
    let first = now();
    for (not_before, until, hours) in [
        (first, after(2 * HOUR), 2),
        (first.saturating_sub(HOUR), after(HOUR), 3),
        (first.saturating_add(HOUR), after(HOUR), 2),
    ] {
        index.bar(&alice, not_before, until).await.unwrap();
        let left: u64 = tell(&mut admin, &format!("PTTL {key}")).await;
        let end = 3_600_000 * hours;
        assert!((end..=end + 302_000).contains(&left), "{hours}: {left}");
        let text: String = tell(&mut admin, &format!("GET {key}")).await;
        let said: u64 = text[..20].parse().unwrap();
        assert_eq!(said, not_before.max(first).as_millis());
    }
}

/// Its time to live is no whole millisecond any more.
#[tokio::test]
async fn a_bar_ends_what_the_server_is_about_to_remove() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    for round in 0..200 {
        // One who was not barred in the same millisecond.
        let alice = owner(&format!("alice {round}"));
        let session = begin_of(&store, &alice).await;
        let record = key_of(&prefix, "record", &session);
        tell::<()>(&mut admin, &format!("PEXPIRE {record} 1")).await;
        bar(&store, &alice).await;
        assert!(load(&store, &session.id).await.is_none());
    }
}

#[tokio::test]
async fn what_a_bar_has_marked_and_not_yet_ended_is_shown_no_more() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let alice = owner("alice");
    let session = begin_of(&store, &alice).await;
    let key = format!("{prefix}:bar:{{{}}}", hex(&alice));
    let text = format!("{:020}{:020}", now().as_millis(), after(HOUR).as_millis());
    tell::<()>(&mut admin, &format!("SET {key} {text}")).await;
    is_gone(&store, &session).await;
    assert_eq!(listed(&store, None).await, []);
    assert_eq!(listed(&store, Some(&alice)).await, []);
    assert_eq!(store.index().unwrap().count(now()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_the_server_has_removed_leaves_the_index_when_a_list_comes_by() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let alice = owner("alice");
    let sets = ["sessions".to_owned(), format!("owner:{{{}}}", hex(&alice))];
    for way in ["all", "the owner's", "a clean-up"] {
        let [gone, alive] = [
            begin_of(&store, &alice).await,
            begin_of(&store, &alice).await,
        ];
        let history = store.history().unwrap();
        let limits = HistoryLimits::default();
        let appended = history.append(&gone.key, now(), vec![said("said")], limits);
        appended.await.unwrap();
        let record = key_of(&prefix, "record", &gone);
        tell::<()>(&mut admin, &format!("DEL {record}")).await;
        match way {
            "all" => assert_eq!(listed(&store, None).await, [alive.key]),
            "the owner's" => assert_eq!(listed(&store, Some(&alice)).await, [alive.key]),
            _ => drop(store.delete_expired(now(), 10).await.unwrap()),
        }
        for set in &sets {
            let size: u64 = tell(&mut admin, &format!("ZCARD {prefix}:{set}")).await;
            assert_eq!(size, 1, "{way}: {set}");
        }
        for kind in ["seen", "history"] {
            let key = key_of(&prefix, kind, &gone);
            let there: bool = tell(&mut admin, &format!("EXISTS {key}")).await;
            assert!(!there, "{way}: {kind}");
        }
        store.delete(&alive.key, now()).await.unwrap();
        for set in &sets {
            let there: bool = tell(&mut admin, &format!("EXISTS {prefix}:{set}")).await;
            assert!(!there, "{way}: {set}");
        }
    }
}

#[tokio::test]
async fn the_index_stays_as_long_as_the_longest_of_its_sessions() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let alice = owner("alice");
    let sets = ["sessions".to_owned(), format!("owner:{{{}}}", hex(&alice))];
    let mut sessions: Vec<Stored> = Vec::new();
    for (hours, longest) in [(2, 2), (4, 4), (3, 4), (6, 6)] {
        let handshake = Arc::clone(record_of(&alice).handshake());
        let end = after(HOUR * hours);
        let record = tower_mcp_session::SessionRecord::new(now(), end, Some(alice), handshake);
        if let [first, _, _] = &sessions[..] {
            let saved = store.save(&first.key, Arc::new(record), first.revision);
            saved.await.unwrap();
        } else {
            let id = SessionId::random().unwrap();
            let new = NewSession::new("/mcp", record, now(), after(HOUR));
            sessions.push(store.create(&id, new).await.unwrap());
        }
        for set in &sets {
            let left: u64 = tell(&mut admin, &format!("PTTL {prefix}:{set}")).await;
            let end = 3_600_000 * longest;
            assert!(
                (end - 10_000..=end + 310_000).contains(&left),
                "{hours}: {left}"
            );
        }
    }
    assert_eq!(listed(&store, Some(&alice)).await.len(), 3);
}

#[tokio::test]
async fn a_session_that_gets_another_owner_is_listed_with_that_one() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let (alice, bob) = (owner("alice"), owner("bob"));
    let session = begin_of(&store, &alice).await;
    let saved = store.save(&session.key, Arc::new(record_of(&bob)), session.revision);
    saved.await.unwrap();
    assert_eq!(listed(&store, Some(&alice)).await, []);
    assert_eq!(listed(&store, Some(&bob)).await, [session.key]);
    assert_eq!(listed(&store, None).await, [session.key]);
    store.delete(&session.key, now()).await.unwrap();
    let mut admin = admin(server).await;
    assert_eq!(keys(&mut admin, &prefix).await.len(), 1, "a tombstone");
}

#[tokio::test]
async fn a_list_names_what_cannot_be_read() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let [one, other, alive] = [
        begin(&store).await,
        begin(&store).await,
        begin(&store).await,
    ];
    let record = key_of(&prefix, "record", &one);
    tell::<()>(&mut admin, &format!("SET {record} garbage")).await;
    let seen = key_of(&prefix, "seen", &other);
    for command in [format!("DEL {seen}"), format!("LPUSH {seen} 1")] {
        tell::<()>(&mut admin, &command).await;
    }
    let index = store.index().unwrap();
    let page = index.list(now(), None, None, 10).await.unwrap();
    let mut unreadable = [one.key, other.key];
    unreadable.sort_unstable();
    assert_eq!(page.unreadable, unreadable);
    assert_eq!(page.sessions.len(), 1);
    assert_eq!(index.count(now()).await.unwrap(), 1);
    let inspected = index.inspect(&one.key, now()).await;
    assert_eq!(inspected.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert!(load(&store, &alive.id).await.is_some());
}

#[tokio::test]
async fn to_inspect_is_one_round_trip_and_a_list_one_and_one_for_each_session() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    let session = begin(&store).await;
    begin(&store).await;
    load(&store, &session.id).await;
    proxy.seen();
    let index = store.index().unwrap();
    let inspected = index.inspect(&session.key, now()).await.unwrap();
    assert!(inspected.is_some());
    assert_eq!(proxy.seen(), ["EVALSHA"]);
    assert_eq!(listed(&store, None).await.len(), 2);
    assert_eq!(proxy.seen(), ["ZRANGEBYLEX", "EVALSHA", "EVALSHA"]);
}
