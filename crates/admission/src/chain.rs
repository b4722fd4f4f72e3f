//! The plugins that are on by default, in upstream's order (`kubeapiserver/options/plugins.go`), and the two passes over them.

use object::status::Status;
use serde_json::Value;

use crate::plugins::{
    certificates, default_tolerations, ingress_class, limit_ranger, namespace_lifecycle, node_restriction, node_taint, pod_resize,
    priority, runtime_class, service_account, storage, topology_labels,
};
use crate::{Request, Scene, pod_security};

type Mutate = fn(&Scene<'_>, &Request<'_>, Option<&Value>, &mut Value) -> Result<(), Status>;
/// Old and new object; the new one is missing on a deletion. Warnings go to the last argument.
type Validate = fn(&Scene<'_>, &Request<'_>, Option<&Value>, Option<&Value>, &mut Vec<String>) -> Result<(), Status>;

pub(crate) struct Plugin {
    pub(crate) name: &'static str,
    pub(crate) mutate: Option<Mutate>,
    pub(crate) validate: Option<Validate>,
}

const fn row(name: &'static str, mutate: Option<Mutate>, validate: Option<Validate>) -> Plugin {
    Plugin { name, mutate, validate }
}

pub(crate) const PLUGINS: &[Plugin] = &[
    row("NamespaceLifecycle", Some(namespace_lifecycle::mutate), Some(namespace_lifecycle::validate)),
    row("LimitRanger", Some(limit_ranger::mutate), Some(limit_ranger::validate)),
    row("ServiceAccount", Some(service_account::mutate), Some(service_account::validate)),
    row("NodeRestriction", Some(|s, r, old, new| node_restriction::admit(s, r, old, Some(new))), Some(node_restriction::on_delete)),
    row("TaintNodesByCondition", Some(node_taint::mutate), None),
    row("PodSecurity", None, Some(pod_security::validate)),
    row("Priority", Some(priority::mutate), Some(priority::validate)),
    row("DefaultTolerationSeconds", Some(default_tolerations::mutate), None),
    row("DefaultStorageClass", Some(storage::default_class), None),
    row("StorageObjectInUseProtection", Some(storage::protect), None),
    row("PersistentVolumeClaimResize", None, Some(storage::validate_resize)),
    row("RuntimeClass", Some(runtime_class::mutate), Some(runtime_class::validate)),
    row("CertificateApproval", None, Some(certificates::validate_approval)),
    row("CertificateSigning", None, Some(certificates::validate_signing)),
    row("ClusterTrustBundleAttest", None, Some(certificates::validate_attestation)),
    row("CertificateSubjectRestriction", None, Some(certificates::validate_subject)),
    row("DefaultIngressClass", Some(ingress_class::mutate), None),
    row("PodTopologyLabels", Some(topology_labels::mutate), None),
    row("PodResizeValidator", None, Some(pod_resize::validate)),
];

/// In the order in which they are asked, as metrics and startup messages name them.
pub fn plugin_names() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|plugin| plugin.name)
}

/// Lets every plugin change the object of a create or update; the first refusal ends it.
pub fn mutate(scene: &Scene<'_>, request: &Request<'_>, old: Option<&Value>, object: &mut Value) -> Result<(), Status> {
    PLUGINS.iter().filter_map(|plugin| plugin.mutate).try_for_each(|mutate| mutate(scene, request, old, object))
}

/// Lets every plugin refuse what is about to happen; what it would rather not see comes back as warnings.
pub fn validate(scene: &Scene<'_>, request: &Request<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    for validate in PLUGINS.iter().filter_map(|plugin| plugin.validate) {
        validate(scene, request, old, new, &mut warnings)?;
    }
    Ok(warnings)
}
