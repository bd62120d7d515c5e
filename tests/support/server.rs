//! The example server as a child process.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::example;
use crate::mcp_http::{McpClient, PATIENCE};

/// The example server as a child process, killed when this is dropped.
pub(crate) struct Server {
    url: String,
    process: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server on a free port, with its sessions in `store`.
    pub(crate) async fn start(store: &str, inner: &str) -> Self {
        let mut process = Command::new(example::program("server"))
            .args(["--port", "0", "--store", store, "--inner", inner])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::default();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        tokio::spawn(keep(stderr.lines(), Arc::clone(&log)));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .expect("the server is up in time");
        let Some(line) = line.unwrap() else {
            panic!("the server did not start: {:?}", lock(&log));
        };
        let url = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { url, process, log }
    }

    pub(crate) fn client(&self) -> McpClient {
        McpClient::new(&self.url)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many lines of its log hold `text` by now.
    pub(crate) fn logged(&self, text: &str) -> usize {
        let log = lock(&self.log);
        log.iter().filter(|line| line.contains(text)).count()
    }

    /// Asks it to stop: SIGTERM.
    #[cfg(unix)]
    pub(crate) async fn terminate(&self) {
        let pid = self.process.id().expect("it is running").to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(kill.unwrap().success());
    }

    /// Ends it at once, without a word to it: SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    #[cfg(unix)]
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.process.wait())
            .await
            .expect("it ends in time")
            .unwrap()
    }
}

async fn keep(
    mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        lock(&log).push(line);
    }
}

fn lock(log: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
