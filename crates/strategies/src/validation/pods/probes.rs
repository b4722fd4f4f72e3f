//! Probes, lifecycle hooks and what they do.

use serde_json::Value;

use crate::check::{At, Faults};
use crate::shapes;

pub(super) fn validate_all(container: &At<'_>, grace: Option<i64>, faults: &mut Faults) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.get(name);
        if probe.is_set() {
            validate_probe(&probe, name == "readinessProbe", grace, faults);
        }
    }
}

fn validate_probe(probe: &At<'_>, is_readiness: bool, grace: Option<i64>, faults: &mut Faults) {
    validate_handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], grace, faults);
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        faults.not_negative(&probe.get(name));
    }
    let own_grace = probe.get("terminationGracePeriodSeconds");
    if own_grace.is_set() && own_grace.int() <= 0 {
        faults.invalid(&own_grace, "must be greater than 0");
    }
    let threshold = probe.get("successThreshold");
    if is_readiness {
        if own_grace.is_set() {
            faults.invalid(&own_grace, "must not be set for readinessProbes");
        }
    } else if threshold.int() != 1 {
        faults.invalid_int(&threshold, "must be 1");
    }
}

/// The first of several is checked, the others are one too many.
fn validate_handler(handler: &At<'_>, kinds: &[&'static str], grace: Option<i64>, faults: &mut Faults) {
    let mut count = 0;
    for kind in kinds {
        let action = handler.get(kind);
        if !action.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            faults.forbidden(&action, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" => {
                if action.get("command").is_empty() {
                    faults.required(&action.get("command"), "");
                }
            }
            "httpGet" => validate_http(&action, faults),
            "sleep" => validate_sleep(&action, grace, faults),
            _ => shapes::port(&action.get("port"), faults),
        }
    }
    if count == 0 {
        faults.required(handler, "must specify a handler type");
    }
}

fn validate_http(action: &At<'_>, faults: &mut Faults) {
    faults.need_text(&action.get("path"));
    shapes::port(&action.get("port"), faults);
    let scheme = action.get("scheme");
    if !matches!(scheme.text(), "HTTP" | "HTTPS") {
        faults.not_supported(&scheme, &["HTTP", "HTTPS"]);
    }
    let headers = action.get("httpHeaders");
    for header in headers.items() {
        let name = header.get("name");
        faults.each_as(&headers, name.text(), shapes::header_name(name.text()));
    }
}

fn validate_sleep(action: &At<'_>, grace: Option<i64>, faults: &mut Faults) {
    let seconds = action.get("seconds").int();
    if let Some(grace) = grace
        && (seconds < 0 || seconds > grace)
    {
        faults.invalid_as(action, seconds, format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"));
    }
}

pub(super) fn validate_lifecycle(lifecycle: &At<'_>, grace: Option<i64>, os: &Value, faults: &mut Faults) {
    for name in ["postStart", "preStop"] {
        let hook = lifecycle.get(name);
        if hook.is_set() {
            validate_handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], grace, faults);
        }
    }
    let signal = lifecycle.get("stopSignal");
    if signal.is_set() {
        match os["name"].as_str() {
            None => faults.forbidden(&signal, "may not be set for containers with empty `spec.os.name`"),
            Some("windows") => faults.one_of(&signal, &["SIGKILL", "SIGTERM"]),
            Some(_) => validate_signal(&signal, faults),
        }
    }
}

const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT",
    "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

fn validate_signal(at: &At<'_>, faults: &mut Faults) {
    let mut known: Vec<String> = SIGNALS.iter().map(|name| format!("SIG{name}")).collect();
    known.extend(["SIGRTMIN", "SIGRTMAX"].map(str::to_owned));
    known.extend((1..=15).map(|n| format!("SIGRTMIN+{n}")));
    known.extend((1..=14).map(|n| format!("SIGRTMAX-{n}")));
    known.sort();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    faults.one_of(at, &known);
}
