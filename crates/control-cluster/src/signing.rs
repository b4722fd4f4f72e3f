//! Certificate signing requests: which are granted without asking, which may be signed, and when they are cleared away.
//!
//! Reading a request, asking who may, and the signature itself are the hands' work; here it is said what they are worth
//! (upstream: `certificates/{approver,signer,cleaner}`).

use std::net::IpAddr;

use control_workloads::pods::whole_seconds;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Change, Plan, Verb, Write};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const NODE_USER: &str = "system:node:";
const NODE_GROUP: &str = "system:nodes";
/// Upstream: `--cluster-signing-duration`, and the least that may be asked for.
const LIFE_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);
const LIFE_MIN: SignedDuration = SignedDuration::from_secs(600);
/// Upstream's cleaner.
const DECIDED_LIFE: SignedDuration = SignedDuration::from_hours(1);
const PENDING_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// What a PKCS#10 request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ips: Vec<IpAddr>,
    /// E-mail addresses and URIs: no certificate of a node has any.
    pub n_other_names: usize,
}

/// How things stand with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Pending,
    Approved,
    /// Denied, failed, or signed.
    Over,
}

pub fn stage(csr: &CertificateSigningRequest) -> Stage {
    let status = csr.status.as_ref();
    let has = |kind: &str| status.is_some_and(|s| s.conditions.iter().flatten().any(|c| c.type_ == kind));
    let is_signed = status.is_some_and(|s| s.certificate.as_ref().is_some_and(|c| !c.0.is_empty()));
    match () {
        () if is_signed || has("Denied") || has("Failed") => Stage::Over,
        () if has("Approved") => Stage::Approved,
        () => Stage::Pending,
    }
}

/// The subresources of which the requester must be allowed to create one, best first, for a grant without asking.
pub fn permissions(csr: &CertificateSigningRequest, asked: &Asked) -> Vec<&'static str> {
    // Upstream leaves serving certificates to a person. Here a role may allow nodes their own.
    if csr.spec.signer_name == KUBELET_SERVING && kubelet_serving_fault(&csr.spec, asked).is_none() {
        return vec!["selfnodeserver"];
    }
    if csr.spec.signer_name != KUBELET_CLIENT || kubelet_client_fault(&csr.spec, asked).is_some() {
        return Vec::new();
    }
    let is_own = csr.spec.username.as_deref() == Some(asked.common_name.as_str());
    if is_own { vec!["selfnodeclient", "nodeclient"] } else { vec!["nodeclient"] }
}

/// Grants a request whose maker has the permission.
pub fn approve(csr: &CertificateSigningRequest, permission: &str, now: Timestamp) -> Plan {
    let text = match permission {
        "selfnodeserver" => "Auto approving own kubelet serving certificate after SubjectAccessReview.",
        "selfnodeclient" => "Auto approving self kubelet client certificate after SubjectAccessReview.",
        _ => "Auto approving kubelet client certificate after SubjectAccessReview.",
    };
    let approved = with_condition(csr, "Approved", "AutoApproved", text, now);
    let object = serde_json::to_value(&approved).expect("a request is plain data");
    let key = ObjectKey::cluster(csr.metadata.name.as_deref().unwrap_or(""));
    let resource = GroupVersionResource::of::<CertificateSigningRequest>();
    let write = Write::Subresource { resource, key, subresource: "approval", verb: Verb::Update, object };
    Plan { changes: vec![write.into()], ..Plan::nothing() }
}

fn with_condition(csr: &CertificateSigningRequest, kind: &str, reason: &str, message: &str, now: Timestamp) -> CertificateSigningRequest {
    let mut csr = csr.clone();
    csr.status.get_or_insert_default().conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(whole_seconds(now)),
        last_transition_time: Some(whole_seconds(now)),
    });
    csr
}

/// What an approved request is to be signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub is_for_server: bool,
    pub is_for_client: bool,
    pub life: SignedDuration,
}

/// `None`: the signer is somebody else. The error says what makes the request unfit for its signer.
pub fn grant(csr: &CertificateSigningRequest, asked: &Asked) -> Option<Result<Grant, String>> {
    let spec = &csr.spec;
    let fault = match spec.signer_name.as_str() {
        CLIENT => client_fault(spec),
        KUBELET_CLIENT => kubelet_client_fault(spec, asked),
        KUBELET_SERVING => kubelet_serving_fault(spec, asked),
        _ => return None,
    };
    if let Some(fault) = fault {
        return Some(Err(fault));
    }
    let asked_life = spec.expiration_seconds.map_or(LIFE_MAX, |seconds| SignedDuration::from_secs(seconds.into()));
    Some(Ok(Grant {
        is_for_server: has_usage(spec, "server auth"),
        is_for_client: has_usage(spec, "client auth"),
        life: asked_life.clamp(LIFE_MIN, LIFE_MAX),
    }))
}

fn has_usage(spec: &CertificateSigningRequestSpec, usage: &str) -> bool {
    spec.usages.iter().flatten().any(|u| u == usage)
}

fn other_usage<'a>(spec: &'a CertificateSigningRequestSpec, allowed: &[&str]) -> Option<&'a String> {
    spec.usages.iter().flatten().find(|usage| !allowed.contains(&usage.as_str()))
}

fn client_fault(spec: &CertificateSigningRequestSpec) -> Option<String> {
    if other_usage(spec, &["client auth", "digital signature", "key encipherment"]).is_some() || !has_usage(spec, "client auth") {
        return Some("usages did not match map[client auth:{} digital signature:{} key encipherment:{}]".to_owned());
    }
    None
}

