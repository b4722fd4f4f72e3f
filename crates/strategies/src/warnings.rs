//! What is not wrong but should be known: deprecated fields, settings without effect, names that will surprise. One row a kind.
//!
//! Upstream: `WarningsOnCreate` and `WarningsOnUpdate` of the strategies, `pkg/api/*/warnings.go`. They are asked of the whole object
//! only, not of its subresources.

mod pods;

use object::names;
use serde_json::Value;

use crate::check::At;
use crate::equality::is_semantically_equal;
use crate::shapes;
use crate::validation::pods::quantity;

/// Old (none on create), new, what is said.
pub(crate) type Warn = fn(Option<&Value>, &At<'_>, &mut Vec<String>);

const ROWS: &[(&str, &str, Warn)] = &[
    ("", "endpoints", |_, new, said| {
        for subset in new.get("subsets").items() {
            for ip in ["addresses", "notReadyAddresses"].into_iter().flat_map(|list| subset.get(list).items()).map(|a| a.get("ip")) {
                address(&ip, said);
            }
        }
    }),
    ("", "nodes", node),
    ("", "persistentvolumeclaims", claim),
    ("", "persistentvolumes", volume),
    ("", "pods", pods::pod),
    ("", "podtemplates", |old, new, said| {
        if old.is_none_or(|old| !is_semantically_equal(&old["template"], &new.value["template"])) {
            pods::template(&new.get("template"), said);
        }
    }),
    ("", "replicationcontrollers", |old, new, said| {
        if old.is_none() {
            pod_name(new, said);
            pods::template(&new.get("spec").get("template"), said);
        }
    }),
    ("", "secrets", |_, new, said| {
        let certificate = new.get("data").get("tls.crt");
        if new.get("type") == "kubernetes.io/tls" && certificate.is_set() && !shapes::is_pem(certificate.text()) {
            said.push("tls: failed to find any PEM data in certificate input".to_owned());
        }
    }),
    ("", "services", service),
    ("apps", "daemonsets", |old, new, said| template_of(old, new, false, said)),
    ("apps", "deployments", |old, new, said| template_of(old, new, true, said)),
    ("apps", "replicasets", |old, new, said| template_of(old, new, true, said)),
    ("apps", "statefulsets", stateful_set),
    ("batch", "cronjobs", cron_job),
    ("batch", "jobs", |old, new, said| template_of(old, new, true, said)),
    ("discovery.k8s.io", "endpointslices", slice),
    ("networking.k8s.io", "ingresses", |old, new, said| {
        let has_class = new.get("spec").get("ingressClassName").is_set();
        if old.is_none() && !has_class && !new.value["metadata"]["annotations"]["kubernetes.io/ingress.class"].is_null() {
            said.push("annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead".to_owned());
        }
    }),
    ("networking.k8s.io", "networkpolicies", network_policy),
    ("node.k8s.io", "runtimeclasses", |_, new, said| {
        let selector = new.get("scheduling").get("nodeSelector");
        said.extend(selector.entries().filter_map(|(key, _)| Some(format!("{}: {}", selector.path(), deprecated_label(key)?))));
    }),
    ("storage.k8s.io", "csidrivers", driver),
    ("storage.k8s.io", "csistoragecapacities", |_, new, said| {
        let labels = new.get("nodeTopology").get("matchLabels");
        said.extend(labels.entries().filter_map(|(key, _)| Some(format!("{}.{key}: {}", labels.path(), deprecated_label(key)?))));
        for expression in new.get("nodeTopology").get("matchExpressions").items() {
            pods::label_key(&expression.get("key"), said);
        }
    }),
    ("storage.k8s.io", "storageclasses", |_, new, said| {
        for term in new.get("allowedTopologies").items() {
            for key in term.get("matchLabelExpressions").items().map(|expression| expression.get("key")) {
                said.extend(deprecated_label(key.text()).map(|text| format!("{}: {text}", key.path())));
            }
        }
    }),
];

pub(crate) fn find(group: &str, plural: &str) -> Option<Warn> {
    // By the plural first: most are of other lengths, which tells without reading them.
    ROWS.iter().find(|row| row.1 == plural && row.0 == group).map(|row| row.2)
}

/// Labels of nodes that were renamed.
fn deprecated_label(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
        "failure-domain.beta.kubernetes.io/zone" => "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        "beta.kubernetes.io/instance-type" => "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => "deprecated since v1.22; use Taints and Tolerations instead",
        "node-role.kubernetes.io/master" => "use \"node-role.kubernetes.io/control-plane\" instead",
        _ => return None,
    })
}

