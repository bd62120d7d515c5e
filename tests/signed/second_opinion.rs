//! Another library reads our ids, and we read those that it writes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{Clock, OwnerTag, Principal, SessionId, SessionStore, SystemClock};

use crate::support::{Instance, by, ping};
use crate::{SERVICE, over, parsed, signed};

/// The claims as another library has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    // In another order than ours.
    pub(crate) jti: String,
    pub(crate) aud: String,
    pub(crate) st: String,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) par: Option<Value>,
}

impl Claims {
    pub(crate) fn good(now: u64) -> Self {
        Self {
            jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            aud: "/mcp".to_owned(),
            st: "self".to_owned(),
            exp: now + 3600,
            iat: now,
            epo: None,
            ver: Some("2025-11-25".to_owned()),
            par: Some(json!({ "clientInfo": { "name": "other" } })),
        }
    }
}

/// A library that signs, with a key derived as the docs say.
pub(crate) struct Signer {
    kid: Option<&'static str>,
    typ: Option<&'static str>,
    algorithm: Algorithm,
    key: Vec<u8>,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            kid: Some("k1"),
            typ: Some("mcp-session+jwt"),
            algorithm: Algorithm::HS256,
            key: derived("session-id", SERVICE),
        }
    }
}

impl Signer {
    pub(crate) fn id(&self, claims: &Claims) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = self.kid.map(str::to_owned);
        header.typ = self.typ.map(str::to_owned);
        encode(
            &header,
            claims,
            &EncodingKey::from_secret(&self.key).unwrap(),
        )
        .unwrap()
    }

    /// Signers that are not ours, and what is wrong with them.
    pub(crate) fn wrong() -> Vec<(&'static str, Self)> {
        let with_key = |key| Self {
            key,
            ..Self::default()
        };
        let with_header = |kid, typ, algorithm| Self {
            kid,
            typ,
            algorithm,
            ..Self::default()
        };
        let (k1, typ, hs256) = (Some("k1"), Some("mcp-session+jwt"), Algorithm::HS256);
        let stand_in = Self {
            kid: Some("k2"),
            ..with_key(derived("nothing", SERVICE))
        };
        let of_another = derived("session-id", "https://other.example.com");
        let tags = derived("principal-tag", SERVICE);
        vec![
            ("signed with the secret itself", with_key(vec![1; 32])),
            ("signed as a principal's tag", with_key(tags)),
            ("signed as a handle", with_key(derived("handle", SERVICE))),
            (
                "signed as a state",
                with_key(derived("request-state", SERVICE)),
            ),
            ("signed for another service", with_key(of_another)),
            (
                "by another algorithm",
                with_header(k1, typ, Algorithm::HS384),
            ),
            ("of another type", with_header(k1, Some("JWT"), hs256)),
            ("of no type", with_header(k1, None, hs256)),
            ("of an unknown key", with_header(Some("k2"), typ, hs256)),
            ("of no key", with_header(None, typ, hs256)),
            ("signed with what stands in for a key", stand_in),
        ]
    }
}

/// The key for `purpose` that the docs derive from the first secret.
fn derived(purpose: &str, audience: &str) -> Vec<u8> {
    let info = format!("mcp-session\0{purpose}\0{audience}");
    let mut key = vec![0; 32];
    Hkdf::<Sha256>::new(None, &[1; 32])
        .expand(info.as_bytes(), &mut key)
        .unwrap();
    key
}

pub(crate) fn seconds(clock: &ManualClock) -> u64 {
    clock.now().as_millis() / 1000
}

/// What the other library says of an id.
fn read(id: &str, key: &[u8]) -> Result<Value, jsonwebtoken::errors::Error> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["/mcp"]);
    validation.set_required_spec_claims(&["exp", "aud"]);
    validation.leeway = 0;
    let key = DecodingKey::from_secret(key).unwrap();
    let token = decode::<Value>(id, &key, &validation)?;
    assert_eq!(token.header.typ.as_deref(), Some("mcp-session+jwt"));
    assert_eq!(token.header.kid.as_deref(), Some("k1"));
    Ok(token.claims)
}

#[tokio::test]
async fn another_library_verifies_our_ids_and_reads_their_claims() {
    // It asks the system for the time.
    let clock = ManualClock::at(SystemClock.now());
    let instance = over(signed(), &clock);
    let id = instance.open_as("alice").await;
    let claims = read(&id, &derived("session-id", SERVICE)).unwrap();
    let now = clock.now().as_millis() as f64 / 1000.0;
    assert_eq!(claims["iat"].as_f64(), Some(now));
    assert_eq!(claims["exp"].as_f64(), Some(now + 7.0 * 24.0 * 3600.0));
    assert_eq!(claims["aud"], "/mcp");
    assert_eq!(claims["st"], "self");
    assert_eq!(claims["ver"], "2025-11-25");
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    assert_eq!(claims["ini"], json!([{ "roots": {} }, ["test", "1"], null]));
    for text in [id.clone(), claims.to_string()] {
        assert!(!text.contains("alice"));
    }
}

