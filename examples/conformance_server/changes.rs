//! List changes, from the tool that triggers one to the streams that subscribed to it.

use rmcp::{model::SubscriptionFilter, service::SubscriptionContext};
use tokio::sync::broadcast;

/// A list of this server that has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Tools,
    Prompts,
}

/// Tells open `subscriptions/listen` streams of changes.
#[derive(Debug)]
pub(crate) struct Changes {
    sender: broadcast::Sender<Change>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(CAPACITY),
        }
    }

    pub(crate) fn publish(&self, change: Change) {
        // An error says that nobody listens, which is no fault.
        drop(self.sender.send(change));
    }

    /// Forwards what `subscription` asked for until its client goes.
    pub(crate) async fn forward(&self, subscription: SubscriptionContext) {
        let mut changes = self.sender.subscribe();
        loop {
            let change = tokio::select! {
                () = subscription.cancelled() => return,
                change = changes.recv() => change,
            };
            let sent = match change {
                Ok(change) if !wants(subscription.accepted(), change) => continue,
                Ok(Change::Tools) => subscription.sink().notify_tool_list_changed().await,
                Ok(Change::Prompts) => subscription.sink().notify_prompt_list_changed().await,
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

fn wants(filter: &SubscriptionFilter, change: Change) -> bool {
    match change {
        Change::Tools => filter.tools_list_changed == Some(true),
        Change::Prompts => filter.prompts_list_changed == Some(true),
    }
}

const CAPACITY: usize = 16;
