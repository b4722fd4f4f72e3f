//! Host-wide settings that routing pods' packets cannot do without: IPv4 and IPv6 forwarding.
//!
//! They are turned on only when they are off. What they were is written to a file first, and `restore` puts it back.
//! A link that learns its IPv6 default route from router advertisements stops doing so once the host forwards, unless its
//! `accept_ra` is 2; so that the host does not lose its way, such links are set to 2 before (and back on `restore`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::netlink::{Error, Result};

const ROOT: &str = "/proc/sys/net";
const IPV4_FORWARD: &str = "ipv4/ip_forward";
const IPV6_FORWARD: &str = "ipv6/conf/all/forwarding";

/// Former values by name below `/proc/sys/net`.
type Former = BTreeMap<String, String>;

/// Whether this kernel speaks IPv6 at all.
pub fn has_ipv6() -> bool {
    Path::new(ROOT).join("ipv6/conf/all").exists()
}

/// Turns on forwarding for the families asked for. `memory` is the file that keeps what was there.
pub fn enable(memory: &Path, ipv4: bool, ipv6: bool) -> Result<()> {
    let mut former = recall(memory)?;
    if ipv4 {
        set(memory, &mut former, IPV4_FORWARD, "1")?;
    }
    if ipv6 && value(IPV6_FORWARD)? != "1" {
        for name in links_that_hear_routers() {
            set(memory, &mut former, &name, "2")?;
        }
        set(memory, &mut former, IPV6_FORWARD, "1")?;
    }
    Ok(())
}

/// Puts back what `enable` changed. Links that are gone meanwhile are passed over.
pub fn restore(memory: &Path) -> Result<()> {
    // In the order of their names forwarding (`all`) goes off before `accept_ra` of a link goes back, so that no advertisement is missed.
    for (name, former) in recall(memory)? {
        match std::fs::write(path(&name), &former) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot_set(&name, &former, error)),
            _ => tracing::info!(setting = %name, value = %former, "kernel setting put back"),
        }
    }
    match std::fs::remove_file(memory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(format!("remove `{}`", memory.display()), error)),
        _ => Ok(()),
    }
}

fn set(memory: &Path, former: &mut Former, name: &str, wanted: &str) -> Result<()> {
    let found = value(name)?;
    if found == wanted {
        return Ok(());
    }
    if !former.contains_key(name) {
        former.insert(name.to_owned(), found.clone());
        let text = serde_json::to_vec_pretty(former).expect("a map of strings");
        std::fs::write(memory, text).map_err(|error| Error::io(format!("write `{}`", memory.display()), error))?;
    }
    std::fs::write(path(name), wanted).map_err(|error| cannot_set(name, wanted, error))?;
    tracing::info!(setting = %name, former = %found, value = %wanted, "kernel setting changed");
    Ok(())
}

fn cannot_set(name: &str, wanted: &str, error: std::io::Error) -> Error {
    let key = name.replace('/', ".");
    Error::io(format!("set the kernel setting net.{key} to {wanted} (do it by hand: sysctl -w net.{key}={wanted})"), error)
}

fn recall(memory: &Path) -> Result<Former> {
    match std::fs::read(memory) {
        // A torn file holds nothing that could be put back.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Former::new()),
        Err(error) => Err(Error::io(format!("read `{}`", memory.display()), error)),
    }
}

fn links_that_hear_routers() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path("ipv6/conf")) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names = names.filter(|name| !matches!(name.as_str(), "all" | "default" | "lo")).map(|name| format!("ipv6/conf/{name}/accept_ra"));
    names.filter(|name| value(name).is_ok_and(|found| found == "1")).collect()
}

fn value(name: &str) -> Result<String> {
    let text = std::fs::read_to_string(path(name)).map_err(|error| Error::io(format!("read the kernel setting net/{name}"), error))?;
    Ok(text.trim().to_owned())
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}
