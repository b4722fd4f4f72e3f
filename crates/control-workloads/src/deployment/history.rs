//! Revisions: the newest set, its number, and how many old ones are kept.

use std::collections::BTreeMap;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::names::safe_encode;
use object::plan::{Change, Note, Plan, Reference};

use super::{Rollout, rolling, scaling, size};
use crate::claims::owner_reference;
use crate::template;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Upstream: `maxRevHistoryLengthInChars`.
const HISTORY_BYTES_MAX: usize = 2000;

type Annotations = BTreeMap<String, String>;

pub(super) fn has_template_of(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let Some(template) = &set.spec.template else { return false };
    let mut bare = template.clone();
    if let Some(labels) = bare.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(TEMPLATE_HASH);
    }
    template::is_same(&bare, &deployment.spec.template)
}

/// Upstream hashes a Go dump of the template with FNV-32a; only stability is visible, so the canonical tree is hashed here.
fn template_hash(template: &PodTemplateSpec, collision_count: Option<i32>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let tree = template::canonical(template).to_string();
    let collision = collision_count.map(i32::to_le_bytes);
    for byte in tree.bytes().chain(collision.into_iter().flatten()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    safe_encode(&hash.to_string())
}

pub(super) fn revision(annotations: Option<&Annotations>) -> i64 {
    annotations.and_then(|a| a.get(REVISION)).and_then(|r| r.parse().ok()).unwrap_or(0)
}

fn next_revision(rollout: &Rollout<'_>) -> i64 {
    rollout.old.iter().map(|set| revision(set.metadata.annotations.as_ref())).max().unwrap_or(0) + 1
}

/// Brings the newest set up to date. False when that took a step of its own.
pub(super) fn keep_newest(rollout: &Rollout<'_>, plan: &mut Plan) -> bool {
    let Some(newest) = &rollout.newest else { return true };
    let mut set = ReplicaSet::clone(newest);
    let annotations = set.metadata.annotations.get_or_insert_default();
    let mut is_changed = copy_annotations(rollout.deployment, annotations);
    is_changed |= raise_revision(annotations, next_revision(rollout));
    let min_ready_seconds = rollout.deployment.spec.min_ready_seconds;
    if set.spec.min_ready_seconds.unwrap_or(0) != min_ready_seconds.unwrap_or(0) {
        set.spec.min_ready_seconds = min_ready_seconds;
        is_changed = true;
    }
    if is_changed {
        plan.changes.push(Change::update(&set));
        return false;
    }
    true
}

/// The deployment with its own revision brought up to date. Upstream writes it along with the status, which leaves the generation alone.
pub(super) fn with_revision(rollout: &Rollout<'_>) -> Deployment {
    let mut deployment = rollout.deployment.clone();
    let revision = rollout.newest.as_ref().and_then(|set| set.metadata.annotations.as_ref()).and_then(|a| a.get(REVISION));
    if let Some(revision) = revision {
        deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision.clone());
    }
    deployment
}

/// Makes the set for a template that has none yet.
pub(super) fn make_newest(rollout: &Rollout<'_>, plan: &mut Plan) {
    let deployment = rollout.deployment;
    let collision_count = deployment.status.as_ref().and_then(|s| s.collision_count);
    let hash = template_hash(&deployment.spec.template, collision_count);
    let name = format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or(""));
    if (rollout.view.set_named)(&name).is_some() {
        // A set of that name is there and is not ours, or not of this template: another hash is needed.
        let mut status = deployment.status.clone().unwrap_or_default();
        status.collision_count = Some(collision_count.unwrap_or(0) + 1);
        plan.changes.push(Change::update_status(&Deployment { status: Some(status), ..deployment.clone() }));
        return;
    }
    let set = newest_set(rollout, &name, &hash);
    let n = size(&set);
    let mut change = Change::create(&set);
    if n > 0 {
        change = change.telling(Note::normal(rollout.about(), "ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {n}")));
    }
    let failed = Note::warning(rollout.about(), "ReplicaSetCreateError", format!("Failed to create new replica set \"{name}\": "));
    plan.changes.push(change.telling_failure(failed));
}

