//! System call filters: profiles as rows, compiled to BPF here. Not seccompiler: that has one action a filter and compares
//! numbers one by one; profiles from a node's disk need any action, and runs of neighbouring numbers make a far shorter program.
//!
//! Start reading at [`profile`] (what is allowed), then [`program`] (how the kernel is told).

mod profile;
mod program;
mod syscalls;
#[cfg(test)]
mod tests;

pub(crate) use profile::{localhost, runtime_default};
pub(crate) use program::{Program, compile};

/// What the kernel does with a call: the value a filter returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action(u32);

impl Action {
    const ALLOW: Action = Action(libc::SECCOMP_RET_ALLOW);
    const KILL_PROCESS: Action = Action(libc::SECCOMP_RET_KILL_PROCESS);
    const KILL_THREAD: Action = Action(libc::SECCOMP_RET_KILL_THREAD);
    const TRAP: Action = Action(libc::SECCOMP_RET_TRAP);
    const LOG: Action = Action(libc::SECCOMP_RET_LOG);

    const fn errno(number: u16) -> Action {
        Action(libc::SECCOMP_RET_ERRNO | number as u32)
    }

    const fn trace(number: u16) -> Action {
        Action(libc::SECCOMP_RET_TRACE | number as u32)
    }
}

/// Which calls get which action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    default: Action,
    /// For calls newer than any this table knows; programs probe for those and expect `ENOSYS`.
    unknown: Action,
    rules: Vec<Rule>,
}

/// The first rule of a call whose conditions all hold decides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    number: u32,
    conditions: Vec<Condition>,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Condition {
    argument: u8,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    MaskedEqual { mask: u64, value: u64 },
}
