//! Listens to a body as it streams past.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use crate::manager::{Calls, LiveSession, Said, Side};
use crate::protocol::header;
use crate::protocol::sse::EventReader;

/// A request of a recorded session and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    session: Arc<LiveSession>,
    calls: Arc<Calls>,
}

/// What listens to one body: it keeps what it has seen, by reference, until a message may be complete.
///
/// It delays nothing and reads nothing of it, and keeps no more than the longest message that fits into a history. It
/// is done when it is dropped: a body may come to its end without anybody asking for it.
pub(crate) struct Tap {
    exchange: Exchange,
    from: Side,
    form: Form,
}

enum Form {
    /// One message, or an array of some.
    Json(Whole),
    /// One message an event.
    Events(EventReader),
}

/// A body that is kept until its end.
struct Whole {
    /// The first piece, by reference: most bodies are one.
    first: Bytes,
    /// All pieces, if there are several.
    all: Vec<u8>,
    limit: usize,
    too_long: bool,
}

impl Exchange {
    /// What is to be listened to of a request in `session`, if anything is.
    pub(crate) fn of(session: &Arc<LiveSession>) -> Option<Self> {
        session.is_recorded().then(|| Self {
            session: Arc::clone(session),
            calls: Arc::default(),
        })
    }

    /// A tap for the body of the request, by its `headers`.
    pub(crate) fn request(&self, headers: &HeaderMap) -> Option<Tap> {
        self.tap(Side::Client, headers)
    }

    /// The same for the request as it is sent again; none if it was heard the first time.
    pub(crate) fn request_again(&self, headers: &HeaderMap) -> Option<Tap> {
        (!self.calls.are_heard())
            .then(|| self.request(headers))
            .flatten()
    }

    /// A tap for the body of the answer, by its `headers`.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Option<Tap> {
        self.tap(Side::Server, headers)
    }

    fn tap(&self, from: Side, headers: &HeaderMap) -> Option<Tap> {
        // Nobody can read what is compressed.
        let is_plain = !header::has_content_coding(headers);
        let limit = self.session.longest_message();
        let form = match () {
            () if is_plain && header::is_json(headers) => Form::Json(Whole {
                first: Bytes::new(),
                all: Vec::new(),
                limit,
                too_long: false,
            }),
            () if is_plain && header::is_event_stream(headers) => {
                Form::Events(EventReader::bounded(limit))
            }
            () => return None,
        };
        Some(Tap {
            exchange: self.clone(),
            from,
            form,
        })
    }
}

impl Tap {
    /// Takes what was polled of the body. With the body's end the tap goes, and has heard all.
    pub(super) fn see_polled<E>(
        tap: &mut Option<Self>,
        polled: &Poll<Option<Result<Frame<Bytes>, E>>>,
        is_over: bool,
    ) {
        let Poll::Ready(frame) = polled else { return };
        if let (Some(Ok(frame)), Some(tap)) = (frame, tap.as_mut())
            && let Some(data) = frame.data_ref()
        {
            tap.see(data);
        }
        let is_whole = is_over || frame.is_none();
        if let Some(tap) = tap
            .as_ref()
            .filter(|tap| is_whole && tap.from == Side::Client)
        {
            tap.exchange.calls.set_heard();
        }
        if is_whole || matches!(frame, Some(Err(_))) {
            *tap = None;
        }
    }

    fn see(&mut self, data: &Bytes) {
        let events = match &mut self.form {
            Form::Json(whole) => return whole.add(data),
            Form::Events(reader) => reader.push(data),
        };
        for event in events {
            // None has no data but one that is too long.
            let body = (!event.is_empty()).then(|| Bytes::from(event));
            self.hear(body);
        }
    }

    fn hear(&self, body: Option<Bytes>) {
        let Exchange { session, calls } = &self.exchange;
        let said = Said {
            from: self.from,
            at: session.core().now(),
            body,
        };
        session.hear(calls, said);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let Form::Json(whole) = &mut self.form else {
            return;
        };
        let is_empty = whole.bytes().is_empty();
        match whole.too_long {
            true => self.hear(None),
            false if is_empty => {}
            false => {
                let body = whole.take();
                self.hear(Some(body));
            }
        }
    }
}

impl Whole {
    fn add(&mut self, data: &Bytes) {
        if self.too_long || self.bytes().len() + data.len() > self.limit {
            self.too_long = true;
            self.first = Bytes::new();
            self.all = Vec::new();
        } else if self.bytes().is_empty() {
            self.first = data.clone();
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.all.extend_from_slice(data);
        }
    }

    fn bytes(&self) -> &[u8] {
        match self.all.is_empty() {
            true => &self.first,
            false => &self.all,
        }
    }

    fn take(&mut self) -> Bytes {
        match self.all.is_empty() {
            // A copy: whoever keeps a piece keeps the whole buffer that it came in, which may be far larger.
            true => Bytes::copy_from_slice(&std::mem::take(&mut self.first)),
            false => Bytes::from(std::mem::take(&mut self.all)),
        }
    }
}
