//! Run with `cargo run --example server`, or `-- --port 3001 --store memory --inner stateful`.
//!
//! With the features `file`, `sqlite`, `postgres` and `redis` it takes `--store file:FOLDER`, `--store sqlite:PATH`,
//! `--store postgres://USER@HOST/DATABASE` and `--store redis://HOST` too: sessions then survive a restart, and several
//! servers can share them.
//!
//! With the feature `signed` it takes `--store signed:KEYFILE`: the ids say it all, and nothing is kept, so that the
//! tools remember nothing and DELETE is answered 405. `signed:KEYFILE+ended:STORE` keeps a list of ended sessions in
//! another store, `signed:KEYFILE+STORE` the sessions themselves. The file has a key on each line, the first one signs:
//! `echo "2026-11 $(openssl rand -base64 32)" > KEYFILE` makes one.
//!
//! An MCP server at `http://127.0.0.1:3000/mcp` whose tools remember things: axum outside, rmcp inside, and the
//! session layer between them. SIGTERM and ctrl-c stop it without cutting anybody off.

mod app;
mod session;
mod stores;
mod tools;

use std::env;
use std::error::Error;
use std::io;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::app::{Inner, app, sessions};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    log_to_stderr();
    let options = Options::parse(env::args().skip(1))?;
    let sessions = sessions(stores::open(&options.store).await?);
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let stopped = stop_signal()?;
    announce(&format!("http://{}/mcp", listener.local_addr()?));
    // Without TCP_NODELAY an event stream waits for the client's delayed acknowledgement, 40 ms.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::warn!(%error, "TCP_NODELAY was refused");
        }
    });

    let (drained, is_drained) = oneshot::channel();
    let server = axum::serve(listener, app(&sessions, options.inner));
    let server = server.with_graceful_shutdown(async move {
        stopped.await;
        sessions.drain(GRACE).await;
        // Nobody waits for it if the server has failed.
        drained.send(()).unwrap_or_default();
    });
    let too_late = async {
        is_drained.await.unwrap_or_default();
        sleep(LAST_CALL).await;
    };
    tokio::select! {
        ended = server => ended?,
        // A client that does not read its answer would hold its connection open for ever.
        () = too_late => tracing::warn!("some connections had to be cut"),
    }
    Ok(())
}

/// SIGTERM or ctrl-c, heard from now on.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ctrl-c, heard from now on.
#[cfg(windows)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move { interrupt.recv().await.unwrap_or_default() })
}

#[expect(
    clippy::print_stdout,
    reason = "whoever started us reads the address here"
)]
fn announce(address: &str) {
    println!("listening on {address}");
}

/// Shows each step in the life of a session, and what rmcp warns of.
fn log_to_stderr() {
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("tower_mcp_session", LevelFilter::DEBUG);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}

/// What the command line chose.
struct Options {
    port: u16,
    /// See [`stores::open`].
    store: String,
    inner: Inner,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self {
            port: 3000,
            store: "memory".to_owned(),
            inner: Inner::Stateless,
        };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match (option.as_str(), value.as_str()) {
                ("--port", port) => options.port = port.parse()?,
                ("--store", store) => options.store = store.to_owned(),
                ("--inner", "stateless") => options.inner = Inner::Stateless,
                ("--inner", "stateful") => options.inner = Inner::Stateful,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}

const USAGE: &str = "usage: server [--port N] [--store STORE] [--inner stateless|stateful], where STORE is \
     memory|file:FOLDER|sqlite:PATH|postgres://..|redis://.., or signed:KEYFILE[+STORE|+ended:STORE]";

/// From the signal on, initialize is answered 503 and all else is served; after this long, streams end.
const GRACE: Duration = Duration::from_secs(2);

/// What is left then for answers that were begun.
const LAST_CALL: Duration = Duration::from_secs(2);
