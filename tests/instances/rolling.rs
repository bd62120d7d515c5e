//! A rolling restart: one instance after the other stops and is replaced, while clients go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use crate::mcp_http::{McpClient, text_of, tool_call};
use crate::site::Site;

/// No request of a session fails that reached an instance, and each counts exactly once.
pub(crate) async fn a_rolling_restart_under_load_fails_no_request(site: &Site) {
    let mut instances = [site.instance().await, site.instance().await];
    let urls = |instances: &[crate::server::Server; 2]| -> [String; 2] {
        instances
            .each_ref()
            .map(|instance| instance.url().to_owned())
    };
    let (routes, balancer) = watch::channel(urls(&instances));
    let load = Arc::new(Load::default());
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let session = instances[client % 2].client().begin().await;
        let (load, balancer) = (Arc::clone(&load), balancer.clone());
        clients.push(tokio::spawn(
            async move { load.run(session, balancer).await },
        ));
    }

    for round in 0..2 * ROUNDS {
        let replaced = round % 2;
        load.reach(CALLS_BETWEEN).await;
        let fresh = site.instance().await;
        let mut old = std::mem::replace(&mut instances[replaced], fresh);
        // As a load balancer does: no new requests, then the signal.
        routes.send(urls(&instances)).unwrap();
        old.terminate().await;
        assert!(old.ended().await.success());
    }
    load.reach(CALLS_BETWEEN).await;
    load.over.store(true, Ordering::Relaxed);

    for client in clients {
        client.await.unwrap();
    }
}

#[derive(Default)]
struct Load {
    calls: AtomicU64,
    over: AtomicBool,
    changed: tokio::sync::Notify,
}

impl Load {
    /// Calls the counter again and again, at each instance in turn.
    async fn run(&self, session: McpClient, balancer: watch::Receiver<[String; 2]>) {
        let mut expected = 0;
        while !self.over.load(Ordering::Relaxed) {
            expected += 1;
            let url = balancer.borrow()[expected % 2].clone();
            let answer = session.at(&url).post(tool_call("counter", json!({}))).await;
            assert_eq!(answer.status, StatusCode::OK, "call {expected}");
            assert_eq!(text_of(&answer.result()), expected.to_string());
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_waiters();
        }
    }

    /// Waits until `more` calls have been answered from now on.
    async fn reach(&self, more: u64) {
        let goal = self.calls.load(Ordering::Relaxed) + more;
        loop {
            let changed = self.changed.notified();
            if self.calls.load(Ordering::Relaxed) >= goal {
                return;
            }
            changed.await;
        }
    }
}

const CLIENTS: usize = 8;
const ROUNDS: usize = 2;
const CALLS_BETWEEN: u64 = 200;
