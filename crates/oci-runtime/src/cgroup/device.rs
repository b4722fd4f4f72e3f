//! Which device nodes a container may open: lines for version 1, a small eBPF program for version 2.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceRule {
    pub(crate) kind: DeviceKind,
    /// `None` is any.
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) mknod: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Char,
    Block,
}

impl DeviceRule {
    pub(crate) const fn char(major: u32, minor: Option<u32>) -> DeviceRule {
        DeviceRule { kind: DeviceKind::Char, major: Some(major), minor, read: true, write: true, mknod: true }
    }

    const fn only_mknod(kind: DeviceKind) -> DeviceRule {
        DeviceRule { kind, major: None, minor: None, read: false, write: false, mknod: true }
    }

    /// What every container may use: null, zero, full, random, urandom, tty, terminals; and making any node, which grants nothing.
    pub(crate) fn defaults() -> Vec<DeviceRule> {
        let mut rules = vec![DeviceRule::only_mknod(DeviceKind::Char), DeviceRule::only_mknod(DeviceKind::Block)];
        let memory = [3, 5, 7, 8, 9].map(|minor| DeviceRule::char(1, Some(minor)));
        let terminals = [DeviceRule::char(5, Some(0)), DeviceRule::char(5, Some(2)), DeviceRule::char(136, None)];
        rules.extend(memory.into_iter().chain(terminals));
        rules
    }

    pub(super) fn to_v1(&self) -> String {
        let kind = if self.kind == DeviceKind::Char { 'c' } else { 'b' };
        let number = |number: Option<u32>| number.map_or("*".to_string(), |number| number.to_string());
        let access: String =
            [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')].iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

/// One eBPF instruction as the kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// Destination in the low half, source in the high half.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) value: i32,
}

// Instruction codes (linux/bpf.h).
pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const AND_VALUE: u8 = 0x54;
pub(super) const SHIFT_RIGHT_VALUE: u8 = 0x74;
pub(super) const MOVE: u8 = 0xbc;
pub(super) const MOVE_VALUE: u8 = 0xb4;
pub(super) const JUMP_IF_NOT: u8 = 0x56;
pub(super) const JUMP_IF_NOT_REGISTER: u8 = 0x5e;
pub(super) const EXIT: u8 = 0x95;

/// Registers: r1 the context, r2 kind, r3 access, r4 major, r5 minor, r6 scratch; the answer in r0 (1 lets it happen).
/// The context has three words: access in the high and kind in the low half of the first, then major and minor.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let op = |code, registers, offset, value| Instruction { code, registers, offset, value };
    let mut code = vec![
        op(LOAD_WORD, 0x12, 0, 0),
        op(AND_VALUE, 0x02, 0, 0xffff),
        op(LOAD_WORD, 0x13, 0, 0),
        op(SHIFT_RIGHT_VALUE, 0x03, 0, 16),
        op(LOAD_WORD, 0x14, 4, 0),
        op(LOAD_WORD, 0x15, 8, 0),
    ];
    for rule in rules {
        let kind = if rule.kind == DeviceKind::Block { 1 } else { 2 };
        let access = i32::from(rule.mknod) | i32::from(rule.read) << 1 | i32::from(rule.write) << 2;
        // Each test leaves for the next rule when it fails; how far that is, is known at the end.
        let mut tests = vec![op(JUMP_IF_NOT, 0x02, 0, kind)];
        if access != 7 {
            tests.extend([op(MOVE, 0x36, 0, 0), op(AND_VALUE, 0x06, 0, access), op(JUMP_IF_NOT_REGISTER, 0x36, 0, 0)]);
        }
        tests.extend(rule.major.map(|major| op(JUMP_IF_NOT, 0x04, 0, major as i32)));
        tests.extend(rule.minor.map(|minor| op(JUMP_IF_NOT, 0x05, 0, minor as i32)));
        tests.extend([op(MOVE_VALUE, 0x00, 0, 1), op(EXIT, 0, 0, 0)]);
        let n_tests = tests.len();
        for (position, test) in tests.iter_mut().enumerate() {
            if matches!(test.code, JUMP_IF_NOT | JUMP_IF_NOT_REGISTER) {
                test.offset = (n_tests - position - 1) as i16;
            }
        }
        code.extend(tests);
    }
    code.extend([op(MOVE_VALUE, 0x00, 0, 0), op(EXIT, 0, 0, 0)]);
    code
}

/// Loads the program and ties it to the group, for as long as the group lives.
pub(super) fn attach(dir: &Path, rules: &[DeviceRule]) -> Result<(), String> {
    let group = fs::File::open(dir).map_err(|error| format!("open cgroup {}: {error}", dir.display()))?;
    let program = load(&program(rules)).map_err(|error| format!("load the device program: {error}"))?;
    bind(&group, &program).map_err(|error| format!("attach the device program to {}: {error}", dir.display()))
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const PROGRAM_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;

/// The first fields of the kernel's `union bpf_attr` for loading; the rest is zero by being left out.
#[repr(C)]
struct LoadRequest {
    program_type: u32,
    n_instructions: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let request = LoadRequest {
        program_type: PROGRAM_TYPE_CGROUP_DEVICE,
        n_instructions: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"coracle_devices\0",
    };
    // SAFETY: the request and what it points at outlive the call; the kernel only reads them and is told the size.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const request, size_of::<LoadRequest>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn bind(group: &fs::File, program: &OwnedFd) -> io::Result<()> {
    let request: [u32; 4] = [group.as_raw_fd() as u32, program.as_raw_fd() as u32, ATTACH_TYPE_CGROUP_DEVICE, 0];
    // SAFETY: the request outlives the call; the kernel only reads it and is told the size.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, request.as_ptr(), size_of_val(&request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
