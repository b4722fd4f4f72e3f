//! What a cluster has before anybody asks for it: namespaces and the `kubernetes` Service.

use authz::UserInfo;
use std::net::IpAddr;
use std::sync::Arc;

use object::status::Status;
use object::{Value, meta};
use serde_json::json;

use crate::Registry;
use crate::options::WriteOptions;
use crate::request::Request;
use crate::stages::OWN_MANAGER;

const NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// Name, value, and what its pods must not do.
const PRIORITY_CLASSES: &[(&str, i64, &str)] = &[
    ("system-cluster-critical", 2_000_000_000, "run in the cluster, but can be moved to another node if necessary"),
    ("system-node-critical", 2_000_001_000, "not be moved from their current node"),
];

impl Registry {
    /// Makes `object` unless something of its name is there; `as_user` stands in the request.
    pub async fn create_if_absent(&self, object: Value, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        let catalog = self.catalog();
        let kind = meta::kind(&object);
        let resource = catalog.by_kind(&kind).cloned().ok_or_else(|| Status::internal(format!("no resource of kind {kind}")))?;
        if self.record(&resource, meta::namespace(&object), meta::name(&object)).is_ok() {
            return Ok(());
        }
        let request = Request {
            resource,
            subresource: String::new(),
            namespace: meta::namespace(&object).to_owned(),
            name: String::new(),
            user: Arc::clone(as_user),
        };
        match self.create(&request, object, &WriteOptions { field_manager: OWN_MANAGER.to_owned(), ..WriteOptions::default() }).await {
            Err(e) if !e.is_already_exists() => Err(e),
            _ => Ok(()),
        }
    }

    pub async fn create_namespaces(&self, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        for name in NAMESPACES {
            self.create_if_absent(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}), as_user).await?;
        }
        Ok(())
    }

    pub async fn create_priority_classes(&self, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        for (name, value, what) in PRIORITY_CLASSES {
            let description = format!("Used for system critical pods that must {what}.");
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
                "description": description,
            });
            self.create_if_absent(class, as_user).await?;
        }
        Ok(())
    }

    /// Since when the tokens of Secrets that nobody uses may be told from the others: upstream's controller manager asks for it.
    pub async fn publish_token_tracking(&self, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        let today = self.clock.now().strftime("%Y-%m-%d").to_string();
        let metadata = json!({"namespace": "kube-system", "name": "kube-apiserver-legacy-service-account-token-tracking"});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"since": today}});
        self.create_if_absent(object, as_user).await
    }

    /// The ranges that Services take their addresses from, for clients to see.
    pub async fn publish_service_ranges(&self, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        let ranges: Vec<String> = self.services.ranges.iter().map(ToString::to_string).collect();
        let kind = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}});
        let mut object = kind.clone();
        object["spec"] = json!({"cidrs": ranges});
        self.create_if_absent(object, as_user).await?;
        let resource = self.builtin("networking.k8s.io", "v1", "servicecidrs")?;
        let request = Request {
            resource,
            subresource: "status".to_owned(),
            namespace: String::new(),
            name: "kubernetes".to_owned(),
            user: Arc::clone(as_user),
        };
        let now = object::time::seconds(self.clock.now());
        let mut status = kind;
        status["status"] = json!({"conditions": [{
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready", "lastTransitionTime": now,
        }]});
        let is_ready = self.current(&request)?.tree["status"]["conditions"].as_array().is_some_and(|c| !c.is_empty());
        if is_ready { Ok(()) } else { self.update(&request, status, &WriteOptions::default()).await.map(|_| ()) }
    }

    /// The Service through which pods reach this server, and where it leads. Its address is the first of each range.
    pub async fn publish_kubernetes_service(&self, endpoints: &[IpAddr], port: u16, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        let addresses: Vec<String> = self.services.ranges.iter().take(1).map(|range| range.nth(1).to_string()).collect();
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP", "clusterIP": addresses[0], "clusterIPs": addresses, "ipFamilyPolicy": "SingleStack",
                "sessionAffinity": "None", "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            },
        });
        self.create_if_absent(service, as_user).await?;
        let is_primary = |ip: &&IpAddr| self.services.ranges.first().is_none_or(|range| range.is_ipv4() == ip.is_ipv4());
        let primary: Vec<String> = endpoints.iter().filter(is_primary).map(ToString::to_string).collect();
        let family = if self.services.ranges.first().is_none_or(crate::services::IpRange::is_ipv4) { "IPv4" } else { "IPv6" };
        let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": family, "endpoints": [{"addresses": primary, "conditions": {"ready": true}}], "ports": ports,
        });
        let subsets = json!([{"addresses": primary.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(), "ports": ports}]);
        let old_form = json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": subsets,
        });
        self.put_own(slice, as_user).await?;
        self.put_own(old_form, as_user).await
    }

    /// Makes or replaces an object that only the server writes.
    async fn put_own(&self, object: Value, as_user: &Arc<UserInfo>) -> Result<(), Status> {
        let kind = meta::kind(&object);
        let resource = self.catalog().by_kind(&kind).cloned().ok_or_else(|| Status::internal(format!("no resource of kind {kind}")))?;
        let (namespace, name) = (meta::namespace(&object).to_owned(), meta::name(&object).to_owned());
        if self.record(&resource, &namespace, &name).is_err() {
            return self.create_if_absent(object, as_user).await;
        }
        let request = Request { resource, subresource: String::new(), namespace, name, user: Arc::clone(as_user) };
        self.update(&request, object, &WriteOptions::default()).await.map(|_| ())
    }
}
