//! Rows of what goes when its time is over.

use client::options::Selection;
use control_cluster::expiry;
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use k8s_openapi::api::core::v1::Secret;
use object::plan::Plan;
use reconcile::{Cache, Controller, Informers};

pub(crate) fn bootstrap_tokens(informers: &Informers) -> Controller {
    let selection = Selection { field_selector: format!("type={}", expiry::BOOTSTRAP_TOKEN), ..Selection::namespace("kube-system") };
    let secrets: Cache<Secret> = informers.select(selection);
    let planning = secrets.clone();
    Controller::new("token-cleaner", "token-cleaner", move |ask| {
        planning.get(&ask.key).map_or_else(Plan::nothing, |secret| expiry::plan_token(&secret, ask.now))
    })
    .watches(&secrets)
}

pub(crate) fn pod_certificate_requests(informers: &Informers) -> Controller {
    let requests: Cache<PodCertificateRequest> = informers.of();
    let planning = requests.clone();
    Controller::new("podcertificaterequest-cleaner", "podcertificaterequest-cleaner-controller", move |ask| {
        planning.get(&ask.key).map_or_else(Plan::nothing, |request| expiry::plan_pod_request(&request, ask.now))
    })
    .watches(&requests)
}
