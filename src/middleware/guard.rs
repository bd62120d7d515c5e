//! Which origins and hosts a request may come from. Wire rules 54 and 55.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::protocol::error::Refusal;

/// The origins and hosts that are allowed; all, where nothing was said.
///
/// A browser sends `Origin` with each request of a page, and a page of an attacker reaches a server on the loopback
/// address through a name of its own, which then stands in `Host`: DNS rebinding.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowLists {
    pub(super) origins: Option<Vec<Box<str>>>,
    pub(super) hosts: Option<Vec<Box<str>>>,
}

impl AllowLists {
    /// Why the request may not come in, if so.
    pub(super) fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
        if let Some(origins) = &self.origins {
            // No Origin: not a page in a browser. Each line must be allowed, if there are several.
            let mut lines = headers.get_all(ORIGIN).iter();
            if !lines.all(|line| {
                line.to_str()
                    .is_ok_and(|origin| is_allowed(origin, origins))
            }) {
                return Some(Refusal::ForbiddenOrigin);
            }
        }
        let hosts = self.hosts.as_ref()?;
        let mut lines = headers.get_all(HOST).iter();
        let host = match (lines.next(), lines.next()) {
            (Some(host), None) => host.to_str().ok(),
            // HTTP/2 has no Host line but an authority.
            (None, None) => uri.authority().map(|authority| authority.as_str()),
            _ => None,
        };
        let allowed = host.is_some_and(|host| is_allowed(host, hosts));
        (!allowed).then_some(Refusal::ForbiddenHost)
    }
}

/// Whether `value` is one of `allowed`. An entry without a port allows each port.
fn is_allowed(value: &str, allowed: &[Box<str>]) -> bool {
    allowed.iter().any(|entry| {
        value.eq_ignore_ascii_case(entry)
            || value
                .rsplit_once(':')
                .is_some_and(|(host, port)| is_port(port) && host.eq_ignore_ascii_case(entry))
    })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_a_port_allows_each_port() {
        let allowed = [
            "localhost".into(),
            "[::1]".into(),
            "http://localhost".into(),
            "https://a.example:8443".into(),
        ];
        for (value, expected) in [
            ("localhost", true),
            ("LOCALHOST:3000", true),
            ("localhost.evil.example", false),
            ("localhost:evil", false),
            ("localhost:", false),
            ("[::1]:80", true),
            ("[::1]", true),
            ("::1", false),
            ("http://localhost:5173", true),
            ("https://localhost", false),
            ("https://a.example:8443", true),
            ("https://a.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(value, &allowed), expected, "{value}");
        }
    }
}