fn pod_name(object: &At<'_>, said: &mut Vec<String>) {
    let found = names::label_faults(object.value["metadata"]["name"].as_str().unwrap_or(""));
    if !found.is_empty() {
        const TEXT: &str = "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended";
        said.push(format!("metadata.name: {TEXT}: [{}]", found.join(" ")));
    }
}

/// A workload: of its template only when something of the spec changed.
fn template_of(old: Option<&Value>, new: &At<'_>, names_pods: bool, said: &mut Vec<String>) {
    if old.is_none() && names_pods {
        pod_name(new, said);
    }
    if old.is_none_or(|old| !is_semantically_equal(&old["spec"], &new.value["spec"])) {
        pods::template(&new.get("spec").get("template"), said);
    }
}

fn stateful_set(old: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    template_of(old, new, false, said);
    let spec = new.get("spec");
    for claim in spec.get("volumeClaimTemplates").items() {
        // Upstream's paths differ, and neither is the field's.
        let at = if old.is_some() { claim.named("Spec") } else { claim.clone() };
        claim_spec(&at.with(&claim.value["spec"]), said);
    }
    if spec.get("revisionHistoryLimit").int() < 0 {
        said.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned());
    }
}

fn cron_job(old: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    let (spec, schedule) = (new.get("spec"), new.get("spec").get("schedule"));
    if old.is_none() {
        pod_name(new, said);
    }
    if old.is_none_or(|old| !is_semantically_equal(&old["spec"], spec.value)) {
        pods::template(&spec.get("jobTemplate").get("spec").get("template"), said);
    }
    if old.is_some() && schedule.text().contains("TZ") {
        const WHERE: &str = "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
        said.push(format!("cannot use TZ or CRON_TZ in {}, use timeZone instead, {WHERE}", schedule.path()));
    }
}

fn node(_: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    let spec = new.get("spec");
    if spec.get("externalID").has_text() {
        said.push(format!("{}: this field is deprecated, and is unused by Kubernetes", spec.get("externalID").path()));
    }
}

/// An amount of bytes with a part of a byte.
fn fraction(amount: &At<'_>, said: &mut Vec<String>) {
    if amount.is_set() && quantity(amount).milli_value() % 1000 != 0 {
        said.push(format!("{}: fractional byte value {:?} is invalid, must be an integer", amount.path(), amount.text()));
    }
}

fn claim(_: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    let class = new.get("metadata").get("annotations").key("volume.beta.kubernetes.io/storage-class");
    if class.is_set() {
        said.push(format!("{}: deprecated since v1.8; use \"storageClassName\" attribute instead", class.path()));
    }
    claim_spec(&new.get("spec"), said);
}

fn claim_spec(spec: &At<'_>, said: &mut Vec<String>) {
    for list in ["requests", "limits"] {
        fraction(&spec.get("resources").get(list).key("storage"), said);
    }
}

fn volume(_: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    const ANNOTATIONS: [(&str, &str); 2] = [
        ("volume.beta.kubernetes.io/storage-class", "deprecated since v1.8; use \"storageClassName\" attribute instead"),
        ("volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ];
    let (annotations, spec) = (new.get("metadata").get("annotations"), new.get("spec"));
    let found = ANNOTATIONS.iter().map(|(key, text)| (annotations.key(key), text)).filter(|(at, _)| at.is_set());
    said.extend(found.map(|(at, text)| format!("{}: {text}", at.path())));
    let reclaim = spec.get("persistentVolumeReclaimPolicy");
    if reclaim == "Recycle" {
        const TEXT: &str = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        said.push(format!("{}: {TEXT}", reclaim.path()));
    }
    for term in spec.get("nodeAffinity").get("required").get("nodeSelectorTerms").items() {
        pods::node_term(&term, false, said);
    }
    pods::plugins(&spec, &["cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"], said);
}

/// An address in a form that reads otherwise elsewhere.
fn address(at: &At<'_>, said: &mut Vec<String>) {
    let text = at.text();
    let Some(read) = shapes::parse_sloppily(text) else { return };
    match text.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            if v6.to_string() != text {
                said.push(format!("{}: IPv6 address {text:?} should be in RFC 5952 canonical format ({:?})", at.path(), v6.to_string()));
            }
        }
        Ok(std::net::IpAddr::V4(_)) => {}
        _ => said.push(format!("{}: non-standard IP address {text:?} is invalid: use {:?}", at.path(), read.to_canonical().to_string())),
    }
}

