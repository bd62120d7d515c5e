//! What is not a good id is the same 404, whatever is wrong with it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use tower_mcp_session::store::{KeyRing, SignedStore};
use tower_mcp_session::testing::{FaultyStore, ManualClock};
use tower_mcp_session::{MemoryStore, SessionStore};

use crate::second_opinion::{self, Claims};
use crate::support::{Body, HOUR, Instance, MINUTE, SECOND, UNKNOWN, by, delete, get, ping, read};
use crate::{DAY, SERVICE, key, over, parsed, ring, signed};

/// Everything of the answer that a client sees.
async fn answer(instance: &Instance, request: Request<Body>) -> String {
    format!("{:?}", read(instance.send(request).await).await)
}

/// Holds that an id is answered as an unknown one is, on each verb that asks for sessions.
async fn is_unknown(instance: &Instance, id: &str, why: &str) {
    for verb in [ping, get, delete] {
        let known = answer(instance, verb(UNKNOWN)).await;
        assert_eq!(answer(instance, verb(id)).await, known, "{why}");
    }
    assert_eq!(instance.status(ping(id)).await, 404, "{why}");
}

#[tokio::test]
async fn an_id_with_any_character_changed_is_unknown() {
    let instance = over(signed(), &ManualClock::new());
    let id = instance.open().await;
    for place in 0..id.len() {
        // A neighbour differs in the last bit, which base64 may leave unused; the others in other bits.
        for other in [id.as_bytes()[place] ^ 1, b'A', b'_', b'.', b'='] {
            let mut changed = id.clone().into_bytes();
            changed[place] = other;
            let Ok(changed) = String::from_utf8(changed) else {
                continue;
            };
            if changed != id && other.is_ascii_graphic() {
                let status = instance.status(ping(&changed)).await;
                assert_eq!(status, 404, "character {place} is {other}");
            }
        }
    }
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn an_id_with_a_part_missing_doubled_or_moved_is_unknown() {
    let instance = over(signed(), &ManualClock::new());
    let (id, other) = (instance.open().await, instance.open().await);
    let parts: Vec<_> = id.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts");
    };
    let other = other.split('.').nth(1).unwrap();
    for odd in [
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{claims}.{signature}"),
        format!("{header}.{other}.{signature}"),
        format!("{claims}.{header}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{}", &signature[..42]),
        format!("{header}.{claims}.{signature}A"),
        format!("{id}{}", "A".repeat(1024 - id.len())),
        "..".to_owned(),
        ".".to_owned(),
    ] {
        is_unknown(&instance, &odd, &odd).await;
    }
}

/// What other libraries may sign, and what is wrong with it.
fn bad_claims(now: u64) -> Vec<(&'static str, Claims)> {
    let good = Claims::good(now);
    let changed = |change: fn(&mut Claims, u64)| {
        let mut claims = good.clone();
        change(&mut claims, now);
        claims
    };
    vec![
        ("expired", changed(|claims, now| claims.exp = now)),
        (
            "to be issued later than the leeway allows",
            changed(|claims, now| claims.iat = now + 61),
        ),
        (
            "longer than the longest life",
            changed(|claims, now| claims.exp = now + 7 * 24 * 3600 + 1),
        ),
        (
            "of another endpoint",
            changed(|claims, _| claims.aud = "/other".to_owned()),
        ),
        (
            "backed, where nothing is",
            changed(|claims, _| claims.st = "backed".to_owned()),
        ),
        (
            "of another standing",
            changed(|claims, _| claims.st = "none".to_owned()),
        ),
        (
            "of a process",
            changed(|claims, _| claims.epo = Some("AAAAAAAAAAA".to_owned())),
        ),
        ("without a version", changed(|claims, _| claims.ver = None)),
        (
            "with a short number",
            changed(|claims, _| claims.jti = "AAAA".to_owned()),
        ),
    ]
}

#[tokio::test]
async fn whatever_is_wrong_with_a_signed_text_it_is_unknown() {
    let clock = ManualClock::new();
    let instance = over(signed(), &clock);
    let now = second_opinion::seconds(&clock);
    let sign = second_opinion::Signer::default();
    assert!(instance.serves(&sign.id(&Claims::good(now))).await);
    for (why, claims) in bad_claims(now) {
        is_unknown(&instance, &sign.id(&claims), why).await;
    }
    let good = Claims::good(now);
    for (why, sign) in second_opinion::Signer::wrong() {
        is_unknown(&instance, &sign.id(&good), why).await;
    }
}

#[tokio::test]
async fn a_text_without_a_signature_is_unknown_whatever_algorithm_it_names() {
    let clock = ManualClock::new();
    let instance = over(signed(), &clock);
    let claims = Claims::good(second_opinion::seconds(&clock));
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap());
    let signature = instance.open().await.rsplit_once('.').unwrap().1.to_owned();
    for algorithm in ["none", "None", "HS256", "HS512", "RS256", ""] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"mcp-session+jwt","kid":"k1"}}"#);
        let header = URL_SAFE_NO_PAD.encode(header);
        for signature in ["", "AA", &signature] {
            let id = format!("{header}.{claims}.{signature}");
            is_unknown(&instance, &id, algorithm).await;
        }
    }
}

