//! The least that a request of a session can cost: parse its id, find the session, give it to the inner service, note
//! that it is in use. No owner, no expiry, no store, no end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use http::Request;
use tower::Service;

use super::requests::{Id, SESSION_ID};

#[derive(Clone)]
pub(crate) struct Yardstick<S> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    sessions: DashMap<[u64; 2], Arc<Session>, RandomState>,
    /// Seconds. Something else would set it.
    clock: AtomicU64,
}

/// A session, with what a layer must know of it: with the table about 180 bytes, as much as the least that was measured
/// for design 7. One that knows less would profit from smaller memory.
pub(crate) struct Session {
    _id: [u64; 2],
    _created: u64,
    pub(crate) ends: u64,
    pub(crate) uses: AtomicU64,
    last_seen: AtomicU64,
    _params: Arc<str>,
    _owner: Option<Box<str>>,
    _client: Option<Box<str>>,
    _values: Mutex<Option<Arc<HashMap<String, String>>>>,
}

impl Shared {
    pub(crate) fn new(ids: &[Id]) -> Self {
        let sessions = DashMap::with_hasher_and_shard_amount(RandomState::default(), 1024);
        let params = Arc::from(r#"{"protocolVersion":"2025-11-25"}"#);
        for id in ids {
            let key = parse(id).expect("the layer's ids are hexadecimal");
            let session = Session {
                _id: key,
                _created: 0,
                ends: u64::MAX,
                uses: AtomicU64::new(0),
                last_seen: AtomicU64::new(0),
                _params: Arc::clone(&params),
                _owner: None,
                _client: None,
                _values: Mutex::default(),
            };
            sessions.insert(key, Arc::new(session));
        }
        Self {
            sessions,
            clock: AtomicU64::new(1),
        }
    }

    pub(crate) fn find(&self, id: &[u8]) -> Option<Arc<Session>> {
        let session = Arc::clone(&*self.sessions.get(&parse(id)?)?);
        let now = self.clock.load(Ordering::Relaxed);
        if session.last_seen.load(Ordering::Relaxed) != now {
            session.last_seen.store(now, Ordering::Relaxed);
        }
        Some(session)
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Yardstick<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let id = request.headers().get(&SESSION_ID);
        let session = id.and_then(|id| self.shared.find(id.as_bytes()));
        if let Some(session) = session {
            request.extensions_mut().insert(session);
        }
        self.inner.call(request)
    }
}

fn parse(id: &[u8]) -> Option<[u64; 2]> {
    let (first, second) = id.split_at_checked(16)?;
    Some([parse_word(first)?, parse_word(second)?])
}

fn parse_word(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = digits.try_into().ok()?;
    let mut seen = 0;
    let word = digits.iter().fold(0, |word, &digit| {
        let value = VALUES[usize::from(digit)];
        seen |= value;
        word << 4 | u64::from(value)
    });
    (seen < 16).then_some(word)
}

const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};
