//! ControllerRevisions: the templates a DaemonSet or StatefulSet has had, by number (upstream: `controller_history.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use object::Value;
use object::names::safe_encode;
use object::plan::{Change, Plan};
use serde_json::json;

use crate::claims::{self, Claim, owner_reference};
use crate::template;

/// The hash of a pod's template, on the pod.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// An owner and the revisions it has.
pub(crate) struct History<'a, O> {
    pub(crate) owner: &'a O,
    pub(crate) template: &'a PodTemplateSpec,
    pub(crate) collision_count: Option<i32>,
    /// The label that has the hash on a revision.
    pub(crate) hash_label: &'static str,
    /// Its own, oldest first.
    kept: Vec<Arc<ControllerRevision>>,
}

/// The revision of the present template.
pub(crate) enum Current {
    /// It is there; or this plan makes it.
    Known(Arc<ControllerRevision>),
    /// Another object has its name: the owner must count a collision.
    Collided,
}

impl<'a, O: Metadata<Ty = ObjectMeta>> History<'a, O> {
    /// Takes the owner's own out of `candidates`; adoption is put into the plan.
    pub(crate) fn new(
        owner: &'a O,
        template: &'a PodTemplateSpec,
        collision_count: Option<i32>,
        hash_label: &'static str,
        selector: &object::selector::LabelSelector,
        candidates: &[Arc<ControllerRevision>],
        plan: &mut Plan,
    ) -> Self {
        let mut kept = Vec::new();
        for revision in candidates {
            match claims::claim(owner.metadata(), selector, &revision.metadata) {
                Claim::Kept => kept.push(Arc::clone(revision)),
                Claim::Adopted => plan.changes.push(claims::adopt(owner, &**revision)),
                Claim::Released | Claim::Foreign => {}
            }
        }
        kept.sort_by(|a, b| number(a).cmp(&number(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name)));
        History { owner, template, collision_count, hash_label, kept }
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<ControllerRevision>> {
        self.kept.iter().find(|revision| revision.metadata.name.as_deref() == Some(name))
    }

    /// Finds or makes the revision of the present template; one that is current again becomes the newest.
    pub(crate) fn current(&self, is_taken: &dyn Fn(&str) -> bool, plan: &mut Plan) -> Current {
        let data = data_of(self.template);
        let wanted = pruned(&data);
        let next = self.kept.iter().map(|r| number(r)).max().unwrap_or(0) + 1;
        if let Some(same) = self.kept.iter().rev().find(|revision| pruned(&revision.data.0) == wanted) {
            if number(same) + 1 < next {
                let mut raised = ControllerRevision::clone(same);
                raised.revision = Some(next);
                plan.changes.push(Change::update(&raised));
                return Current::Known(Arc::new(raised));
            }
            return Current::Known(Arc::clone(same));
        }
        let hash = hash(&wanted, self.collision_count);
        let made = self.made(&hash, data, next);
        if is_taken(made.metadata.name.as_deref().unwrap_or("")) {
            return Current::Collided;
        }
        plan.changes.push(Change::create(&made));
        Current::Known(Arc::new(made))
    }

    fn made(&self, hash: &str, data: Value, number: i64) -> ControllerRevision {
        let metadata = self.owner.metadata();
        let mut labels: BTreeMap<String, String> = self.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        labels.insert(self.hash_label.to_owned(), hash.to_owned());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", metadata.name.as_deref().unwrap_or(""))),
                namespace: metadata.namespace.clone(),
                labels: Some(labels),
                annotations: metadata.annotations.clone(),
                owner_references: Some(vec![owner_reference(self.owner)]),
                ..ObjectMeta::default()
            },
            data: RawExtension(data),
            revision: Some(number),
        }
    }

    /// Deletes the oldest that nobody uses, beyond the limit.
    pub(crate) fn clean_up(&self, limit: Option<i32>, is_used: &dyn Fn(&ControllerRevision) -> bool, plan: &mut Plan) {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let unused: Vec<_> = self.kept.iter().filter(|revision| !is_used(revision)).collect();
        let n_beyond = unused.len().saturating_sub(limit);
        plan.changes.extend(unused.into_iter().take(n_beyond).map(|revision| Change::delete(&**revision)));
    }
}

pub(crate) fn number(revision: &ControllerRevision) -> i64 {
    revision.revision.unwrap_or(0)
}

pub(crate) fn label<'a>(metadata: &'a ObjectMeta, label: &str) -> &'a str {
    metadata.labels.as_ref().and_then(|l| l.get(label)).map_or("", String::as_str)
}

/// A strategic merge patch that brings the template back: what `kubectl rollout undo` applies.
fn data_of(template: &PodTemplateSpec) -> Value {
    let mut tree = serde_json::to_value(template).expect("a pod template is plain data");
    tree["$patch"] = "replace".into();
    json!({"spec": {"template": tree}})
}

/// The template that a revision holds.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut tree = revision.data.0["spec"]["template"].clone();
    tree.as_object_mut()?.remove("$patch");
    object::view(&tree).ok()
}

fn pruned(data: &Value) -> Value {
    let mut tree = data.clone();
    object::meta::unset(&mut tree["spec"]["template"], "creationTimestamp");
    template::prune(&mut tree);
    tree
}

fn hash(tree: &Value, collision_count: Option<i32>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let collision = collision_count.map(i32::to_le_bytes);
    for byte in tree.to_string().bytes().chain(collision.into_iter().flatten()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    safe_encode(&hash.to_string())
}
