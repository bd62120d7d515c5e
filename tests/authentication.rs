//! Authentication in front of the layer: whose a session is. Wire rules 56 to 58, promise 9.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::future::{Ready, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tower_http::auth::{AsyncAuthorizeRequest, AsyncRequireAuthorizationLayer};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, Principal, SessionContext, SessionLayer, WhenFull};

use frameworks::{
    CALL, INITIALIZE, SESSION_ID, counted, delete_in, get_in, minted, post, post_in, send,
    unknown_id,
};

/// What the authentication has verified.
#[derive(Clone)]
struct Verified {
    subject: &'static str,
}

/// Bearer tokens, two of Alice and one of Bob. Without a token a caller is anonymous, where that is allowed.
#[derive(Clone, Copy)]
struct Tokens {
    anonymous: bool,
}

impl AsyncAuthorizeRequest<Body> for Tokens {
    type RequestBody = Body;
    type ResponseBody = Body;
    type Future = Ready<Result<Request<Body>, Response<Body>>>;

    fn authorize(&mut self, mut request: Request<Body>) -> Self::Future {
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        let subject = match token {
            Some(b"Bearer alice-1" | b"Bearer alice-2") => "alice",
            Some(b"Bearer bob") => "bob",
            Some(b"Bearer broken") => "broken",
            None if self.anonymous => return ready(Ok(request)),
            _ => {
                let refusal = Response::builder()
                    .status(StatusCode::UNAUTHORIZED)
                    .header(WWW_AUTHENTICATE, "Bearer")
                    .body(Body::empty());
                return ready(Err(refusal.unwrap()));
            }
        };
        request.extensions_mut().insert(Verified { subject });
        ready(Ok(request))
    }
}

/// The router that all these tests use, with the layer inside of the authentication.
fn router(tokens: Tokens, layer: SessionLayer) -> Router {
    let layer = layer.with_principal(|parts: &Parts| match parts.extensions.get::<Verified>() {
        Some(verified) if verified.subject == "broken" => {
            Err("directory down: Bearer broken".into())
        }
        verified => Ok(verified.map(|verified| Principal::new(verified.subject))),
    });
    Router::new()
        .route("/mcp", any(frameworks::mcp::<Body>))
        .route("/whoami", any(whoami))
        .layer(layer.with_audience("mcp"))
        .layer(AsyncRequireAuthorizationLayer::new(tokens))
}

async fn whoami(request: axum::extract::Request) -> String {
    let session = request.extensions().get::<SessionContext>();
    format!(
        "{:?}",
        session
            .and_then(SessionContext::principal)
            .map(|principal| principal.subject().to_owned())
    )
}

fn strict(layer: SessionLayer) -> Router {
    router(Tokens { anonymous: false }, layer)
}

fn lenient(layer: SessionLayer) -> Router {
    router(Tokens { anonymous: true }, layer)
}

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

/// The request with a token, if one is given.
fn by(token: &str, mut request: Request<Body>) -> Request<Body> {
    if !token.is_empty() {
        request
            .headers_mut()
            .insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    }
    request
}

async fn begin(router: &Router, token: &str) -> HeaderValue {
    minted(&send(router, by(token, post("/mcp", INITIALIZE))).await)
}

async fn call(router: &Router, token: &str, id: &HeaderValue) -> Response<Bytes> {
    send(router, by(token, post_in(id, "/mcp", CALL))).await
}

#[tokio::test]
async fn rule_56_the_401_of_the_authentication_wins() {
    let layer = layer();
    let router = strict(layer.clone());
    let id = begin(&router, "alice-1").await;
    for token in ["", "forged"] {
        for request in [
            post("/mcp", INITIALIZE),
            post_in(&id, "/mcp", CALL),
            get_in(&id, "/mcp"),
            delete_in(&id, "/mcp"),
        ] {
            let answer = send(&router, by(token, request)).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");
            assert!(!answer.headers().contains_key(SESSION_ID));
        }
    }
    assert_eq!(layer.live_sessions(), 1);
    assert_eq!(call(&router, "alice-1", &id).await.body(), &counted(1));
}

#[tokio::test]
async fn rule_57_a_session_of_another_looks_as_if_it_did_not_exist() {
    let router = lenient(layer());
    let (owned, anonymous) = (begin(&router, "alice-1").await, begin(&router, "").await);
    for (id, stranger) in [(&owned, "bob"), (&owned, ""), (&anonymous, "alice-1")] {
        for request in [
            |id: &HeaderValue| post_in(id, "/mcp", CALL),
            |id: &HeaderValue| post_in(id, "/mcp", "not json"),
            |id: &HeaderValue| get_in(id, "/mcp"),
            |id: &HeaderValue| delete_in(id, "/mcp"),
        ] {
            let foreign = send(&router, by(stranger, request(id))).await;
            let unknown = send(&router, by(stranger, request(&unknown_id()))).await;
            assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
            assert_eq!(all_of(&foreign), all_of(&unknown));
        }
    }
    assert_eq!(call(&router, "alice-1", &owned).await.body(), &counted(1));
    assert_eq!(call(&router, "", &anonymous).await.body(), &counted(1));
}

