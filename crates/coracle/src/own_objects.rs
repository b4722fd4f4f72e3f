//! Objects every coracle cluster has beside upstream's: what nodes may read for services and names, and the DNS Service.

use std::net::IpAddr;

use client::{Client, Error};
use object::meta;
use serde_json::{Value, json};

use crate::failure::Failure;

const NODE_NETWORK: &str = "coracle:node-network";

/// Creates what is missing; what an administrator changed stays changed.
pub(crate) async fn create(client: &Client, dns_addresses: &[IpAddr]) -> Result<(), Failure> {
    for (path, object) in objects(dns_addresses) {
        match client.create::<Value>(path, &object).await {
            Ok(_) => {}
            Err(Error::Status(status)) if status.is_already_exists() => {}
            // A service keeps its address: the second start is refused for the address, not the name.
            Err(Error::Status(status))
                if status.reason == "Invalid" && client.get::<Value>(&format!("{path}/{}", meta::name(&object))).await.is_ok() => {}
            Err(error) => return Err(Failure::caused(format!("cannot create `{}`", meta::name(&object)), &error)),
        }
    }
    Ok(())
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
