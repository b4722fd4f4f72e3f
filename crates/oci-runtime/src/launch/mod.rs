//! The way from a fresh child of the shim to the container's command. Everything here runs in that child: it may allocate,
//! fail and hold host descriptors as it likes, for execve throws it all away.
//!
//! Order (each step needs the one before):
//! cgroup → sources held in the host's mounts → own mount namespace → root and mounts → pivot → masks → terminal →
//! limits, filter, capabilities, user → command.
//!
//! Invariant: the child is not dumpable and all its descriptors close on execve, so neither another process in the pod nor
//! the command itself can get at the host through it.

mod devices;
mod masks;
mod mounts;
mod privileges;
mod program;
mod report;
mod root;

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount_change, open_tree, unmount};

use crate::cgroup::{CgroupPath, Cgroups};
use crate::spec::{ContainerConfig, NamespaceMode, Namespaces};
use crate::status::ResolvedUser;
use crate::sys;
use crate::users::resolve_user;
use mounts::{Prepared, put};
use privileges::Privileges;
use program::{Defaults, Program};

pub(crate) use devices::rules as device_rules;
pub(crate) use report::{Report, Reporter, channel, receive};

/// What all containers of a pod share.
pub(crate) struct Pod<'a> {
    /// The sandbox's directory, absolute.
    pub(crate) directory: &'a Path,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) cgroups: &'a Cgroups,
    /// The mount namespace in which volumes and layers are found.
    pub(crate) host_mounts: &'a OwnedFd,
}

/// What the command's standard streams will be.
pub(crate) enum Stdio {
    Streams {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A new terminal of the container's own; its controlling side goes to the shim.
    Terminal,
}

/// One command to start.
pub(crate) struct Launch<'a> {
    pub(crate) config: &'a ContainerConfig,
    pub(crate) cgroup: &'a CgroupPath,
    pub(crate) stdio: Stdio,
    pub(crate) reporter: Reporter,
}

/// Name of the pod's shared memory, below its directory and only in the shim's mount namespace.
pub(crate) const SHARED_MEMORY: &str = "shm";
/// The pod's resolver configuration, below its directory.
pub(crate) const RESOLV_CONF: &str = "resolv.conf";
/// The pod's name for `/etc/hostname`, below its directory.
pub(crate) const HOSTNAME: &str = "hostname";

/// Becomes a container's first command. `directory` is the container's own, absolute.
pub(crate) fn container(pod: &Pod<'_>, launch: Launch<'_>, directory: &Path) -> ! {
    let reporter = launch.reporter.clone();
    reporter.end(catch_unwind(AssertUnwindSafe(|| start(pod, launch, directory))))
}

/// Becomes one more command in a running container, whose first process is `init`.
pub(crate) fn exec(pod: &Pod<'_>, launch: Launch<'_>, command: &[String], user: &ResolvedUser, init: BorrowedFd<'_>) -> ! {
    let reporter = launch.reporter.clone();
    reporter.end(catch_unwind(AssertUnwindSafe(|| join(pod, launch, command, user, init))))
}

fn start(pod: &Pod<'_>, launch: Launch<'_>, directory: &Path) -> Result<Infallible, String> {
    let config = launch.config;
    enter(pod, &launch)?;
    let shared_memory = shared_memory(pod)?;
    sys::setns(pod.host_mounts, libc::CLONE_NEWNS).map_err(|error| format!("join the host's mount namespace: {error}"))?;
    let privileges = Privileges::of(&config.security)?;
    let mut volumes = config.mounts.iter().map(mounts::prepare).collect::<Result<Vec<_>, _>>()?;
    for (name, place) in [(RESOLV_CONF, "/etc/resolv.conf"), (HOSTNAME, "/etc/hostname")] {
        volumes.extend(pod_file(pod, config, name, place)?);
    }
    let nodes = devices::nodes(config)?;

    let own_view = if config.security.privileged { 0 } else { libc::CLONE_NEWCGROUP };
    sys::unshare(libc::CLONE_NEWNS | own_view).map_err(|error| format!("make a mount namespace: {error}"))?;
    // Downstream: mounts the host makes later still arrive in volumes that ask for them, nothing goes back.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|error| format!("detach from the host's mounts: {error}"))?;
    let root = mounts::rootfs(&config.rootfs, directory, directory)?;
    system_mounts(pod, config, root.as_fd(), shared_memory, &nodes)?;
    // What lies deeper comes later, or it would be covered.
    volumes.sort_by_key(|volume| volume.destination.components().count());
    volumes.iter().try_for_each(|volume| volume.place(root.as_fd()))?;
    if !config.working_dir.is_empty() {
        root::directory(root.as_fd(), Path::new(&config.working_dir), 0o755)?;
    }
    if config.read_only_rootfs {
        sys::mount_setattr(&root, false, sys::MOUNT_ATTR_RDONLY, 0, 0).map_err(|error| format!("make the root read-only: {error}"))?;
    }
    pivot(&root)?;
    masks::apply(config)?;
    let user = resolve_user(&root, &config.user)?;
    become_program(launch, &config.args, user, privileges)
}

