//! The Node authorizer: a kubelet may touch its own node, and what the pods bound to it refer to.
//!
//! Upstream keeps a general graph with paths; here each object's way to a node is an index, for the ways are few:
//! secret/configmap/claim/service account -> pod -> node, volume -> claim, secret -> volume -> claim, and direct ones.

mod graph;
mod references;

pub use graph::NodeGraph;

use crate::request::{Attributes, UserInfo, Verdict};
use crate::rule::Rule;
use references::Target;

const USER_PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The node a user is; `Some("")` for a member of the group whose name is missing.
pub fn node_name(user: &UserInfo) -> Option<&str> {
    user.name.strip_prefix(USER_PREFIX).filter(|_| user.is_in(GROUP))
}

/// What all kubelets may do alike: the rules of the ClusterRole `system:node`.
fn node_rules() -> &'static [Rule] {
    static RULES: std::sync::OnceLock<Vec<Rule>> = std::sync::OnceLock::new();
    RULES.get_or_init(|| {
        let roles = crate::bootstrap::objects();
        roles.iter().find(|o| o["kind"] == "ClusterRole" && o["metadata"]["name"] == "system:node").map(Rule::list_of).unwrap_or_default()
    })
}

impl NodeGraph {
    pub fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        let node = match node_name(request.user) {
            None => return Verdict::no_opinion(""),
            Some("") => return Verdict::no_opinion(format!("unknown node for user {:?}", request.user.name)),
            Some(node) => node,
        };
        if request.is_resource_request {
            let asked = Asked { graph: self, node, request };
            if let Some(answer) = asked.about_resource() {
                return match answer {
                    Ok(()) => Verdict::allow(""),
                    Err(reason) => Verdict::no_opinion(reason),
                };
            }
        }
        if node_rules().iter().any(|rule| rule.allows(request)) { Verdict::allow("") } else { Verdict::no_opinion("") }
    }
}

/// Allowed, or the reason why not.
type Answer = Result<(), String>;

struct Asked<'a> {
    graph: &'a NodeGraph,
    node: &'a str,
    request: &'a Attributes<'a>,
}

impl Asked<'_> {
    /// `None` for resources that are not subdivided by node.
    fn about_resource(&self) -> Option<Answer> {
        let r = self.request;
        Some(match (r.group, r.resource) {
            ("", "secrets") => self.read_namespaced(Target::Secret),
            ("", "configmaps") => self.read_namespaced(Target::ConfigMap),
            ("", "persistentvolumeclaims") if r.subresource == "status" => self.update_status(Target::Claim),
            ("", "persistentvolumeclaims") => self.get(Target::Claim),
            ("", "persistentvolumes") => self.get(Target::Volume),
            ("resource.k8s.io", "resourceclaims") => self.get(Target::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => self.get(Target::VolumeAttachment),
            ("", "serviceaccounts") => self.service_account(),
            ("coordination.k8s.io", "leases") => self.lease(),
            ("storage.k8s.io", "csinodes") => self.csi_node(),
            ("resource.k8s.io", "resourceslices") => self.resource_slice(),
            ("", "nodes") => self.node_object(),
            ("", "pods") => self.pod(),
            ("certificates.k8s.io", "podcertificaterequests") => self.pod_certificate_request(),
            _ => return None,
        })
    }

    fn related(&self, target: Target) -> Answer {
        if self.request.name.is_empty() {
            return refuse("No Object name found");
        }
        if self.graph.is_related(self.node, target, self.request.namespace, self.request.name) {
            Ok(())
        } else {
            Err(format!("no relationship found between node '{}' and this object", self.node))
        }
    }

    fn selects(&self, field: &str) -> bool {
        self.request.field_selector.iter().any(|(f, value)| f == field && value == self.node)
    }

    fn get(&self, target: Target) -> Answer {
        match (self.request.verb, self.request.subresource) {
            ("get", "") => self.related(target),
            ("get", _) => refuse("cannot get subresource"),
            _ => refuse("can only get individual resources of this type"),
        }
    }

    fn read_namespaced(&self, target: Target) -> Answer {
        match self.request.verb {
            "get" | "list" | "watch" => {}
            _ => return refuse("can only read resources of this type"),
        }
        if !self.request.subresource.is_empty() {
            return refuse("cannot read subresource");
        }
        if self.request.namespace.is_empty() {
            return refuse("can only read namespaced object of this type");
        }
        self.related(target)
    }

    fn update_status(&self, target: Target) -> Answer {
        match self.request.verb {
            "update" | "patch" => self.related(target),
            _ => refuse("can only get/update/patch this type"),
        }
    }

    fn service_account(&self) -> Answer {
        let r = self.request;
        match (r.verb, r.subresource) {
            ("get", "") => self.read_namespaced(Target::ServiceAccount),
            ("create", _) if r.name.is_empty() => refuse("can only create tokens for individual service accounts"),
            ("create", "token") => self.related(Target::ServiceAccount),
            ("create", _) => refuse("can only create token subresource of serviceaccount"),
            _ => refuse("can only create tokens for individual service accounts"),
        }
    }

    fn lease(&self) -> Answer {
        let r = self.request;
        match r.verb {
            "get" | "create" | "update" | "patch" | "delete" => {}
            _ => return refuse("can only get, create, update, patch, or delete a node lease"),
        }
        if r.namespace != LEASE_NAMESPACE {
            return Err(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
        }
        // The name is not known on create; NodeRestriction checks it then.
        if r.verb != "create" && r.name != self.node {
            return refuse("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn csi_node(&self) -> Answer {
        let r = self.request;
        match (r.subresource, r.verb) {
            ("", "get" | "create" | "update" | "patch" | "delete") => {}
            ("", _) => return refuse("can only get, create, update, patch, or delete a CSINode"),
            ("status", _) => return refuse("CSINode status access requires CSIVolumeHealth feature"),
            _ => return refuse("cannot authorize CSINode subresources"),
        }
        if r.verb != "create" && r.name != self.node {
            return refuse("can only access CSINode with the same name as the requesting node");
        }
        Ok(())
    }

    fn resource_slice(&self) -> Answer {
        let r = self.request;
        if !r.subresource.is_empty() {
            return refuse("cannot authorize ResourceSlice subresources");
        }
        match r.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Target::ResourceSlice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn node_object(&self) -> Answer {
        let r = self.request;
        match (r.subresource, r.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") => match r.name {
                name if name == self.node => Ok(()),
                "" => Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node)),
                name => Err(format!("node '{}' cannot read '{name}', only its own Node object", self.node)),
            },
            _ => refuse(""),
        }
    }

    fn pod(&self) -> Answer {
        let r = self.request;
        match (r.subresource, r.verb) {
            ("", "get") => self.get(Target::Pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !r.name.is_empty() => self.related(Target::Pod),
            ("", "list" | "watch") => refuse("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => refuse(""),
        }
    }

    fn pod_certificate_request(&self) -> Answer {
        let r = self.request;
        if !r.subresource.is_empty() {
            return refuse("nodes may not access the status subresource of PodCertificateRequests");
        }
        match r.verb {
            "create" => Ok(()),
            "get" => self.related(Target::PodCertificateRequest),
            "list" | "watch" if self.selects("spec.nodeName") => Ok(()),
            "list" | "watch" => refuse("can only list/watch podcertificaterequests with nodeName field selector"),
            verb => Err(format!("nodes may not {verb} podcertificaterequests")),
        }
    }
}

fn refuse(reason: &str) -> Answer {
    Err(reason.to_owned())
}
