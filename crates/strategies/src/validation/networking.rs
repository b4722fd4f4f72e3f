//! networking.k8s.io, but for NetworkPolicies.

use object::cidr::Cidr;

use crate::check::{At, Faults, IMMUTABLE};
use crate::row::NameRule;
use crate::shapes;

const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

pub(crate) fn validate_ingress(ingress: &At<'_>, faults: &mut Faults) {
    validate_ingress_spec(&ingress.get("spec"), faults);
    let annotation = ingress.value["metadata"]["annotations"].get(INGRESS_CLASS);
    let class = ingress.get("spec").get("ingressClassName");
    if let Some(annotation) = annotation.filter(|annotation| class.is_set() && class.value != *annotation) {
        // Upstream's path leaves metadata out.
        let at = At::root(annotation).named("annotations").named(INGRESS_CLASS);
        faults.invalid(&at, "must match `ingressClassName` when both are specified");
    }
}

pub(crate) fn validate_ingress_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return validate_ingress_status(&new.get("status").get("loadBalancer"), faults);
    }
    faults.metadata(new, true, NameRule::Subdomain);
    validate_ingress_spec(&new.get("spec"), faults);
}

fn validate_ingress_spec(spec: &At<'_>, faults: &mut Faults) {
    let (backend, rules, class) = (spec.get("defaultBackend"), spec.get("rules"), spec.get("ingressClassName"));
    if rules.is_empty() && !backend.is_set() {
        faults.invalid_go_list(&spec.with(rules.value), "IngressRule", "either `defaultBackend` or `rules` must be specified");
    }
    if backend.is_set() {
        validate_backend(&backend, faults);
    }
    for rule in rules.items() {
        validate_rule(&rule, faults);
    }
    for tls in spec.get("tls").items() {
        for host in tls.get("hosts").items() {
            validate_host(&host, faults);
        }
        if tls.get("secretName").has_text() {
            faults.tolerable("secrets", |faults| faults.subdomain(&tls.get("secretName")));
        }
    }
    faults.subdomain_if_set(&class);
}

fn validate_host(host: &At<'_>, faults: &mut Faults) {
    if host.text().contains('*') {
        faults.each(host, shapes::wildcard_subdomain(host.text()));
    } else {
        faults.subdomain(host);
    }
}

fn validate_rule(rule: &At<'_>, faults: &mut Faults) {
    let (host, http) = (rule.get("host"), rule.get("http"));
    if host.has_text() {
        if shapes::is_ip(host.text()) {
            faults.invalid_text(&host, "must be a DNS name, not an IP address");
        }
        validate_host(&host, faults);
    }
    if !http.is_set() {
        return;
    }
    let paths = |faults: &mut Faults| validate_paths(&http.get("paths"), faults);
    // Upstream did not look at them once.
    if host.text().contains('*') {
        faults.tolerable("rules of wildcards", paths);
    } else {
        paths(faults);
    }
}

fn validate_paths(paths: &At<'_>, faults: &mut Faults) {
    if paths.is_empty() {
        faults.required(paths, "");
    }
    for path in paths.items() {
        validate_path(&path, faults);
    }
}

