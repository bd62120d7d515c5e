//! A proxy in front of a server that counts commands and cuts connections.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Ends with its runtime.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: Vec<String>,
    cut_at: Option<String>,
    silent: bool,
    holds: bool,
    refuses: bool,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
        };
        let state = Arc::clone(&proxy.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await;
                let refuses = state.lock().unwrap_or_else(PoisonError::into_inner).refuses;
                if let Some(server) = server.ok().filter(|_| !refuses) {
                    tokio::spawn(forward(client, server, Arc::clone(&state)));
                }
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The names of the commands that came since this was asked last, apart from the store's own heartbeat.
    pub(crate) fn seen(&self) -> Vec<String> {
        let mut seen = std::mem::take(&mut self.state().seen);
        seen.retain(|name| name != "PING");
        seen
    }

    /// Cuts the connection once the server has answered the next command of this name, in place of handing the answer
    /// on.
    pub(crate) fn cut_at(&self, name: &str) {
        self.state().cut_at = Some(name.to_owned());
    }

    /// Lets nobody in from now on; who is in stays.
    pub(crate) fn refuse(&self) {
        self.state().refuses = true;
    }

    /// Hands no answer on any more, and closes nothing.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.state().silent = silent;
    }

    /// Keeps back, for good, what comes from the first message on that the server sends unasked.
    pub(crate) fn hold_messages(&self) {
        self.state().holds = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, state: Arc<Mutex<State>>) {
    let mut commands = Commands::default();
    let (mut asked, mut answered) = ([0; 16 << 10], [0; 16 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let names = commands.read(&asked[..count]);
                let cut = {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let cut = state.cut_at.take_if(|name| names.contains(name)).is_some();
                    state.seen.extend(names);
                    cut
                };
                if server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
                if cut {
                    assert_ne!(server.read(&mut answered).await.unwrap(), 0);
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                let count = {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let message = find_message(&answered[..count]).filter(|_| state.holds);
                    let passes = if state.silent { 0 } else { message.unwrap_or(count) };
                    state.silent |= message.is_some();
                    passes
                };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Where the first message begins that says that keys have changed.
fn find_message(bytes: &[u8]) -> Option<usize> {
    let begin = b">2\r\n$10\r\ninvalidate";
    bytes.windows(begin.len()).position(|found| found == begin)
}

/// Finds the names of commands in what a client sends.
#[derive(Default)]
struct Commands {
    unread: VecDeque<u8>,
}

impl Commands {
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.unread.extend(bytes);
        let mut names = Vec::new();
        while let Some((name, length)) = first_command(self.unread.make_contiguous()) {
            names.push(name);
            self.unread.drain(..length);
        }
        names
    }
}

/// The name of the first command, if it is there in full, and its length.
fn first_command(bytes: &[u8]) -> Option<(String, usize)> {
    let (count, mut at) = number_after(b'*', bytes, 0)?;
    let mut name = None;
    for _ in 0..count {
        let (length, begin) = number_after(b'$', bytes, at)?;
        let word = bytes.get(begin..begin + length)?;
        name.get_or_insert_with(|| String::from_utf8_lossy(word).to_uppercase());
        at = begin + length + 2;
        bytes.get(at - 1)?;
    }
    Some((name?, at))
}

fn number_after(mark: u8, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(rest[0], mark);
    let number = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
    Some((number, at + end + 2))
}
