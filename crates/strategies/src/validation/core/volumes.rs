//! Persistent volumes.

use object::field::Error;
use object::quantity::Quantity;

use super::claims::{VOLUME_MODES, validate_access};
use super::disks;
use crate::check::{At, Faults};
use crate::diff;
use crate::equality::is_semantically_equal;
use crate::row::NameRule;
use crate::shapes;
use crate::validation::pods::{quantity, validate_host_path, validate_node_selector};

type Check = fn(&At<'_>, &mut Faults);

/// All sources in upstream's order: the field, the name upstream gives it when it is one too many, the rule.
const SOURCES: &[(&str, &str, Check)] = &[
    ("hostPath", "hostPath", validate_host_path),
    ("gcePersistentDisk", "gcePersistentDisk", |at, faults| disks::gce(&at.renamed("persistentDisk"), faults)),
    ("awsElasticBlockStore", "awsElasticBlockStore", disks::aws),
    ("glusterfs", "glusterfs", validate_gluster),
    ("flocker", "flocker", disks::flocker),
    ("nfs", "nfs", disks::nfs),
    ("rbd", "rbd", disks::rbd),
    ("quobyte", "quobyte", disks::quobyte),
    ("cephfs", "cephFS", disks::cephfs),
    ("iscsi", "iscsi", disks::iscsi_volume),
    ("cinder", "cinder", disks::cinder_volume),
    ("fc", "fc", disks::fc),
    ("flexVolume", "flexVolume", disks::flex),
    ("azureFile", "azureFile", validate_azure_file),
    ("vsphereVolume", "vsphereVolume", |at, faults| disks::needs(at, &["volumePath"], faults)),
    ("photonPersistentDisk", "photonPersistentDisk", |at, faults| disks::needs(at, &["pdID"], faults)),
    ("portworxVolume", "portworxVolume", |at, faults| disks::needs(at, &["volumeID"], faults)),
    ("azureDisk", "azureDisk", disks::azure_disk),
    ("scaleIO", "scaleIO", |at, faults| disks::needs(at, &["gateway", "system", "volumeName"], faults)),
    ("local", "local", validate_local),
    ("storageos", "storageos", disks::storage_os_volume),
    ("csi", "csi", validate_csi),
];

fn validate_gluster(at: &At<'_>, faults: &mut Faults) {
    disks::needs(at, &["endpoints", "path"], faults);
    let namespace = at.get("endpointsNamespace");
    if namespace.is_set() && !namespace.has_text() {
        faults.invalid_text(&namespace, "if the endpointnamespace is set, it must be a valid namespace name");
    } else if namespace.is_set() {
        faults.label(&namespace);
    }
}

fn validate_azure_file(at: &At<'_>, faults: &mut Faults) {
    disks::needs(at, &["secretName", "shareName"], faults);
    if at.get("secretNamespace").is_set() {
        faults.need_text(&at.get("secretNamespace"));
    }
}

fn validate_local(at: &At<'_>, faults: &mut Faults) {
    disks::needs(at, &["path"], faults);
    shapes::path_without_backsteps(&at.get("path"), faults);
}

fn validate_csi(at: &At<'_>, faults: &mut Faults) {
    shapes::csi_driver_name(&at.get("driver"), faults);
    disks::needs(at, &["volumeHandle"], faults);
    for field in ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"] {
        let secret = at.get(field);
        if !secret.is_set() {
            continue;
        }
        let (name, namespace) = (secret.get("name"), secret.get("namespace"));
        if faults.need_text(&name) {
            faults.subdomain(&name);
        }
        if faults.need_text(&namespace) {
            faults.label(&namespace);
        }
    }
}

pub(crate) fn validate(volume: &At<'_>, faults: &mut Faults) {
    validate_spec(&volume.get("spec"), volume.value["metadata"]["name"].as_str().unwrap_or(""), false, faults);
}

/// `is_inline` for the volume in a VolumeAttachment.
pub(crate) fn validate_spec(spec: &At<'_>, name: &str, is_inline: bool, faults: &mut Faults) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    let forbid = |field: &'static str, is_said: bool, faults: &mut Faults| {
        if is_said {
            faults.forbidden(&spec.get(field), INLINE);
        }
    };
    if is_inline {
        forbid("claimRef", spec.get("claimRef").is_set(), faults);
        forbid("capacity", !spec.get("capacity").is_empty(), faults);
        if !spec.get("csi").is_set() {
            faults.required(&spec.get("csi"), "has to be specified in the context of inline volumes");
        }
    }
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        faults.required(&modes, "");
    }
    validate_access(&modes, faults);
    if !is_inline {
        validate_capacity(&spec.get("capacity"), faults);
    }
    let (reclaim, affinity) = (spec.get("persistentVolumeReclaimPolicy"), spec.get("nodeAffinity"));
    if reclaim.has_text() && !is_inline {
        faults.one_of(&reclaim, &["Delete", "Recycle", "Retain"]);
    } else if reclaim.has_text() && reclaim != "Retain" {
        faults.forbidden(&reclaim, "may only be Retain in the context of inline volumes");
    }
    if affinity.is_set() && is_inline {
        faults.forbidden(&affinity, INLINE);
    } else if affinity.is_set() {
        validate_affinity(&affinity, faults);
    }
    validate_sources(spec, name, affinity.is_set(), faults);
    let class = spec.get("storageClassName");
    if class.has_text() && is_inline {
        faults.forbidden(&class, INLINE);
    } else if class.has_text() {
        faults.subdomain(&class);
    }
    let mode = spec.get("volumeMode");
    if !is_inline {
        faults.one_of(&mode, VOLUME_MODES);
    } else if mode.is_set() && mode != "Filesystem" {
        faults.forbidden(&mode, "may not specify volumeMode other than Filesystem in the context of inline volumes");
    }
    validate_attributes(spec, faults);
}

