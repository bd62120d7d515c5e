//! Reads server-sent events from bytes as they arrive.

/// Finds the data of events in a stream that comes in pieces.
///
/// Comments, other fields and events without data are skipped, as the HTML standard asks; an
/// event that its stream cuts short is none. It keeps the event it is in the middle of, whatever
/// its length unless it is bounded: else whoever pushes bounds how much.
#[derive(Debug)]
pub(crate) struct EventReader {
    /// How much of an event is kept.
    limit: usize,
    /// Whether the event is longer than that.
    too_long: bool,
    /// The start of the line that is not complete yet.
    line: Vec<u8>,
    /// The data lines of the event that is not complete yet, each with its line feed.
    data: Vec<u8>,
    /// Whether the last byte was a `\r`, so that a `\n` now belongs to it.
    after_return: bool,
    /// Whether the first line, which may begin with a byte order mark, is over.
    started: bool,
}

impl EventReader {
    /// A reader that keeps at most `limit` bytes of an event. The data of a longer one is empty, as that of no other is.
    pub(crate) fn bounded(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Takes the next bytes and returns the data of each event that they complete.
    ///
    /// How the stream is cut into chunks makes no difference.
    pub(crate) fn push(&mut self, mut chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        if self.after_return && !chunk.is_empty() {
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            self.after_return = false;
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', chunk) {
            self.add(&chunk[..end]);
            events.extend(self.end_line());
            let (ending, rest) = chunk[end..].split_at(1);
            chunk = rest;
            if ending == b"\r" {
                self.after_return = chunk.is_empty();
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
        }
        self.add(chunk);
        events
    }

    /// Goes on with the line.
    fn add(&mut self, bytes: &[u8]) {
        if self.line.len() + self.data.len() + bytes.len() <= self.limit {
            self.line.extend_from_slice(bytes);
            return;
        }
        self.too_long = true;
        self.data.clear();
        // A comment, so that the line is not empty and nothing else.
        self.line.clear();
        self.line.push(b':');
    }

    /// Interprets the complete line. An empty one ends the event.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        let mut line = self.line.as_slice();
        if !self.started {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            self.started = true;
        }
        let event = if line.is_empty() {
            // The last line feed only separates: an event of one empty data line has no data.
            self.data.pop();
            let too_long = std::mem::take(&mut self.too_long);
            let data = std::mem::take(&mut self.data);
            match too_long {
                true => Some(Vec::new()),
                false => Some(data).filter(|data| !data.is_empty()),
            }
        } else {
            if let Some(value) = data_of(line) {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            None
        };
        self.line.clear();
        event
    }
}

impl Default for EventReader {
    fn default() -> Self {
        Self {
            limit: usize::MAX,
            too_long: false,
            line: Vec::new(),
            data: Vec::new(),
            after_return: false,
            started: false,
        }
    }
}

/// The value of a `data` field, if `line` is one.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(stream: &str) -> Vec<String> {
        texts(EventReader::default().push(stream.as_bytes()))
    }

    fn texts(events: Vec<Vec<u8>>) -> Vec<String> {
        let text = |event| String::from_utf8(event).unwrap();
        events.into_iter().map(text).collect()
    }

    #[test]
    fn data_of_each_event_is_found() {
        for (stream, events) in [
            ("", &[][..]),
            ("data: a\n\n", &["a"]),
            ("data:a\n\ndata:  b\n\n", &["a", " b"]),
            ("event: message\nid: 7\ndata: a\nretry: 3\n\n", &["a"]),
            ("data: a\ndata\ndata: b\n\n", &["a\n\nb"]),
            ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", &["a", "b", "c"]),
            (": comment\n\ndata: a\n: comment\n\n", &["a"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data: \u{feff}a\n\n\u{feff}data: b\n\n", &["\u{feff}a"]),
            ("database: no\ndat: no\n data: no\n\n", &[]),
            ("data: cut short\n", &[]),
            ("\n\n\n\r\n", &[]),
        ] {
            assert_eq!(read(stream), events, "{stream:?}");
        }
    }

    #[test]
    fn priming_event_of_rmcp_is_skipped() {
        let stream = "data: \nid: 0\nretry: 3000\n\nid: 1\ndata: {\"jsonrpc\":\"2.0\"}\n\n";
        assert_eq!(read(stream), ["{\"jsonrpc\":\"2.0\"}"]);
    }

    #[test]
    fn a_bounded_reader_says_that_an_event_is_too_long_and_goes_on() {
        let stream = "data: 12345\n\ndata: 1234567890\ndata: 1\n\ndata: a\ndata: b\n\n";
        for cut in 1..stream.len() {
            let mut reader = EventReader::bounded(14);
            let chunks = stream.as_bytes().chunks(cut);
            let events: Vec<_> = chunks.flat_map(|chunk| reader.push(chunk)).collect();
            assert_eq!(texts(events), ["12345", "", "a\nb"], "pieces of {cut}");
        }
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            parts in prop::collection::vec("\r\n|\r|\n|data|data:|data: |:|id|\u{feff}|[a-z ]{0,3}", 0..40),
            cuts in prop::collection::vec(1_usize..5, 1..40),
        ) {
            let stream = parts.concat();
            let (mut reader, mut events, mut rest) = (EventReader::default(), Vec::new(), stream.as_bytes());
            for cut in cuts.iter().cycle() {
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                events.extend(reader.push(chunk));
                events.extend(reader.push(b""));
                rest = after;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(texts(events), read(&stream));
        }

        #[test]
        fn no_bytes_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..9)) {
            let mut reader = EventReader::default();
            for chunk in chunks {
                reader.push(&chunk);
            }
        }
    }
}
