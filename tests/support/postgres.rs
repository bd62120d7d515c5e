//! PostgreSQL servers for tests: started from the programs that `scripts/postgres-server` finds, ended with the process.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of this, and helpers of tests may unwrap as tests do"
)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tokio::sync::OnceCell;
use tower_mcp_session::store::sqlx::postgres::PgConnection;
use tower_mcp_session::store::sqlx::{AssertSqlSafe, Connection, raw_sql};

/// A server on a free port of 127.0.0.1, with data of its own.
///
/// It stops and its data goes when this is dropped, and when this process ends in whatever way: the shell that runs it
/// waits for the end of a pipe that this process holds.
pub(crate) struct PostgresServer {
    shell: Child,
    commands: Option<ChildStdin>,
    log: Mutex<Receiver<String>>,
    port: u16,
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

    fn with_settings(settings: &[&str]) -> Self {
        let programs = env::var_os("MCP_TEST_POSTGRES_BIN").expect(
            "MCP_TEST_POSTGRES_BIN names the folder with PostgreSQL's initdb and postgres: \
             `. scripts/postgres-server` installs them and sets it",
        );
        let mut shell = shell()
            .arg(programs)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self {
            commands: shell.stdin.take(),
            log: Mutex::new(lines(shell.stderr.take().expect("it is a pipe"))),
            shell,
            port: 0,
        };
        server.wait_for(MADE).expect("initdb works");
        server.start_on_a_free_port();
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
        self.command(&format!("stop {signal}"));
        self.wait_for(STOPPED).unwrap();
    }

    /// Starts the server again, on the same port and with the data that it had.
    pub(crate) fn start_again(&mut self) {
        self.command(&format!("start {}", self.port));
        self.wait_for(READY).unwrap();
    }

    pub(crate) fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    fn start_on_a_free_port(&mut self) {
        for _ in 0..5 {
            self.port = free_port();
            self.command(&format!("start {}", self.port));
            match self.wait_for(READY) {
                Ok(()) => return,
                // Somebody else took the port first.
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("PostgreSQL does not start: {log}"),
            }
        }
        panic!("no port stays free");
    }

    fn command(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("it is taken at the end");
        writeln!(commands, "{command}").unwrap();
    }

    /// Reads the log up to this text; gives what it says if that does not come.
    fn wait_for(&self, text: &str) -> Result<(), String> {
        let log = self.log.lock().unwrap();
        let mut said = Vec::new();
        while let Ok(line) = log.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return Ok(());
            }
            let has_ended = text == READY && line.contains("database system is shut down");
            said.push(line);
            if has_ended {
                break;
            }
        }
        Err(said.join("\n"))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Whether it could be waited for or not, it ends.
        let _: std::io::Result<ExitStatus> = self.shell.wait();
    }
}

/// The shell that runs a server, as another user if this process is root's: PostgreSQL refuses to run as root.
fn shell() -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    let mut command = if id.stdout.trim_ascii() == b"0" {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", SCRIPT]).current_dir("/");
    command
}

/// Does what the lines of its input say, until they end.
const SCRIPT: &str = r#"
    # Nobody may be left to read the log when the data has to go.
    trap '' PIPE
    programs=$0 server=
    data=$(mktemp -d) || exit
    "$programs/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C --no-sync >&2 && echo "== made" >&2
    while read -r command argument; do
        case $command in
        start)
            "$programs/postgres" -D "$data" -p "$argument" -h 127.0.0.1 -c unix_socket_directories=                 -c max_connections=300 "$@" </dev/null &
            server=$! ;;
        stop)
            kill "-$argument" "$server"
            wait "$server"
            server=
            echo "== stopped" >&2 ;;
        esac
    done
    if [ "$server" ]; then
        kill -QUIT "$server"
        wait "$server"
    fi
    rm -rf "$data"
"#;

const MADE: &str = "== made";
const STOPPED: &str = "== stopped";
const READY: &str = "database system is ready to accept connections";

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The lines of the log, which are read as they come: the server never waits for us.
fn lines(log: ChildStderr) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Nobody listens at the end.
            let _: Result<(), mpsc::SendError<String>> = send.send(line);
        }
    });
    receive
}

const PATIENCE: Duration = Duration::from_secs(30);
