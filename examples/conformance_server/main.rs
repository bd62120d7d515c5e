//! Run with `cargo run --example conformance_server -- --port 3001 --layer on --inner stateless`.
//!
//! An MCP server with everything the official conformance suite asks a server for. The suite runs
//! against it twice, without and with the session layer in front, so that each check the layer
//! breaks shows. `tests/conformance.rs` does that.

mod changes;
mod fixture;
mod layered;
mod prompts;
mod resources;
mod tools;

use std::{env, error::Error};

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use self::layered::{Inner, app};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::parse(env::args().skip(1))?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    announce(&format!("http://{}/mcp", listener.local_addr()?));
    // Without TCP_NODELAY an event stream waits for the client's delayed acknowledgement, 40 ms.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::warn!(%error, "TCP_NODELAY was refused");
        }
    });
    axum::serve(listener, app(options.layer, options.inner)).await?;
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the test that started us reads the address here"
)]
fn announce(address: &str) {
    println!("listening on {address}");
}

/// What the command line chose.
struct Options {
    port: u16,
    layer: bool,
    inner: Inner,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self {
            port: 3001,
            layer: true,
            inner: Inner::Stateless,
        };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match (option.as_str(), value.as_str()) {
                ("--port", port) => options.port = port.parse()?,
                ("--layer", "on") => options.layer = true,
                ("--layer", "off") => options.layer = false,
                ("--inner", "stateless") => options.inner = Inner::Stateless,
                ("--inner", "stateful") => options.inner = Inner::Stateful,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}

const USAGE: &str =
    "usage: conformance_server [--port N] [--layer on|off] [--inner stateless|stateful]";
