//! Capabilities: their names and numbers, and the set that upstream's runtimes give a container that asks for nothing.

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(pub(crate) u64);

macro_rules! capabilities {
    ($($variant:ident $name:literal,)*) => {
        /// In the kernel's order, so that the position is the number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Capability { $($variant,)* }
        const NAMES: &[(&str, Capability)] = &[$(($name, Capability::$variant),)*];
    };
}

capabilities! {
    Chown "CHOWN",
    DacOverride "DAC_OVERRIDE",
    DacReadSearch "DAC_READ_SEARCH",
    Fowner "FOWNER",
    Fsetid "FSETID",
    Kill "KILL",
    Setgid "SETGID",
    Setuid "SETUID",
    Setpcap "SETPCAP",
    LinuxImmutable "LINUX_IMMUTABLE",
    NetBindService "NET_BIND_SERVICE",
    NetBroadcast "NET_BROADCAST",
    NetAdmin "NET_ADMIN",
    NetRaw "NET_RAW",
    IpcLock "IPC_LOCK",
    IpcOwner "IPC_OWNER",
    SysModule "SYS_MODULE",
    SysRawio "SYS_RAWIO",
    SysChroot "SYS_CHROOT",
    SysPtrace "SYS_PTRACE",
    SysPacct "SYS_PACCT",
    SysAdmin "SYS_ADMIN",
    SysBoot "SYS_BOOT",
    SysNice "SYS_NICE",
    SysResource "SYS_RESOURCE",
    SysTime "SYS_TIME",
    SysTtyConfig "SYS_TTY_CONFIG",
    Mknod "MKNOD",
    Lease "LEASE",
    AuditWrite "AUDIT_WRITE",
    AuditControl "AUDIT_CONTROL",
    Setfcap "SETFCAP",
    MacOverride "MAC_OVERRIDE",
    MacAdmin "MAC_ADMIN",
    Syslog "SYSLOG",
    WakeAlarm "WAKE_ALARM",
    BlockSuspend "BLOCK_SUSPEND",
    AuditRead "AUDIT_READ",
    Perfmon "PERFMON",
    Bpf "BPF",
    CheckpointRestore "CHECKPOINT_RESTORE",
}

/// Numbers end here; the kernel says how many of them it knows.
pub(crate) const N_CAPABILITIES: u32 = NAMES.len() as u32;

const DEFAULT: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

impl Capabilities {
    pub(crate) const ALL: Capabilities = Capabilities((1 << NAMES.len()) - 1);

    pub(crate) fn has(self, one: Capability) -> bool {
        self.0 >> (one as u32) & 1 == 1
    }

    fn of(list: &[Capability]) -> Capabilities {
        Capabilities(list.iter().fold(0, |bits, one| bits | 1 << (*one as u32)))
    }

    /// The default set with `add` and `drop` of a security context. Upstream: `ALL` goes first, then single names.
    pub(crate) fn for_container(add: &[String], drop: &[String]) -> Result<Capabilities, String> {
        let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
        let mut bits = Capabilities::of(DEFAULT).0;
        if add.iter().any(is_all) {
            bits = Capabilities::ALL.0;
        }
        if drop.iter().any(is_all) {
            bits = 0;
        }
        for name in add.iter().filter(|name| !is_all(name)) {
            bits |= 1 << parse(name)? as u32;
        }
        for name in drop.iter().filter(|name| !is_all(name)) {
            bits &= !(1 << parse(name)? as u32);
        }
        Ok(Capabilities(bits))
    }
}

fn parse(name: &str) -> Result<Capability, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().find(|row| row.0 == short).map(|row| row.1).ok_or_else(|| format!("unknown capability `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(add: &[&str], drop: &[&str], expected: Result<u64, &str>) {
        let owned = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let actual = Capabilities::for_container(&owned(add), &owned(drop)).map(|set| set.0);
        assert_eq!(actual, expected.map_err(str::to_string), "add {add:?} drop {drop:?}");
    }

    #[test]
    fn a_security_context_changes_the_default_set() {
        check(&[], &[], Ok(0xa804_25fb));
        check(&["NET_ADMIN"], &["ALL"], Ok(1 << 12));
        check(&["cap_sys_time"], &["CHOWN"], Ok(0xa804_25fb & !1 | 1 << 25));
        check(&["ALL"], &["SYS_ADMIN"], Ok(((1 << 41) - 1) & !(1 << 21)));
        check(&["FLY"], &[], Err("unknown capability `FLY`"));
    }
}
