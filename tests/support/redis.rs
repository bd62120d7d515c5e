//! Redis servers of a test's own: on a loopback port, with a folder of their own, ended with the test process.
//!
//! `MCP_TEST_REDIS_SERVER` names the program; `source scripts/redis-server` sets it.

#![allow(
    dead_code,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and helpers of tests may unwrap as tests do"
)]

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A server. When it is dropped, or the process that has it ends in whatever way, the server ends and its folder goes.
pub(crate) struct RedisServer {
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
    running: Mutex<Option<Running>>,
}

/// The shell that guards a server: it ends the server when it can read no more from us.
struct Running {
    guard: Child,
    pid: String,
}

impl RedisServer {
    /// A server that keeps nothing on disk, shared by all tests of a binary.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["--save", ""]))
    }

    /// A server that has written down what it acknowledges.
    pub(crate) fn durable() -> Self {
        Self::start(&[
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ])
    }

    /// A server with these options besides port and folder.
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        // Somebody else may take a free port before the server does.
        for _ in 0..10 {
            let port = free_port();
            if let Some(running) = Running::start(port, &folder, &options) {
                let running = Mutex::new(Some(running));
                return Self {
                    port,
                    folder,
                    options,
                    running,
                };
            }
        }
        panic!("no Redis server could be started: see redis.log in {folder:?}");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends the server by SIGKILL, as a crash does; what it has on disk stays.
    pub(crate) fn kill(&self) {
        if let Some(running) = self.running().take() {
            running.signal("KILL");
            running.end(true);
        }
    }

    /// Starts the server again on the same port and folder.
    pub(crate) fn restart(&self) {
        self.kill();
        let running = Running::start(self.port, &self.folder, &self.options);
        *self.running() = Some(running.expect("the server starts again"));
    }

    /// Stops the server in its tracks: it keeps its connections and says nothing.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let running = self.running();
        running.as_ref().expect("the server runs").signal(signal);
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        match self.running().take() {
            Some(running) => running.end(false),
            None => std::fs::remove_dir_all(&self.folder).unwrap_or_default(),
        }
    }
}

impl Running {
    /// `None` if the server ended before it answered.
    fn start(port: u16, folder: &Path, options: &[String]) -> Option<Self> {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(folder)
            .arg(program())
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--logfile", "redis.log", "--dir"])
            .arg(folder)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut pid = String::new();
        let mut output = BufReader::new(guard.stdout.take().expect("it is piped"));
        output.read_line(&mut pid).unwrap();
        let pid = pid.trim().to_owned();
        let running = Self { guard, pid };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if answers(port) {
                return Some(running);
            }
            if !running.signal("0") {
                break;
            }
            std::thread::sleep(Duration::from_millis(5)); // between two looks
        }
        running.end(true);
        None
    }

    /// Says whether there was a process to take it.
    fn signal(&self, signal: &str) -> bool {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{signal}"), &self.pid]);
        kill.stderr(Stdio::null()).status().unwrap().success()
    }

    fn end(mut self, keep_folder: bool) {
        if keep_folder && let Some(input) = &mut self.guard.stdin {
            // A guard that has gone needs no word.
            input.write_all(b"keep\n").unwrap_or_default();
        }
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }
}

/// The arguments: the folder, and the command of the server. It ends the server when its input ends, which it does with
/// the process that writes to it, however that ends.
const GUARD: &str = r#"
folder=$1
shift
"$@" </dev/null >/dev/null 2>&1 &
server=$!
echo "$server"
read -r last
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ "$last" = keep ] || rm -rf "$folder"
"#;

fn program() -> String {
    env::var("MCP_TEST_REDIS_SERVER").unwrap_or_else(|_| {
        panic!(
            "this test needs a Redis server: MCP_TEST_REDIS_SERVER must name the program, which \
             `source scripts/redis-server` installs and sets"
        )
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether a server answers, and has loaded its data.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(matches!(&answer, b"+PONG" | b"-NOAU"))
    };
    ask().unwrap_or(false)
}
