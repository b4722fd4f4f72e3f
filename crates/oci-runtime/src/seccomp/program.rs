//! Turns a filter into the classic BPF program that seccomp(2) takes: a binary search over runs of system call numbers.

use libc::sock_filter;

use super::syscalls::SYSCALLS;
use super::{Action, Condition, Filter, Rule, Test};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// The x32 calls of x86-64 set this bit in the number.
const X32_BIT: u32 = 0x4000_0000;

// Offsets in the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

// Instruction codes of classic BPF (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

pub(crate) type Program = Vec<sock_filter>;

/// The number of a call on this architecture, if it has it.
pub(super) fn number_of(name: &str) -> Option<u32> {
    SYSCALLS.iter().find(|row| row.0 == name).and_then(number_in)
}

pub(super) fn number_in(row: &(&str, i16, i16)) -> Option<u32> {
    let number = if cfg!(target_arch = "aarch64") { row.2 } else { row.1 };
    u32::try_from(number).ok()
}

pub(crate) fn compile(filter: &Filter) -> Program {
    // Calls in a foreign numbering (32-bit programs) would slip past a filter written for this one; they do not exist here.
    let absent = Action::errno(libc::ENOSYS as u16);
    let mut program = vec![load(ARCH), jump(JUMP_EQUAL, ARCHITECTURE, 1, 0), ret(absent), load(NUMBER)];
    if cfg!(target_arch = "x86_64") {
        program.extend([jump(JUMP_GREATER_EQUAL, X32_BIT, 0, 1), ret(absent)]);
    }
    program.extend(search(&runs(filter), filter));
    program
}

/// Numbers from `first` up to the next run's, and what happens to them.
struct Run<'a> {
    first: u32,
    verdict: Verdict<'a>,
}

#[derive(PartialEq)]
enum Verdict<'a> {
    Always(Action),
    Ask(Vec<&'a Rule>),
}

fn runs(filter: &Filter) -> Vec<Run<'_>> {
    let n_known = SYSCALLS.iter().filter_map(number_in).max().map_or(0, |number| number + 1);
    let mut runs: Vec<Run<'_>> = Vec::new();
    for number in 0..=n_known {
        let rules: Vec<&Rule> = filter.rules.iter().filter(|rule| rule.number == number).collect();
        let verdict = match rules.first() {
            Some(rule) if rule.conditions.is_empty() => Verdict::Always(rule.action),
            Some(_) => Verdict::Ask(rules),
            None if number == n_known => Verdict::Always(filter.unknown),
            None => Verdict::Always(filter.default),
        };
        if runs.last().is_none_or(|run| run.verdict != verdict) {
            runs.push(Run { first: number, verdict });
        }
    }
    runs
}

fn search(runs: &[Run<'_>], filter: &Filter) -> Program {
    if let [run] = runs {
        return match &run.verdict {
            Verdict::Always(action) => vec![ret(*action)],
            Verdict::Ask(rules) => ask(rules, filter.default),
        };
    }
    let (low, high) = runs.split_at(runs.len() / 2);
    let (low_code, high_code) = (search(low, filter), search(high, filter));
    // A conditional jump reaches 255 instructions; a longer way needs a plain one.
    let mut code = match u8::try_from(low_code.len()) {
        Ok(length) => vec![jump(JUMP_GREATER_EQUAL, high[0].first, length, 0)],
        Err(_) => vec![jump(JUMP_GREATER_EQUAL, high[0].first, 0, 1), sock_filter { code: JUMP, jt: 0, jf: 0, k: low_code.len() as u32 }],
    };
    code.extend(low_code);
    code.extend(high_code);
    code
}

fn ask(rules: &[&Rule], default: Action) -> Program {
    let mut code = Vec::new();
    for rule in rules {
        let mut body = vec![ret(rule.action)];
        for condition in rule.conditions.iter().rev() {
            body = when(condition, body);
        }
        code.extend(body);
    }
    code.push(ret(default));
    code
}

/// `body` if the condition holds, otherwise what follows it. Arguments have 64 bits and BPF compares 32 at a time.
fn when(condition: &Condition, body: Program) -> Program {
    let low = ARGUMENTS + 8 * u32::from(condition.argument);
    let high = low + 4;
    let n_body = u8::try_from(body.len()).expect("a rule has at most six short conditions");
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let mut code = match condition.test {
        Test::Equal(value) => {
            let (h, l) = halves(value);
            vec![load(high), jump(JUMP_EQUAL, h, 0, n_body + 2), load(low), jump(JUMP_EQUAL, l, 0, n_body)]
        }
        Test::NotEqual(value) => {
            let (h, l) = halves(value);
            vec![load(high), jump(JUMP_EQUAL, h, 0, 2), load(low), jump(JUMP_EQUAL, l, n_body, 0)]
        }
        Test::MaskedEqual { mask, value } => {
            let ((mask_h, mask_l), (h, l)) = (halves(mask), halves(value));
            vec![load(high), and(mask_h), jump(JUMP_EQUAL, h, 0, n_body + 3), load(low), and(mask_l), jump(JUMP_EQUAL, l, 0, n_body)]
        }
        Test::Greater(value) => ordered(low, value, JUMP_GREATER, n_body),
        Test::GreaterOrEqual(value) => ordered(low, value, JUMP_GREATER_EQUAL, n_body),
        Test::Less(value) => inverted(low, value, JUMP_GREATER_EQUAL, n_body),
        Test::LessOrEqual(value) => inverted(low, value, JUMP_GREATER, n_body),
    };
    code.extend(body);
    code
}

/// argument > value, or >= with the other code.
fn ordered(low: u32, value: u64, code: u16, n_body: u8) -> Program {
    let (h, l) = ((value >> 32) as u32, value as u32);
    vec![load(low + 4), jump(JUMP_GREATER, h, 3, 0), jump(JUMP_EQUAL, h, 0, n_body + 2), load(low), jump(code, l, 0, n_body)]
}

/// Not (argument > value), or not >=.
fn inverted(low: u32, value: u64, code: u16, n_body: u8) -> Program {
    let (h, l) = ((value >> 32) as u32, value as u32);
    vec![load(low + 4), jump(JUMP_GREATER, h, n_body + 3, 0), jump(JUMP_EQUAL, h, 0, 2), load(low), jump(code, l, n_body, 0)]
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

fn and(mask: u32) -> sock_filter {
    sock_filter { code: AND, jt: 0, jf: 0, k: mask }
}

fn jump(code: u16, value: u32, when_true: u8, when_false: u8) -> sock_filter {
    sock_filter { code, jt: when_true, jf: when_false, k: value }
}

fn ret(action: Action) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: action.0 }
}
