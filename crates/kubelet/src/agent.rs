//! What the parts of a node agent share.

use std::sync::Arc;

use tokio::sync::watch;

use crate::node::Node;
use crate::node_object::Health;
use crate::pods::Pods;

/// One node's agent. Cheap to clone: clones look at the same pods.
#[derive(Clone)]
pub struct Agent {
    pub node: Arc<Node>,
    pub pods: Pods,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) images: watch::Sender<u64>,
}

impl Agent {
    pub fn new(node: Arc<Node>) -> Self {
        Agent { node, pods: Pods::default(), health: watch::Sender::default(), images: watch::Sender::default() }
    }

    /// How the node fares; told to the API server when it changes.
    pub fn set_health(&self, health: Health) {
        self.health.send_if_modified(|old| {
            let is_news = *old != health;
            *old = health;
            is_news
        });
    }

    /// The image store holds others now.
    pub fn images_changed(&self) {
        self.images.send_modify(|n| *n += 1);
    }
}
