//! From exec to a standing pod: leave the parent, make the namespaces, then serve.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use super::events::Shim;
use crate::cgroup::Purpose;
use crate::launch::SHARED_MEMORY;
use crate::protocol::{SandboxFiles, SandboxRecord};
use crate::spec::{NamespaceMode, PidMode};
use crate::sys::{self, Forked};

/// What the shim holds for the pod.
pub(super) struct Held {
    /// Where volumes and layers are looked up: the mounts of whoever started the shim.
    pub(super) host_mounts: OwnedFd,
    pub(super) own_pids: OwnedFd,
    /// First process of the pod's shared process namespace.
    pub(super) pod_init: Option<(i32, OwnedFd)>,
}

pub(super) fn run(directory: &Path) -> Result<(), String> {
    sys::close_from(3);
    let path = SandboxFiles(directory).record();
    let text = fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let record: SandboxRecord = serde_json::from_slice(&text).map_err(|error| format!("read {}: {error}", path.display()))?;
    leave_parent(&record)?;
    let listener = take_listener()?;
    // Settled before anything can fail, so that failures can be told over the socket.
    let held = hold_namespaces(directory, &record);
    Shim::new(directory.to_path_buf(), record, listener, held)?.serve()
}

/// A second fork puts the shim into its cgroup from its first moment on, and leaves it a child of whoever started it: as long
/// as that lives it reaps, later the host's first process does.
fn leave_parent(record: &SandboxRecord) -> Result<(), String> {
    let door = record.cgroups.door(&record.shims_cgroup)?;
    let null = File::options().write(true).open("/dev/null").map_err(|error| format!("open /dev/null: {error}"))?;
    match sys::clone3(libc::CLONE_PARENT, door.as_ref().map(AsFd::as_fd)).map_err(|error| format!("fork: {error}"))? {
        Forked::Parent { pid, .. } => {
            let mut stdout = std::io::stdout();
            let _ = write!(stdout, "{pid}").and_then(|()| stdout.flush());
            sys::exit_now(0)
        }
        Forked::Child => {}
    }
    sys::set_standard_stream(&null, 1).map_err(|error| format!("close standard output: {error}"))?;
    rustix::process::setsid().map_err(|error| format!("start a session: {error}"))?;
    record.cgroups.enter_as_shim_if_no_door(&record.shims_cgroup)?;
    sys::set_name(c"coracle-shim");
    // Orphans in the host's process namespace come to us to be reaped.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map_err(|error| format!("become a subreaper: {error}"))?;
    // Processes of the pod, root or not, may not look into this one, nor into its children before they are containers.
    sys::prctl(libc::PR_SET_DUMPABLE, 0).map_err(|error| format!("become private: {error}"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

fn take_listener() -> Result<UnixListener, String> {
    let fail = |error: std::io::Error| format!("take over the socket: {error}");
    let listener = std::io::stdin().as_fd().try_clone_to_owned().map_err(fail)?;
    let null = File::open("/dev/null").map_err(fail)?;
    sys::set_standard_stream(&null, 0).map_err(fail)?;
    let listener = UnixListener::from(listener);
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

fn hold_namespaces(directory: &Path, record: &SandboxRecord) -> Result<Held, String> {
    let open = |name: &str| {
        File::open(format!("/proc/self/ns/{name}")).map(OwnedFd::from).map_err(|error| format!("open namespace {name}: {error}"))
    };
    let (host_mounts, own_pids) = (open("mnt")?, open("pid")?);
    let config = &record.config;
    let mut flags = libc::CLONE_NEWNS;
    if config.namespaces.network == NamespaceMode::Pod {
        // Upstream: with the host's network a pod has the host's name too.
        flags |= libc::CLONE_NEWNET | libc::CLONE_NEWUTS;
    }
    if config.namespaces.ipc == NamespaceMode::Pod {
        flags |= libc::CLONE_NEWIPC;
    }
    sys::unshare(flags).map_err(|error| format!("make the pod's namespaces: {error}"))?;
    share_memory(directory, config.namespaces.ipc)?;
    if config.namespaces.network == NamespaceMode::Pod {
        sys::loopback_up().map_err(|error| format!("bring up the loopback: {error}"))?;
        if !config.hostname.is_empty() {
            sys::set_hostname(&config.hostname).map_err(|error| format!("set the host name `{}`: {error}", config.hostname))?;
        }
        // Upstream: containerd 2 lets containers without capabilities use low ports and ping; pods rely on it.
        let _ = set_sysctl("net.ipv4.ip_unprivileged_port_start", "0");
        let _ = set_sysctl("net.ipv4.ping_group_range", "0 2147483647");
    }
    for (name, value) in &config.sysctls {
        set_sysctl(name, value)?;
    }
    record.cgroups.make(&record.cgroup, &config.resources, Purpose::Pod)?;
    let pod_init = match config.namespaces.pid {
        PidMode::Pod => Some(start_pod_init()?),
        PidMode::Container | PidMode::Host => None,
    };
    Ok(Held { host_mounts, own_pids, pod_init })
}

/// `/dev/shm` is one for all containers of a pod. It is mounted in the shim's own mount namespace, where it needs no
/// unmounting and no other process (systemd watches the mount table) is bothered by it.
fn share_memory(directory: &Path, ipc: NamespaceMode) -> Result<(), String> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(|error| format!("detach from the host's mounts: {error}"))?;
    if ipc == NamespaceMode::Host {
        return Ok(());
    }
    let place = directory.join(SHARED_MEMORY);
    match fs::create_dir(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(format!("make {}: {error}", place.display())),
        _ => {}
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mounted: Result<(), Errno> = mount("shm", &place, "tmpfs", flags, c"mode=1777,size=65536k");
    mounted.map_err(|error| format!("mount the pod's shared memory: {error}"))
}

fn set_sysctl(name: &str, value: &str) -> Result<(), String> {
    let is_plain = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
    // Interface names may hold dots; then the parts are divided by slashes.
    let parts: Vec<&str> = if name.contains('/') { name.split('/').collect() } else { name.split('.').collect() };
    if !parts.iter().all(|part| is_plain(part) || (name.contains('/') && part.split('.').all(is_plain))) {
        return Err(format!("`{name}` is not a sysctl"));
    }
    let path: PathBuf = Path::new("/proc/sys").join(parts.join("/"));
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| format!("set sysctl `{name}` to `{value}`: {error}"))
}

/// Process 1 of a shared process namespace does what the pause image does elsewhere: it waits, and reaps orphans.
fn start_pod_init() -> Result<(i32, OwnedFd), String> {
    match sys::clone3(libc::CLONE_NEWPID, None).map_err(|error| format!("start the pod's first process: {error}"))? {
        Forked::Parent { pid, pidfd } => Ok((pid, pidfd)),
        Forked::Child => {
            sys::set_name(c"pause");
            sys::close_from(0);
            let _ = rustix::process::chdir("/");
            // Ignoring it makes the kernel reap.
            sys::ignore_signal(libc::SIGCHLD);
            loop {
                let _ = rustix::event::poll(&mut [], None);
            }
        }
    }
}