fn newest_set(rollout: &Rollout<'_>, name: &str, hash: &str) -> ReplicaSet {
    let deployment = rollout.deployment;
    let mut template = deployment.spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(TEMPLATE_HASH.to_owned(), hash.to_owned());
    let labels = labels.clone();
    let mut selector = deployment.spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(TEMPLATE_HASH.to_owned(), hash.to_owned());
    let mut annotations = Annotations::new();
    copy_annotations(deployment, &mut annotations);
    annotations.insert(REVISION.to_owned(), next_revision(rollout).to_string());
    scaling::annotate(rollout, &mut annotations);
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![owner_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(rolling::newest_size(rollout)),
            min_ready_seconds: deployment.spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}

/// Sets take over the deployment's annotations, but for those that are about itself.
fn copy_annotations(deployment: &Deployment, annotations: &mut Annotations) -> bool {
    let mut is_changed = false;
    for (name, value) in deployment.metadata.annotations.iter().flatten() {
        let is_own = [REVISION, REVISION_HISTORY, ROLLBACK_TO, LAST_APPLIED, scaling::DESIRED, scaling::MAX].contains(&name.as_str());
        if !is_own && annotations.get(name) != Some(value) {
            annotations.insert(name.clone(), value.clone());
            is_changed = true;
        }
    }
    is_changed
}

/// A set that becomes the newest again keeps its former numbers in its history.
fn raise_revision(annotations: &mut Annotations, next: i64) -> bool {
    let Some(old) = annotations.get(REVISION).cloned() else {
        annotations.insert(REVISION.to_owned(), next.to_string());
        return true;
    };
    if old.parse().unwrap_or(0) >= next {
        return false;
    }
    annotations.insert(REVISION.to_owned(), next.to_string());
    let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
    while !history.is_empty() && history.len() + 1 + old.len() > HISTORY_BYTES_MAX {
        *history = history.split_once(',').map_or(String::new(), |(_, rest)| rest.to_owned());
    }
    if !history.is_empty() {
        history.push(',');
    }
    history.push_str(&old);
    true
}

/// Deletes the oldest empty sets beyond the limit.
pub(super) fn clean_up(rollout: &Rollout<'_>, plan: &mut Plan) {
    let Some(limit) = rollout.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
    let mut kept: Vec<_> = rollout.old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
    let n_beyond = kept.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    kept.sort_by(|a, b| {
        let of = |set: &ReplicaSet| revision(set.metadata.annotations.as_ref());
        of(a).cmp(&of(b)).then_with(|| super::by_age(a, b))
    });
    for set in kept.into_iter().take(n_beyond) {
        let status = set.status.clone().unwrap_or_default();
        let is_settled = set.metadata.generation <= status.observed_generation;
        if status.replicas == 0 && size(set) == 0 && is_settled && !plan_touches(plan, set) {
            plan.changes.push(Change::delete(&**set));
        }
    }
}

fn plan_touches(plan: &Plan, set: &ReplicaSet) -> bool {
    let name = set.metadata.name.as_deref().unwrap_or("");
    plan.changes.iter().any(|change| match &change.write {
        object::plan::Write::Update { resource, object } => {
            resource.resource == ReplicaSet::URL_PATH_SEGMENT && object::meta::name(object) == name
        }
        _ => false,
    })
}

/// How a set is named in conditions.
pub(super) fn subject(rollout: &Rollout<'_>) -> String {
    match &rollout.newest {
        Some(set) => format!("ReplicaSet \"{}\"", Reference::of(&**set).name),
        None => format!("Deployment \"{}\"", rollout.deployment.metadata.name.as_deref().unwrap_or("")),
    }
}
