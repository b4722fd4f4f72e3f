//! The end of a namespace: all its content goes, pods first, then the namespace itself.
//!
//! ```text
//!   marked for deletion --> phase Terminating --> delete pods --> delete everything else --> nothing remains --> finalize
//!                                                 conditions say what is still there and what holds it
//! ```

use std::collections::BTreeMap;

use control_workloads::pods::whole_seconds;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Change, Plan, Verb, Write};

const FINALIZER: &str = "kubernetes";
/// Content that goes at once is gone by then; what takes longer is looked at more seldom.
const SOON: SignedDuration = SignedDuration::from_millis(20);
const LATER: SignedDuration = SignedDuration::from_secs(1);

pub struct View<'a> {
    pub namespace: &'a Namespace,
    /// What is in it, by kind; kinds without objects may be left out.
    pub contents: &'a [Content],
    /// Kinds that could not be found out or listed, in the server's words.
    pub discovery_failures: &'a [String],
    /// How the last deletion failed, if it did.
    pub deletion_failure: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub struct Content {
    pub resource: GroupVersionResource,
    pub n_objects: usize,
    /// Objects that are not yet marked for deletion.
    pub n_living: usize,
    /// How many objects each finalizer holds.
    pub finalizers: BTreeMap<String, usize>,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let namespace = view.namespace;
    let mut plan = Plan::nothing();
    let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.clone()).unwrap_or_default();
    if namespace.metadata.deletion_timestamp.is_none() || finalizers.is_empty() {
        return plan;
    }
    let status = status(view, now);
    if namespace.status.as_ref() != Some(&status) {
        plan.changes.push(Change::update_status(&Namespace { status: Some(status), ..namespace.clone() }));
    }
    let remaining: Vec<&Content> = view.contents.iter().filter(|c| c.n_objects > 0).collect();
    if remaining.is_empty() && view.discovery_failures.is_empty() {
        // Its status is told first, for nobody sees it afterwards.
        if plan.changes.is_empty() {
            plan.changes.push(finalize(namespace, &finalizers));
        }
        return plan;
    }
    let is_pods = |c: &Content| c.resource.group.is_empty() && c.resource.resource == "pods";
    let has_pods = remaining.iter().any(|c| is_pods(c));
    let name = namespace.metadata.name.as_deref().unwrap_or("");
    let going = remaining.iter().filter(|c| c.n_living > 0 && (!has_pods || is_pods(c)));
    let deletions: Vec<Change> =
        going.map(|c| Write::DeleteCollection { resource: c.resource.clone(), namespace: name.to_owned() }.into()).collect();
    plan.wake_by(now + if deletions.is_empty() { LATER } else { SOON });
    plan.changes.extend(deletions);
    plan
}

fn finalize(namespace: &Namespace, finalizers: &[String]) -> Change {
    let mut wanted = namespace.clone();
    let left: Vec<String> = finalizers.iter().filter(|f| *f != FINALIZER).cloned().collect();
    wanted.spec.get_or_insert_default().finalizers = Some(left);
    let name = namespace.metadata.name.as_deref().unwrap_or("");
    let object = serde_json::to_value(&wanted).expect("a namespace is plain data");
    let resource = GroupVersionResource::of::<Namespace>();
    Write::Subresource { resource, key: ObjectKey::cluster(name), subresource: "finalize", verb: Verb::Update, object }.into()
}

fn status(view: &View<'_>, now: Timestamp) -> k8s_openapi::api::core::v1::NamespaceStatus {
    let mut status = view.namespace.status.clone().unwrap_or_default();
    status.phase = Some("Terminating".to_owned());
    let conditions = status.conditions.get_or_insert_default();
    for (kind, state, reason, message) in conditions_of(view) {
        set(conditions, kind, state, reason, message, now);
    }
    status
}

