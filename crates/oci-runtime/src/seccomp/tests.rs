//! Compiled programs are run by a small BPF interpreter and compared with the rows they came from.

use super::*;
use crate::capability::{Capabilities, Capability};
use program::number_of;

const NATIVE: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };

/// What the kernel would return for one call.
fn run(program: &Program, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = vec![0u8; 16];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&arch.to_le_bytes());
    arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
    let (mut accumulator, mut at) = (0u32, 0usize);
    loop {
        let step = program[at];
        at += 1;
        let branch = |yes: bool| if yes { step.jt as usize } else { step.jf as usize };
        match step.code {
            0x20 => accumulator = u32::from_le_bytes(data[step.k as usize..][..4].try_into().expect("four bytes")),
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            0x15 => at += branch(accumulator == step.k),
            0x25 => at += branch(accumulator > step.k),
            0x35 => at += branch(accumulator >= step.k),
            0x06 => return step.k,
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn verdict(value: u32) -> String {
    match value & 0xffff_0000 {
        libc::SECCOMP_RET_ALLOW => "allow".into(),
        libc::SECCOMP_RET_ERRNO => format!("errno {}", value & 0xffff),
        libc::SECCOMP_RET_KILL_PROCESS => "kill".into(),
        libc::SECCOMP_RET_LOG => "log".into(),
        other => format!("{other:#x}"),
    }
}

#[track_caller]
fn check(filter: &Filter, name: &str, first_argument: u64, expected: &str) {
    let number = number_of(name).unwrap_or_else(|| panic!("{name} is not in the table"));
    let actual = verdict(run(&compile(filter), NATIVE, number, [first_argument, 0, 0, 0, 0, 0]));
    assert_eq!(actual, expected, "{name}({first_argument:#x})");
}

#[test]
fn the_default_profile_stops_what_leads_out() {
    let plain = runtime_default(Capabilities::for_container(&[], &[]).expect("valid"));
    check(&plain, "read", 0, "allow");
    check(&plain, "openat", 0, "allow");
    check(&plain, "mount", 0, "errno 1");
    check(&plain, "unshare", 0, "errno 1");
    check(&plain, "keyctl", 0, "errno 1");
    check(&plain, "chroot", 0, "allow");
    check(&plain, "clone3", 0, "errno 38");
    check(&plain, "clone", libc::CLONE_VM as u64, "allow");
    check(&plain, "clone", libc::CLONE_NEWUSER as u64, "errno 1");
    check(&plain, "socket", libc::AF_INET as u64, "allow");
    check(&plain, "socket", libc::AF_VSOCK as u64, "errno 1");
    check(&plain, "personality", 0x8, "allow");
    check(&plain, "personality", 0x40000, "errno 1");
    check(&plain, "futex_waitv", 0, "allow");
    let admin = runtime_default(Capabilities(1 << Capability::SysAdmin as u32));
    check(&admin, "mount", 0, "allow");
    check(&admin, "clone", libc::CLONE_NEWUSER as u64, "allow");
    check(&admin, "clone3", 0, "allow");
    check(&admin, "chroot", 0, "errno 1");
}

#[test]
fn foreign_and_future_calls_do_not_exist() {
    let program = compile(&runtime_default(Capabilities(0)));
    assert_eq!(verdict(run(&program, 0x4000_0003, 1, [0; 6])), "errno 38", "32-bit");
    assert_eq!(verdict(run(&program, NATIVE, 5000, [0; 6])), "errno 38", "newer than the table");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(verdict(run(&program, NATIVE, 0x4000_0000, [0; 6])), "errno 38", "x32");
    }
    assert!(program.len() < 200, "runs keep it short: {}", program.len());
}

#[test]
fn every_operator_compares_64_bits() {
    for (op, two, yes, no) in [
        ("EQ", 0u64, vec![1u64 << 33 | 7], vec![7, 1 << 33, 1 << 33 | 8]),
        ("NE", 0, vec![7, 1 << 33], vec![1 << 33 | 7]),
        ("LT", 0, vec![7, 1 << 33 | 6], vec![1 << 33 | 7, 1 << 33 | 8, 1 << 34]),
        ("LE", 0, vec![9, 1 << 33 | 7], vec![1 << 33 | 8, 1 << 34]),
        ("GT", 0, vec![1 << 33 | 8, 1 << 34], vec![1 << 33 | 7, 9]),
        ("GE", 0, vec![1 << 33 | 7, 1 << 34], vec![1 << 33 | 6, 9]),
        ("MASKED_EQ", 1 << 33 | 1, vec![1 << 33 | 1, 1 << 34 | 1 << 33 | 9], vec![1, 1 << 33 | 3]),
    ] {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["kill","nosuchcall"],"action":"SCMP_ACT_ERRNO","errnoRet":99,
                "args":[{{"index":0,"value":{},"valueTwo":{two},"op":"SCMP_CMP_{op}"}}]}}]}}"#,
            1u64 << 33 | 7
        );
        let filter = localhost(&json).expect("a valid profile");
        yes.iter().for_each(|value| check(&filter, "kill", *value, "errno 99"));
        no.iter().for_each(|value| check(&filter, "kill", *value, "allow"));
    }
}

#[test]
fn bad_profiles_say_what_is_wrong() {
    let reason = |json: &str| localhost(json).expect_err("not a valid profile");
    assert!(reason("{").starts_with("seccomp profile is not valid"));
    assert_eq!(reason(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#), "seccomp action `SCMP_ACT_NOTIFY` is not supported");
}
