//! Mounts and devices of a container, against the volumes of its pod.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::check::{At, Faults};
use crate::shapes;

/// Volumes without faults of their own, by name.
pub(super) type Volumes<'a> = HashMap<&'a str, &'a Value>;

fn name_to_path<'a>(list: &At<'a>, path: &str) -> HashMap<&'a str, &'a str> {
    list.list().iter().map(|item| (item["name"].as_str().unwrap_or(""), item[path].as_str().unwrap_or(""))).collect()
}

pub(super) fn validate_mounts(container: &At<'_>, volumes: &Volumes<'_>, faults: &mut Faults) {
    let list = container.get("volumeMounts");
    let devices = name_to_path(&container.get("volumeDevices"), "devicePath");
    let mut points = HashSet::new();
    for mount in list.items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        faults.need_text(&name);
        if !volumes.contains_key(name.text()) {
            faults.not_found(&name);
        }
        faults.need_text(&path);
        if !points.insert(path.text()) {
            faults.invalid_text(&path, "must be unique");
        }
        if devices.contains_key(name.text()) {
            faults.invalid_text(&name, "must not already exist in volumeDevices");
        }
        if devices.values().any(|device| *device == path.text()) {
            faults.invalid_text(&path, "must not already exist as a path in volumeDevices");
        }
        // From here on upstream's paths name the list, not the entry.
        let on_list = |field: &'static str| list.named(field).with(&mount.value[field]);
        let (sub, expression) = (on_list("subPath"), on_list("subPathExpr"));
        shapes::relative_path(&sub, faults);
        if expression.has_text() {
            if sub.has_text() {
                faults.invalid_text(&mount.get("subPathExpr"), "subPathExpr and subPath are mutually exclusive");
            }
            shapes::relative_path(&expression, faults);
        }
        validate_propagation(&on_list("mountPropagation"), container, faults);
        validate_recursive_read_only(&on_list("recursiveReadOnly"), &mount, faults);
    }
}

fn validate_propagation(at: &At<'_>, container: &At<'_>, faults: &mut Faults) {
    faults.one_of(at, &["Bidirectional", "HostToContainer", "None"]);
    if at == "Bidirectional" && !container.get("securityContext").get("privileged").is_true() {
        faults.forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn validate_recursive_read_only(at: &At<'_>, mount: &At<'_>, faults: &mut Faults) {
    faults.one_of(at, &["Disabled", "Enabled", "IfPossible"]);
    if !matches!(at.text(), "Enabled" | "IfPossible") {
        return;
    }
    if !mount.get("readOnly").is_true() {
        faults.forbidden(at, "may only be specified when readOnly is true");
    }
    if !matches!(mount.get("mountPropagation").text(), "" | "None") {
        faults.forbidden(at, "may only be specified when mountPropagation is None or not specified");
    }
}

pub(super) fn validate_devices(container: &At<'_>, volumes: &Volumes<'_>, faults: &mut Faults) {
    let mounts = name_to_path(&container.get("volumeMounts"), "mountPath");
    let (mut paths, mut names) = (HashSet::new(), HashSet::new());
    for device in container.get("volumeDevices").items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        let volume = volumes.get(name.text());
        faults.need_text(&name);
        if names.contains(name.text()) {
            faults.invalid_text(&name, "must be unique");
        }
        match volume {
            None => faults.not_found(&name),
            Some(volume) if volume["persistentVolumeClaim"].is_null() && volume["ephemeral"].is_null() => {
                faults.invalid_text(&name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
            }
            Some(_) => {}
        }
        faults.need_text(&path);
        if paths.contains(path.text()) {
            faults.invalid_text(&path, "must be unique");
        }
        if path.text().split('/').any(|part| part == "..") {
            faults.invalid_text(&path, "can not contain backsteps ('..')");
        } else {
            paths.insert(path.text());
        }
        if mounts.contains_key(name.text()) {
            faults.invalid_text(&name, "must not already exist in volumeMounts");
        }
        if mounts.values().any(|mount| *mount == path.text()) {
            faults.invalid_text(&path, "must not already exist as a path in volumeMounts");
        }
        if name.has_text() {
            names.insert(name.text());
        }
    }
}
