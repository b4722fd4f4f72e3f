//! NodeRestriction: what the Node authorizer lets a kubelet write is narrowed to its own node and the pods bound to it.

use std::collections::BTreeSet;

use object::key::GroupResource;
use object::meta;
use object::status::Status;
use serde_json::{Map, Value};

use super::{MIRROR_ANNOTATION, certificates, is_mirror, items};
use crate::{Operation, Request, Scene};

const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Creates and updates.
pub(crate) fn admit(scene: &Scene<'_>, request: &Request<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<(), Status> {
    let node = match authz::node::node_name(request.user) {
        None => return Ok(()),
        Some("") => return Err(request.forbidden(new, format!("could not determine node from user {:?}", request.user.name))),
        Some(node) => node,
    };
    let nothing = Value::Null;
    let check = Check { scene, request, node, old: old.unwrap_or(&nothing), new: new.unwrap_or(&nothing) };
    match (request.resource.group.as_str(), request.resource.plural.as_str()) {
        ("", "pods") => match request.subresource {
            "" => check.pod(),
            "status" => check.pod_status(),
            "eviction" => check.eviction(),
            other => check.refuse(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed")),
        },
        ("", "nodes") => check.node_object(),
        ("", "persistentvolumeclaims") if request.subresource == "status" => check.claim_status(),
        ("", "persistentvolumeclaims") => check.refuse("may only update PVC status"),
        ("", "serviceaccounts") => check.token(),
        ("certificates.k8s.io", "podcertificaterequests") => check.pod_certificate(),
        ("coordination.k8s.io", "leases") => check.lease(),
        ("storage.k8s.io", "csinodes") => check.named_as_node("can only access CSINode with the same name as the requesting node"),
        ("resource.k8s.io", "resourceslices") => check.resource_slice(),
        ("certificates.k8s.io", "certificatesigningrequests") => check.certificate(),
        _ => Ok(()),
    }
}

/// Deletions, which no mutating pass sees.
pub(crate) fn on_delete(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    _: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    if request.operation == Operation::Delete { admit(scene, request, old, None) } else { Ok(()) }
}

struct Check<'a> {
    scene: &'a Scene<'a>,
    request: &'a Request<'a>,
    node: &'a str,
    old: &'a Value,
    new: &'a Value,
}