#[tokio::test]
async fn rule_57_a_stranger_keeps_no_session_alive() {
    let clock = ManualClock::new();
    let layer = layer()
        .with_clock(clock.clone())
        .with_idle_timeout(Duration::from_secs(100))
        .with_half_open_timeout(Duration::from_secs(100));
    let router = strict(layer);
    let id = begin(&router, "alice-1").await;
    assert_eq!(call(&router, "alice-1", &id).await.status(), StatusCode::OK);
    clock.advance(Duration::from_secs(60));
    assert_eq!(
        call(&router, "bob", &id).await.status(),
        StatusCode::NOT_FOUND
    );
    clock.advance(Duration::from_secs(60));
    assert_eq!(
        call(&router, "alice-1", &id).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn rule_58_a_refreshed_token_of_the_same_principal_is_accepted() {
    let router = strict(layer());
    let id = begin(&router, "alice-1").await;
    assert_eq!(call(&router, "alice-2", &id).await.body(), &counted(1));
    let whose = send(&router, by("alice-2", post_in(&id, "/whoami", CALL))).await;
    assert_eq!(whose.body(), r#"Some("alice")"#);
    let ended = send(&router, by("alice-2", delete_in(&id, "/mcp"))).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        call(&router, "alice-1", &id).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_initialize_with_the_id_of_another_begins_a_session_of_ones_own() {
    let router = strict(layer());
    let alices = begin(&router, "alice-1").await;
    let answer = send(&router, by("bob", post_in(&alices, "/mcp", INITIALIZE))).await;
    let bobs = minted(&answer);
    assert_ne!(alices, bobs);
    assert_eq!(
        call(&router, "alice-1", &bobs).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(call(&router, "bob", &bobs).await.body(), &counted(1));
    assert_eq!(call(&router, "alice-1", &alices).await.body(), &counted(1));
}

#[tokio::test]
async fn a_principal_that_cannot_be_known_is_503() {
    let layer = layer();
    let router = strict(layer.clone());
    let id = begin(&router, "alice-1").await;
    for request in [
        post("/mcp", INITIALIZE),
        post_in(&id, "/mcp", CALL),
        get_in(&id, "/mcp"),
        delete_in(&id, "/mcp"),
    ] {
        let answer = send(&router, by("broken", request)).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(RETRY_AFTER));
        let text = String::from_utf8_lossy(answer.body());
        assert!(
            !text.contains("directory") && !text.contains("broken"),
            "{text}"
        );
    }
    assert_eq!(layer.live_sessions(), 1);
    assert_eq!(call(&router, "alice-1", &id).await.body(), &counted(1));
}

#[tokio::test]
async fn one_principal_takes_no_more_than_its_share() {
    let layer = layer()
        .with_max_sessions_per_principal(2)
        .with_when_full(WhenFull::Reject);
    let router = lenient(layer);
    let first = begin(&router, "alice-1").await;
    begin(&router, "alice-2").await;
    let refused = send(&router, by("alice-1", post("/mcp", INITIALIZE))).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER));
    assert!(!refused.headers().contains_key(SESSION_ID));
    // Nobody else is concerned, and what Alice ends is hers again.
    for token in ["bob", "bob", "", "", ""] {
        begin(&router, token).await;
    }
    assert_eq!(
        call(&router, "alice-1", &first).await.status(),
        StatusCode::OK
    );
    let ended = send(&router, by("alice-1", delete_in(&first, "/mcp"))).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    begin(&router, "alice-1").await;
}

#[tokio::test]
async fn authentication_inside_the_layer_still_decides() {
    // The wrong way round: no principal binds a session. A 401 then begins none, and does not end one.
    let layer = layer();
    let router = Router::new()
        .route("/mcp", any(frameworks::mcp::<Body>))
        .layer(AsyncRequireAuthorizationLayer::new(Tokens {
            anonymous: false,
        }))
        .layer(layer.clone());
    let refused = send(&router, post("/mcp", INITIALIZE)).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(!refused.headers().contains_key(SESSION_ID));
    assert_eq!(layer.live_sessions(), 0);
    let id = begin(&router, "alice-1").await;
    assert_eq!(
        call(&router, "forged", &id).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(call(&router, "alice-1", &id).await.body(), &counted(1));
}

fn all_of(answer: &Response<Bytes>) -> (StatusCode, HeaderMap, Bytes) {
    (
        answer.status(),
        answer.headers().clone(),
        answer.body().clone(),
    )
}
