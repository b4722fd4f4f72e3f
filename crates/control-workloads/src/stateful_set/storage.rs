//! The claims of numbered pods: made before the pod, kept after it, and let go as the retention policy says.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::plan::{Change, Note, Plan, Reference};
use serde_json::json;

use super::{Replicas, identity};
use crate::claims::owner_reference;

/// Volume and claim of each template.
pub(super) fn claim_names(set: &StatefulSet, ordinal: i32) -> impl Iterator<Item = (&str, String)> {
    let templates = set.spec.volume_claim_templates.iter().flatten();
    templates.map(move |template| {
        let volume = template.metadata.name.as_deref().unwrap_or("");
        (volume, format!("{volume}-{}", identity::name(set, ordinal)))
    })
}

pub(super) fn make_claims(replicas: &Replicas<'_>, ordinal: i32, plan: &mut Plan) {
    let set = replicas.set;
    let about = Reference::of(set);
    for (template, (_, name)) in set.spec.volume_claim_templates.iter().flatten().zip(claim_names(set, ordinal)) {
        if (replicas.view.claim)(&name).is_some() {
            continue;
        }
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: template.metadata.annotations.clone(),
            owner_references: Some(wanted_owners(set, None)).filter(|owners| !owners.is_empty()),
            ..ObjectMeta::default()
        };
        let claim = PersistentVolumeClaim { metadata, spec: template.spec.clone(), status: None };
        let pod = identity::name(set, ordinal);
        let text = format!("create Claim {name} Pod {pod} in StatefulSet {} success", about.name);
        let failed = format!("create Claim {name} for Pod {pod} in StatefulSet {} failed error: ", about.name);
        let change = Change::create(&claim).telling(Note::normal(about.clone(), "SuccessfulCreate", text));
        plan.changes.push(change.telling_failure(Note::warning(about.clone(), "FailedCreate", failed)));
    }
}

/// Whoever owns a claim takes it along: the set when it is deleted, a condemned pod when the set shrinks.
fn wanted_owners(set: &StatefulSet, condemned: Option<&Pod>) -> Vec<OwnerReference> {
    let policy = set.spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
    let deletes = |when: &Option<String>| when.as_deref() == Some("Delete");
    match condemned {
        Some(pod) if deletes(&policy.when_scaled) => vec![owner_reference(pod)],
        _ if deletes(&policy.when_deleted) => vec![owner_reference(set)],
        _ => Vec::new(),
    }
}

/// Brings the owners of a pod's claims in line with the policy. References of others stay.
pub(super) fn keep_claims(replicas: &Replicas<'_>, ordinal: i32, condemned: Option<&Arc<Pod>>, plan: &mut Plan) {
    let set = replicas.set;
    for (_, name) in claim_names(set, ordinal) {
        let Some(claim) = (replicas.view.claim)(&name) else { continue };
        let old = claim.metadata.owner_references.clone().unwrap_or_default();
        let is_ours = |owner: &OwnerReference| {
            let is_set = Some(&owner.uid) == set.metadata.uid.as_ref();
            is_set || (owner.kind == "Pod" && owner.name == identity::name(set, ordinal))
        };
        let mut owners: Vec<OwnerReference> = old.iter().filter(|owner| !is_ours(owner)).cloned().collect();
        owners.extend(wanted_owners(set, condemned.map(|pod| &**pod)));
        let same = |a: &OwnerReference, b: &OwnerReference| a.uid == b.uid;
        let is_same = owners.len() == old.len() && owners.iter().all(|a| old.iter().any(|b| same(a, b)));
        if !is_same {
            let metadata = json!({"ownerReferences": owners, "resourceVersion": claim.metadata.resource_version});
            plan.changes.push(Change::merge(&*claim, "", json!({"metadata": metadata})));
        }
    }
}
