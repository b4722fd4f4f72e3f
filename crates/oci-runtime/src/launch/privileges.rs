//! What a program may do: limits, capabilities, system call filter, user. All of it is decided in the shim's words before,
//! and given up here in the one order that works.

use std::fs::File;
use std::io::Write;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::capability::{Capabilities, N_CAPABILITIES};
use crate::seccomp::{self, Program};
use crate::spec::{AppArmor, Rlimit, Seccomp, Security};
use crate::status::ResolvedUser;
use crate::sys;

/// Everything that can fail for a reason in the configuration, settled before anything is given up.
pub(super) struct Privileges {
    capabilities: u64,
    filter: Option<Program>,
    no_new_privileges: bool,
    apparmor: Option<(String, File)>,
}

impl Privileges {
    pub(super) fn of(security: &Security) -> Result<Privileges, String> {
        let wanted = match security.privileged {
            true => Capabilities::ALL,
            false => Capabilities::for_container(&security.capabilities_add, &security.capabilities_drop)?,
        };
        // Nobody can hand on what he does not have.
        let capabilities = Capabilities(wanted.0 & sys::bounding_set());
        let filter = match &security.seccomp {
            _ if security.privileged => None,
            Seccomp::Unconfined => None,
            Seccomp::RuntimeDefault => Some(seccomp::compile(&seccomp::runtime_default(capabilities))),
            Seccomp::Localhost(json) => Some(seccomp::compile(&seccomp::localhost(json)?)),
        };
        let apparmor = match &security.apparmor {
            AppArmor::Localhost(profile) if !security.privileged => apparmor_file()?.map(|file| (profile.clone(), file)),
            _ => None,
        };
        Ok(Privileges { capabilities: capabilities.0, filter, no_new_privileges: security.no_new_privileges, apparmor })
    }

    /// Gives up everything else, for this process and what it becomes.
    pub(super) fn apply(mut self, user: &ResolvedUser) -> Result<(), String> {
        if let Some((profile, file)) = &mut self.apparmor {
            file.write_all(format!("exec {profile}").as_bytes())
                .map_err(|error| format!("apply the AppArmor profile `{profile}`: {error}"))?;
        }
        // Without no_new_privs a filter takes CAP_SYS_ADMIN, so it comes before the capabilities go; with it, as late as can be.
        if !self.no_new_privileges {
            self.load_filter()?;
        }
        let fail = |step: &'static str| move |error: std::io::Error| format!("{step}: {error}");
        for number in (0..N_CAPABILITIES).filter(|number| self.capabilities >> number & 1 == 0) {
            // The kernel may know fewer than we do.
            let _ = sys::prctl(libc::PR_CAPBSET_DROP, number.into());
        }
        sys::prctl(libc::PR_SET_KEEPCAPS, 1).map_err(fail("keep capabilities"))?;
        sys::become_user(user.uid, user.gid, &user.groups).map_err(fail("become the container's user"))?;
        sys::prctl(libc::PR_SET_KEEPCAPS, 0).map_err(fail("keep capabilities"))?;
        sys::capset(self.capabilities).map_err(fail("set capabilities"))?;
        if self.no_new_privileges {
            sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(fail("set no_new_privs"))?;
            self.load_filter()?;
        }
        Ok(())
    }

    fn load_filter(&self) -> Result<(), String> {
        let Some(program) = &self.filter else { return Ok(()) };
        sys::seccomp(program).map_err(|error| format!("load the seccomp filter: {error}"))
    }
}

/// Opened early: later this process may no longer write there. `None` where the kernel has no AppArmor.
fn apparmor_file() -> Result<Option<File>, String> {
    let is_on = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    if !is_on {
        return Ok(None);
    }
    let open = |path| rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let file = open("/proc/self/attr/apparmor/exec").or_else(|_| open("/proc/self/attr/exec"));
    file.map(|fd| Some(File::from(fd))).map_err(|error| format!("open the AppArmor attribute: {error}"))
}

/// Without CAP_SYS_RESOURCE a limit can go down but not up, and the pod is better served with less than not at all.
pub(super) fn set_oom_score(wanted: i32) {
    let path = "/proc/self/oom_score_adj";
    let write =
        |value: i32| std::fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.to_string().as_bytes()));
    if write(wanted).is_err() {
        let now = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or(0);
        let _ = write(wanted.max(now));
    }
}

pub(super) fn set_rlimits(limits: &[Rlimit]) -> Result<(), String> {
    for limit in limits {
        let upper = limit.name.to_ascii_uppercase();
        let name = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        let Some((_, resource)) = RESOURCES.iter().find(|row| row.0 == name) else {
            return Err(format!("unknown rlimit `{}`", limit.name));
        };
        let ours = getrlimit(*resource).maximum;
        // RLIM_INFINITY is rustix's `None`.
        let finite = |value: u64| (value != u64::MAX).then_some(value);
        let lower = |value: Option<u64>| match (value, ours) {
            (None, ours) => ours,
            (Some(value), Some(ours)) => Some(value.min(ours)),
            (value, None) => value,
        };
        let wanted = rustix::process::Rlimit { current: finite(limit.soft.min(limit.hard)), maximum: finite(limit.hard) };
        let clamped = rustix::process::Rlimit { current: lower(wanted.current), maximum: lower(wanted.maximum) };
        setrlimit(*resource, wanted)
            .or_else(|_| setrlimit(*resource, clamped))
            .map_err(|error| format!("set rlimit `{}`: {error}", limit.name))?;
    }
    Ok(())
}

const RESOURCES: &[(&str, Resource)] = &[
    ("AS", Resource::As),
    ("CORE", Resource::Core),
    ("CPU", Resource::Cpu),
    ("DATA", Resource::Data),
    ("FSIZE", Resource::Fsize),
    ("LOCKS", Resource::Locks),
    ("MEMLOCK", Resource::Memlock),
    ("MSGQUEUE", Resource::Msgqueue),
    ("NICE", Resource::Nice),
    ("NOFILE", Resource::Nofile),
    ("NPROC", Resource::Nproc),
    ("RSS", Resource::Rss),
    ("RTPRIO", Resource::Rtprio),
    ("RTTIME", Resource::Rttime),
    ("SIGPENDING", Resource::Sigpending),
    ("STACK", Resource::Stack),
];
