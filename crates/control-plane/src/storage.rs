//! Rows of storage objects: what keeps them from going while they are used.

use std::sync::Arc;

use client::options::Selection;
use client::{Client, Error};
use control_cluster::protection;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::Plan;
use reconcile::{Ask, Changed, Controller};

use crate::caches::Caches;

pub(crate) fn claims(caches: &Arc<Caches>, client: &Client) -> Controller {
    let (planning, client) = (Arc::clone(caches), client.clone());
    Controller::observing("persistentvolumeclaim-protection", "pvc-protection-controller", move |ask| {
        let (caches, client) = (Arc::clone(&planning), client.clone());
        async move {
            match caches.claims.get(&ask.key) {
                Some(claim) => protect(&caches, &client, &claim, &ask).await,
                None => Ok(Plan::nothing()),
            }
        }
    })
    .watches(&caches.claims)
    .maps(&caches.pods, |changed| if is_decisive(changed) { claims_of(changed) } else { Vec::new() })
}

/// A pod may be there that no cache shows yet, so before a claim goes the server is asked.
async fn protect(caches: &Caches, client: &Client, claim: &PersistentVolumeClaim, ask: &Ask) -> Result<Plan, Error> {
    let known = caches.pods_by_claim.get(&ask.key.to_string());
    let plan = protection::plan_claim(claim, known.iter().map(|pod| &**pod), ask.now);
    if claim.metadata.deletion_timestamp.is_none() || plan.changes.is_empty() {
        return Ok(plan);
    }
    let resource = GroupVersionResource::of::<Pod>();
    let pods = client::api::list::<Pod>(client, &resource, &Selection::namespace(&ask.key.namespace)).await?.items.unwrap_or_default();
    Ok(protection::plan_claim(claim, pods.iter(), ask.now))
}

fn claims_of(changed: &Changed<Pod>) -> Vec<ObjectKey> {
    let names = changed.sides().flat_map(|pod| protection::claims_of_pod(pod));
    names.map(|name| ObjectKey::new(changed.key.namespace.as_str(), name)).collect()
}

fn is_decisive(changed: &Changed<Pod>) -> bool {
    let of = |pod: &Pod| {
        let grace = pod.metadata.deletion_grace_period_seconds;
        (pod.metadata.uid.clone(), control_workloads::pods::node_name(pod).to_owned(), control_workloads::pods::is_finished(pod), grace)
    };
    changed.old.as_ref().zip(changed.new.as_ref()).is_none_or(|(old, new)| of(old) != of(new))
}

pub(crate) fn volumes(caches: &Arc<Caches>) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("persistentvolume-protection", "pv-protection-controller", move |ask| {
        planning.volumes.get(&ask.key).map_or_else(Plan::nothing, |volume| protection::plan_volume(&volume))
    })
    .watches(&caches.volumes)
}

pub(crate) fn classes(caches: &Arc<Caches>) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("volumeattributesclass-protection", "volumeattributesclass-protection-controller", move |ask| {
        let caches = &planning;
        let Some(class) = caches.attributes_classes.get(&ask.key) else { return Plan::nothing() };
        let name = ask.key.name.as_str();
        let is_used = caches.volumes.list().iter().any(|volume| protection::class_of_volume(volume) == Some(name))
            || caches.claims.list().iter().any(|claim| protection::classes_of_claim(claim).any(|class| class == name));
        protection::plan_class(&class, is_used)
    })
    .watches(&caches.attributes_classes)
    .maps(&caches.volumes, |changed| {
        changed.old.iter().filter_map(|volume| protection::class_of_volume(volume)).map(ObjectKey::cluster).collect()
    })
    .maps(&caches.claims, |changed| {
        changed.old.iter().flat_map(|claim| protection::classes_of_claim(claim)).map(ObjectKey::cluster).collect()
    })
}
