//! Levels and versions of the standards, and how a namespace's labels choose them.

use std::fmt;

use object::Map;
use object::field::{Error, Path};
use serde_json::Value;

/// From the loosest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// A minor version of Kubernetes 1; `Latest` is above all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Minor(u32),
    Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub version: Version,
}

impl Default for Standard {
    fn default() -> Self {
        Standard { level: Level::Privileged, version: Version::Latest }
    }
}

/// What a namespace asks for. Its audit mode is judged only where there is an audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub audit: Standard,
    pub warn: Standard,
}

const PREFIX: &str = "pod-security.kubernetes.io/";

impl Policy {
    /// Labels that cannot be read are faults; what they ask for is then the strictest for `enforce`, nothing for the others.
    pub fn of_labels(labels: Option<&Map<String, Value>>) -> (Self, Vec<Error>) {
        let mut policy = Policy::default();
        let mut faults = Vec::new();
        let label = |name: &str| labels.and_then(|l| l.get(&format!("{PREFIX}{name}"))).and_then(Value::as_str);
        let mut fault = |name: &str, text: &str, cause: &str| {
            faults.push(Error::invalid(&Path::new("metadata").child("labels").key(&format!("{PREFIX}{name}")), text, cause));
        };
        for (mode, standard) in [("enforce", &mut policy.enforce), ("audit", &mut policy.audit), ("warn", &mut policy.warn)] {
            if let Some(text) = label(mode) {
                standard.level = match text {
                    "privileged" => Level::Privileged,
                    "baseline" => Level::Baseline,
                    "restricted" => Level::Restricted,
                    _ => {
                        fault(mode, text, "must be one of privileged, baseline, restricted");
                        if mode == "enforce" { Level::Restricted } else { Level::Privileged }
                    }
                };
            }
            let version = format!("{mode}-version");
            if let Some(text) = label(&version) {
                standard.version = parse_version(text).unwrap_or_else(|| {
                    fault(&version, text, "must be \"latest\" or \"v1.x\"");
                    Version::Latest
                });
            }
        }
        // Whoever enforces wants to be warned too.
        let is_enforced = label("enforce").is_some_and(|text| matches!(text, "privileged" | "baseline" | "restricted"));
        if label("warn").is_none() && is_enforced && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label("warn-version").is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, faults)
    }
}

fn parse_version(text: &str) -> Option<Version> {
    if text == "latest" {
        return Some(Version::Latest);
    }
    let minor = text.strip_prefix("v1.")?;
    let is_number = minor.bytes().all(|c| c.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    minor.parse().ok().filter(|_| is_number).map(Version::Minor)
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}
