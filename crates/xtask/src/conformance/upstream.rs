//! Upstream's controller manager and scheduler on coracle's API server, and what they complain of there.
//!
//! `tests/conformance/complaints.txt` has what the same programs complain of on upstream's own server, under the same specs: so it is
//! what they say of nobody's fault but the specs' or their own. A complaint of another kind is coracle's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What of coracle's controllers stays: upstream leaves a service's address outside to a cloud, and has no node's range given out here.
pub(crate) const COMPLEMENT: &str = "node-ipam,service-address";

const KNOWN: &str = "complaints.txt";

pub(crate) struct Part {
    pub(crate) program: &'static str,
    user: &'static str,
    /// Flags with a file of the server's keys each.
    keys: &'static [(&'static str, &'static str)],
    flags: &'static [&'static str],
}

pub(crate) const PARTS: &[Part] = &[
    Part {
        program: "kube-controller-manager",
        user: "system:kube-controller-manager",
        keys: &[
            ("--root-ca-file", "ca.crt"),
            ("--cluster-signing-cert-file", "ca.crt"),
            ("--cluster-signing-key-file", "ca.key"),
            ("--service-account-private-key-file", "sa.key"),
        ],
        flags: &["--use-service-account-credentials=true", "--bind-address=127.0.0.1"],
    },
    Part { program: "kube-scheduler", user: "system:kube-scheduler", keys: &[], flags: &["--bind-address=127.0.0.1"] },
];

impl Part {
    pub(crate) fn log(&self) -> String {
        format!("{}.log", self.program)
    }

    /// Its flags; its kubeconfig is written into the host's folder.
    pub(crate) fn arguments(&self, admin: &str, dir: &Path) -> Result<Vec<String>, String> {
        let mut config: Value = serde_json::from_str(admin).map_err(|e| format!("the kubeconfig: {e}"))?;
        config["users"][0]["user"]["as"] = json!(self.user);
        let path = dir.join(format!("{}.kubeconfig", self.program));
        std::fs::write(&path, config.to_string()).map_err(|e| format!("{}: {e}", path.display()))?;
        let configs = ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"];
        let configs = configs.iter().map(|flag| format!("{flag}={}", path.display()));
        let keys = self.keys.iter().map(|(flag, file)| format!("{flag}={}", dir.join("data/pki").join(file).display()));
        Ok(configs.chain(keys).chain(self.flags.iter().map(|flag| (*flag).to_owned())).collect())
    }
}

/// How often each kind of complaint was made, a program's name before it.
type Tally = BTreeMap<String, usize>;

/// Kinds of complaints that are not known of upstream's server are faults.
pub(crate) fn check(out: &Path, folder: &Path) -> Result<(), String> {
    let tally = tally(&PARTS.iter().map(|part| out.join(part.log())).collect::<Vec<_>>())?;
    print(&tally);
    let path = folder.join(KNOWN);
    let known = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let known: BTreeSet<&str> = known
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.trim_start().split_once(' ').map(|(_, kind)| kind))
        .collect();
    let ours: Vec<&str> = tally.keys().map(String::as_str).filter(|kind| !known.contains(kind)).collect();
    if ours.is_empty() {
        return Ok(());
    }
    Err(format!("complaints that are not made of upstream's server; see {}:\n  {}", out.display(), ours.join("\n  ")))
}

pub(crate) fn show(logs: &[PathBuf]) -> Result<(), String> {
    tally(logs).map(|tally| print(&tally))
}

fn print(tally: &Tally) {
    for (kind, count) in tally {
        println!("{count:6} {kind}");
    }
}

fn tally(logs: &[PathBuf]) -> Result<Tally, String> {
    let mut tally = Tally::new();
    for path in logs {
        let log = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let program = path.file_stem().unwrap_or_default().to_string_lossy();
        for complaint in log.lines().filter_map(complaint) {
            *tally.entry(format!("{program} {complaint}")).or_default() += 1;
        }
    }
    Ok(tally)
}

/// Of a line `E1123 01:30:52.123456    1234 file.go:56] what it says` the file, and what it says without what is of one run only.
fn complaint(line: &str) -> Option<String> {
    let (head, said) = line.split_once("] ")?;
    let is_error = head.starts_with('E') && head.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let file = head.rsplit(' ').next()?.split(':').next()?;
    // Whose complaint it was, and of which key.
    let said = said.split(" logger=").next()?;
    // A structure, as Go prints it.
    let said = match (said.find('{'), said.rfind('}')) {
        (Some(begin), Some(end)) if begin < end => format!("{}*{}", &said[..begin], &said[end + 1..]),
        _ => said.to_owned(),
    };
    // Names stand in quotes within the quotes of an error.
    let quoted = said.split("\\\"").enumerate().map(|(i, text)| if i % 2 == 0 { text } else { "*" });
    let mut words: Vec<String> = quoted.collect::<String>().split(' ').map(masked).collect();
    words.dedup();
    is_error.then(|| format!("{file} {}", words.join(" ")))
}

/// A word with a digit in it is a name, a time, an address or a number.
fn masked(word: &str) -> String {
    if word.bytes().any(|b| b.is_ascii_digit()) { "*".to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn a_complaint_is_known_again() {
        let check = |line: &str, expected: Option<&str>| assert_eq!(complaint(line).as_deref(), expected, "{line}");
        check("I1123 01:42:54.149174   10017 shared_informer.go:640] \"Caches are synced\"", None);
        check("goroutine 1 [running]:", None);
        check(
            r#"E1123 01:42:54.149174   10017 replica_set.go:640] "Unhandled Error" err="sync \"rs-1/a\" failed with pods \"a-svnlk\" not found" logger="UnhandledError""#,
            Some(r#"replica_set.go "Unhandled Error" err="sync * failed with pods * not found""#),
        );
        check(
            r#"E1123 01:42:54.149174   10017 garbagecollector.go:3] "Unhandled Error" err="error syncing item &node{a: 1, b: {2}}: version 3 4 is old""#,
            Some(r#"garbagecollector.go "Unhandled Error" err="error syncing item &node*: version * is old""#),
        );
    }
}
