//! Signals by name.

const TERM: i32 = 15;

/// `SIGTERM`, `TERM`, `15`; empty or unknown is the one that asks to end. Realtime signals as `SIGRTMIN+3`.
pub(crate) fn number(name: &str) -> i32 {
    if let Ok(number) = name.parse() {
        return number;
    }
    let name = name.strip_prefix("SIG").unwrap_or(name);
    if let Some(above) = name.strip_prefix("RTMIN") {
        return 34 + above.strip_prefix('+').and_then(|n| n.parse::<i32>().ok()).unwrap_or(0);
    }
    if let Some(below) = name.strip_prefix("RTMAX") {
        return 64 - below.strip_prefix('-').and_then(|n| n.parse::<i32>().ok()).unwrap_or(0);
    }
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
        "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    NAMES.iter().position(|n| *n == name).map_or(TERM, |idx| idx as i32 + 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_numbers() {
        for (name, number) in
            [("", 15), ("SIGTERM", 15), ("QUIT", 3), ("SIGRTMIN+3", 37), ("SIGRTMAX-1", 63), ("9", 9), ("SIGNONE", 15), ("SIGSYS", 31)]
        {
            assert_eq!(super::number(name), number, "{name}");
        }
    }
}