fn validate_capacity(capacity: &At<'_>, faults: &mut Faults) {
    if capacity.is_empty() {
        faults.required(capacity, "");
    }
    if capacity.value.get("storage").is_none() || capacity.len() > 1 {
        let shown = if capacity.is_set() { capacity.value.clone() } else { serde_json::Value::Null };
        faults.0.push(Error::not_supported(&capacity.path(), shown, &["storage"]));
    }
    for (_, amount) in capacity.entries() {
        super::validate_basic_amount(&amount, faults);
        if quantity(&amount) <= Quantity::ZERO {
            faults.invalid_text(&amount, super::NOT_POSITIVE_QUANTITY);
        }
    }
}

fn validate_affinity(affinity: &At<'_>, faults: &mut Faults) {
    let required = affinity.get("required");
    if required.is_set() {
        validate_node_selector(&required, faults);
    } else {
        faults.required(&required, "must specify required node constraints");
    }
}

fn validate_sources(spec: &At<'_>, name: &str, has_affinity: bool, faults: &mut Faults) {
    let mut count = 0;
    for (field, many, check) in SOURCES {
        let source = spec.get(field);
        if !source.is_set() {
            continue;
        }
        if count > 0 && *field != "flexVolume" {
            faults.forbidden(&spec.named(many), "may not specify more than 1 volume type");
            continue;
        }
        count += 1;
        check(&source, faults);
        if *field == "iscsi" {
            disks::iscsi_volume_length(&source, name, faults);
        }
        if *field == "local" && !has_affinity {
            faults.required(&spec.get("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if count == 0 {
        faults.required(spec, "must specify a volume type");
    }
    let is_root = spec.get("hostPath").get("path").text().split('/').all(|part| matches!(part, "" | "."))
        && spec.get("hostPath").get("path").text().starts_with('/');
    if is_root && spec.get("persistentVolumeReclaimPolicy") == "Recycle" {
        faults.forbidden(&spec.get("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'");
    }
}

fn validate_attributes(spec: &At<'_>, faults: &mut Faults) {
    let name = spec.get("volumeAttributesClassName");
    if !name.is_set() {
        return;
    }
    if name.has_text() {
        faults.subdomain(&name);
    } else {
        faults.required(&name, "an empty string is disallowed");
    }
    if !spec.get("csi").is_set() {
        faults.required(&spec.get("csi"), "has to be specified when using volumeAttributesClassName");
    }
}

pub(crate) fn validate_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return;
    }
    faults.metadata(new, false, NameRule::Subdomain);
    validate(new, faults);
    let (before, after) = (old.get("spec"), new.get("spec"));
    let source = |spec: &At<'_>| {
        let fields = SOURCES.iter().filter(|(field, ..)| spec.get(field).is_set());
        fields.map(|(field, ..)| ((*field).to_owned(), spec.value[*field].clone())).collect::<serde_json::Map<_, _>>()
    };
    let (was, mut is) = (source(&before), source(&after));
    if let (Some(was), Some(is)) = (was.get("csi"), is.get_mut("csi"))
        && was["controllerExpandSecretRef"].is_null()
    {
        crate::reset::unset(is, "controllerExpandSecretRef");
    }
    let (was, is) = (serde_json::Value::Object(was), serde_json::Value::Object(is));
    if !is_semantically_equal(&was, &is) {
        let shown = diff::unified("PersistentVolumeSource", &was, &is);
        let text = format!("spec.persistentvolumesource is immutable after creation\n{shown}");
        faults.forbidden(&after.get("persistentvolumesource"), text);
    }
    // Upstream's paths leave `spec` out.
    let root = At::root(&serde_json::Value::Null);
    faults.immutable(&before.get("volumeMode"), &root.named("volumeMode").with(&after.value["volumeMode"]));
    let (was, is) = (before.get("nodeAffinity"), after.get("nodeAffinity"));
    if was.is_set() && !is_semantically_equal(&modern(was.value), is.value) && !is_semantically_equal(was.value, is.value) {
        let text = format!("{}, except for updating from beta label to GA", crate::check::IMMUTABLE);
        if is.is_set() {
            faults.invalid_go(&root.named("nodeAffinity"), "VolumeNodeAffinity", is.value, text);
        } else {
            faults.invalid_as(&root.named("nodeAffinity"), serde_json::Value::Null, text);
        }
    }
    let (was, is) = (before.get("volumeAttributesClassName"), after.get("volumeAttributesClassName"));
    if was.is_set() && !is.is_set() {
        faults.forbidden(&is, "update from non-nil value to nil is forbidden");
    }
}

/// Labels that once had other names.
fn modern(affinity: &serde_json::Value) -> serde_json::Value {
    let mut affinity = affinity.clone();
    for term in affinity["required"]["nodeSelectorTerms"].as_array_mut().into_iter().flatten() {
        for expression in term["matchExpressions"].as_array_mut().into_iter().flatten() {
            let now = match expression["key"].as_str().unwrap_or("") {
                "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
                "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
                "beta.kubernetes.io/os" => "kubernetes.io/os",
                "beta.kubernetes.io/arch" => "kubernetes.io/arch",
                "beta.kubernetes.io/instance-type" => "node.kubernetes.io/instance-type",
                _ => continue,
            };
            expression["key"] = serde_json::Value::from(now);
        }
    }
    affinity
}
