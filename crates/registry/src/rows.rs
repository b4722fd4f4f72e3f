//! What the engine itself must know of single kinds: one row a fact, everything else is the same for all.

use kinds::Resource;

/// Group and plural of a kind that has the fact.
type Rows = &'static [(&'static str, &'static str)];

fn is_in(rows: Rows, resource: &Resource) -> bool {
    rows.iter().any(|(group, plural)| *plural == resource.plural && *group == resource.group)
}

/// An apply to the status of an object that is not there makes it, for upstream's status passes on that it may.
const CREATE_ON_STATUS_APPLY: Rows = &[("admissionregistration.k8s.io", "validatingadmissionpolicies")];
/// An update of an object that is not there makes it.
const CREATE_ON_UPDATE: Rows = &[
    ("", "endpoints"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("node.k8s.io", "runtimeclasses"),
];

/// An update must name the resourceVersion it changes.
const CONDITIONAL_UPDATE: Rows = &[
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("certificates.k8s.io", "podcertificaterequests"),
    ("coordination.k8s.io", "leases"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("policy", "poddisruptionbudgets"),
    ("node.k8s.io", "runtimeclasses"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
    ("certificates.k8s.io", "clustertrustbundles"),
    ("resource.k8s.io", "devicetaintrules"),
    ("storagemigration.k8s.io", "storageversionmigrations"),
];

/// Dependents stay when the request says nothing (kinds older than the garbage collector).
const ORPHANS_BY_DEFAULT: Rows = &[("", "replicationcontrollers"), ("batch", "jobs")];

/// Without a name and without the beginning of one they are named by chance.
const NAMED_BY_CHANCE: Rows = &[("", "limitranges")];

/// Quotas do not count them (upstream: `DefaultIgnoredResources`).
const UNCOUNTED: Rows = &[("", "events"), ("events.k8s.io", "events")];

/// What upstream's etcd has them under, where that is not their plural; errors of its storage show it.
const STORAGE_PATHS: &[(&str, &str, &str)] = &[
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    ("", "replicationcontrollers", "controllers"),
    ("", "services", "services/specs"),
    ("networking.k8s.io", "ingresses", "ingress"),
];

pub(crate) fn storage_path(resource: &Resource) -> &str {
    let row = STORAGE_PATHS.iter().find(|(group, plural, _)| *group == resource.group && *plural == resource.plural);
    row.map_or(&resource.plural, |(_, _, path)| path)
}
pub(crate) fn is_named_by_chance(resource: &Resource) -> bool {
    is_in(NAMED_BY_CHANCE, resource)
}
pub(crate) fn is_uncounted(resource: &Resource) -> bool {
    is_in(UNCOUNTED, resource)
}
pub(crate) fn creates_on_update(resource: &Resource) -> bool {
    is_in(CREATE_ON_UPDATE, resource)
}
pub(crate) fn creates_on_apply(resource: &Resource, subresource: &str) -> bool {
    subresource.is_empty() || subresource == "status" && is_in(CREATE_ON_STATUS_APPLY, resource)
}
pub(crate) fn allows_unconditional_update(resource: &Resource) -> bool {
    !is_in(CONDITIONAL_UPDATE, resource)
}
pub(crate) fn orphans_by_default(resource: &Resource) -> bool {
    is_in(ORPHANS_BY_DEFAULT, resource)
}
pub(crate) fn is_namespace(resource: &Resource) -> bool {
    resource.plural == "namespaces" && resource.group.is_empty()
}
pub(crate) fn is_pod(resource: &Resource) -> bool {
    resource.plural == "pods" && resource.group.is_empty()
}
pub(crate) fn is_service(resource: &Resource) -> bool {
    resource.plural == "services" && resource.group.is_empty()
}
