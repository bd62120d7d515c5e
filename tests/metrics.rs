//! The metrics of the layer, as a recorder for Prometheus shows them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use http_body_util::BodyExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{HistoryLimits, MemoryStore, Role, SessionId, SessionKey, SessionLayer};

use support::{Instance, MINUTE, SECOND, UNKNOWN, by, delete, initialize, ping, shared};

/// Collects what happens on this thread, until the guard is dropped.
fn recorder() -> (PrometheusHandle, metrics::LocalRecorderGuard<'static>) {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    let handle = recorder.handle();
    (handle, metrics::set_default_local_recorder(recorder))
}

/// The lines of `text` that begin with `name`, without it.
fn lines<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn what_happens_is_counted_with_its_reason_or_cause() {
    let (handle, _guard) = recorder();
    let instance = Instance::new(|layer| layer.with_max_sessions(2));
    let id = instance.open().await;
    assert_eq!(instance.status(delete(&id)).await, 204);
    let (_, context) = instance.open_context().await;
    context.end().await.unwrap();
    instance.begin().await;
    instance.clock.advance(SECOND * 11);
    instance.open().await;
    instance.open().await;
    assert_eq!(instance.status(initialize()).await, 503);
    assert_eq!(instance.status(ping(UNKNOWN)).await, 404);
    assert_eq!(instance.status(ping(&id)).await, 404);

    let text = handle.render();
    assert_eq!(lines(&text, "mcp_server_sessions_created"), [" 5"]);
    assert_eq!(
        lines(&text, "mcp_server_sessions_ended"),
        [
            "{reason=\"deleted\"} 1",
            "{reason=\"evicted\"} 1",
            "{reason=\"terminated\"} 1"
        ]
    );
    assert_eq!(
        lines(&text, "mcp_server_requests_refused"),
        ["{cause=\"full\"} 1", "{cause=\"session_not_found\"} 2"]
    );
}

#[tokio::test]
async fn the_length_of_a_session_has_the_unit_and_the_attributes_of_the_convention() {
    let (handle, _guard) = recorder();
    let instance = Instance::new(|layer| layer.with_max_sessions(1));
    let id = instance.open().await;
    instance.clock.advance(MINUTE * 2);
    assert_eq!(instance.status(delete(&id)).await, 204);
    instance.begin().await;
    instance.clock.advance(SECOND * 11);
    instance.begin().await;
    instance.layer.record_metrics();

    let text = handle.render();
    let labels = |error: &str| {
        format!(
            "{{mcp_protocol_version=\"2025-11-25\",network_transport=\"tcp\",network_protocol_name=\"http\"{error}}}"
        )
    };
    let sums = lines(&text, "mcp_server_session_duration_sum");
    let expected = [
        format!("{} 11", labels(",error_type=\"evicted\"")),
        format!("{} 120", labels("")),
    ];
    assert_eq!(sums, expected);
    assert_eq!(
        lines(&text, "# HELP mcp_server_session_duration"),
        [" How long MCP sessions lasted."]
    );
}

#[tokio::test]
async fn a_restore_is_counted_where_it_happens() {
    let (handle, _guard) = recorder();
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let [a, b] = [(); 2].map(|()| Instance::over(shared(&memory), &clock, |layer| layer));
    let id = a.open().await;
    assert!(b.serves(&id).await);
    let text = handle.render();
    assert_eq!(lines(&text, "mcp_server_sessions_restored"), [" 1"]);
}

#[tokio::test]
async fn messages_are_counted_as_recorded_or_lost() {
    let (handle, _guard) = recorder();
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| {
        layer.with_history(HistoryLimits::default())
    });
    let (_, session) = instance.open_context().await;
    let history = session.history();
    history.append(Role::System, "kept").await.unwrap();
    let recorded = history.summary().await.unwrap().total;
    store.fail_all(Operation::Append, StoreErrorKind::Unavailable);
    let id = session.id().unwrap().to_header_value();
    let answer = instance.send(ping(id.to_str().unwrap())).await;
    answer.into_body().collect().await.unwrap();
    history.summary().await.unwrap();

    let text = handle.render();
    let recorded = format!(" {recorded}");
    assert_eq!(lines(&text, "mcp_server_messages_recorded"), [recorded]);
    assert_eq!(lines(&text, "mcp_server_messages_lost"), [" 2"]);
}

#[tokio::test]
async fn how_many_sessions_there_are_is_what_is_there() {
    let (handle, _guard) = recorder();
    let live = || lines(&handle.render(), "mcp_server_sessions_live").join("");
    let instance = Instance::new(|layer| layer.with_idle_timeout(MINUTE));
    for _ in 0..3 {
        instance.open().await;
    }
    assert_eq!(live(), "", "nobody has asked");
    instance.layer.record_metrics();
    assert_eq!(live(), " 3");
    instance.clock.advance(MINUTE * 2);
    instance.layer.clean_up().await.unwrap();
    assert_eq!(live(), " 0");
}

#[tokio::test]
async fn a_recorder_that_is_set_late_gets_what_happens_from_then_on() {
    let instance = Instance::new(|layer: SessionLayer| layer);
    instance.open().await;
    let (handle, _guard) = recorder();
    instance.open().await;
    instance.layer.record_metrics();
    let text = handle.render();
    assert_eq!(lines(&text, "mcp_server_sessions_created"), [" 1"]);
    assert_eq!(lines(&text, "mcp_server_sessions_live"), [" 2"]);
}

#[tokio::test]
async fn no_metric_names_a_session_a_client_or_a_principal() {
    let (handle, _guard) = recorder();
    let instance = Instance::new(|layer| layer);
    let id = instance.open_as("alice-the-principal").await;
    assert_eq!(instance.status(ping(&id)).await, 404);
    let request = by(delete(&id), "alice-the-principal");
    assert_eq!(instance.status(request).await, 204);
    instance.layer.record_metrics();

    let text = handle.render();
    assert!(text.contains("mcp_server_sessions_ended"));
    let parsed = SessionId::parse(id.as_bytes()).unwrap();
    let key = SessionKey::new("/mcp", &parsed);
    let key: String = key
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let fingerprint = parsed.fingerprint().to_string();
    let secrets = [
        &id[..8],
        &key[..8],
        &fingerprint,
        "alice-the",
        "\"test\"",
        "/mcp",
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
