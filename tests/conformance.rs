//! The official conformance suite against rmcp, without and with the session layer in front.
//!
//! `scripts/test` installs Node and the suite, and names them in `MCP_NODE` and `MCP_CONFORMANCE`.
//! A check that passes without the layer has to pass with it. What rmcp fails by itself is not
//! counted: as a stateless service it cannot ask the client for sampling or elicitation.
//! The life cycle runs against the example server with signed ids, too.

#[path = "support/example.rs"]
mod example;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

#[tokio::test]
async fn what_passes_with_a_stateful_rmcp_alone_passes_behind_the_layer() {
    let without = checks_of("stateful", "off").await;
    let with = checks_of("stateful", "on").await;

    assert_eq!(
        failures(&without).len(),
        0,
        "the fixture fails: {:#?}",
        failures(&without)
    );
    assert_nothing_lost(&without, &with);
    assert_lifecycle(&with);
}

#[tokio::test]
async fn what_passes_with_a_stateless_rmcp_alone_passes_behind_the_layer() {
    let without = checks_of("stateless", "off").await;
    let with = checks_of("stateless", "on").await;

    let failures = failures(&without);
    assert_eq!(
        failures.len(),
        SERVER_REQUESTS,
        "the fixture fails: {failures:#?}"
    );
    assert_nothing_lost(&without, &with);
    assert_lifecycle(&with);
}

#[cfg(feature = "signed")]
#[tokio::test]
async fn the_life_cycle_of_signed_ids_with_a_list_ends_with_delete() {
    for inner in ["stateless", "stateful"] {
        assert_lifecycle(&lifecycle_of_signed_ids("+ended:memory", inner).await);
    }
}

/// 2025-11-25, Session Management 5: a server may answer DELETE 405. Then the suite skips the end of the life cycle.
#[cfg(feature = "signed")]
#[tokio::test]
async fn the_life_cycle_of_signed_ids_alone_has_no_end_and_fails_nothing() {
    for inner in ["stateless", "stateful"] {
        let checks = lifecycle_of_signed_ids("", inner).await;
        for revision in REVISIONS {
            for (id, status) in [
                ("server-session-initialized-accepted", "SUCCESS"),
                ("server-session-delete-accepted", "SKIPPED"),
                ("server-session-terminated-returns-404", "SKIPPED"),
            ] {
                let check = lifecycle_check(&checks, revision, id);
                assert_eq!(check.statuses, [status], "{revision}: {id}");
            }
        }
        assert_eq!(checks.len(), 3 * REVISIONS.len(), "the suite checks more");
    }
}

/// What passes without the layer passes with it; what is tested only with it does not fail.
fn assert_nothing_lost(without: &Checks, with: &Checks) {
    let mut lost = Vec::new();
    for (key, check) in with {
        let before = without.get(key);
        let passed = before.is_some_and(|before| before.passed()) && !check.passed();
        let failed = before.is_none_or(|before| !before.failed()) && check.failed();
        if passed || failed {
            lost.push(format!("{key}: {:?}", check.remarks));
        }
    }
    let missing = without
        .iter()
        .filter(|(key, check)| check.passed() && !with.contains_key(*key));
    lost.extend(missing.map(|(key, _)| format!("{key}: not reported")));
    assert!(
        lost.is_empty(),
        "the layer breaks these:\n{}",
        lost.join("\n")
    );
}

/// The life cycle has to be exercised to the end: DELETE accepted, then 404.
fn assert_lifecycle(checks: &Checks) {
    for revision in REVISIONS {
        for id in [
            "server-session-delete-accepted",
            "server-session-terminated-returns-404",
        ] {
            let check = lifecycle_check(checks, revision, id);
            assert!(check.passed(), "{revision}: {id}: {:?}", check.remarks);
        }
    }
}

fn lifecycle_check<'a>(checks: &'a Checks, revision: &str, id: &str) -> &'a Verdict {
    let key = format!("{LIFECYCLE} --spec-version {revision}: server-session-lifecycle: {id}");
    let check = checks.get(&key);
    check.unwrap_or_else(|| panic!("not reported: {key}"))
}

/// What the suite said about each check, by run, scenario and check id.
type Checks = BTreeMap<String, Verdict>;

/// One check. The suite repeats some of them within a scenario; all have to pass.
#[derive(Default)]
struct Verdict {
    statuses: Vec<String>,
    remarks: Vec<String>,
}

impl Verdict {
    fn add(&mut self, check: Check) {
        self.statuses.push(check.status);
        self.remarks.extend(check.error_message);
    }

    fn passed(&self) -> bool {
        self.statuses.iter().all(|status| status == "SUCCESS")
    }

    fn failed(&self) -> bool {
        self.statuses.iter().any(|status| status == "FAILURE")
    }
}

/// An element of the suite's `checks.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    id: String,
    status: String,
    error_message: Option<String>,
}

