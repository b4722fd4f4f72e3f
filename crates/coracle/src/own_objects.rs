//! Objects every coracle cluster has beside upstream's: what nodes may read for services and names, and the DNS Service.

use std::net::IpAddr;

use client::{Client, Error};
use object::meta;
use object::plan::PatchKind;
use serde_json::{Value, json};

use crate::failure::Failure;

const NODE_NETWORK: &str = "coracle:node-network";

/// Creates what is missing; what an administrator changed stays changed.
pub(crate) async fn create(client: &Client, dns_addresses: &[IpAddr], cluster: &ClusterInfo) -> Result<(), Failure> {
    let all = objects(dns_addresses).into_iter().chain(join_objects());
    for (path, object) in all {
        match client.create::<Value>(path, &object).await {
            Ok(_) => {}
            Err(Error::Status(status)) if status.is_already_exists() => {}
            // A service keeps its address: the second start is refused for the address, not the name.
            Err(Error::Status(status))
                if status.reason == "Invalid" && client.get::<Value>(&format!("{path}/{}", meta::name(&object))).await.is_ok() => {}
            Err(error) => return Err(Failure::caused(format!("cannot create `{}`", meta::name(&object)), &error)),
        }
    }
    publish(client, cluster).await.map_err(|e| Failure::caused("cannot publish the cluster's facts", &e))
}

/// `kubectl get nodes` tells by this label which nodes are servers. A kubelet may not set it on its own node.
pub(crate) async fn mark_control_plane(client: &Client, node_name: &str) -> Result<(), Error> {
    let label = json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}});
    client.patch::<Value>(&format!("/api/v1/nodes/{node_name}"), PatchKind::Merge, &label).await?;
    Ok(())
}

/// What a host that joins must know before it can trust anybody; anyone may read it, and checks it by the token's digest.
pub(crate) struct ClusterInfo {
    pub(crate) authority_pem: String,
    pub(crate) pod_ranges: Vec<String>,
    pub(crate) service_ranges: Vec<String>,
}

pub(crate) const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// Whom extension servers and upstream's own programs trust to name users, as kube-apiserver publishes it.
const CLIENT_AUTHORITY: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

/// Written anew at each start, for the ranges are flags.
async fn publish(client: &Client, cluster: &ClusterInfo) -> Result<(), Error> {
    let facts = json!({
        "ca.crt": cluster.authority_pem, "pod-ranges": cluster.pod_ranges.join(","), "service-ranges": cluster.service_ranges.join(","),
    });
    for (path, data) in [(CLUSTER_INFO, facts), (CLIENT_AUTHORITY, json!({"client-ca-file": cluster.authority_pem}))] {
        let name = path.rsplit('/').next().unwrap_or("");
        let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        let apply = PatchKind::Apply { field_manager: "coracle", force: true };
        client.patch::<Value>(path, apply, &config_map).await?;
    }
    Ok(())
}

/// Who may do what on the way to becoming a node: read the above, ask for certificates, and be granted those of its own name.
fn join_objects() -> Vec<(&'static str, Value)> {
    const RBAC: &str = "rbac.authorization.k8s.io/v1";
    const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    const CLUSTER_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let group = |name: &str| json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}]);
    let bound = |name: &str, role: &str, to: &str| {
        json!({
            "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": group(to),
        })
    };
    let read_info = json!({
        "apiVersion": RBAC, "kind": "Role", "metadata": {"name": "coracle:cluster-info", "namespace": "kube-public"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}],
    });
    let anyone = json!({
        "apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "coracle:cluster-info", "namespace": "kube-public"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "coracle:cluster-info"},
        "subjects": group("system:unauthenticated"),
    });
    // Upstream leaves serving certificates to a person; here a node gets the one of its own name and addresses.
    let own_serving = json!({
        "apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "coracle:node-serving-certificate"},
        "rules": [{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/selfnodeserver"], "verbs": ["create"]}],
    });
    vec![
        ("/apis/rbac.authorization.k8s.io/v1/namespaces/kube-public/roles", read_info),
        ("/apis/rbac.authorization.k8s.io/v1/namespaces/kube-public/rolebindings", anyone),
        (CLUSTER_ROLES, own_serving),
        (CLUSTER_BINDINGS, bound("coracle:node-serving-certificate", "coracle:node-serving-certificate", "system:nodes")),
        (CLUSTER_BINDINGS, bound("coracle:node-bootstrapper", "system:node-bootstrapper", "system:bootstrappers")),
        (
            CLUSTER_BINDINGS,
            bound("coracle:node-certificate", "system:certificates.k8s.io:certificatesigningrequests:nodeclient", "system:bootstrappers"),
        ),
        (
            CLUSTER_BINDINGS,
            bound("coracle:node-renewal", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", "system:nodes"),
        ),
    ]
}

fn objects(dns_addresses: &[IpAddr]) -> Vec<(&'static str, Value)> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let readable =
        |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]});
    let role = json!({
        "apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": NODE_NETWORK},
        "rules": [readable("", &["services", "namespaces", "nodes"]), readable("discovery.k8s.io", &["endpointslices"])],
    });
    let binding = json!({
        "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": NODE_NETWORK},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NODE_NETWORK},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
    });
    let addresses: Vec<String> = dns_addresses.iter().map(ToString::to_string).collect();
    // Without a selector: each node answers at these addresses itself. The names are what tools look for.
    let dns = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {
            "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
        }},
        "spec": {
            "clusterIP": addresses.first(), "clusterIPs": addresses,
            "ipFamilyPolicy": if addresses.len() > 1 { "RequireDualStack" } else { "SingleStack" },
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    });
    vec![
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", role),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding),
        ("/api/v1/namespaces/kube-system/services", dns),
    ]
}
