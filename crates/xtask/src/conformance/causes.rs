//! Why a spec does not pass, in a few words, so that specs with the same cause count together.
//!
//! A part that is not built is known by the spec's name. Everything else is the failure's own message without what is different
//! each time: names made by chance, addresses, times, paths of the machine that judged.

const CHARS_MAX: usize = 120;

/// Words in a spec's name -> the part it wants that is not built.
const PARTS: &[(&str, &str)] = &[
    ("CustomResource", "custom resources are not built"),
    (" a CR", "custom resources are not built"),
    ("CRD", "custom resources are not built"),
    ("custom resource", "custom resources are not built"),
    ("AdmissionWebhook", "admission webhooks are not built"),
    ("AdmissionPolicy", "admission policies are not built"),
    ("Aggregator", "API aggregation is not built"),
];

/// Specs that end without a word when they cannot make their custom resource: their pass says nothing until that can be made.
const HOLLOW: &[&str] = &[
    "CustomResourceConversionWebhook",
    "CustomResourceFieldSelectors",
    "should be able to deny custom resource creation",
    "should mutate custom resource",
];

pub(crate) fn is_hollow(spec: &str) -> bool {
    HOLLOW.iter().any(|words| spec.contains(words))
}

pub(crate) fn of(spec: &str, message: &str) -> String {
    match PARTS.iter().find(|(words, _)| spec.contains(words)) {
        Some((_, part)) => (*part).to_owned(),
        None => short(message),
    }
}

/// A spec beyond its limit (`limit_test.go`) says only that.
pub(crate) const GIVEN_UP: &str = "given up: it did not end within its limit";

/// A failure's words; the runner has its own for a spec that was ended.
pub(crate) fn told(state: &str, message: &str) -> String {
    if is_given_up(state, message) { GIVEN_UP.to_owned() } else { short(message) }
}

/// Also the whole run has a limit, which says nothing about those that were running then.
pub(crate) fn is_given_up(state: &str, message: &str) -> bool {
    state == "timedout" && message.starts_with("A node timeout")
}

/// A message on one line, the same for all specs that fail in the same way.
pub(crate) fn short(message: &str) -> String {
    let mut text = String::new();
    for word in message.split_whitespace() {
        let word = plain(word);
        // A list of things that all vary says no more than one of them.
        if word == "…" && text.ends_with('…') {
            continue;
        }
        if text.chars().count() + word.chars().count() >= CHARS_MAX {
            text.push_str(" …");
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word);
    }
    text
}

/// A word without what chance put into it.
fn plain(word: &str) -> String {
    let is_edge = |c: char| !c.is_ascii_alphanumeric() && !"/<>".contains(c);
    let core = word.trim_matches(is_edge);
    if word.contains("://") || word.contains("=/") {
        return "…".to_owned();
    }
    if core.is_empty() {
        return word.to_owned();
    }
    let start = word.find(core).expect("it is part of it");
    let (before, after) = (&word[..start], &word[start + core.len()..]);
    format!("{before}{}{after}", plain_core(core))
}

fn plain_core(core: &str) -> String {
    if core.starts_with('/') || is_address(core) {
        return "…".to_owned();
    }
    if is_duration(core) {
        return "…s".to_owned();
    }
    if let Some((front, rest)) = core.split_once('/') {
        return format!("{}/{}", plain_core(front), plain_core(rest));
    }
    let parts: Vec<&str> = core.split('-').collect();
    let kept = parts.iter().take_while(|part| !is_chance(part)).count();
    if parts.len() > 1 && kept > 0 && kept < parts.len() { format!("{}-…", parts[..kept].join("-")) } else { core.to_owned() }
}

/// The end of a generated name: five letters that form no word, digits, or a part of a UUID.
fn is_chance(part: &str) -> bool {
    let is_suffix = part.len() == 5 && part.bytes().all(|c| b"bcdfghjklmnpqrstvwxz2456789".contains(&c));
    let is_number = part.len() >= 3 && part.bytes().all(|c| c.is_ascii_digit());
    let is_hex = part.len() >= 8 && part.bytes().all(|c| c.is_ascii_hexdigit()) && part.bytes().any(|c| c.is_ascii_digit());
    is_suffix || is_number || is_hex
}

fn is_duration(core: &str) -> bool {
    let number = core.strip_suffix("ms").or_else(|| core.strip_suffix('s')).unwrap_or("");
    number.contains('.') && number.bytes().all(|c| c.is_ascii_digit() || c == b'.' || c == b'm')
}

fn is_address(core: &str) -> bool {
    let host = core.rsplit_once(':').map_or(core, |(host, _)| host);
    core.parse::<std::net::IpAddr>().is_ok() || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &str) {
        assert_eq!(short(message), expected);
    }

    #[test]
    fn the_same_failure_reads_the_same() {
        check(
            "failed to get logs from pod-configmaps-24e5ff40-0deb-4821-99ef-1df8cf0f5e90 for x: no",
            "failed to get logs from pod-configmaps-… for x: no",
        );
        check("Timed out after 120.004s.\nUnexpected", "Timed out after …s. Unexpected");
        check(r#"PVC "pvc-6rchp" deletion in cronjob-371"#, r#"PVC "pvc-…" deletion in cronjob-…"#);
        check("endpointslicemirroring-8173/example-custom-endpoints: no", "endpointslicemirroring-…/example-custom-endpoints: no");
        check("error running /a/kubectl --kubeconfig=/b exec https://c:1/ x", "error running … exec … x");
        check("dial tcp 10.96.0.1:443 failed, [fd00::1]:80 too", "dial tcp … failed, [… too");
        check("the rate limiter at nodeport-test:80 of StatefulSet ss", "the rate limiter at nodeport-test:80 of StatefulSet ss");
        check(&"word ".repeat(100), &format!("{}word …", "word ".repeat(23)));
    }

    #[test]
    fn missing_parts_are_known_by_name() {
        assert_eq!(of("[sig-api-machinery] AdmissionWebhook x", "anything"), "admission webhooks are not built");
        assert_eq!(of("FieldValidation should detect duplicates in a CR when", "cannot create crd"), "custom resources are not built");
        assert!(is_hollow("[sig-api-machinery] AdmissionWebhook should mutate custom resource with pruning"));
        assert_eq!(of("[sig-node] Pods x", "it  broke"), "it broke");
    }
}
