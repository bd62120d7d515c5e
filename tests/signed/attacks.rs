//! What somebody tries who wants in, or wants to stay.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use tower_mcp_session::store::{CachedStore, KeyRing, Recognition, SignedStore, StoreErrorKind};
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{
    Clock, Handshake, MemoryStore, ProtocolVersion, SessionId, SessionKey, SessionRecord,
    SessionStore,
};

use crate::backing::new_session;
use crate::log::Log;
use crate::support::{
    Body, HOUR, Instance, MINUTE, SECOND, by, delete, get, id_of, ping, read, shared,
};
use crate::{DAY, key, over, parsed, ring, signed};

/// A ring without the key that [`ring`] has.
fn other_ring() -> KeyRing {
    KeyRing::new(key("k2", 2))
}

#[tokio::test]
async fn an_endpoint_that_is_spelled_as_a_piece_of_the_claims_is_another_endpoint() {
    let clock = ManualClock::new();
    let store = signed();
    for (own, name) in [(r"a\b", r"a\\b"), ("a\u{1}b", r"a\u0001b")] {
        let layer = |audience: &'static str| {
            Instance::over(store.clone(), &clock, |layer| layer.with_audience(audience))
        };
        let id = layer(own).open().await;
        assert!(layer(own).serves(&id).await);
        assert!(!layer(name).serves(&id).await, "{name}");
    }
    // Params that hold what the claims have behind the endpoint, and an endpoint that reaches so far.
    let params = r#"{"x":"","st":"self","jti":""}"#.to_owned();
    let params = serde_json::value::RawValue::from_string(params).unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut new = new_session(&clock, None);
    let end = new.record.absolute_end();
    new.record = Arc::new(SessionRecord::new(clock.now(), end, None, handshake));
    let candidate = SessionId::random().unwrap();
    let id = store.create(&candidate, new).await.unwrap().id;
    let text = id.expose();
    let claims = text.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims = String::from_utf8(claims).unwrap();
    let [begin, end] = ["/mcp", r#"","st":"self""#].map(|part| claims.rfind(part).unwrap());
    let path = &claims[begin..end];
    assert!(path.len() <= 100, "{path}");
    let recognized = store.recognize(path, &id, clock.now());
    assert_eq!(recognized, Recognition::Unknown);
    assert!(store.load(path, &id, clock.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn work_that_waits_for_the_end_learns_that_the_key_was_taken_away() {
    let memory = MemoryStore::new();
    for store in [
        signed(),
        signed().with_revocations(MemoryStore::new()).unwrap(),
        signed().with_backing(shared(&memory)),
    ] {
        let instance = over(store.clone(), &ManualClock::new());
        let (_, work) = instance.open_context().await;
        let mut waiting = tokio_test::task::spawn(async move { work.cancelled().await });
        assert!(waiting.poll().is_pending());
        store.replace_keys(&other_ring());
        instance.pass(Duration::from_secs(30)).await;
        assert!(waiting.poll().is_ready());
    }
}

#[tokio::test]
async fn a_task_that_kept_its_session_writes_nothing_under_a_key_that_was_taken_away() {
    let store = signed().with_backing(MemoryStore::new());
    let instance = over(store.clone(), &ManualClock::new());
    let (_, work) = instance.open_context().await;
    work.insert("n", &1).await.unwrap();
    store.replace_keys(&other_ring());
    assert!(work.insert("n", &2).await.is_err());
    assert!(work.get::<u32>("n").await.is_err());
    assert!(work.has_ended());
}

#[tokio::test]
async fn a_cache_in_front_gives_nothing_under_a_key_that_was_taken_away() {
    let memory = MemoryStore::new();
    for store in [
        signed(),
        signed().with_revocations(shared(&memory)).unwrap(),
        signed().with_backing(shared(&memory)),
    ] {
        let clock = ManualClock::new();
        let cached = CachedStore::new(store.clone()).with_staleness(HOUR);
        let [live, elsewhere] = [(); 2].map(|()| over(cached.clone(), &clock));
        let id = live.open().await;
        assert!(elsewhere.serves(&id).await);
        store.replace_keys(&other_ring());
        for instance in [&live, &elsewhere] {
            assert!(!instance.serves(&id).await);
            assert_eq!(instance.status(get(&id)).await, 404);
        }
        let found = cached.load("/mcp", &parsed(&id), clock.now()).await;
        assert!(found.unwrap().is_none());
    }
}

/// A service that gets a backing store, one instance after the other: one that has it, one that has not, and both with
/// the same list.
fn half_migrated(clock: &ManualClock) -> [Instance; 2] {
    let (memory, list) = (MemoryStore::new(), MemoryStore::new());
    let with_list = || signed().with_revocations(shared(&list)).unwrap();
    let after = with_list()
        .with_backing(shared(&memory))
        .with_migration_until(clock.now().saturating_add(DAY * 7));
    [over(with_list(), clock), over(after, clock)]
}

#[tokio::test]
async fn what_one_instance_ends_during_a_migration_is_ended_for_all() {
    for both_have_it in [false, true] {
        for ends_before in [false, true] {
            let clock = ManualClock::new();
            let [before, after] = half_migrated(&clock);
            let id = before.open().await;
            if both_have_it {
                assert!(after.serves(&id).await);
            }
            let [ends, other] = match ends_before {
                true => [&before, &after],
                false => [&after, &before],
            };
            assert_eq!(ends.status(delete(&id)).await, 204);
            for instance in [other, ends, other] {
                assert!(!instance.serves(&id).await, "{both_have_it} {ends_before}");
                assert_eq!(instance.status(delete(&id)).await, 404);
            }
            clock.advance(DAY * 7 - SECOND);
            assert!(!before.serves(&id).await && !after.serves(&id).await);
        }
    }
}

#[tokio::test]
async fn an_end_of_which_the_lifetime_is_forgotten_lasts_for_the_longest_life_of_any_clock() {
    let (behind, ahead) = (ManualClock::new(), ManualClock::new());
    ahead.advance(MINUTE);
    let list = MemoryStore::new();
    let store = || signed().with_revocations(shared(&list)).unwrap();
    let elsewhere = over(store(), &ahead);
    let id = elsewhere.open().await;
    // Of an instance that has never heard of the session.
    let key = SessionKey::new("/mcp", &parsed(&id));
    store().delete(&key, behind.now()).await.unwrap();
    behind.advance(DAY * 7);
    ahead.advance(DAY * 7 - SECOND);
    assert!(!elsewhere.serves(&id).await);
}

#[tokio::test]
async fn a_list_that_is_down_keeps_nobody_from_cleaning_up_the_sessions() {
    let clock = ManualClock::new();
    let (memory, list) = (MemoryStore::new(), FaultyStore::new(MemoryStore::new()));
    list.fail_all(Operation::DeleteExpired, StoreErrorKind::Unavailable);
    let store = signed()
        .with_revocations(list)
        .unwrap()
        .with_backing(memory.clone());
    let new = new_session(&clock, None);
    store
        .create(&SessionId::random().unwrap(), new)
        .await
        .unwrap();
    clock.advance(DAY * 8);
    let error = store.delete_expired(clock.now(), 10).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(memory.is_empty());
}

#[tokio::test]
async fn no_id_is_signed_that_the_ring_refuses_already() {
    let clock = ManualClock::new();
    let store = signed();
    let instance = over(store.clone(), &clock);
    store.replace_keys(&ring().with_not_before(clock.now().saturating_add(SECOND)));
    let answer = instance.send(crate::support::initialize()).await;
    assert_eq!(answer.status(), 503);
    assert!(id_of(answer.headers()).is_none());
    clock.advance(SECOND);
    let id = instance.open().await;
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn whatever_a_client_says_of_itself_it_is_refused_or_said_again_elsewhere() {
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let good = r#""capabilities":{},"clientInfo":{"name":"n","version":"1"}"#;
    for params in [
        r#"{"protocolVersion":"2025-11-25","capabilities":{"n":1e999,"m":-0.0,"k":123456789012345678901234567890},"clientInfo":{"name":"n","version":"1"}}"#.to_owned(),
        r#"{"protocolVersion":null,"capabilities":null,"clientInfo":null}"#.to_owned(),
        format!(r#"{{"protocolVersion":"2025-11-25",{good},{good}}}"#),
        format!(r#"{{"protocolVersion":"2025-11-25",{good},"exp":9,"own":null,"st":"backed","jti":"x","ini":[],"par":{{}}}}"#),
        r#"{"protocolVersion":"2025-11-25","capabilities":[[],["a","b"],null],"clientInfo":["n","1"]}"#.to_owned(),
        r#"{"protocolVersion":"2025-11-25","capabilities":null,"clientInfo":{"name":null,"title":null,"version":[1]}}"#.to_owned(),
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"\ud83e\udd80\u0000\"\\","version":"1"}}"#.to_owned(),
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"\ud83e","version":"1"}}"#.to_owned(),
        format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{{"x":{deep}}},"clientInfo":{{"name":"n","version":"1"}}}}"#),
        format!(r#"{{"x":{deep}}}"#),
        r#"{ "clientInfo" : { "version" : "1" , "name" : "n" } , "capabilities" : { } , "protocolVersion" : "2025-11-25" }"#.to_owned(),
        "[1,2]".to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        "{}".to_owned(),
    ] {
        is_refused_or_said_again(&params).await;
    }
    // Around the bound.
    for length in 300..700 {
        let name = "x".repeat(length);
        is_refused_or_said_again(&format!(
            r#"{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"{name}","version":"1","description":"d"}}}}"#
        ))
        .await;
    }
}

async fn is_refused_or_said_again(params: &str) {
    let clock = ManualClock::new();
    let [a, b] = [(); 2].map(|()| over(signed(), &clock));
    let message = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
    let request = Request::post("/mcp").body(Body::from(message)).unwrap();
    let answer = a.send(by(request, "alice")).await;
    let (status, id) = (answer.status().as_u16(), id_of(answer.headers()));
    read(answer).await;
    let Some(id) = id else {
        assert!([200, 400, 413].contains(&status), "{status} to {params}");
        return;
    };
    assert!(id.len() <= 1024);
    assert_eq!(b.status(by(ping(&id), "bob")).await, 404);
    for instance in [&a, &b] {
        assert_eq!(instance.status(by(ping(&id), "alice")).await, 200);
    }
    let [said, known] = [&a, &b].map(|instance| instance.context().initialize_params());
    assert_eq!(said.get(), known.get());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_is_503_and_hurts_nobody_who_does_not_ask_it() {
    for operation in [Operation::Load, Operation::Create] {
        let (memory, clock) = (MemoryStore::new(), ManualClock::new());
        let list = Arc::new(shared(&memory));
        let store = signed().with_revocations(Arc::clone(&list)).unwrap();
        let instance = over(store, &clock);
        let id = instance.open_as("alice").await;
        list.hang(operation);
        assert_eq!(instance.status(by(delete(&id), "alice")).await, 503);
        assert_eq!(instance.status(by(delete(&id), "bob")).await, 404);
        assert_eq!(instance.status(ping("forged")).await, 404);
        instance.begin().await;
        list.heal();
        list.release();
        assert_eq!(instance.status(by(ping(&id), "alice")).await, 200);
        assert_eq!(instance.status(by(delete(&id), "alice")).await, 204);
        assert_eq!(instance.status(by(ping(&id), "alice")).await, 404);
    }
}

#[tokio::test]
async fn a_list_may_lie_in_the_store_of_other_sessions() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let plain = over(shared(&memory), &clock);
    let signed = over(signed().with_revocations(shared(&memory)).unwrap(), &clock);
    let (of_plain, of_signed) = (plain.open().await, signed.open().await);
    assert_eq!(signed.status(delete(&of_signed)).await, 204);
    assert!(plain.serves(&of_plain).await && !plain.serves(&of_signed).await);
    // The name of the entry is of the form of an id, and known to whoever had the id.
    let key = SessionKey::new("/mcp", &parsed(&of_signed)).to_string();
    assert!(!plain.serves(&key[..32]).await && !signed.serves(&key[..32]).await);
    assert_eq!(plain.status(delete(&key[..32])).await, 404);
    signed.layer.clean_up().await.unwrap();
    assert!(plain.serves(&of_plain).await && !signed.serves(&of_signed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_that_are_replaced_while_sessions_begin_and_are_used_lose_none_and_revive_none() {
    let old_signs = || ring().with_verifying(key("k2", 2)).unwrap();
    let new_signs = || other_ring().with_verifying(key("k1", 1)).unwrap();
    let store = SignedStore::new(old_signs(), crate::SERVICE);
    let instance = over(store.clone(), &ManualClock::new());
    let users: Vec<_> = (0..4)
        .map(|n| {
            let instance = instance.clone();
            tokio::spawn(async move {
                let (who, mut ids) = (format!("user {n}"), Vec::new());
                for _ in 0..50 {
                    ids.push(instance.open_as(&who).await);
                    for id in ids.iter().rev().take(4) {
                        assert_eq!(instance.status(by(ping(id), &who)).await, 200);
                    }
                }
                ids
            })
        })
        .collect();
    while users.iter().any(|user| !user.is_finished()) {
        store.replace_keys(&new_signs());
        tokio::task::yield_now().await;
        store.replace_keys(&old_signs());
        tokio::task::yield_now().await;
    }
    let mut ids = Vec::new();
    for (n, user) in users.into_iter().enumerate() {
        let of_user = user.await.unwrap();
        ids.extend(of_user.into_iter().map(|id| (id, format!("user {n}"))));
    }
    store.replace_keys(&KeyRing::new(key("k3", 3)));
    for (id, who) in &ids {
        assert_eq!(instance.status(by(ping(id), who)).await, 404);
    }
}

#[tokio::test]
async fn with_freshness_a_key_that_was_taken_away_counts_for_that_long_and_no_longer() {
    for store in [
        signed().with_revocations(MemoryStore::new()).unwrap(),
        signed().with_backing(MemoryStore::new()),
    ] {
        let clock = ManualClock::new();
        let instance = Instance::over(store.clone(), &clock, |layer| layer.with_freshness(MINUTE));
        let id = instance.open().await;
        store.replace_keys(&other_ring());
        clock.advance(MINUTE);
        assert!(!instance.serves(&id).await);
    }
    // Alone it has a watch: nothing is waited for.
    let store = signed();
    let clock = ManualClock::new();
    let instance = Instance::over(store.clone(), &clock, |layer| layer.with_freshness(MINUTE));
    let id = instance.open().await;
    store.replace_keys(&other_ring());
    assert!(!instance.serves(&id).await);
}

#[tokio::test]
async fn no_log_line_at_any_level_shows_a_part_of_an_id_or_of_what_a_client_says() {
    // The whole test runs on this thread.
    let (log, _guard) = Log::of_this_thread();
    let clock = ManualClock::new();
    let list = FaultyStore::new(MemoryStore::new());
    let store = signed().with_revocations(list.clone()).unwrap();
    let [a, b] = [(); 2].map(|()| over(store.clone(), &clock));
    let ids = [a.open_as("alice-secret").await, a.open().await];
    for instance in [&a, &b] {
        for id in &ids {
            instance.status(by(ping(id), "alice-secret")).await;
            instance.status(by(ping(&id[1..]), "alice-secret")).await;
            instance.status(delete(id)).await;
        }
    }
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"capabilities":{{"x":"{}"}}}}}}"#,
        "client-secret".repeat(100)
    );
    let request = Request::post("/mcp").body(Body::from(long)).unwrap();
    assert_eq!(a.status(request).await, 413);
    list.fail_all(Operation::Create, StoreErrorKind::Unavailable);
    assert_eq!(a.status(by(delete(&ids[0]), "alice-secret")).await, 503);
    store.replace_keys(&other_ring());
    a.pass(MINUTE).await;
    let text = log.text();
    for line in ["too large for a signed id", "session not ended"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for part in ids.iter().flat_map(|id| id.split('.')) {
        assert!(!text.contains(&part[..16]), "{text}");
    }
    assert!(!text.contains("-secret"), "{text}");
}
