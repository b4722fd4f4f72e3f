//! What each pod of this node was granted, and the wishes that wait for room. Who decides is `pod_plan::allocation` and `admission`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use object::quantity::Quantity;
use pod_plan::admission;
use pod_plan::allocation::{self, Allocation};
use pod_plan::effect::Note;
use pod_plan::pod::{BoundPod, Pending};

/// By the pod's uid.
#[derive(Default)]
pub(crate) struct Grants(HashMap<String, Grant>);

struct Grant {
    allocation: Allocation,
    generation: Option<i64>,
    waiting: Option<Waiting>,
}

struct Waiting {
    pod: BoundPod,
    pending: Pending,
}

impl Grants {
    /// The pod with what it was granted in the place of what it asks for. `others` hold what they were granted.
    pub(crate) fn settle(
        &mut self,
        pod: BoundPod,
        others: &[Arc<BoundPod>],
        room: &BTreeMap<String, Quantity>,
    ) -> (BoundPod, Option<Note>) {
        let wanted = Allocation::wanted(&pod);
        let first =
            || Grant { allocation: if has_begun(&pod) { Allocation::told(&pod) } else { wanted.clone() }, generation: None, waiting: None };
        let grant = self.0.entry(pod.uid.clone()).or_insert_with(first);
        let mut granted = pod.clone();
        grant.allocation.grant(&mut granted);
        let mut note = None;
        let is_final = pod.is_deleted() || matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if is_final || grant.allocation.equals(&wanted) {
            grant.waiting = None;
        } else {
            let others = others.iter().map(AsRef::as_ref).filter(|other| other.uid != pod.uid);
            match admission::refusal(&pod, others, room) {
                None => {
                    note = Some(Note::normal("ResizeStarted", message("started", &pod, None)));
                    wanted.grant(&mut granted);
                    *grant = Grant { allocation: wanted, generation: Some(pod.generation()), waiting: None };
                }
                Some(refusal) => {
                    let generation = pod.generation();
                    if grant.waiting.as_ref().is_none_or(|w| w.pending.generation != generation) {
                        note = Some(Note::warning("ResizeDeferred", message("Deferred", &pod, Some(&refusal.message))));
                    }
                    grant.waiting = Some(Waiting { pod, pending: Pending { message: refusal.message, generation } });
                }
            }
        }
        granted.pending_resize = grant.waiting.as_ref().map(|w| w.pending.clone());
        granted.granted_generation = grant.generation;
        (granted, note)
    }

    /// The pods whose wishes wait, in the order in which they are to be looked at again.
    pub(crate) fn waiting(&self) -> Vec<BoundPod> {
        let mut waiting: Vec<_> = self.0.values().filter_map(|g| Some((&g.allocation, g.waiting.as_ref()?))).collect();
        waiting.sort_by_cached_key(|(allocation, waiting)| {
            let mut granted = waiting.pod.clone();
            allocation.grant(&mut granted);
            allocation::rank(&granted, &waiting.pod)
        });
        waiting.into_iter().map(|(_, waiting)| waiting.pod.clone()).collect()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.0.values().any(|grant| grant.waiting.is_some())
    }

    pub(crate) fn forget(&mut self, uid: &str) {
        self.0.remove(uid);
    }
}

fn message(what: &str, pod: &BoundPod, error: Option<&str>) -> String {
    format!("Pod resize {what}: {}", allocation::summary(pod, pod.generation(), error))
}

/// Something of it was started once: what it was granted then stands in its status.
fn has_begun(pod: &BoundPod) -> bool {
    pod.status.start_time.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, cpu: &str, generation: i64) -> BoundPod {
        let container = json!({"name": "a", "resources": {"requests": {"cpu": cpu}}});
        BoundPod::read(&json!({
            "metadata": {"name": uid, "uid": uid, "generation": generation},
            "spec": {"containers": [container]},
        }))
        .unwrap()
    }

    fn cpu(pod: &BoundPod) -> String {
        pod.spec.containers[0].resources.as_ref().unwrap().requests.as_ref().unwrap()["cpu"].0.clone()
    }

    #[test]
    fn wishes_wait_for_room() {
        let room = BTreeMap::from([("cpu".to_owned(), Quantity::parse("2").unwrap())]);
        let mut grants = Grants::default();
        let (first, _) = grants.settle(pod("one", "1", 1), &[], &room);
        let (second, note) = grants.settle(pod("two", "1", 1), &[Arc::new(first.clone())], &room);
        assert_eq!((note, &second.pending_resize), (None, &None));

        let (held, note) = grants.settle(pod("two", "1500m", 2), &[Arc::new(first.clone())], &room);
        assert_eq!((cpu(&held).as_str(), note.unwrap().reason), ("1", "ResizeDeferred"));
        let text = "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000";
        assert_eq!(held.pending_resize, Some(Pending { message: text.to_owned(), generation: 2 }));
        assert_eq!(grants.waiting().len(), 1);

        let (less, note) = grants.settle(pod("one", "250m", 2), &[Arc::new(held.clone())], &room);
        assert_eq!((cpu(&less).as_str(), note.unwrap().reason, less.granted_generation), ("250m", "ResizeStarted", Some(2)));
        let (granted, note) = grants.settle(grants.waiting().remove(0), &[Arc::new(less)], &room);
        assert_eq!((cpu(&granted).as_str(), note.unwrap().reason, granted.pending_resize), ("1500m", "ResizeStarted", None));
        assert!(!grants.has_waiting());
    }
}
