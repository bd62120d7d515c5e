//! Takes down what is said in a body as it streams past.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use serde::Serialize;

use crate::manager::LiveSession;
use crate::protocol::header;
use crate::protocol::message::RequestId;
use crate::protocol::spoken::{self, Kind, Spoken};
use crate::protocol::sse::EventReader;
use crate::session::{Message, Role};

/// A request of a recorded session and its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    session: Arc<LiveSession>,
    /// The ids of calls of tools: what answers them a tool has said.
    calls: Mutex<Vec<RequestId<'static>>>,
}

/// What takes down one body: it keeps what it has seen, by reference, until a message is complete.
///
/// It delays nothing, and keeps no more than the longest message that fits into a history. It is done when it is
/// dropped: a body may come to its end without anybody asking for it.
pub(crate) struct Tap {
    exchange: Arc<Exchange>,
    from: Side,
    form: Form,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Side {
    Client,
    Server,
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
    /// What is to be taken down of a request in `session`, if anything is.
    pub(crate) fn of(session: &Arc<LiveSession>) -> Option<Arc<Self>> {
        session.is_recorded().then(|| {
            Arc::new(Self {
                session: Arc::clone(session),
                calls: Mutex::default(),
            })
        })
    }

    /// A tap for the body of the request, by its `headers`.
    pub(crate) fn request(self: &Arc<Self>, headers: &HeaderMap) -> Option<Tap> {
        self.tap(Side::Client, headers)
    }

    /// A tap for the body of the answer, by its `headers`.
    pub(crate) fn answer(self: &Arc<Self>, headers: &HeaderMap) -> Option<Tap> {
        self.tap(Side::Server, headers)
    }

    fn tap(self: &Arc<Self>, from: Side, headers: &HeaderMap) -> Option<Tap> {
        // Nobody can read what is compressed.
        let is_plain = !header::has_content_coding(headers);
        let form = match () {
            () if is_plain && header::is_json(headers) => Form::Json(Whole {
                first: Bytes::new(),
                all: Vec::new(),
                limit: self.session.longest_message(),
                too_long: false,
            }),
            () if is_plain && header::is_event_stream(headers) => {
                Form::Events(EventReader::bounded(self.session.longest_message()))
            }
            () => return None,
        };
        Some(Tap {
            exchange: Arc::clone(self),
            from,
            form,
        })
    }

    fn role(&self, from: Side, message: &Spoken<'_>) -> Role {
        if from == Side::Client {
            return Role::User;
        }
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let answers_a_call = message.kind == Kind::Response
            && message.id.as_ref().is_some_and(|id| calls.contains(id));
        if answers_a_call {
            Role::Tool
        } else {
            Role::Assistant
        }
    }

    fn note_call(&self, message: &Spoken<'_>) {
        if message.method.as_deref() == Some("tools/call")
            && let Some(id) = message.id.clone()
        {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(id.into_owned());
        }
    }
}

impl Tap {
    /// Takes what was polled of the body. With the body's end the tap goes, and has taken down all.
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
        if is_over || !matches!(frame, Some(Ok(_))) {
            *tap = None;
        }
    }

    fn see(&mut self, data: &Bytes) {
        let events = match &mut self.form {
            Form::Json(whole) => return whole.add(data),
            Form::Events(reader) => reader.push(data),
        };
        for event in events {
            match event.is_empty() {
                true => self.record_too_long(),
                false => self.record(&event),
            }
        }
    }

    fn record(&self, body: &[u8]) {
        let now = self.exchange.session.core().now();
        let spoken = spoken::messages(body).into_iter();
        let messages = spoken.map(|message| {
            if self.from == Side::Client {
                self.exchange.note_call(&message);
            }
            let role = self.exchange.role(self.from, &message);
            let metadata = Metadata {
                from: self.from.as_str(),
                kind: Some(message.kind.as_str()),
                method: message.method.as_deref(),
                too_long: None,
            };
            Message::of_json(role, message.json.into(), now, metadata.to_json())
        });
        self.exchange.session.take_down(messages.collect());
    }

    /// What is longer than a whole history is known by its place only.
    fn record_too_long(&self) {
        let role = match self.from {
            Side::Client => Role::User,
            Side::Server => Role::Assistant,
        };
        let metadata = Metadata {
            from: self.from.as_str(),
            kind: None,
            method: None,
            too_long: Some(true),
        };
        let now = self.exchange.session.core().now();
        let message = Message::of_json(role, "null".into(), now, metadata.to_json());
        self.exchange.session.take_down(vec![message]);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let Form::Json(whole) = &self.form else {
            return;
        };
        match whole.bytes() {
            _ if whole.too_long => self.record_too_long(),
            [] => {}
            bytes => self.record(bytes),
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
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What is known of a message beside what it says.
#[derive(Serialize)]
struct Metadata<'a> {
    from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_long: Option<bool>,
}

impl Metadata<'_> {
    fn to_json(&self) -> Option<Box<str>> {
        let text = serde_json::to_string(self).ok()?;
        Some(text.into())
    }
}
