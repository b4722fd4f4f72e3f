//! System calls that rustix does not have, as small safe functions. Nothing here decides anything.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long};

/// The kernel's answer as a result.
fn check(value: c_long) -> io::Result<c_long> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// The crate libc has it in an int, which it does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

pub(crate) enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// fork(2) with namespaces (`CLONE_NEW*`) and, on cgroup v2, right into a cgroup.
pub(crate) fn clone3(flags: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut pidfd: c_int = -1;
    // SAFETY: `clone_args` is plain numbers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64 | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    // A sibling (CLONE_PARENT) has its parent's signal by itself.
    args.exit_signal = if flags & libc::CLONE_PARENT == 0 { libc::SIGCHLD as u64 } else { 0 };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM, so the child has its own copy of memory; the shim has one thread, so no lock is held across the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has put a new descriptor there, owned by nobody else.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: pid as i32, pidfd })
}

/// Joins namespaces: of a namespace file, or several at once of a pidfd's process.
pub(crate) fn setns(fd: impl AsFd, flags: c_int) -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags) }.into()).map(drop)
}

pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: numbers only; the callers have one thread.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Changes flags and propagation of a mount, or with `recursive` of all mounts below it too.
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, set: u64, clear: u64, propagation: u64) -> io::Result<()> {
    let attributes: [u64; 4] = [set, clear, propagation, 0];
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string; the four numbers are the kernel's `struct mount_attr`, and its size goes along.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    })
    .map(drop)
}

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x8;

/// Ends with this process: what its last thread holds is the kernel's to clean up.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: runs no destructors and no exit handlers, which is wanted after a fork.
    unsafe { libc::_exit(code) }
}

pub(crate) fn send_signal(pidfd: impl AsFd, signal: c_int) -> io::Result<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null pointer means an ordinary signal.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, none, 0) }).map(drop)
}

pub(crate) fn kill(pid: i32, signal: c_int) -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
}

impl Ended {
    /// As shells count.
    pub(crate) fn code(self) -> i32 {
        match self {
            Ended::Code(code) => code,
            Ended::Signal(signal) => 128 + signal,
        }
    }
}

/// One child that has ended, if there is one; then it is gone.
pub(crate) fn reap() -> Option<(i32, Ended)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid, ended(status)))
}

/// Waits for a child to be gone; somebody else's child, or none, is not waited for.
pub(crate) fn wait_if_child(pid: i32) {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {}
}

fn ended(status: c_int) -> Ended {
    if libc::WIFSIGNALED(status) { Ended::Signal(libc::WTERMSIG(status)) } else { Ended::Code(libc::WEXITSTATUS(status)) }
}

/// Blocks `signals` and gives a descriptor that becomes readable when one arrives.
pub(crate) fn signalfd(signals: &[c_int]) -> io::Result<OwnedFd> {
    // SAFETY: a signal set is plain memory, made valid by sigemptyset; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(fd as c_int))
    }
}

pub(crate) fn ignore_signal(signal: c_int) {
    // SAFETY: SIG_IGN needs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Gives a program the signal state it expects: nothing blocked, nothing ignored.
pub(crate) fn reset_signals() {
    // The kernel's `struct sigaction` for the default: all zero. Its own call, for the C library hides two signals.
    let default = [0u64; 4];
    const SIGNAL_SET_BYTES: usize = 8;
    // SAFETY: the kernel reads 32 bytes; SIG_DFL needs no code of ours; failing for SIGKILL and SIGSTOP is harmless.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), SIGNAL_SET_BYTES);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

pub(crate) fn prctl(option: c_int, argument: u64) -> io::Result<()> {
    // SAFETY: only options that take numbers are used.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }.into()).map(drop)
}

/// The name that `ps` shows.
pub(crate) fn set_name(name: &std::ffi::CStr) {
    // SAFETY: the kernel copies the C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// The capabilities this process may hand on.
pub(crate) fn bounding_set() -> u64 {
    (0..crate::capability::N_CAPABILITIES)
        .filter(|number| {
            // SAFETY: numbers only.
            unsafe { libc::prctl(libc::PR_CAPBSET_READ, *number, 0, 0, 0) == 1 }
        })
        .fold(0, |bits, number| bits | 1 << number)
}

/// Sets effective and permitted capabilities to `bits`, inheritable ones to none.
pub(crate) fn capset(bits: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let (low, high) = (bits as u32, (bits >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    // SAFETY: both arrays have the layout of version 3 and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

/// Real, effective and saved ids at once. Capabilities survive it only with `PR_SET_KEEPCAPS`.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list outlives the call; the callers have one thread, which these calls are for.
    unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()).into())?;
        check(libc::setresgid(gid, gid, gid).into())?;
        check(libc::setresuid(uid, uid, uid).into()).map(drop)
    }
}

/// Installs a system call filter for the rest of this process's life.
pub(crate) fn seccomp(program: &[libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads the program, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) }).map(drop)
}

/// From `first` on, descriptors close when the program starts.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: sets a flag; nothing is closed now.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// From `first` on, descriptors close now. Only for a process that owns none of them as a value.
pub(crate) fn close_from(first: u32) {
    // SAFETY: called first thing in a new process, when no Rust value holds a descriptor of that range.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Becomes another program; returns only with the reason why not.
pub(crate) fn execve(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both lists end with null and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Makes `fd` the standard stream `number`, kept across execve.
pub(crate) fn set_standard_stream(fd: impl AsFd, number: c_int) -> io::Result<()> {
    // SAFETY: 0, 1 and 2 are held by no Rust value here.
    check(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }.into()).map(drop)
}

/// Brings up `lo` in the network namespace of this process.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: `ifreq` is plain memory with a zero-terminated name; the requests are those for interface flags.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0).into())? as c_int;
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request).into()).map(drop)
    }
}

pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are of one string.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// The number behind `/dev/pts/N`'s other end: unlocks a new terminal and opens its program side.
pub(crate) fn open_terminal_peer(controller: impl AsFd) -> io::Result<OwnedFd> {
    let unlock: c_int = 0;
    let controller = controller.as_fd().as_raw_fd();
    // SAFETY: TIOCSPTLCK reads one int; TIOCGPTPEER takes open flags and returns a new descriptor that is ours.
    unsafe {
        check(libc::ioctl(controller, libc::TIOCSPTLCK, &raw const unlock).into())?;
        let fd = check(libc::ioctl(controller, libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC).into())?;
        Ok(OwnedFd::from_raw_fd(fd as c_int))
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as i64
}
