//! The decision for one pod.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::filters::{self, Reasons, histogram};
use crate::pod::PodInfo;
use crate::preemption::{self, Preemption};
use crate::scores;
use crate::topology::Prepared;

/// Upstream: `minFeasibleNodesToFind` and `minFeasibleNodesPercentageToFind`.
const FEASIBLE_NODES_MIN: usize = 100;
const FEASIBLE_PERCENT_MIN: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The pod already counts on this node.
    Bind { node: Arc<str> },
    /// `message` is the text of the FailedScheduling event and of the PodScheduled condition.
    Unschedulable { message: String, preemption: Option<Preemption> },
}

impl Cluster {
    /// Decides for one pending pod.
    pub fn schedule(&mut self, pod: &Arc<PodInfo>) -> Decision {
        let prepared = Prepared::new(self, pod);
        let feasible = self.feasible(pod, &prepared);
        match scores::best(self, pod, &prepared, &feasible, self.options.packing) {
            Some(at) => {
                let node = self.nodes[at].name.clone();
                self.place(pod.clone(), &node);
                Decision::Bind { node }
            }
            None => self.unschedulable(pod, &prepared),
        }
    }

    /// Enough feasible nodes, looked for from where the last search ended.
    fn feasible(&mut self, pod: &PodInfo, prepared: &Prepared) -> Vec<usize> {
        let n_nodes = self.nodes.len();
        let wanted = enough(n_nodes);
        let mut feasible = Vec::with_capacity(wanted.min(n_nodes));
        let mut n_seen = 0;
        while n_seen < n_nodes && feasible.len() < wanted {
            let at = (self.next_start + n_seen) % n_nodes;
            n_seen += 1;
            if filters::fits(self, &self.nodes[at], pod, prepared) {
                feasible.push(at);
            }
        }
        self.next_start = (self.next_start + n_seen) % n_nodes.max(1);
        feasible
    }

    fn unschedulable(&mut self, pod: &Arc<PodInfo>, prepared: &Prepared) -> Decision {
        let n_nodes = self.nodes.len();
        if n_nodes == 0 {
            return Decision::Unschedulable { message: "no nodes available to schedule pods".to_owned(), preemption: None };
        }
        let reasons: Vec<Reasons> = self.nodes.iter().map(|node| filters::reasons(self, node, pod, prepared)).collect();
        let mut message = format!("0/{n_nodes} nodes are available: {}.", histogram(reasons.iter().flat_map(|r| r.texts.iter().cloned())));
        let attempt = preemption::attempt(self, pod, prepared, &reasons);
        let preemption = match attempt {
            Ok(preemption) => {
                let node = preemption.node.clone();
                self.nominated.insert(pod.uid.clone(), (node, pod.clone()));
                Some(preemption)
            }
            Err(why) => {
                message.push_str(&format!(" preemption: {why}"));
                None
            }
        };
        Decision::Unschedulable { message, preemption }
    }
}

/// Upstream: `numFeasibleNodesToFind` with the adaptive percentage.
fn enough(n_nodes: usize) -> usize {
    if n_nodes < FEASIBLE_NODES_MIN {
        return n_nodes;
    }
    let percent = 50usize.saturating_sub(n_nodes / 125).max(FEASIBLE_PERCENT_MIN);
    (n_nodes * percent / 100).max(FEASIBLE_NODES_MIN)
}
