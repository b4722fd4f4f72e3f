//! Certificate requests: who may approve, sign and attest for a signer, and names that no request may claim.

use base64::Engine;
use object::status::Status;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::{Operation, Request, Scene};

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

fn is_request(request: &Request<'_>, subresource: &str) -> bool {
    request.is(GROUP, "certificatesigningrequests") && request.subresource == subresource
}

pub(crate) fn validate_approval(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(old) = old.filter(|_| is_request(request, "approval")) else { return Ok(()) };
    let signer = old["spec"]["signerName"].as_str().unwrap_or("");
    if scene.holds_signer_right(request.user, "approve", signer) {
        return Ok(());
    }
    Err(request.forbidden(new, format!("user not permitted to approve requests with signerName {signer:?}")))
}

pub(crate) fn validate_signing(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let (Some(old), Some(csr)) = (old, new) else { return Ok(()) };
    let is_touched = ["certificate", "conditions"].iter().any(|field| old["status"][*field] != csr["status"][*field]);
    let signer = old["spec"]["signerName"].as_str().unwrap_or("");
    if !is_request(request, "status") || !is_touched || scene.holds_signer_right(request.user, "sign", signer) {
        return Ok(());
    }
    Err(request.forbidden(new, format!("user not permitted to sign requests with signerName {signer:?}")))
}

pub(crate) fn validate_attestation(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(bundle) = new.filter(|_| request.is(GROUP, "clustertrustbundles")) else { return Ok(()) };
    let signer = bundle["spec"]["signerName"].as_str().unwrap_or("");
    let is_untouched = request.operation == Operation::Update && old.is_some_and(|old| old["spec"] == bundle["spec"]);
    if signer.is_empty() || is_untouched || scene.holds_signer_right(request.user, "attest", signer) {
        return Ok(());
    }
    Err(request.forbidden(new, format!("user not permitted to attest for signerName {signer:?}")))
}

/// No request may make its holder a member of the group that may do anything.
pub(crate) fn validate_subject(
    _: &Scene<'_>,
    request: &Request<'_>,
    _: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(csr) = new.filter(|_| request.operation == Operation::Create && is_request(request, "")) else { return Ok(()) };
    if csr["spec"]["signerName"] != CLIENT_SIGNER {
        return Ok(());
    }
    let subject = subject(csr).map_err(|fault| request.forbidden(new, format!("failed to parse CSR: {fault}")))?;
    if subject.organizations.iter().any(|o| o == authz::PRIVILEGED_GROUP) {
        let cause = format!("use of {CLIENT_SIGNER} signer with {} group is not allowed", authz::PRIVILEGED_GROUP);
        return Err(request.forbidden(new, cause));
    }
    Ok(())
}

/// Whom a certificate request is for.
pub(crate) struct Subject {
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
}

pub(crate) fn subject(csr: &Value) -> Result<Subject, &'static str> {
    const NOT_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
    let text = csr["spec"]["request"].as_str().unwrap_or("");
    let pem = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| NOT_PEM)?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).map_err(|_| NOT_PEM)?;
    if pem.label != "CERTIFICATE REQUEST" {
        return Err(NOT_PEM);
    }
    let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).map_err(|_| "asn1: structure error")?;
    let name = &parsed.certification_request_info.subject;
    let texts = |attributes: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| -> Vec<String> {
        attributes.iter().filter_map(|a| a.as_str().ok()).map(str::to_owned).collect()
    };
    let common_name = texts(name.iter_common_name().collect()).pop().unwrap_or_default();
    Ok(Subject { common_name, organizations: texts(name.iter_organization().collect()) })
}