fn failures(checks: &Checks) -> Vec<String> {
    let failed = checks.iter().filter(|(_, check)| check.failed());
    failed
        .map(|(key, check)| format!("{key}: {:?}", check.remarks))
        .collect()
}

/// Runs all of the suite against one server.
async fn checks_of(inner: &str, layer: &str) -> Checks {
    let options = ["--inner", inner, "--layer", layer];
    let server = Server::start("conformance_server", &options).await;
    run_all(&server, RUNS, &format!("{inner}-{layer}")).await
}

/// Runs the life cycle against the example server, with signed ids and what stands `behind` them.
#[cfg(feature = "signed")]
async fn lifecycle_of_signed_ids(behind: &str, inner: &str) -> Checks {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let keys = folder.path().join("keys");
    let key = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    fs::write(&keys, key).expect("there is room for a key");
    let store = format!("signed:{}{behind}", keys.display());
    let server = Server::start("server", &["--store", &store, "--inner", inner]).await;
    let runs = RUNS.into_iter().filter(|run| run.starts_with(LIFECYCLE));
    let name = if behind.is_empty() { "alone" } else { "list" };
    run_all(&server, runs, &format!("signed-{name}-{inner}")).await
}

async fn run_all(
    server: &Server,
    runs: impl IntoIterator<Item = &'static str>,
    name: &str,
) -> Checks {
    let mut running = JoinSet::new();
    for (number, run) in runs.into_iter().enumerate() {
        let results =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{name}-{number}"));
        running.spawn(suite(server.url.clone(), run, results));
    }
    running.join_all().await.into_iter().flatten().collect()
}

/// An example as a child process, killed when this is dropped.
struct Server {
    url: String,
    _process: Child,
}

impl Server {
    async fn start(example: &str, options: &[&str]) -> Self {
        let mut process = Command::new(example::program(example))
            .args(["--port", "0"])
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START, lines.next_line())
            .await
            .expect("the server is up in time");
        let line = line
            .expect("its output is text")
            .expect("it prints its address");
        let url = line
            .strip_prefix("listening on ")
            .expect("the line names the address")
            .to_owned();
        Self {
            url,
            _process: process,
        }
    }
}

/// Runs the suite once and reads what it wrote to `results`.
async fn suite(url: String, run: &'static str, results: PathBuf) -> Vec<(String, Verdict)> {
    if results.exists() {
        fs::remove_dir_all(&results).expect("old results can be removed");
    }
    let _permit = AT_ONCE
        .acquire()
        .await
        .expect("the semaphore is never closed");
    let process = Command::new(tool("MCP_NODE"))
        .arg(tool("MCP_CONFORMANCE"))
        .args(["server", "--url", &url, "--output-dir"])
        .arg(&results)
        .args(run.split(' '))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(RUN, process)
        .await
        .unwrap_or_else(|_| panic!("not done in {RUN:?}: {run}"));
    read_results(run, &results, &output.expect("Node starts"))
}

/// A tool that `scripts/test` installs.
fn tool(variable: &str) -> PathBuf {
    let path = env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| {
        panic!("{variable} is not set: run `scripts/test`, or `. scripts/conformance-tools` first")
    });
    assert!(
        path.is_file(),
        "{variable} names no file: {}",
        path.display()
    );
    path
}

/// Reads `results/server-SCENARIO-TIMESTAMP/checks.json`, one for each scenario.
fn read_results(run: &str, results: &Path, output: &Output) -> Vec<(String, Verdict)> {
    let mut checks = Checks::new();
    for folder in
        fs::read_dir(results).unwrap_or_else(|_| panic!("no results of {run}: {output:?}"))
    {
        let folder = folder.expect("the results can be listed").path();
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("the suite uses ASCII names");
        let scenario = &name["server-".len()..name.len() - "-2026-11-20T11-28-17-806Z".len()];
        let json = fs::read(folder.join("checks.json"))
            .unwrap_or_else(|_| panic!("{scenario} crashed: {output:?}"));
        for check in serde_json::from_slice::<Vec<Check>>(&json).expect("the suite writes JSON") {
            let key = format!("{run}: {scenario}: {}", check.id);
            checks.entry(key).or_default().add(check);
        }
    }
    checks.into_iter().collect()
}

/// Those that have sessions.
const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

const LIFECYCLE: &str = "--scenario server-session-lifecycle";

/// The two scored sets, and the life cycle, which no set scores.
const RUNS: [&str; 5] = [
    "--requirements 2026-07-28",
    "--requirements 2025-11-25",
    "--scenario server-session-lifecycle --spec-version 2025-03-26",
    "--scenario server-session-lifecycle --spec-version 2025-06-18",
    "--scenario server-session-lifecycle --spec-version 2025-11-25",
];

/// Sampling, elicitation, its defaults and its choices: what a stateless rmcp cannot ask.
const SERVER_REQUESTS: usize = 4;

/// Some scenarios wait half a second for an answer: more runs at once starve them of processors.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

const START: Duration = Duration::from_secs(10);
const RUN: Duration = Duration::from_secs(90);
