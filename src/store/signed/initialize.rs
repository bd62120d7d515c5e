//! What an id says of the client's initialize: as little as restore needs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::protocol::ProtocolVersion;
use crate::session::{Handshake, SessionRecord};

/// Initialize params, in the form of nearly all clients. The order of the members is that of records.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    client_info: Option<ClientInfo<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    protocol_version: Option<&'a RawValue>,
}

/// Without icons, description and address, which are for people to look at.
#[derive(Serialize, Deserialize)]
struct ClientInfo<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    version: &'a RawValue,
}

/// The same without the names of the members, and the version left out if it is the negotiated one.
#[derive(Serialize, Deserialize)]
struct Short<'a>(
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] Vec<&'a RawValue>,
    #[serde(borrow)] Option<&'a RawValue>,
);

/// The params of `handshake` in a short form, if they are as those of nearly all clients.
pub(super) fn shorten(handshake: &Handshake) -> Option<Box<RawValue>> {
    let (params, version) = (handshake.params(), handshake.version());
    let short = short_form(params, &quoted(version))?;
    let same = expand(&short, version).is_some_and(|all| all.get() == params.get());
    same.then_some(short)
}

/// The params that a short form stands for.
pub(super) fn expand(short: &RawValue, version: ProtocolVersion) -> Option<Box<RawValue>> {
    let Short(capabilities, client, asked) = serde_json::from_str(short.get()).ok()?;
    let (name, title, version_of_client) = match client[..] {
        [name, version] => (name, None, version),
        [name, title, version] => (name, Some(title), version),
        _ => return None,
    };
    let negotiated = quoted(version);
    let params = Params {
        capabilities: Some(capabilities),
        client_info: Some(ClientInfo {
            name,
            title,
            version: version_of_client,
        }),
        protocol_version: asked.or(serde_json::from_str(&negotiated).ok()),
    };
    to_raw_value(&params).ok()
}

/// The same record with less of the client's initialize: what decides something (2025-11-25, schema). `None` if it has
/// no more than that.
pub(super) fn slim(record: &SessionRecord) -> Option<SessionRecord> {
    let handshake = record.handshake();
    let params: Params<'_> = serde_json::from_str(handshake.params().get()).ok()?;
    let params = to_raw_value(&params).ok()?;
    if params.get().len() >= handshake.params().get().len() {
        return None;
    }
    let handshake = Arc::new(Handshake::new(params, handshake.version()));
    Some(record.clone().with_handshake(handshake))
}

fn short_form(params: &RawValue, negotiated: &str) -> Option<Box<RawValue>> {
    let params: Params<'_> = serde_json::from_str(params.get()).ok()?;
    let ClientInfo {
        name,
        title,
        version,
    } = params.client_info?;
    let client = [Some(name), title, Some(version)];
    let asked = params.protocol_version?;
    let other = (asked.get() != negotiated).then_some(asked);
    let client = client.into_iter().flatten().collect();
    to_raw_value(&Short(params.capabilities?, client, other)).ok()
}

fn quoted(version: ProtocolVersion) -> String {
    format!("\"{version}\"")
}