type Row = (&'static str, &'static str, &'static str, String);

/// Upstream: `namespaceConditionUpdater`.
fn conditions_of(view: &View<'_>) -> [Row; 5] {
    let row = |kind, is_set: bool, yes: (&'static str, String), no: (&'static str, &str)| {
        if is_set { (kind, "True", yes.0, yes.1) } else { (kind, "False", no.0, no.1.to_owned()) }
    };
    let failures = view.discovery_failures.join(", ");
    let discovery = format!("Discovery failed for some groups, {} failing: {failures}", view.discovery_failures.len());
    let content = format!("Failed to delete all resource types, 1 remaining: {}", view.deletion_failure.unwrap_or(""));
    let remaining = remaining(view);
    let finalizers = finalizers(view);
    [
        row(
            "NamespaceDeletionDiscoveryFailure",
            !view.discovery_failures.is_empty(),
            ("DiscoveryFailed", discovery),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        row(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            ("GroupVersionParsingFailed", String::new()),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        row(
            "NamespaceDeletionContentFailure",
            view.deletion_failure.is_some(),
            ("ContentDeletionFailed", content),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        row(
            "NamespaceContentRemaining",
            !remaining.is_empty(),
            ("SomeResourcesRemain", format!("Some resources are remaining: {remaining}")),
            ("ContentRemoved", "All content successfully removed"),
        ),
        row(
            "NamespaceFinalizersRemaining",
            !finalizers.is_empty(),
            ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {finalizers}")),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
}

fn remaining(view: &View<'_>) -> String {
    let mut texts: Vec<String> = view
        .contents
        .iter()
        .filter(|c| c.n_objects > 0)
        .map(|c| format!("{}.{} has {} resource instances", c.resource.resource, c.resource.group, c.n_objects))
        .collect();
    texts.sort();
    texts.join(", ")
}

fn finalizers(view: &View<'_>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (finalizer, n) in view.contents.iter().flat_map(|c| &c.finalizers) {
        *counts.entry(finalizer).or_default() += n;
    }
    counts.into_iter().map(|(finalizer, n)| format!("{finalizer} in {n} resource instances")).collect::<Vec<_>>().join(", ")
}

fn set(conditions: &mut Vec<NamespaceCondition>, kind: &str, state: &str, reason: &str, message: String, now: Timestamp) {
    let fresh = NamespaceCondition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(whole_seconds(now)),
    };
    match conditions.iter_mut().find(|c| c.type_ == kind) {
        None => conditions.push(fresh),
        Some(old) if old.status == fresh.status => {
            old.reason = fresh.reason;
            old.message = fresh.message;
        }
        Some(old) => *old = fresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(resource: &str, n_objects: usize, n_living: usize) -> Content {
        Content { resource: GroupVersionResource::new("", "v1", resource), n_objects, n_living, finalizers: BTreeMap::new() }
    }

    fn namespace(phase: &str) -> Namespace {
        let tree = json!({"metadata": {"name": "chat", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": phase}});
        serde_json::from_value(tree).unwrap()
    }

    fn check(contents: &[Content], expected: &[&str]) {
        let mut namespace = namespace("Active");
        let mut seen = Vec::new();
        for _ in 0..2 {
            let view = View { namespace: &namespace, contents, discovery_failures: &[], deletion_failure: None };
            for change in plan(&view, Timestamp::UNIX_EPOCH).changes {
                match change.write {
                    Write::UpdateStatus { object, .. } => {
                        seen.push(format!("status {}", object["status"]["phase"].as_str().unwrap()));
                        namespace = serde_json::from_value(object).unwrap();
                    }
                    Write::DeleteCollection { resource, .. } => seen.push(format!("delete all {}", resource.resource)),
                    Write::Subresource { object, .. } => seen.push(format!("finalize {}", object["spec"]["finalizers"])),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn pods_go_first_and_the_namespace_last() {
        check(&[content("pods", 2, 2), content("configmaps", 1, 1)], &["status Terminating", "delete all pods", "delete all pods"]);
        check(&[content("pods", 2, 0), content("configmaps", 1, 1)], &["status Terminating"]);
        check(&[content("configmaps", 1, 1)], &["status Terminating", "delete all configmaps", "delete all configmaps"]);
        check(&[], &["status Terminating", "finalize []"]);
    }
}
