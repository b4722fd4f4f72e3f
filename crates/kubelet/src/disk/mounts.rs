//! What a container mounts: its volumes, `/etc/hosts`, the file for its last words.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};
use oci_runtime::spec::{Mount, MountAccess, MountSource, Propagation};
use pod_plan::expand::expand;
use pod_plan::host_name::hosts_file;

use super::place::{PodFolder, VolumeKind};
use crate::seams::MountRequest;

const HOSTS: &str = "/etc/hosts";
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Where things of the pod lie.
pub(super) struct Place<'a> {
    pub(super) folder: PodFolder,
    pub(super) cluster_domain: &'a str,
    /// The path of a claimed volume.
    pub(super) claimed: &'a dyn Fn(&str) -> Option<PathBuf>,
}

pub(super) fn of_container(place: &Place, request: &MountRequest) -> Result<Vec<Mount>, String> {
    let (folder, cluster_domain) = (&place.folder, place.cluster_domain);
    let (_, container) = request.pod.container(&request.container).ok_or("no such container")?;
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push(of_volume(place, request, container, mount)?);
    }
    let is_taken = |path: &str| container.volume_mounts.iter().flatten().any(|m| Path::new(&m.mount_path) == Path::new(path));
    if !request.pod_ips.is_empty() && !is_taken(HOSTS) {
        mounts.push(file(HOSTS, write_hosts(folder, cluster_domain, request)?));
    }
    let message_path = container.termination_message_path.as_deref().filter(|p| !p.is_empty()).unwrap_or(TERMINATION_MESSAGE);
    if !is_taken(message_path) {
        mounts.push(file(message_path, make_message_file(folder, request)?));
    }
    Ok(mounts)
}

fn file(destination: &str, source: PathBuf) -> Mount {
    Mount {
        destination: destination.into(),
        source: MountSource::Bind(source),
        access: MountAccess::ReadWrite,
        propagation: Propagation::Private,
    }
}

fn of_volume(place: &Place, request: &MountRequest, container: &Container, mount: &VolumeMount) -> Result<Mount, String> {
    let missing = || format!("cannot find volume {:?} to mount into container {:?}", mount.name, container.name);
    let volume = request.pod.spec.volumes.iter().flatten().find(|v| v.name == mount.name).ok_or_else(missing)?;
    let kind = VolumeKind::of(volume).ok_or_else(missing)?;
    let path = match (kind, &volume.host_path) {
        (_, Some(source)) => PathBuf::from(&source.path),
        (VolumeKind::Claim, None) => (place.claimed)(&volume.name).ok_or_else(missing)?,
        _ => place.folder.volume(kind, &volume.name),
    };
    let sub_path = sub_path(request, mount)?;
    let source = match (request.images.get(&volume.name), sub_path) {
        (Some(layers), sub_path) => MountSource::Image { layers: layers.clone(), sub_path: sub_path.unwrap_or_default() },
        (None, None) => MountSource::Bind(path),
        (None, Some(sub_path)) => MountSource::SubPath { volume: path, sub_path },
    };
    let claim = volume.persistent_volume_claim.as_ref();
    let is_read_only = mount.read_only == Some(true) || kind.is_read_only() || claim.is_some_and(|c| c.read_only == Some(true));
    let is_recursive = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    let destination = if mount.mount_path.starts_with('/') { mount.mount_path.clone() } else { format!("/{}", mount.mount_path) };
    Ok(Mount {
        destination: destination.into(),
        source,
        access: match (is_read_only, is_recursive) {
            (false, _) => MountAccess::ReadWrite,
            (true, false) => MountAccess::ReadOnly,
            (true, true) => MountAccess::RecursiveReadOnly,
        },
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
    })
}

fn sub_path(request: &MountRequest, mount: &VolumeMount) -> Result<Option<PathBuf>, String> {
    let text = match mount.sub_path_expr.as_deref().filter(|t| !t.is_empty()) {
        None => mount.sub_path.clone().unwrap_or_default(),
        Some(expression) => {
            let missing = std::cell::RefCell::new(std::collections::BTreeSet::new());
            let expanded = expand(expression, &|name| {
                let value = request.env.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone());
                if value.is_none() {
                    missing.borrow_mut().insert(name.to_owned());
                }
                value
            });
            let missing: Vec<String> = missing.into_inner().into_iter().collect();
            if !missing.is_empty() {
                return Err(format!("missing value for {}", missing.join(", ")));
            }
            expanded
        }
    };
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with('/') {
        return Err(format!("error SubPath `{text}` must not be an absolute path"));
    }
    if Path::new(&text).components().any(|c| c == Component::ParentDir) {
        return Err(format!("unable to provision SubPath `{text}`: must not contain '..'"));
    }
    Ok(Some(text.into()))
}

fn write_hosts(folder: &PodFolder, cluster_domain: &str, request: &MountRequest) -> Result<PathBuf, String> {
    let path = folder.hosts_file();
    let ips: Vec<String> = request.pod_ips.iter().map(IpAddr::to_string).collect();
    let host_file = if request.pod.is_host_network() { fs::read_to_string(HOSTS).unwrap_or_default() } else { String::new() };
    let text = hosts_file(&request.pod, &ips, cluster_domain, &host_file);
    // Written in place: other containers of the pod have it mounted.
    write_open(&path, &text, 0o644)?;
    Ok(path)
}

fn make_message_file(folder: &PodFolder, request: &MountRequest) -> Result<PathBuf, String> {
    let path = folder.termination_message(&request.container, request.attempt);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| format!("mkdir {}: {e}", parent.display()))?;
    }
    // Whoever the container runs as may write it.
    write_open(&path, "", 0o666)?;
    Ok(path)
}

fn write_open(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let said = |e: std::io::Error| format!("write {}: {e}", path.display());
    fs::write(path, text).map_err(said)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(said)
}
