//! PostgreSQL servers for tests: started from the programs that `scripts/postgres-server` finds, ended with the process.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, process, thread};

use tokio::sync::OnceCell;
use tower_mcp_session::store::sqlx::postgres::PgConnection;
use tower_mcp_session::store::sqlx::{AssertSqlSafe, Connection, raw_sql};

/// A server on a free port of 127.0.0.1, with data of its own.
///
/// It stops when this is dropped, and when this process ends in whatever way: what runs it waits for the end of a pipe
/// that this process holds.
pub(crate) struct PostgresServer {
    programs: PathBuf,
    data: String,
    port: u16,
    settings: &'static [&'static str],
    running: Option<Child>,
}

/// How a server is made to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// It rolls back what is under way, and writes everything down.
    Fast,
    /// As if it had crashed.
    Immediate,
}

impl PostgresServer {
    /// A server that keeps what it has acknowledged, as by default.
    pub(crate) fn start() -> Self {
        Self::with_settings(&[])
    }

    /// A server that does not wait for the disk, which is enough where none is stopped.
    fn start_fast() -> Self {
        Self::with_settings(&["-c", "fsync=off", "-c", "full_page_writes=off"])
    }

    fn with_settings(settings: &'static [&'static str]) -> Self {
        let programs = env::var_os("MCP_TEST_POSTGRES_BIN").expect(
            "MCP_TEST_POSTGRES_BIN names the folder with PostgreSQL's initdb and postgres: \
             `. scripts/postgres-server` installs them and sets it",
        );
        let mut server = Self {
            programs: programs.into(),
            data: String::new(),
            port: 0,
            settings,
            running: None,
        };
        server.make_data();
        server.run();
        server
    }

    /// The server of all tests of this process that do not stop theirs.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();
        let start = || async { tokio::task::spawn_blocking(Self::start_fast).await.unwrap() };
        SHARED.get_or_init(start).await
    }

    /// The URL of the server's first database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection for what tests do behind a store's back.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// The URL of a schema that nobody else uses.
    pub(crate) async fn fresh_schema(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
        let mut connection = self.connection().await;
        raw_sql(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        format!("{}?options[search_path]={name}", self.url())
    }

    /// Stops the server and waits for its end.
    pub(crate) fn stop(&mut self, how: Stop) {
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        let mut running = self.running.take().expect("it is running");
        let mut stdin = running.stdin.take().expect("it is a pipe");
        writeln!(stdin, "{signal}").unwrap();
        running.wait().unwrap();
    }

    /// Starts the server again, on the same port and with the data that it had.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it is stopped");
        self.run();
    }

    pub(crate) fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    fn make_data(&mut self) {
        let script = r#"
            data=$(mktemp -d) &&
            "$0/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C --no-sync >&2 &&
            echo "$data""#;
        let made = shell(script).arg(&self.programs).output().unwrap();
        let errors = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb has failed: {errors}");
        self.data = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    }

    /// Starts the server, on the port that it had or on a free one.
    fn run(&mut self) {
        let attempts = if self.port == 0 { 5 } else { 1 };
        for attempt in 1..=attempts {
            let port = match self.port {
                0 => free_port(),
                port => port,
            };
            match self.try_run(port) {
                Ok(running) => {
                    self.port = port;
                    self.running = Some(running);
                    return;
                }
                // Somebody else may have taken the port meanwhile.
                Err(log) => assert!(attempt < attempts, "PostgreSQL does not start: {log}"),
            }
        }
    }

    /// The server, once it accepts connections; otherwise what it has said.
    fn try_run(&self, port: u16) -> Result<Child, String> {
        // The end of our pipe without a line means that this process has ended: the data goes too.
        let script = r#"
            data=$1 programs=$0; shift
            "$programs/postgres" -D "$data" "$@" </dev/null &
            server=$!
            if read -r signal; then
                kill "-$signal" "$server"; wait "$server"
            else
                kill -QUIT "$server"; wait "$server"; rm -rf "$data"
            fi"#;
        let mut running = shell(script)
            .arg(&self.programs)
            .arg(&self.data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1"])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "max_connections=300",
            ])
            .args(self.settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = running.stderr.take().expect("it is a pipe");
        match wait_until_ready(log) {
            Ok(()) => Ok(running),
            Err(log) => {
                drop(running.stdin.take());
                running.wait().unwrap();
                Err(log)
            }
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        match self.running.take() {
            Some(mut running) => {
                drop(running.stdin.take());
                // Its data goes with it.
                let _: std::io::Result<process::ExitStatus> = running.wait();
            }
            None => {
                let _: std::io::Result<process::ExitStatus> =
                    shell(r#"rm -rf "$0""#).arg(&self.data).status();
            }
        }
    }
}

/// A shell that runs `script`, as another user if this process is root's: PostgreSQL refuses to run as root.
fn shell(script: &str) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    let mut command = if id.stdout.trim_ascii() == b"0" {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", script]).current_dir("/");
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Reads the log until the server is ready, and from then on without looking, so that it never waits for us.
fn wait_until_ready(log: impl std::io::Read + Send + 'static) -> Result<(), String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Nobody listens once it is ready.
            let _: Result<(), mpsc::SendError<String>> = send.send(line);
        }
    });
    let mut lines = Vec::new();
    loop {
        match receive.recv_timeout(START_TIME) {
            Ok(line) if line.contains("database system is ready to accept connections") => {
                return Ok(());
            }
            Ok(line) => lines.push(line),
            Err(_) => return Err(lines.join("\n")),
        }
    }
}

const START_TIME: Duration = Duration::from_secs(30);
