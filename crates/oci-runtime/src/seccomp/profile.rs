//! Which system calls a container may make: the default profile as rows, and profiles read from a node's disk.

use serde::Deserialize;

use super::program::{number_in, number_of};
use super::syscalls::SYSCALLS;
use super::{Action, Condition, Filter, Rule, Test};
use crate::capability::{Capabilities, Capability};

const EPERM: Action = Action::errno(libc::EPERM as u16);
const ENOSYS: Action = Action::errno(libc::ENOSYS as u16);

/// What it takes to make a call that not everybody may make.
enum Gate {
    Never,
    AnyOf(&'static [Capability]),
}
use Capability as C;
use Gate::{AnyOf, Never};

/// Upstream: containerd's and Docker's default profile. All calls of the table are allowed but for these rows.
const GATED: &[(&str, Gate)] = &[
    ("acct", AnyOf(&[C::SysPacct])),
    ("add_key", Never),
    ("afs_syscall", Never),
    ("bpf", AnyOf(&[C::SysAdmin, C::Bpf])),
    ("chroot", AnyOf(&[C::SysChroot])),
    ("clock_settime", AnyOf(&[C::SysTime])),
    ("create_module", Never),
    ("delete_module", AnyOf(&[C::SysModule])),
    ("fanotify_init", AnyOf(&[C::SysAdmin])),
    ("finit_module", AnyOf(&[C::SysModule])),
    ("fsconfig", AnyOf(&[C::SysAdmin])),
    ("fsmount", AnyOf(&[C::SysAdmin])),
    ("fsopen", AnyOf(&[C::SysAdmin])),
    ("fspick", AnyOf(&[C::SysAdmin])),
    ("get_kernel_syms", Never),
    ("get_mempolicy", AnyOf(&[C::SysNice])),
    ("getpmsg", Never),
    ("init_module", AnyOf(&[C::SysModule])),
    ("io_uring_enter", Never),
    ("io_uring_register", Never),
    ("io_uring_setup", Never),
    ("ioperm", AnyOf(&[C::SysRawio])),
    ("iopl", AnyOf(&[C::SysRawio])),
    ("kcmp", AnyOf(&[C::SysPtrace])),
    ("kexec_file_load", Never),
    ("kexec_load", Never),
    ("keyctl", Never),
    ("listmount", AnyOf(&[C::SysAdmin])),
    ("lookup_dcookie", AnyOf(&[C::SysAdmin])),
    ("lsm_get_self_attr", AnyOf(&[C::SysAdmin])),
    ("lsm_list_modules", AnyOf(&[C::SysAdmin])),
    ("lsm_set_self_attr", AnyOf(&[C::SysAdmin])),
    ("mbind", AnyOf(&[C::SysNice])),
    ("migrate_pages", Never),
    ("mount", AnyOf(&[C::SysAdmin])),
    ("mount_setattr", AnyOf(&[C::SysAdmin])),
    ("move_mount", AnyOf(&[C::SysAdmin])),
    ("move_pages", Never),
    ("nfsservctl", Never),
    ("open_by_handle_at", AnyOf(&[C::DacReadSearch])),
    ("open_tree", AnyOf(&[C::SysAdmin])),
    ("open_tree_attr", AnyOf(&[C::SysAdmin])),
    ("perf_event_open", AnyOf(&[C::SysAdmin, C::Perfmon])),
    ("pidfd_getfd", AnyOf(&[C::SysPtrace])),
    ("pivot_root", Never),
    ("process_madvise", AnyOf(&[C::SysPtrace])),
    ("putpmsg", Never),
    ("query_module", Never),
    ("quotactl", AnyOf(&[C::SysAdmin])),
    ("quotactl_fd", AnyOf(&[C::SysAdmin])),
    ("reboot", AnyOf(&[C::SysBoot])),
    ("request_key", Never),
    ("security", Never),
    ("set_mempolicy", AnyOf(&[C::SysNice])),
    ("set_mempolicy_home_node", AnyOf(&[C::SysNice])),
    ("setdomainname", AnyOf(&[C::SysAdmin])),
    ("sethostname", AnyOf(&[C::SysAdmin])),
    ("setns", AnyOf(&[C::SysAdmin])),
    ("settimeofday", AnyOf(&[C::SysTime])),
    ("statmount", AnyOf(&[C::SysAdmin])),
    ("swapoff", Never),
    ("swapon", Never),
    ("_sysctl", Never),
    ("sysfs", Never),
    ("syslog", AnyOf(&[C::Syslog])),
    ("tuxcall", Never),
    ("umount2", AnyOf(&[C::SysAdmin])),
    ("unshare", AnyOf(&[C::SysAdmin])),
    ("uselib", Never),
    ("userfaultfd", Never),
    ("ustat", Never),
    ("vhangup", AnyOf(&[C::SysTtyConfig])),
    ("vserver", Never),
];

/// Flags of clone(2) that make namespaces.
const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;

/// `personality` values that change nothing dangerous: Linux, Linux with short or old inode numbers, and the question.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff];

/// The profile `RuntimeDefault` for a container with these capabilities.
pub(crate) fn runtime_default(capabilities: Capabilities) -> Filter {
    let is_admin = capabilities.has(C::SysAdmin);
    let mut rules = Vec::new();
    for row in SYSCALLS {
        let Some(number) = number_in(row) else { continue };
        let allow = |test| Rule { number, conditions: vec![Condition { argument: 0, test }], action: Action::ALLOW };
        match row.0 {
            "personality" => rules.extend(PERSONALITIES.map(|value| allow(Test::Equal(value)))),
            // Virtual machine sockets would reach the host past the network namespace.
            "socket" => rules.push(allow(Test::NotEqual(libc::AF_VSOCK as u64))),
            "clone" if !is_admin => rules.push(allow(Test::MaskedEqual { mask: NAMESPACE_FLAGS, value: 0 })),
            // Its flags are behind a pointer that BPF cannot follow; C libraries fall back to clone(2) on this error.
            "clone3" if !is_admin => rules.push(Rule { number, conditions: Vec::new(), action: ENOSYS }),
            name => {
                let is_open = GATED.iter().find(|gate| gate.0 == name).is_none_or(|(_, gate)| match gate {
                    Never => false,
                    AnyOf(any) => any.iter().any(|one| capabilities.has(*one)),
                });
                let action = if is_open { Action::ALLOW } else { EPERM };
                rules.push(Rule { number, conditions: Vec::new(), action });
            }
        }
    }
    Filter { default: EPERM, unknown: ENOSYS, rules }
}

/// A profile in the OCI runtime specification's JSON form, as `localhostProfile` files hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<ProfileRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileRule {
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u16>,
    args: Option<Vec<ProfileArgument>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileArgument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// Reads a profile; the error is a sentence for the pod's events.
pub(crate) fn localhost(json: &str) -> Result<Filter, String> {
    let profile: Profile = serde_json::from_str(json).map_err(|error| format!("seccomp profile is not valid: {error}"))?;
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    let mut rules = Vec::new();
    for row in &profile.syscalls {
        let action = action(&row.action, row.errno_ret)?;
        let conditions = row.args.iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
        // Names of other kernels and architectures are no error; profiles are shared between machines.
        for number in row.names.iter().filter_map(|name| number_of(name)) {
            rules.push(Rule { number, conditions: conditions.clone(), action });
        }
    }
    let unknown = if default == Action::ALLOW { default } else { ENOSYS };
    Ok(Filter { default, unknown, rules })
}

fn action(name: &str, errno: Option<u16>) -> Result<Action, String> {
    let number = errno.unwrap_or(libc::EPERM as u16);
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::ALLOW,
        "SCMP_ACT_ERRNO" => Action::errno(number),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => Action::KILL_PROCESS,
        "SCMP_ACT_TRAP" => Action::TRAP,
        "SCMP_ACT_TRACE" => Action::trace(number),
        "SCMP_ACT_LOG" => Action::LOG,
        other => return Err(format!("seccomp action `{other}` is not supported")),
    })
}

fn condition(row: &ProfileArgument) -> Result<Condition, String> {
    if row.index > 5 {
        return Err(format!("seccomp argument index {} is not in 0..=5", row.index));
    }
    let test = match row.op.as_str() {
        "SCMP_CMP_EQ" => Test::Equal(row.value),
        "SCMP_CMP_NE" => Test::NotEqual(row.value),
        "SCMP_CMP_LT" => Test::Less(row.value),
        "SCMP_CMP_LE" => Test::LessOrEqual(row.value),
        "SCMP_CMP_GT" => Test::Greater(row.value),
        "SCMP_CMP_GE" => Test::GreaterOrEqual(row.value),
        "SCMP_CMP_MASKED_EQ" => Test::MaskedEqual { mask: row.value, value: row.value_two },
        other => return Err(format!("seccomp operator `{other}` is not known")),
    };
    Ok(Condition { argument: row.index, test })
}