#[tokio::test]
async fn ids_of_another_key_service_or_endpoint_are_unknown() {
    let clock = ManualClock::new();
    let instance = over(signed(), &clock);
    for (why, store) in [
        (
            "another secret",
            SignedStore::new(KeyRing::new(key("k1", 2)), SERVICE),
        ),
        (
            "another key",
            SignedStore::new(KeyRing::new(key("k2", 2)), SERVICE),
        ),
        (
            "another service",
            SignedStore::new(ring(), "https://other.example.com"),
        ),
    ] {
        let id = over(store, &clock).open().await;
        is_unknown(&instance, &id, why).await;
    }
    let other = Instance::over(signed(), &clock, |layer| layer.with_audience("other"));
    is_unknown(&instance, &other.open().await, "another endpoint").await;
}

#[tokio::test]
async fn the_id_of_another_is_unknown_on_each_instance() {
    let clock = ManualClock::new();
    let [a, b] = [(); 2].map(|()| over(signed(), &clock));
    let (of_alice, of_nobody) = (a.open_as("alice").await, a.open().await);
    for instance in [&a, &b] {
        let unknown = answer(instance, by(ping(UNKNOWN), "bob")).await;
        assert_eq!(answer(instance, by(ping(&of_alice), "bob")).await, unknown);
        assert_eq!(answer(instance, by(ping(&of_nobody), "bob")).await, unknown);
        assert_eq!(instance.status(ping(&of_alice)).await, 404);
        assert_eq!(instance.status(by(ping(&of_alice), "alice")).await, 200);
        assert_eq!(instance.status(ping(&of_nobody)).await, 200);
    }
}

#[tokio::test]
async fn an_id_ends_to_the_millisecond_on_each_instance() {
    let clock = ManualClock::new();
    let [a, b] =
        [(); 2].map(|()| Instance::over(signed(), &clock, |layer| layer.with_max_lifetime(HOUR)));
    let id = a.open().await;
    clock.advance(HOUR - SECOND / 1000);
    assert!(a.serves(&id).await && b.serves(&id).await);
    clock.advance(SECOND / 1000);
    for instance in [&a, &b] {
        is_unknown(instance, &id, "expired").await;
    }
}

#[tokio::test]
async fn a_session_lasts_no_longer_than_the_store_allows() {
    let clock = ManualClock::new();
    let short = || signed().with_max_lifetime(HOUR);
    let [a, b] = [(); 2]
        .map(|()| Instance::over(short(), &clock, |layer| layer.with_max_lifetime(DAY * 365)));
    let id = a.open().await;
    clock.advance(HOUR - SECOND);
    assert!(a.serves(&id).await && b.serves(&id).await);
    clock.advance(SECOND);
    assert!(!a.serves(&id).await && !b.serves(&id).await);
}

#[tokio::test]
async fn the_clock_of_another_instance_may_be_ahead_by_the_leeway() {
    let (behind, ahead) = (ManualClock::new(), ManualClock::new());
    ahead.advance(MINUTE);
    let id = over(signed(), &ahead).open().await;
    assert!(over(signed(), &behind).serves(&id).await);
    let strict = signed().with_clock_leeway(SECOND * 59);
    assert!(!over(strict, &behind).serves(&id).await);
}

#[tokio::test]
async fn the_id_of_another_never_reaches_the_list_or_the_backing_store() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let list = signed().with_revocations(Arc::clone(&store)).unwrap();
    let backed = signed().with_backing(Arc::clone(&store));
    for signed in [list, backed] {
        let clock = ManualClock::new();
        let id = over(signed.clone(), &clock).open_as("alice").await;
        let elsewhere = over(signed, &clock);
        let before = store.total_calls();
        for verb in [ping, get, delete] {
            assert_eq!(elsewhere.status(by(verb(&id), "bob")).await, 404);
            assert_eq!(elsewhere.status(verb(&id)).await, 404);
        }
        assert_eq!(store.total_calls(), before);
        assert_eq!(elsewhere.status(by(ping(&id), "alice")).await, 200);
    }
}

#[tokio::test]
async fn a_forged_id_never_reaches_the_list_or_the_backing_store() {
    let clock = ManualClock::new();
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let list = signed().with_revocations(Arc::clone(&store)).unwrap();
    let backed = signed().with_backing(Arc::clone(&store));
    for signed in [list, backed] {
        let instance = over(signed.clone(), &clock);
        let id = instance.open().await;
        let forged = over(
            SignedStore::new(KeyRing::new(key("k1", 2)), SERVICE).with_backing(MemoryStore::new()),
            &clock,
        );
        let other = forged.open().await;
        let before = store.total_calls();
        for id in [&other, &id[..id.len() - 1], UNKNOWN, "x"] {
            is_unknown(&instance, id, id).await;
            assert!(
                signed
                    .load("/mcp", &parsed(id), tower_mcp_session::Timestamp::EPOCH)
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        assert_eq!(store.total_calls(), before);
    }
}
