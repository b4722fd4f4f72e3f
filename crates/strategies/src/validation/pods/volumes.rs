//! Volumes of a pod: one source each, and what each source needs.

use std::collections::{HashMap, HashSet};

use object::names;

use super::mounts::Volumes;
use super::{env, projected};
use crate::check::{At, Faults};
use crate::shapes;
use crate::validation::core::claims;
use crate::validation::core::disks;

type Check = fn(&At<'_>, &mut Faults);

/// All sources in upstream's order: the field, the name upstream gives it when it is one too many, the rule.
const SOURCES: &[(&str, &str, Check)] = &[
    ("emptyDir", "emptyDir", validate_empty_dir),
    ("hostPath", "hostPath", validate_host_path),
    ("gitRepo", "gitRepo", validate_git),
    ("gcePersistentDisk", "gcePersistentDisk", |at, faults| disks::gce(&at.renamed("persistentDisk"), faults)),
    ("awsElasticBlockStore", "awsElasticBlockStore", disks::aws),
    ("secret", "secret", |at, faults| validate_files(at, "secretName", faults)),
    ("nfs", "nfs", disks::nfs),
    ("iscsi", "iscsi", disks::iscsi),
    ("glusterfs", "glusterfs", |at, faults| disks::needs(at, &["endpoints", "path"], faults)),
    ("flocker", "flocker", disks::flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", |at, faults| disks::needs(at, &["claimName"], faults)),
    ("rbd", "rbd", disks::rbd),
    ("cinder", "cinder", disks::cinder),
    ("cephfs", "cephFS", disks::cephfs),
    ("quobyte", "quobyte", disks::quobyte),
    ("downwardAPI", "downwarAPI", validate_downward),
    ("fc", "fc", disks::fc),
    ("flexVolume", "flexVolume", disks::flex),
    ("configMap", "configMap", |at, faults| validate_files(at, "name", faults)),
    ("azureFile", "azureFile", |at, faults| disks::needs(at, &["secretName", "shareName"], faults)),
    ("vsphereVolume", "vsphereVolume", |at, faults| disks::needs(at, &["volumePath"], faults)),
    ("photonPersistentDisk", "photonPersistentDisk", |at, faults| disks::needs(at, &["pdID"], faults)),
    ("portworxVolume", "portworxVolume", |at, faults| disks::needs(at, &["volumeID"], faults)),
    ("azureDisk", "azureDisk", disks::azure_disk),
    ("storageos", "storageos", disks::storage_os),
    ("projected", "projected", projected::validate),
    ("scaleIO", "scaleIO", |at, faults| disks::needs(at, &["gateway", "system", "volumeName"], faults)),
    ("csi", "csi", validate_csi),
    ("ephemeral", "ephemeral", validate_ephemeral),
    ("image", "image", validate_image),
];

/// Returns the volumes that are fine, by name.
pub(super) fn validate<'a>(list: &At<'a>, pod_name: &str, faults: &mut Faults) -> Volumes<'a> {
    let of_ephemeral: HashSet<String> = list
        .items()
        .filter(|volume| !pod_name.is_empty() && volume.get("ephemeral").is_set())
        .map(|volume| format!("{pod_name}-{}", volume.get("name").text()))
        .collect();
    let mut volumes = HashMap::new();
    for volume in list.items() {
        let before = faults.0.len();
        let name = volume.get("name");
        validate_source(&volume, pod_name, faults);
        if faults.need_text(&name) {
            faults.label(&name);
        }
        if volumes.contains_key(name.text()) {
            faults.duplicate(&name);
        }
        if faults.0.len() == before {
            volumes.insert(name.text(), volume.value);
        }
        let claim = volume.get("persistentVolumeClaim").get("claimName");
        if of_ephemeral.contains(claim.text()) {
            faults.invalid_text(&claim, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    volumes
}

fn validate_source(volume: &At<'_>, pod_name: &str, faults: &mut Faults) {
    let mut count = 0;
    for (field, many, check) in SOURCES {
        let source = volume.get(field);
        if !source.is_set() {
            continue;
        }
        if count > 0 {
            faults.forbidden(&volume.named(many), "may not specify more than 1 volume type");
        } else {
            count += 1;
            check(&source, faults);
            if *field == "ephemeral" {
                validate_claim_name(volume, pod_name, faults);
            }
        }
        if *field == "iscsi" {
            disks::iscsi_length(&source, &volume.get("name"), faults);
        }
    }
    if count == 0 {
        faults.required(volume, "must specify a volume type");
    }
}

fn validate_claim_name(volume: &At<'_>, pod_name: &str, faults: &mut Faults) {
    let name = volume.get("name");
    if pod_name.is_empty() || !name.has_text() {
        return;
    }
    let claim = format!("{pod_name}-{}", name.text());
    for fault in names::subdomain_faults(&claim) {
        faults.invalid_text(&name, format!("PVC name {claim:?}: {fault}"));
    }
}

fn validate_empty_dir(at: &At<'_>, faults: &mut Faults) {
    let limit = at.get("sizeLimit");
    if limit.is_set() && super::resources::quantity(&limit).is_negative() {
        faults.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
    }
}

pub(crate) fn validate_host_path(at: &At<'_>, faults: &mut Faults) {
    let path = at.get("path");
    faults.need_text(&path);
    shapes::path_without_backsteps(&path, faults);
    let kinds = &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    faults.one_of(&at.get("type"), kinds);
}

fn validate_git(at: &At<'_>, faults: &mut Faults) {
    faults.need_text(&at.get("repository"));
    shapes::relative_path(&at.get("directory"), faults);
}

/// A Secret or a ConfigMap laid out as files.
fn validate_files(at: &At<'_>, name: &'static str, faults: &mut Faults) {
    faults.need_text(&at.get(name));
    shapes::file_mode(&at.get("defaultMode"), faults);
    for item in at.get("items").items() {
        validate_item(&item, faults);
    }
}

pub(super) fn validate_item(item: &At<'_>, faults: &mut Faults) {
    let path = item.get("path");
    faults.need_text(&item.get("key"));
    faults.need_text(&path);
    shapes::local_path(&path, faults);
    shapes::file_mode(&item.get("mode"), faults);
}

/// Upstream names the volume, not the item.
fn validate_downward(at: &At<'_>, faults: &mut Faults) {
    shapes::file_mode(&at.get("defaultMode"), faults);
    for item in at.get("items").items() {
        validate_downward_file(&at.with(item.value), faults);
    }
}

pub(super) fn validate_downward_file(file: &At<'_>, faults: &mut Faults) {
    let (path, field, resource) = (file.get("path"), file.get("fieldRef"), file.get("resourceFieldRef"));
    faults.need_text(&path);
    shapes::local_path(&path, faults);
    if field.is_set() {
        env::validate_field_ref(&field, env::VOLUME_FIELDS, faults);
        if resource.is_set() {
            faults.invalid_as(file, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource.is_set() {
        env::validate_resource_ref(&resource, true, faults);
    } else {
        faults.required(file, "one of fieldRef and resourceFieldRef is required");
    }
    shapes::file_mode(&file.get("mode"), faults);
}

fn validate_csi(at: &At<'_>, faults: &mut Faults) {
    shapes::csi_driver_name(&at.get("driver"), faults);
    let secret = at.get("nodePublishSecretRef");
    if !secret.is_set() {
        return;
    }
    let name = secret.get("name");
    if faults.need_text(&name) {
        faults.each_as(&at.named("name"), name.text(), names::subdomain_faults(name.text()));
    }
}

fn validate_ephemeral(at: &At<'_>, faults: &mut Faults) {
    let template = at.get("volumeClaimTemplate");
    if template.is_set() {
        claims::validate_template(&template, faults);
    } else {
        faults.required(&template, "");
    }
}

fn validate_image(at: &At<'_>, faults: &mut Faults) {
    faults.need_text(&at.get("reference"));
    faults.need_one_of(&at.get("pullPolicy"), &["Always", "IfNotPresent", "Never"]);
}
