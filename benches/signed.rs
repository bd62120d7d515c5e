//! What does it cost to verify a signed id, and to serve a session that has one?
//!
//! Run with `cargo bench --bench signed --features signed`; it takes about half a minute. The compared things take turns
//! in short rounds; printed are medians over the rounds of CPU time, and of its ratio within a round.

#![expect(clippy::print_stdout, reason = "a bench prints what it found")]

#[path = "signed/ids.rs"]
mod ids;
#[path = "signed/layers.rs"]
mod layers;
#[path = "signed/rounds.rs"]
mod rounds;
#[path = "support/time.rs"]
mod time;

use std::hint::black_box;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use tower_mcp_session::store::Recognition;
use tower_mcp_session::{Clock, SessionId, SessionStore, SystemClock};

use self::ids::{AUDIENCE, Kind, derived_key, id_of, signed};
use self::rounds::{Case, run};

fn main() {
    println!("medians of {} rounds\n", rounds::ROUNDS);
    for kind in Kind::ALL {
        verification(kind);
    }
    layers::refusals();
    layers::known_session();
}

/// What another library is asked to read: what the store looks at, and nothing else.
#[derive(Deserialize)]
struct Terms {
    iat: f64,
    exp: f64,
    st: String,
}

/// Our verification of one id beside that of jsonwebtoken.
fn verification(kind: Kind) {
    let store = signed(kind);
    let now = SystemClock.now();
    let id = id_of(&store, kind, now);
    let text = id.expose();
    let key = DecodingKey::from_secret(&derived_key()).expect("a key of 32 bytes");
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.leeway = 0;

    let ours = || assert!(store.recognize(AUDIENCE, black_box(&id), now) != Recognition::Unknown);
    let parsed = || {
        let id = SessionId::parse(black_box(text.as_bytes())).expect("an id");
        assert!(store.recognize(AUDIENCE, &id, now) != Recognition::Unknown);
    };
    let theirs = || {
        let claims = decode::<Terms>(black_box(&text), &key, &validation)
            .expect("a good token")
            .claims;
        assert!(claims.iat < claims.exp && claims.st.len() > 3);
    };
    println!("{}, {} bytes", kind.name(), text.len());
    let cases = [
        Case::new("verified", ours),
        Case::new("parsed and verified", parsed),
        Case::new("jsonwebtoken", theirs),
    ];
    let medians = run(cases, 20_000);
    medians.print(0, Some((2, "at most 600 ns, at most 0.5 x jsonwebtoken")));
    medians.print(1, Some((2, "")));
    medians.print(2, None);
    println!();
}
