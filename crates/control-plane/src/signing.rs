//! The rows of certificate signing requests.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Error};
use control_cluster::signing::{self, Asked, Grant, Stage};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use object::Value;
use object::plan::Plan;
use pki::{Authority, Usage};
use reconcile::{Ask, Cache, Controller, Informers};
use serde_json::json;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

pub(crate) fn controllers(informers: &Informers, client: &Client, authority: Authority) -> Vec<Controller> {
    let requests: Cache<CertificateSigningRequest> = informers.of();
    let (deciding, cleaning) = (requests.clone(), requests.clone());
    let (client, authority) = (client.clone(), Arc::new(authority));
    let decide = Controller::observing("certificatesigningrequest", "certificate-controller", move |ask| {
        let (request, client, authority) = (deciding.get(&ask.key), client.clone(), Arc::clone(&authority));
        async move {
            match request {
                Some(request) => decide(&client, &authority, &request, &ask).await,
                None => Ok(Plan::nothing()),
            }
        }
    });
    let clean_up = Controller::new("certificatesigningrequest-cleaner", "certificate-controller", move |ask| {
        cleaning.get(&ask.key).map_or_else(Plan::nothing, |request| signing::clean_up(&request, ask.now))
    });
    vec![decide.watches(&requests), clean_up.watches(&requests)]
}

async fn decide(client: &Client, authority: &Authority, csr: &CertificateSigningRequest, ask: &Ask) -> Result<Plan, Error> {
    let stage = signing::stage(csr);
    if stage == Stage::Over {
        return Ok(Plan::nothing());
    }
    let text = String::from_utf8_lossy(&csr.spec.request.0).into_owned();
    let asked = match pki::request(&text) {
        Ok(request) => Asked {
            common_name: request.common_name,
            organizations: request.organizations,
            dns_names: request.dns_names,
            ips: request.ips,
            n_other_names: request.n_other_names,
        },
        Err(e) if stage == Stage::Approved => return Ok(signing::fail(csr, &e.to_string(), ask.now)),
        Err(_) => return Ok(Plan::nothing()),
    };
    if stage == Stage::Pending {
        for permission in signing::permissions(csr, &asked) {
            if is_allowed(client, csr, permission).await? {
                return Ok(signing::approve(csr, permission, ask.now));
            }
        }
        return Ok(Plan::nothing());
    }
    Ok(match signing::grant(csr, &asked) {
        None => Plan::nothing(),
        Some(Err(fault)) => signing::fail(csr, &fault, ask.now),
        Some(Ok(grant)) => match authority.sign(&text, usage(grant), Duration::try_from(grant.life).unwrap_or_default(), ask.now) {
            Ok(certificate) => signing::sign(csr, &certificate),
            Err(e) => signing::fail(csr, &e.to_string(), ask.now),
        },
    })
}

fn usage(grant: Grant) -> Usage {
    match (grant.is_for_server, grant.is_for_client) {
        (true, true) => Usage::Both,
        (true, false) => Usage::Server,
        _ => Usage::Client,
    }
}

/// Whether the requester may create that subresource of a request.
async fn is_allowed(client: &Client, csr: &CertificateSigningRequest, subresource: &str) -> Result<bool, Error> {
    let spec = &csr.spec;
    let attributes =
        json!({"group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create", "subresource": subresource});
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra, "resourceAttributes": attributes},
    });
    let answer: Value = client.create(REVIEWS, &review).await?;
    Ok(answer["status"]["allowed"] == Value::Bool(true))
}