fn range(at: &At<'_>, said: &mut Vec<String>) {
    let text = at.text();
    let Some(read) = shapes::parse_range_sloppily(text) else { return };
    let is_v6 = matches!(read.network(), std::net::IpAddr::V6(_));
    if is_v6 && text.parse::<object::cidr::Cidr>().is_ok() && read.to_string() != text {
        said.push(format!("{}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format ({:?})", at.path(), read.to_string()));
    }
}

fn service(_: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    let spec = new.get("spec");
    let text = |field: &'static str| spec.get(field).text();
    let (is_headless, is_alias) = (text("clusterIP") == "None", text("type") == "ExternalName");
    let external = spec.get("externalIPs");
    if !new.value["metadata"]["annotations"]["service.kubernetes.io/topology-aware-hints"].is_null() {
        said.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"
                .to_owned(),
        );
    }
    if !is_headless {
        spec.get("clusterIPs").items().for_each(|ip| address(&ip, said));
    }
    let mut say = |is_so: bool, text: &str| said.extend(is_so.then(|| text.to_owned()));
    say(is_headless && !text("loadBalancerIP").is_empty(), "spec.loadBalancerIP is ignored for headless services");
    say(is_headless && !external.is_empty(), "spec.externalIPs is ignored for headless services");
    say(is_headless && text("sessionAffinity") != "None", "spec.SessionAffinity is ignored for headless services");
    external.items().for_each(|ip| address(&ip, said));
    let mut say = |is_so: bool, text: &str| said.extend(is_so.then(|| text.to_owned()));
    let is_plain = !is_headless && !is_alias;
    say(!external.is_empty() && is_plain, "spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    address(&spec.get("loadBalancerIP"), said);
    spec.get("loadBalancerSourceRanges").items().for_each(|source| range(&source, said));
    let mut say = |is_so: bool, text: &str| said.extend(is_so.then(|| text.to_owned()));
    say(is_alias && !external.is_empty(), "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    say(!is_alias && !text("externalName").is_empty(), "spec.externalName is ignored when spec.type is not \"ExternalName\"");
    say(text("trafficDistribution") == "PreferClose", "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
}

fn slice(old: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    const CONTROLLERS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if old.is_none() && new.get("addressType") == "FQDN" {
        said.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let writer = new.value["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].as_str().unwrap_or("");
    if !CONTROLLERS.contains(&writer) {
        for endpoint in new.get("endpoints").items() {
            endpoint.get("addresses").items().for_each(|ip| address(&ip, said));
        }
    }
}

fn network_policy(_: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    for (rules, ends) in [("ingress", "from"), ("egress", "to")] {
        for rule in new.get("spec").get(rules).items() {
            for block in rule.get(ends).items().map(|end| end.get("ipBlock")) {
                range(&block.get("cidr"), said);
                block.get("except").items().for_each(|except| range(&except, said));
            }
        }
    }
}

fn driver(old: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    let spec = new.get("spec");
    let is_same = |old: &Value| is_semantically_equal(&old["spec"]["tokenRequests"], &spec.value["tokenRequests"]);
    let was_set = |old: &Value| !old["spec"]["serviceAccountTokenInSecrets"].is_null();
    if old.is_some_and(|old| is_same(old) && !was_set(old)) {
        return;
    }
    if !spec.get("tokenRequests").is_empty() && !spec.get("serviceAccountTokenInSecrets").is_set() {
        const TEXT: &str = "if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";
        said.push(format!("spec.serviceAccountTokenInSecrets is unset; {TEXT}"));
    }
}