fn validate_path(at: &At<'_>, faults: &mut Faults) {
    const MIDDLES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
    const ENDS: [&str; 2] = ["/..", "/."];
    let (kind, path) = (at.get("pathType"), at.get("path"));
    if !kind.is_set() {
        faults.required(&kind, "pathType must be specified");
        return;
    }
    let is_plain = kind == "ImplementationSpecific";
    match kind.text() {
        "Exact" | "Prefix" | "ImplementationSpecific" => {
            if !path.text().starts_with('/') && (path.has_text() || !is_plain) {
                faults.invalid_text(&path, "must be an absolute path");
            }
        }
        _ => faults.not_supported(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    if matches!(kind.text(), "Exact" | "Prefix") {
        for middle in MIDDLES.iter().filter(|middle| path.text().contains(**middle)) {
            faults.invalid_text(&path, format!("must not contain '{middle}'"));
        }
        for end in ENDS.iter().filter(|end| path.text().ends_with(**end)) {
            faults.invalid_text(&path, format!("cannot end with '{end}'"));
        }
    }
    validate_backend(&at.get("backend"), faults);
}

fn validate_backend(backend: &At<'_>, faults: &mut Faults) {
    let (resource, service) = (backend.get("resource"), backend.get("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => faults.invalid_as(backend, "", "cannot set both resource and service backends"),
        (true, false) => {
            faults.subdomain_if_set(&resource.get("apiGroup"));
            faults.need_segment(&resource.get("kind"));
            faults.need_segment(&resource.get("name"));
        }
        (false, true) => validate_service_backend(backend, &service, faults),
        (false, false) => faults.invalid_as(backend, "", "resource or service backend is required"),
    }
}

fn validate_service_backend(backend: &At<'_>, service: &At<'_>, faults: &mut Faults) {
    if faults.need_text(&service.get("name")) {
        faults.label(&service.get("name"));
    }
    let (name, number) = (service.get("port").get("name"), service.get("port").get("number"));
    match (name.has_text(), number.int() != 0) {
        (true, true) => faults.invalid_as(backend, "", "cannot set both port name & port number"),
        (true, false) => faults.each(&name, shapes::port_name(name.text())),
        (false, true) => shapes::port(&number, faults),
        (false, false) => faults.required(backend, "port name or number is required"),
    }
}

fn validate_ingress_status(balancer: &At<'_>, faults: &mut Faults) {
    for ingress in balancer.get("ingress").items() {
        let (ip, host) = (ingress.get("ip"), ingress.get("hostname"));
        if ip.has_text() {
            faults.tolerable(format!("ingress points {}", ip.value), |faults| shapes::ip(&ip, faults));
        }
        if host.has_text() {
            faults.subdomain(&host);
            if shapes::is_ip(host.text()) {
                faults.invalid_text(&host, "must be a DNS name, not an IP address");
            }
        }
    }
}

pub(crate) fn validate_class(class: &At<'_>, faults: &mut Faults) {
    const CONTROLLER_LEN_MAX: usize = 250;
    let (controller, parameters) = (class.get("spec").get("controller"), class.get("spec").get("parameters"));
    if controller.text().len() > CONTROLLER_LEN_MAX {
        faults.too_long(&controller, CONTROLLER_LEN_MAX);
    }
    shapes::domain_prefixed_path(&controller, faults);
    if !parameters.is_set() {
        return;
    }
    faults.subdomain_if_set(&parameters.get("apiGroup"));
    faults.need_segment_later(&parameters.get("kind"));
    faults.need_segment_later(&parameters.get("name"));
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    match scope.text() {
        _ if !scope.is_set() => faults.required(&scope, ""),
        "Namespace" if !namespace.is_set() => faults.required(&namespace, "`parameters.scope` is set to 'Namespace'"),
        "Namespace" => faults.label(&namespace),
        "Cluster" if namespace.is_set() => faults.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'"),
        "Cluster" => {}
        _ => faults.not_supported(&scope, &["Cluster", "Namespace"]),
    }
}

pub(crate) fn validate_class_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.immutable_text(&old.get("spec").get("controller"), &new.get("spec").get("controller"));
    faults.metadata(new, false, NameRule::Subdomain);
    validate_class(new, faults);
}

pub(crate) fn validate_address(address: &At<'_>, faults: &mut Faults) {
    let parent = address.get("spec").get("parentRef");
    if !parent.is_set() {
        faults.twice(|faults| faults.required(&parent, ""));
        return;
    }
    if parent.get("group").has_text() {
        faults.subdomain(&parent.get("group"));
    }
    faults.need_segment_later(&parent.get("resource"));
    faults.need_segment_later(&parent.get("name"));
    if parent.get("namespace").has_text() {
        faults.segment(&parent.get("namespace"));
    }
}

pub(crate) fn validate_address_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after) = (old.get("spec").get("parentRef"), new.get("spec").get("parentRef"));
    faults.metadata(new, false, NameRule::IpAddress);
    if !after.is_set() {
        validate_address(new, faults);
        faults.immutable_later(&before, &after);
    } else if faults.immutable_later(&before, &after) {
        validate_address(new, faults);
    } else {
        faults.only_written(|faults| validate_address(new, faults));
    }
}

pub(crate) fn validate_ranges(config: &At<'_>, faults: &mut Faults) {
    const RANGES_MAX: usize = 2;
    let ranges = config.get("spec").get("cidrs");
    if ranges.is_empty() {
        faults.required(&ranges, "at least one CIDR required");
        return;
    }
    if ranges.len() > RANGES_MAX {
        faults.invalid_as(&ranges, serde_json::json!({"CIDRs": ranges.value}), "may only hold up to 2 values");
        return;
    }
    for range in ranges.items() {
        shapes::canonical_cidr(&range, faults);
    }
    let families: Vec<bool> = ranges.items().filter_map(|range| range.text().parse().ok()).map(|range: Cidr| range.is_ipv4()).collect();
    if let [first, second] = families[..]
        && first == second
    {
        faults.invalid(&ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
    }
}

pub(crate) fn validate_ranges_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return;
    }
    let (before, after) = (old.get("spec").get("cidrs"), new.get("spec").get("cidrs"));
    let changed = |faults: &mut Faults| {
        for (_, new) in before.items().zip(after.items()).filter(|(old, new)| old.value != new.value) {
            faults.invalid(&new, IMMUTABLE);
        }
    };
    match (before.len(), after.len()) {
        (old, new) if old == new => changed(faults),
        (1, 2) => {
            changed(faults);
            validate_ranges(new, faults);
        }
        _ => faults.invalid(&after, IMMUTABLE),
    }
}