fn join(pod: &Pod<'_>, launch: Launch<'_>, command: &[String], user: &ResolvedUser, init: BorrowedFd<'_>) -> Result<Infallible, String> {
    enter(pod, &launch)?;
    let security = &launch.config.security;
    let privileges = Privileges::of(security)?;
    let own_view = if security.privileged { 0 } else { libc::CLONE_NEWCGROUP };
    // The other namespaces are the pod's, and so the shim's already.
    sys::setns(init, libc::CLONE_NEWNS | own_view).map_err(|error| format!("join the container: {error}"))?;
    become_program(launch, command, user.clone(), privileges)
}

fn enter(pod: &Pod<'_>, launch: &Launch<'_>) -> Result<(), String> {
    sys::reset_signals();
    pod.cgroups.enter_if_no_door(launch.cgroup)?;
    rustix::process::setsid().map_err(|error| format!("start a session: {error}"))?;
    privileges::set_oom_score(launch.config.oom_score_adj);
    Ok(())
}

fn shared_memory(pod: &Pod<'_>) -> Result<OwnedFd, String> {
    let source = match pod.namespaces.ipc {
        NamespaceMode::Host => PathBuf::from("/dev/shm"),
        NamespaceMode::Pod => pod.directory.join(SHARED_MEMORY),
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, &source, flags).map_err(|error| format!("open the pod's shared memory: {error}"))
}

