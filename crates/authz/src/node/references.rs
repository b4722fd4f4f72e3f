//! What a pod or a volume refers to, as far as its kubelet must read it.

use object::meta;
use serde_json::Value;

/// Kinds a node is related to through pods, volumes or directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Secret,
    ConfigMap,
    Claim,
    Volume,
    ResourceClaim,
    ServiceAccount,
    Pod,
    VolumeAttachment,
    ResourceSlice,
    PodCertificateRequest,
}

/// Upstream: a mirror pod must not give its node any right, for the node itself made it.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Everything in the pod's own namespace, each once.
pub(super) fn of_pod(pod: &Value) -> Vec<(Target, String)> {
    if meta::annotation(pod, MIRROR_ANNOTATION).is_some() {
        return Vec::new();
    }
    let spec = &pod["spec"];
    let mut found = Found(Vec::new());
    found.add(Target::ServiceAccount, &spec["serviceAccountName"]);
    for secret in items(&spec["imagePullSecrets"]) {
        found.add(Target::Secret, &secret["name"]);
    }
    for container in ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|list| items(&spec[*list])) {
        found.add_environment(container);
    }
    for volume in items(&spec["volumes"]) {
        found.add_volume(volume, meta::name(pod));
    }
    for claim in items(&spec["resourceClaims"]) {
        found.add(Target::ResourceClaim, &claim["resourceClaimName"]);
        let made = items(&pod["status"]["resourceClaimStatuses"]).find(|status| status["name"] == claim["name"]);
        if let (Some(status), false) = (made, claim["resourceClaimTemplateName"].is_null()) {
            found.add(Target::ResourceClaim, &status["resourceClaimName"]);
        }
    }
    found.add(Target::ResourceClaim, &pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"]);
    found.0
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

struct Found(Vec<(Target, String)>);

impl Found {
    fn add(&mut self, target: Target, name: &Value) {
        if let Some(name) = name.as_str().filter(|n| !n.is_empty()) {
            let entry = (target, name.to_owned());
            if !self.0.contains(&entry) {
                self.0.push(entry);
            }
        }
    }

    fn add_environment(&mut self, container: &Value) {
        for source in items(&container["envFrom"]) {
            self.add(Target::Secret, &source["secretRef"]["name"]);
            self.add(Target::ConfigMap, &source["configMapRef"]["name"]);
        }
        for variable in items(&container["env"]) {
            self.add(Target::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
            self.add(Target::ConfigMap, &variable["valueFrom"]["configMapKeyRef"]["name"]);
        }
    }

    fn add_volume(&mut self, volume: &Value, pod_name: &str) {
        self.add(Target::Secret, &volume["secret"]["secretName"]);
        self.add(Target::Secret, &volume["azureFile"]["secretName"]);
        self.add(Target::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
        for source in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            self.add(Target::Secret, &volume[source]["secretRef"]["name"]);
        }
        self.add(Target::ConfigMap, &volume["configMap"]["name"]);
        for source in items(&volume["projected"]["sources"]) {
            self.add(Target::Secret, &source["secret"]["name"]);
            self.add(Target::ConfigMap, &source["configMap"]["name"]);
        }
        self.add(Target::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if volume.get("ephemeral").is_some() {
            let name = format!("{pod_name}-{}", volume["name"].as_str().unwrap_or(""));
            self.add(Target::Claim, &Value::from(name));
        }
    }
}

pub(super) fn claim_of_volume(volume: &Value) -> Option<(String, String)> {
    let claim = volume["spec"].get("claimRef")?;
    let text = |field: &str| claim[field].as_str().unwrap_or("").to_owned();
    Some((text("namespace"), text("name")))
}

/// The secrets a kubelet reads to mount the volume. Those without a namespace of their own are in the claim's.
pub(super) fn secrets_of_volume(volume: &Value) -> Vec<(String, String)> {
    let spec = &volume["spec"];
    let claim_namespace = spec["claimRef"]["namespace"].as_str().unwrap_or("");
    let named = |reference: &Value| {
        let name = reference["name"].as_str().filter(|n| !n.is_empty())?;
        Some((reference["namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or(claim_namespace).to_owned(), name.to_owned()))
    };
    let azure = spec["azureFile"]["secretName"].as_str().filter(|n| !n.is_empty()).map(|name| {
        let namespace = spec["azureFile"]["secretNamespace"].as_str().filter(|n| !n.is_empty()).unwrap_or(claim_namespace);
        (namespace.to_owned(), name.to_owned())
    });
    let by_source =
        ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"].iter().filter_map(|s| named(&spec[*s]["secretRef"]));
    let by_csi = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"].iter().filter_map(|f| named(&spec["csi"][*f]));
    azure.into_iter().chain(by_source).chain(by_csi).collect()
}