fn kubelet_client_fault(spec: &CertificateSigningRequestSpec, asked: &Asked) -> Option<String> {
    if let Some(fault) = node_name_fault(asked) {
        return Some(fault);
    }
    if !asked.dns_names.is_empty() || !asked.ips.is_empty() || asked.n_other_names > 0 {
        return Some("subject alternative names are not allowed".to_owned());
    }
    client_fault(spec)
}

fn kubelet_serving_fault(spec: &CertificateSigningRequestSpec, asked: &Asked) -> Option<String> {
    if let Some(fault) = node_name_fault(asked) {
        return Some(fault);
    }
    if asked.dns_names.is_empty() && asked.ips.is_empty() {
        return Some("DNS or IP subjectAltName is required".to_owned());
    }
    if asked.n_other_names > 0 {
        return Some("email and URI subjectAltNames are not allowed".to_owned());
    }
    if spec.username.as_deref() != Some(asked.common_name.as_str()) {
        return Some("requested subject does not match the requesting user".to_owned());
    }
    if other_usage(spec, &["server auth", "digital signature", "key encipherment"]).is_some() || !has_usage(spec, "server auth") {
        return Some("usages did not match map[digital signature:{} key encipherment:{} server auth:{}]".to_owned());
    }
    None
}

fn node_name_fault(asked: &Asked) -> Option<String> {
    if asked.organizations != [NODE_GROUP] {
        return Some("subject organization is not system:nodes".to_owned());
    }
    (!asked.common_name.starts_with(NODE_USER)).then(|| "subject common name does not begin with system:node: ".to_owned())
}

/// Writes the signature, PEM.
pub fn sign(csr: &CertificateSigningRequest, certificate: &str) -> Plan {
    let mut csr = csr.clone();
    let status: &mut CertificateSigningRequestStatus = csr.status.get_or_insert_default();
    status.certificate = Some(ByteString(certificate.as_bytes().to_vec()));
    Plan { changes: vec![Change::update_status(&csr)], ..Plan::nothing() }
}

/// An approved request that cannot be signed.
pub fn fail(csr: &CertificateSigningRequest, fault: &str, now: Timestamp) -> Plan {
    let failed = with_condition(csr, "Failed", "SignerValidationFailed", fault, now);
    Plan { changes: vec![Change::update_status(&failed)], ..Plan::nothing() }
}

/// Requests are cleared away: decided ones after an hour, those nobody decides after a day.
pub fn clean_up(csr: &CertificateSigningRequest, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    let conditions = csr.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let decided_at = conditions.filter_map(|c| c.last_update_time.as_ref()).map(|t| t.0).min();
    let created_at = csr.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
    let expires_at = decided_at.map_or(created_at + PENDING_LIFE, |at| at + DECIDED_LIFE);
    if expires_at <= now {
        plan.changes.push(Change::delete(csr));
    } else {
        plan.wake_by(expires_at);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn csr(signer: &str, username: &str, usages: &[&str], condition: Option<&str>) -> CertificateSigningRequest {
        let conditions: Vec<_> =
            condition.map(|kind| json!({"type": kind, "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"})).into_iter().collect();
        let tree = json!({
            "metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"signerName": signer, "username": username, "usages": usages, "request": ""},
            "status": {"conditions": conditions},
        });
        serde_json::from_value(tree).unwrap()
    }

    fn node(name: &str) -> Asked {
        Asked { common_name: name.to_owned(), organizations: vec!["system:nodes".to_owned()], ..Asked::default() }
    }

    #[test]
    fn kubelets_get_their_certificates_without_asking() {
        let usages = ["client auth", "digital signature"];
        let of = |username: &str| csr(KUBELET_CLIENT, username, &usages, None);
        assert_eq!(permissions(&of("system:node:a"), &node("system:node:a")), ["selfnodeclient", "nodeclient"]);
        assert_eq!(permissions(&of("system:bootstrap:x"), &node("system:node:a")), ["nodeclient"]);
        assert!(permissions(&of("x"), &node("admin")).is_empty());
        let with_ip = Asked { ips: vec!["10.0.0.1".parse().unwrap()], ..node("system:node:a") };
        assert!(permissions(&of("x"), &with_ip).is_empty());
        assert!(permissions(&csr(CLIENT, "x", &usages, None), &node("system:node:a")).is_empty());
    }

    #[test]
    fn each_signer_has_its_rules() {
        let serving = Asked { ips: vec!["10.0.0.1".parse().unwrap()], ..node("system:node:a") };
        let of =
            |signer: &str, username: &str, usages: &[&str], asked: &Asked| grant(&csr(signer, username, usages, Some("Approved")), asked);
        let server = ["server auth", "digital signature"];
        assert!(of(KUBELET_SERVING, "system:node:a", &server, &serving).unwrap().is_ok_and(|g| g.is_for_server && !g.is_for_client));
        assert!(of(KUBELET_SERVING, "system:node:b", &server, &serving).unwrap().is_err());
        assert!(of(KUBELET_SERVING, "system:node:a", &server, &node("system:node:a")).unwrap().is_err());
        assert!(of(CLIENT, "x", &["client auth"], &Asked::default()).unwrap().is_ok());
        assert!(of(CLIENT, "x", &["server auth"], &Asked::default()).unwrap().is_err());
        assert!(of("example.com/mine", "x", &["client auth"], &Asked::default()).is_none());
    }

    #[test]
    fn requests_are_cleared_away() {
        let after = |hours: i64, condition: Option<&str>| {
            let now = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours);
            clean_up(&csr(CLIENT, "x", &[], condition), now).changes.len()
        };
        assert_eq!((after(0, Some("Approved")), after(1, Some("Denied")), after(23, None), after(24, None)), (0, 1, 0, 1));
    }
}