#[tokio::test]
async fn another_library_verifies_our_ids_with_no_key_that_is_for_something_else() {
    let clock = ManualClock::at(SystemClock.now());
    let id = over(signed(), &clock).open().await;
    for (purpose, service) in [
        ("principal-tag", SERVICE),
        ("handle", SERVICE),
        ("session-id", "https://other.example.com"),
    ] {
        assert!(read(&id, &derived(purpose, service)).is_err(), "{purpose}");
    }
    assert!(read(&id, &[1; 32]).is_err());
}

#[tokio::test]
async fn we_serve_the_ids_that_another_library_signs() {
    let clock = ManualClock::new();
    let instance = over(signed(), &clock);
    let id = Signer::default().id(&Claims::good(seconds(&clock)));
    assert!(instance.serves(&id).await);
    assert_eq!(instance.context().client_info().unwrap().name, "other");
    let params = instance.context().initialize_params();
    assert_eq!(params.get(), r#"{"clientInfo":{"name":"other"}}"#);
}

/// HMAC-SHA256 of `text` under the key for `purpose`.
fn mac(purpose: &str, text: &[u8]) -> [u8; 32] {
    let key = derived(purpose, SERVICE);
    let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.chain_update(text).finalize().into_bytes().into()
}

/// An id with this header, whose signature is good.
fn with_header(header: &str, claims: &Claims) -> String {
    let claims = serde_json::to_vec(claims).unwrap();
    let parts = [header.as_bytes(), &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = parts.join(".");
    let signature = URL_SAFE_NO_PAD.encode(mac("session-id", signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_header_that_says_anything_else_is_refused_though_its_signature_is_good() {
    let clock = ManualClock::new();
    let instance = over(signed(), &clock);
    let claims = Claims::good(seconds(&clock));
    let good = r#"{"kid":"k1","alg":"HS256","typ":"mcp-session+jwt"}"#;
    assert!(instance.serves(&with_header(good, &claims)).await);
    for (from, to) in [
        ("HS256", "none"),
        ("HS256", "HS512"),
        ("HS256", "hs256"),
        ("mcp-session+jwt", "JWT"),
        ("k1", "k2"),
        ("\"kid\":\"k1\",", ""),
        ("{", "{\"crit\":[\"exp\"],"),
        ("{", "{\"b64\":false,"),
        ("{", "{\"kid\":\"k1\","),
    ] {
        let header = good.replacen(from, to, 1);
        let id = with_header(&header, &claims);
        assert!(!instance.serves(&id).await, "{header}");
    }
}

#[tokio::test]
async fn the_tag_of_a_principal_is_made_with_the_key_for_tags() {
    let (store, alice) = (signed(), Principal::new("alice"));
    let tag = store.owner_tag(&SessionId::random().unwrap(), &alice);
    let expected = mac("principal-tag", OwnerTag::of(&alice).as_bytes());
    // Four bytes say which key it was.
    assert_eq!(tag.as_bytes()[4..20], expected[4..20]);
    assert_eq!(tag.as_bytes()[20..], [0; 12]);
}

#[tokio::test]
async fn the_tag_of_a_principal_is_no_signature_and_a_signature_no_tag() {
    let clock = ManualClock::new();
    let store = signed();
    let instance: Instance = over(store.clone(), &clock);
    let id = instance.open_as("alice").await;
    let (signed, signature) = id.rsplit_once('.').unwrap();
    let tag = store.owner_tag(&parsed(&id), &Principal::new("alice"));
    let as_signature = URL_SAFE_NO_PAD.encode(tag.as_bytes());
    assert_ne!(as_signature, signature);
    let forged = format!("{signed}.{as_signature}");
    assert_eq!(instance.status(by(ping(&forged), "alice")).await, 404);

    // A record whose owner is the signature of something.
    let mut claims = serde_json::to_value(Claims::good(seconds(&clock))).unwrap();
    claims["own"] = json!(signature);
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k1".to_owned());
    header.typ = Some("mcp-session+jwt".to_owned());
    let key = EncodingKey::from_secret(&derived("session-id", SERVICE)).unwrap();
    let id = encode(&header, &claims, &key).unwrap();
    for request in [by(ping(&id), "alice"), ping(&id)] {
        assert_eq!(instance.status(request).await, 404);
    }
}