impl Check<'_> {
    fn refuse(&self, cause: impl AsRef<str>) -> Result<(), Status> {
        Err(self.request.forbidden(Some(self.new), cause))
    }

    fn is_create(&self) -> bool {
        self.request.operation == Operation::Create
    }

    fn is_delete(&self) -> bool {
        self.request.operation == Operation::Delete
    }

    fn unexpected(&self) -> Result<(), Status> {
        self.refuse(format!("unexpected operation {:?}", self.request.operation.word()))
    }

    /// A pod of the request's namespace; 404 as upstream's lister says it.
    fn bound_pod(&self, name: &str) -> Result<Value, Status> {
        let missing = || Status::not_found(&GroupResource::new("", "pods"), name);
        self.scene.get("", "pods", self.request.namespace, name).ok_or_else(missing)
    }

    fn is_mine(&self, pod: &Value) -> bool {
        pod["spec"]["nodeName"] == self.node
    }

    fn pod(&self) -> Result<(), Status> {
        let node = self.node;
        match self.request.operation {
            Operation::Create => self.mirror_pod(),
            Operation::Delete if self.is_mine(self.old) => Ok(()),
            Operation::Delete => self.refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself")),
            other => self.refuse(format!("unexpected operation {:?}, node {node:?} can only create and delete mirror pods", other.word())),
        }
    }

    fn mirror_pod(&self) -> Result<(), Status> {
        let (pod, node) = (self.new, self.node);
        if !is_mirror(pod) {
            return self.refuse(format!("pod does not have {MIRROR_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"));
        }
        if !self.is_mine(pod) {
            return self.refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
        }
        let owner = match meta::owner_references(pod) {
            [only] => only,
            [] => return self.refuse(format!("node {node:?} can only create pods with an owner reference set to itself")),
            _ => return self.refuse(format!("node {node:?} can only create pods with a single owner reference set to itself")),
        };
        if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
            return self.refuse(format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        if owner["controller"] != true {
            return self.refuse(format!("node {node:?} can only create pods with a controller owner reference set to itself"));
        }
        if owner["blockOwnerDeletion"] == true {
            return self.refuse(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
        }
        let Some(own) = self.scene.get("", "nodes", "", node) else {
            return Err(Status::not_found(&GroupResource::new("", "nodes"), node));
        };
        if owner["uid"] != meta::uid(&own) {
            let sent = owner["uid"].as_str().unwrap_or("");
            return self.refuse(format!("node {node} UID mismatch: expected {sent} got {}", meta::uid(&own)));
        }
        match referenced_object(&pod["spec"]) {
            Some(what) => self.refuse(format!("node {node:?} can not create pods that reference {what}")),
            None => Ok(()),
        }
    }

    fn pod_status(&self) -> Result<(), Status> {
        let node = self.node;
        if self.request.operation != Operation::Update {
            return self.unexpected();
        }
        if !self.is_mine(self.old) {
            return self.refuse(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
        }
        if labels(self.old) != labels(self.new) {
            return self.refuse(format!("node {node:?} cannot update labels through pod status"));
        }
        for (field, words) in [
            ("resourceClaimStatuses", "resource claim statues"),
            ("extendedResourceClaimStatus", "extended resource claim status"),
            ("nodeAllocatableResourceClaimStatuses", "node allocatable resource claim statuses"),
        ] {
            let sent = &self.new["status"][field];
            if !sent.is_null() && *sent != self.old["status"][field] {
                return self.refuse(format!("node {node:?} cannot update {words}"));
            }
        }
        Ok(())
    }

    fn eviction(&self) -> Result<(), Status> {
        if !self.is_create() {
            return self.refuse(format!("unexpected operation {}", self.request.operation.word()));
        }
        let name = if self.request.name.is_empty() { meta::name(self.new) } else { self.request.name };
        if name.is_empty() {
            return self.refuse("could not determine pod from request data");
        }
        if self.is_mine(&self.bound_pod(name)?) {
            return Ok(());
        }
        self.refuse(format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }

    fn claim_status(&self) -> Result<(), Status> {
        if self.request.operation != Operation::Update {
            return self.unexpected();
        }
        let rest = |claim: &Value| {
            let mut claim = claim.clone();
            meta::unset(&mut claim, "resourceVersion");
            meta::unset(&mut claim, "managedFields");
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                if let Some(status) = claim.get_mut("status").and_then(Value::as_object_mut) {
                    status.remove(field);
                }
            }
            claim
        };
        if rest(self.old) == rest(self.new) {
            return Ok(());
        }
        let node = self.node;
        self.refuse(format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions"))
    }

    fn node_object(&self) -> Result<(), Status> {
        let node = self.node;
        let requested = if self.request.name.is_empty() { meta::name(self.new) } else { self.request.name };
        if requested != node {
            return self.refuse(format!("node {node:?} is not allowed to modify node {requested:?}"));
        }
        if self.is_delete() {
            return Ok(());
        }
        let forbidden = forbidden_labels(labels(self.new), labels(self.old));
        if self.is_create() {
            if !forbidden.is_empty() {
                let list: Vec<&str> = forbidden.iter().map(String::as_str).collect();
                return self.refuse(format!("node {node:?} is not allowed to set the following labels: {}", list.join(", ")));
            }
            return Ok(());
        }
        let is_changed = |pointer: &str| {
            let at = |object: &Value| object.pointer(pointer).filter(|v| !v.as_array().is_some_and(Vec::is_empty)).cloned();
            at(self.old) != at(self.new)
        };
        if is_changed("/spec/taints") {
            return self.refuse(format!("node {node:?} is not allowed to modify taints"));
        }
        if is_changed("/metadata/ownerReferences") {
            return self.refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
        }
        if !forbidden.is_empty() {
            let list: Vec<&str> = forbidden.iter().map(String::as_str).collect();
            return self.refuse(format!("is not allowed to modify labels: {}", list.join(", ")));
        }
        Ok(())
    }

    fn token(&self) -> Result<(), Status> {
        if !self.is_create() || self.request.subresource != "token" {
            return Ok(());
        }
        let reference = &self.new["spec"]["boundObjectRef"];
        let text = |field: &str| reference[field].as_str().unwrap_or("");
        if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
            return self.refuse("node requested token not bound to a pod");
        }
        if text("uid").is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let pod = self.bound_pod(text("name"))?;
        if text("uid") != meta::uid(&pod) {
            return self.refuse(format!(
                "the UID in the bound object reference ({}) does not match the UID in record. \
                 The object might have been deleted and then recreated",
                text("uid")
            ));
        }
        if !self.is_mine(&pod) {
            return self.refuse("node requested token bound to a pod scheduled on a different node");
        }
        self.token_audience(&pod)
    }

    /// Upstream: only audiences that the pod's volumes ask for, or that a rule lets the node ask for.
    fn token_audience(&self, pod: &Value) -> Result<(), Status> {
        let audiences: Vec<&str> = items(&self.new["spec"], "audiences").filter_map(Value::as_str).collect();
        let audience = match audiences.as_slice() {
            [] => "",
            [only] => only,
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        let is_mounted = items(&pod["spec"], "volumes").any(|volume| {
            let by_token = items(&volume["projected"], "sources")
                .filter_map(|s| s.get("serviceAccountToken"))
                .any(|token| token["audience"].as_str().unwrap_or("") == audience);
            by_token || self.driver_asks(volume, audience)
        });
        if is_mounted {
            return Ok(());
        }
        let (user, account) = (self.request.user, self.request.name);
        let attributes = authz::Attributes::resource(user, "request-serviceaccounts-token-audience", "", "", audience)
            .in_namespace(self.request.namespace)
            .named(account);
        if (self.scene.authorize)(&attributes) {
            return Ok(());
        }
        self.refuse(format!("{} is not authorized to request tokens for audience {audience:?}", user.name))
    }

    fn driver_asks(&self, volume: &Value, audience: &str) -> bool {
        let Some(driver) = volume["csi"]["driver"].as_str() else {
            return !volume["persistentVolumeClaim"].is_null() && self.any_driver(audience);
        };
        self.scene.get("storage.k8s.io", "csidrivers", "", driver).is_some_and(|driver| asks(&driver, audience))
    }

    /// The volume behind a claim is not followed: that one of the drivers asks is enough.
    fn any_driver(&self, audience: &str) -> bool {
        self.scene.list("storage.k8s.io", "csidrivers", "").iter().any(|driver| asks(driver, audience))
    }

    fn pod_certificate(&self) -> Result<(), Status> {
        if !self.is_create() {
            return self.refuse(format!("unexpected operation {}", self.request.operation.word()));
        }
        let text = |field: &str| self.new["spec"][field].as_str().unwrap_or("");
        if text("nodeName") != self.node {
            let cause =
                format!("PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {:?}", text("nodeName"), self.node);
            return self.refuse(cause);
        }
        let pod = self.bound_pod(text("podName"))?;
        let shown = format!("{}/{}", self.request.namespace, text("podName"));
        if !self.is_mine(&pod) {
            return self.refuse(format!("pod {shown:?} is not running on node {:?} named in the PodCertificateRequest", self.node));
        }
        if is_mirror(&pod) {
            return self.refuse(format!("pod {shown:?} is a mirror pod"));
        }
        if pod["spec"]["serviceAccountName"] != text("serviceAccountName") {
            let running = pod["spec"]["serviceAccountName"].as_str().unwrap_or("");
            return self.refuse(format!(
                "PodCertificateRequest for pod {shown:?} contains serviceAccountName ({:?}) that differs from running pod ({running:?})",
                text("serviceAccountName")
            ));
        }
        let is_mounted = items(&pod["spec"], "volumes")
            .flat_map(|volume| items(&volume["projected"], "sources"))
            .any(|source| source["podCertificate"]["signerName"] == text("signerName"));
        if is_mounted {
            return Ok(());
        }
        self.refuse(format!("pod {shown:?} does not mount a podCertificate projected volume for signer {:?}", text("signerName")))
    }

    fn lease(&self) -> Result<(), Status> {
        if self.request.namespace != LEASE_NAMESPACE {
            return self.refuse(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
        }
        self.named_as_node("can only access node lease with the same name as the requesting node")
    }

    fn named_as_node(&self, refusal: &str) -> Result<(), Status> {
        let name = if self.is_create() { meta::name(self.new) } else { self.request.name };
        if name == self.node { Ok(()) } else { self.refuse(refusal) }
    }

    fn resource_slice(&self) -> Result<(), Status> {
        let (object, verb) = match self.request.operation {
            Operation::Create => (self.new, "create"),
            Operation::Delete => (self.old, "delete"),
            _ => return Ok(()),
        };
        if self.is_mine(object) {
            return Ok(());
        }
        self.refuse(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
    }

    /// A node asks for certificates of its own name only.
    fn certificate(&self) -> Result<(), Status> {
        let signer = self.new["spec"]["signerName"].as_str().unwrap_or("");
        let is_for_nodes = matches!(signer, "kubernetes.io/kubelet-serving" | "kubernetes.io/kube-apiserver-client-kubelet");
        if !self.is_create() || !is_for_nodes {
            return Ok(());
        }
        match certificates::subject(self.new) {
            Err(fault) => self.refuse(format!("unable to parse csr: {fault}")),
            Ok(subject) if subject.common_name == format!("system:node:{}", self.node) => Ok(()),
            Ok(_) => self.refuse(format!("can only create a node CSR with CN=system:node:{}", self.node)),
        }
    }
}

fn asks(driver: &Value, audience: &str) -> bool {
    items(&driver["spec"], "tokenRequests").any(|request| request["audience"].as_str().unwrap_or("") == audience)
}

fn labels(object: &Value) -> Map<String, Value> {
    meta::labels(object).cloned().unwrap_or_default()
}

/// Labels that came, went or changed and that a kubelet has no say in.
fn forbidden_labels(new: Map<String, Value>, old: Map<String, Value>) -> BTreeSet<String> {
    let changed = |a: &Map<String, Value>, b: &Map<String, Value>| -> Vec<String> {
        a.iter().filter(|(key, value)| b.get(*key) != Some(*value)).map(|(key, _)| key.clone()).collect()
    };
    changed(&new, &old).into_iter().chain(changed(&old, &new)).filter(|label| is_forbidden(label)).collect()
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    (within("kubernetes.io") || within("k8s.io"))
        && !within("kubelet.kubernetes.io")
        && !within("node.kubernetes.io")
        && !matches!(
            label,
            "kubernetes.io/hostname"
                | "topology.kubernetes.io/zone"
                | "topology.kubernetes.io/region"
                | "failure-domain.beta.kubernetes.io/zone"
                | "failure-domain.beta.kubernetes.io/region"
                | "beta.kubernetes.io/instance-type"
                | "node.kubernetes.io/instance-type"
                | "kubernetes.io/os"
                | "kubernetes.io/arch"
                | "beta.kubernetes.io/os"
                | "beta.kubernetes.io/arch"
        )
}

/// The first kind of API object that a pod leans on.
fn referenced_object(spec: &Value) -> Option<&'static str> {
    let is_set = |value: &Value| !value.is_null() && value.as_str() != Some("");
    if is_set(&spec["serviceAccountName"]) {
        return Some("serviceaccounts");
    }
    let containers = || ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| items(spec, list));
    let sources = || items(spec, "volumes").flat_map(|v| items(&v["projected"], "sources"));
    let env = |field: &str, reference: &str| {
        containers().any(|c| items(c, "env").any(|e| is_set(&e["valueFrom"][field])) || items(c, "envFrom").any(|e| is_set(&e[reference])))
    };
    let volume = |field: &str| items(spec, "volumes").any(|v| is_set(&v[field])) || sources().any(|s| is_set(&s[field]));
    if items(spec, "imagePullSecrets").next().is_some() || env("secretKeyRef", "secretRef") || volume("secret") {
        return Some("secrets");
    }
    if env("configMapKeyRef", "configMapRef") || volume("configMap") {
        return Some("configmaps");
    }
    if volume("serviceAccountToken") {
        return Some("serviceaccounts");
    }
    if volume("clusterTrustBundle") {
        return Some("clustertrustbundles");
    }
    if volume("persistentVolumeClaim") || volume("ephemeral") {
        return Some("persistentvolumeclaims");
    }
    items(spec, "resourceClaims").next().map(|_| "resourceclaims")
}