/// A file that all containers of the pod have, if the pod has it and the container has nothing of its own there.
fn pod_file(pod: &Pod<'_>, config: &ContainerConfig, name: &str, place: &str) -> Result<Option<Prepared>, String> {
    if config.mounts.iter().any(|mount| mount.destination == Path::new(place)) {
        return Ok(None);
    }
    match mounts::copy_of(&pod.directory.join(name)) {
        Ok(tree) => {
            let attributes = if config.read_only_rootfs { sys::MOUNT_ATTR_RDONLY } else { 0 };
            sys::mount_setattr(&tree, false, attributes, 0, libc::MS_PRIVATE).map_err(|error| format!("set up {place}: {error}"))?;
            Ok(Some(Prepared::bind(tree, place)))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(format!("open the pod's {name}: {error}")),
    }
}

/// What every container finds below `/proc`, `/dev` and `/sys`.
fn system_mounts(
    pod: &Pod<'_>,
    config: &ContainerConfig,
    root: BorrowedFd<'_>,
    shm: OwnedFd,
    nodes: &[devices::Node],
) -> Result<(), String> {
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let guarded = if config.security.privileged { quiet } else { quiet | MountAttrFlags::MOUNT_ATTR_RDONLY };
    put(root, "/proc", "proc", &[], quiet)?;
    let no_suid = MountAttrFlags::MOUNT_ATTR_NOSUID;
    put(root, "/dev", "tmpfs", &[("mode", Some("755")), ("size", Some("65536k"))], no_suid | MountAttrFlags::MOUNT_ATTR_STRICTATIME)?;
    let terminals = [("newinstance", None), ("ptmxmode", Some("0666")), ("mode", Some("0620")), ("gid", Some("5"))];
    put(root, "/dev/pts", "devpts", &terminals, no_suid | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
    if Path::new("/proc/sys/fs/mqueue").exists() {
        put(root, "/dev/mqueue", "mqueue", &[], quiet)?;
    }
    let place = root::directory(root, Path::new("/dev/shm"), 0o755)?;
    mounts::attach(&shm, &place).map_err(|error| format!("mount on /dev/shm: {error}"))?;
    devices::make(root, nodes)?;
    put(root, "/sys", "sysfs", &[], guarded)?;
    match pod.cgroups {
        Cgroups::V2(_) => put(root, "/sys/fs/cgroup", "cgroup2", &[], guarded),
        Cgroups::V1(hierarchies) => {
            put(root, "/sys/fs/cgroup", "tmpfs", &[("mode", Some("755"))], quiet)?;
            hierarchies.visible().iter().try_for_each(|(options, name)| {
                let options: Vec<mounts::FsOption<'_>> = options.iter().map(|option| (*option, None)).collect();
                put(root, &format!("/sys/fs/cgroup/{name}"), "cgroup", &options, guarded)
            })
        }
    }
}

/// Makes `root` the root of everything this process sees; the host's tree goes away.
fn pivot(root: &OwnedFd) -> Result<(), String> {
    let fail = |error: rustix::io::Errno| format!("enter the root file system: {error}");
    rustix::process::fchdir(root).map_err(fail)?;
    // The old root ends up on top of the new one, from where it is taken away.
    rustix::process::pivot_root(".", ".").map_err(fail)?;
    unmount(".", UnmountFlags::DETACH).map_err(fail)?;
    rustix::process::chdir("/").map_err(fail)
}

/// The same end for first and further commands: streams, limits, privileges, command.
fn become_program(launch: Launch<'_>, args: &[String], user: ResolvedUser, privileges: Privileges) -> Result<Infallible, String> {
    let Launch { config, stdio, reporter, .. } = launch;
    let has_terminal = matches!(stdio, Stdio::Terminal);
    match stdio {
        Stdio::Streams { stdin, stdout, stderr } => set_streams([&stdin, &stdout, &stderr], &user)?,
        Stdio::Terminal => set_terminal(&reporter, &user)?,
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    privileges::set_rlimits(&config.rlimits)?;
    let directory = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    let first_try = rustix::process::chdir(directory);
    privileges.apply(&user)?;
    // Root may be kept out where the user is not (a network file system), and the other way round.
    if first_try.is_err() {
        let fail = |error: rustix::io::Errno| {
            format!("chdir to cwd (\"{directory}\") set in config.json failed: {}", program::words(&error.into()))
        };
        rustix::process::chdir(directory).map_err(fail)?;
    }
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let program = Program::find(args, &config.env, &Defaults { home: &user.home, hostname: &hostname, has_terminal })?;
    sys::close_on_exec_from(3).map_err(|error| format!("close descriptors: {error}"))?;
    reporter.send(&Report::Ready { user });
    Err(program.run())
}

fn set_streams(streams: [&OwnedFd; 3], user: &ResolvedUser) -> Result<(), String> {
    for (number, stream) in streams.into_iter().enumerate() {
        // Programs open /dev/stdout anew, which takes permission. Pipes only: the null device is the host's.
        let is_pipe = rustix::fs::fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        if is_pipe {
            let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
        }
        sys::set_standard_stream(stream, number as i32).map_err(|error| format!("set standard stream {number}: {error}"))?;
    }
    Ok(())
}

fn set_terminal(reporter: &Reporter, user: &ResolvedUser) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("open a terminal: {error}");
    let here = root::find(CWD, Path::new("/")).map_err(|error| fail(error.into()))?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let controller = rustix::fs::openat2(&here, "dev/pts/ptmx", flags, Mode::empty(), resolve).map_err(|error| fail(error.into()))?;
    let peer = sys::open_terminal_peer(&controller).map_err(fail)?;
    let _ = rustix::fs::fchown(&peer, Some(Uid::from_raw(user.uid)), None);
    rustix::process::ioctl_tiocsctty(&peer).map_err(|error| fail(error.into()))?;
    (0..3).try_for_each(|number| sys::set_standard_stream(&peer, number)).map_err(fail)?;
    // A container's log would otherwise have no console; further commands find the first one's there.
    if let Ok(place) = root::file(here.as_fd(), Path::new("/dev/console")) {
        let _ = mounts::copy_of_fd(&peer).and_then(|tree| mounts::attach(&tree, &place));
    }
    reporter.send_terminal(controller);
    Ok(())
}
