//! Deployments, ReplicaSets, DaemonSets, StatefulSets and the revisions of the last two.

use object::field::Error;
use object::selector::LabelSelector;
use serde_json::{Value, json};

use crate::check::{At, Faults};
use crate::row::NameRule;
use crate::shapes;
use crate::validation::core::{claims, validate_replica_counts};
use crate::validation::pods;

const UNMATCHED: &str = "`selector` does not match template `labels`";

fn labels_of<'a>(template: &At<'a>) -> At<'a> {
    template.get("metadata").get("labels")
}

pub(super) fn matches(selector: &LabelSelector, template: &At<'_>) -> bool {
    selector.matches(labels_of(template).value.as_object())
}

/// Labels as Go shows an absent map.
pub(super) fn unmatched(template: &At<'_>, faults: &mut Faults) {
    faults.invalid(&labels_of(template), UNMATCHED);
}

/// `spec.selector` of a Deployment or a ReplicaSet: both say the same of an empty one.
fn validate_selector(spec: &At<'_>, empty: &str, faults: &mut Faults) {
    let selector = spec.get("selector");
    if !selector.is_set() {
        faults.required(&selector, "");
        return;
    }
    faults.selector(&selector);
    if selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty() {
        faults.invalid_go(&selector, "LabelSelector", selector.value, empty);
    }
}

/// The template of what keeps pods running for ever.
fn validate_lasting(template: &At<'_>, kind: &str, faults: &mut Faults) {
    let (policy, deadline) = (template.get("spec").get("restartPolicy"), template.get("spec").get("activeDeadlineSeconds"));
    if policy != "Always" {
        faults.not_supported(&policy, &["Always"]);
    }
    if deadline.is_set() {
        faults.forbidden(&deadline, format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

fn validate_replica_template(spec: &At<'_>, faults: &mut Faults) {
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    let Ok(parsed) = LabelSelector::from_object(selector.value) else {
        faults.invalid_go(&selector, "LabelSelector", selector.value, "invalid label selector");
        return;
    };
    if !parsed.is_everything() && !matches(&parsed, &template) {
        unmatched(&template, faults);
    }
    pods::validate_template(&template, faults);
    validate_lasting(&template, "ReplicaSet", faults);
}

/// A number or a percentage, neither negative.
pub(super) fn validate_amount(at: &At<'_>, faults: &mut Faults) {
    if at.value.is_string() {
        faults.each(at, shapes::percent(at.text()));
    } else {
        faults.not_negative(at);
    }
}

fn percent(at: &At<'_>) -> Option<i64> {
    let text = at.value.as_str()?;
    shapes::percent(text).is_empty().then(|| text.trim_end_matches('%').parse().unwrap_or(0))
}

pub(super) fn amount(at: &At<'_>) -> i64 {
    percent(at).unwrap_or_else(|| at.value.as_i64().unwrap_or_else(|| at.text().parse().unwrap_or(0)))
}

pub(super) fn validate_at_most_all(at: &At<'_>, faults: &mut Faults) {
    if percent(at).is_some_and(|percent| percent > 100) {
        faults.invalid_text(at, "must not be greater than 100%");
    }
}

pub(crate) fn validate_deployment(deployment: &At<'_>, faults: &mut Faults) {
    let spec = deployment.get("spec");
    faults.not_negative(&spec.get("replicas"));
    validate_selector(&spec, "empty selector is invalid for deployment", faults);
    validate_replica_template(&spec, faults);
    validate_deployment_strategy(&spec.get("strategy"), faults);
    let (ready, progress) = (spec.get("minReadySeconds"), spec.get("progressDeadlineSeconds"));
    faults.not_negative(&ready);
    faults.not_negative(&spec.get("revisionHistoryLimit"));
    if progress.is_set() {
        faults.not_negative(&progress);
        if progress.int() <= ready.int() {
            faults.invalid_int(&progress, "must be greater than minReadySeconds");
        }
    }
}

fn validate_deployment_strategy(strategy: &At<'_>, faults: &mut Faults) {
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "Recreate" if rolling.is_set() => faults.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'"),
        "Recreate" => {}
        "RollingUpdate" if !rolling.is_set() => faults.required(&rolling, "this should be defaulted and never be nil"),
        "RollingUpdate" => {
            let (missing, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            validate_amount(&missing, faults);
            validate_amount(&surge, faults);
            if amount(&missing) == 0 && amount(&surge) == 0 {
                faults.invalid(&missing, "may not be 0 when `maxSurge` is 0");
            }
            validate_at_most_all(&missing, faults);
        }
        _ => not_supported_strategy(strategy, "apps.DeploymentStrategy", &["Recreate", "RollingUpdate"], faults),
    }
}

fn not_supported_strategy(strategy: &At<'_>, type_name: &str, supported: &[&str], faults: &mut Faults) {
    let shown = crate::go_json::compact(type_name, strategy.value);
    faults.0.push(Error::not_supported(&strategy.path(), Value::Null, supported).showing(shown));
}

/// Counts that only go up: how often a name was taken.
fn validate_collisions(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after) = (old.get("collisionCount"), new.get("collisionCount"));
    if before.is_set() && (!after.is_set() || after.int() < before.int()) {
        faults.invalid_int(&after, "cannot be decremented");
    }
}

pub(crate) fn validate_deployment_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        validate_deployment(new, faults);
        immutable_selector(old, new, faults);
        return;
    }
    let status = new.get("status");
    let counts = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    validate_counts(&status, &counts, &["updatedReplicas", "readyReplicas", "availableReplicas"], "readyReplicas", faults);
    validate_collisions(&old.get("status"), &status, faults);
}

/// None negative, none more than all replicas, none available that is not ready.
fn validate_counts(status: &At<'_>, counts: &[&'static str], parts: &[&'static str], ready_name: &str, faults: &mut Faults) {
    for count in counts {
        faults.not_negative(&status.get(count));
    }
    let all = status.get("replicas").int();
    for part in parts.iter().map(|part| status.get(part)) {
        if part.int() > all {
            faults.invalid_int(&part, "cannot be greater than status.replicas");
        }
    }
    let available = status.get("availableReplicas");
    if available.int() > status.get("readyReplicas").int() {
        faults.invalid_int(&available, format!("cannot be greater than {ready_name}"));
    }
}

fn immutable_selector(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after) = (old.get("spec").get("selector"), new.get("spec").get("selector"));
    faults.immutable_go(&before, &after, "LabelSelector");
}

pub(crate) fn validate_replica_set(set: &At<'_>, faults: &mut Faults) {
    let spec = set.get("spec");
    faults.not_negative(&spec.get("replicas"));
    faults.not_negative(&spec.get("minReadySeconds"));
    validate_selector(&spec, "empty selector is invalid for deployment", faults);
    validate_replica_template(&spec, faults);
}

pub(crate) fn validate_replica_set_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        validate_replica_counts(&new.get("status"), "cannot be greater than status.replicas", faults);
        return;
    }
    validate_replica_set(new, faults);
    immutable_selector(old, new, faults);
}

pub(crate) fn validate_daemon_set(set: &At<'_>, faults: &mut Faults) {
    let spec = set.get("spec");
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    faults.selector(&selector);
    if let Ok(parsed) = LabelSelector::from_object(selector.value)
        && !matches(&parsed, &template)
    {
        unmatched(&template, faults);
    }
    if selector.is_set() && selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty() {
        faults.invalid_go(&selector, "LabelSelector", selector.value, "empty selector is invalid for daemonset");
    }
    pods::validate_template(&template, faults);
    validate_lasting(&template, "DaemonSet", faults);
    faults.not_negative(&spec.get("minReadySeconds"));
    validate_daemon_strategy(&spec.get("updateStrategy"), faults);
    faults.not_negative(&spec.get("revisionHistoryLimit"));
}

fn validate_daemon_strategy(strategy: &At<'_>, faults: &mut Faults) {
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => faults.required(&rolling, ""),
        "RollingUpdate" => {
            let both = [rolling.get("maxUnavailable"), rolling.get("maxSurge")];
            both.iter().for_each(|at| validate_amount(at, faults));
            both.iter().for_each(|at| validate_at_most_all(at, faults));
            let [missing, surge] = both;
            match (amount(&missing) != 0, amount(&surge) != 0) {
                (true, true) => faults.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
                (false, false) => faults.required(&missing, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => not_supported_strategy(strategy, "apps.DaemonSetUpdateStrategy", &["RollingUpdate", "OnDelete"], faults),
    }
}

pub(crate) fn validate_daemon_set_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        immutable_selector(old, new, faults);
        validate_daemon_set(new, faults);
        return;
    }
    let status = new.get("status");
    for count in [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ] {
        faults.not_negative(&status.get(count));
    }
    validate_collisions(&old.get("status"), &status, faults);
}

pub(crate) fn validate_stateful_set(set: &At<'_>, faults: &mut Faults) {
    validate_stateful_spec(&set.get("spec"), true, faults);
}

/// Upstream: a set that was wrong anywhere keeps its template, right or wrong.
fn validate_stateful_spec(spec: &At<'_>, is_new: bool, faults: &mut Faults) {
    const SETS: &str = "stateful sets";
    let rest = |faults: &mut Faults| validate_stateful_fields(spec, is_new, faults);
    faults.tolerable_but(SETS, rest, rest);
    validate_stateful_template(spec, SETS, faults);
    let lasting = |faults: &mut Faults| validate_lasting(&spec.get("template"), "StatefulSet", faults);
    faults.tolerable_but(SETS, lasting, lasting);
}

fn validate_stateful_fields(spec: &At<'_>, is_new: bool, faults: &mut Faults) {
    let management = spec.get("podManagementPolicy");
    match management.text() {
        "" => faults.required(&management, ""),
        "OrderedReady" | "Parallel" => {}
        _ => faults.invalid_text(&management, "must be 'OrderedReady' or 'Parallel'"),
    }
    validate_stateful_strategy(&spec.get("updateStrategy"), faults);
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"].iter().filter(|_| retention.is_set()) {
        let at = retention.get(field);
        if !matches!(at.text(), "Retain" | "Delete") {
            faults.not_supported(&at, &["Retain", "Delete"]);
        }
    }
    let templates = spec.get("volumeClaimTemplates");
    for template in templates.items().filter(|_| is_new) {
        claims::validate_spec(&template.get("spec"), faults);
    }
    faults.not_negative(&spec.get("replicas"));
    faults.not_negative(&spec.get("minReadySeconds"));
    faults.not_negative(&spec.get("ordinals").get("start"));
    if is_new && spec.get("serviceName").has_text() {
        faults.label(&spec.get("serviceName"));
    }
    validate_selector(spec, "empty selector is invalid for statefulset", faults);
}

fn validate_stateful_strategy(strategy: &At<'_>, faults: &mut Faults) {
    const TYPE: &str = "apps.StatefulSetUpdateStrategy";
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "" => faults.required(strategy, ""),
        "OnDelete" if rolling.is_set() => {
            faults.invalid_go(
                &rolling,
                "apps.RollingUpdateStatefulSetStrategy",
                rolling.value,
                "only allowed for updateStrategy 'RollingUpdate'",
            );
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            faults.not_negative(&rolling.get("partition"));
            let missing = rolling.get("maxUnavailable");
            if missing.is_set() {
                validate_amount(&missing, faults);
                if amount(&missing) == 0 {
                    faults.invalid(&missing, "cannot be 0");
                }
                validate_at_most_all(&missing, faults);
            }
        }
        _ => faults.invalid_go(strategy, TYPE, strategy.value, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// The template with the volumes that come of claims, which take the place of others of the same name.
fn validate_stateful_template(spec: &At<'_>, sets: &'static str, faults: &mut Faults) {
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    let Ok(parsed) = LabelSelector::from_object(selector.value) else {
        let unread = |faults: &mut Faults| faults.invalid_go(&selector, "LabelSelector", selector.value, "");
        return faults.tolerable_but(sets, unread, unread);
    };
    let mut munged = template.value.clone();
    let mut names: Vec<&str> = spec.get("volumeClaimTemplates").items().map(|claim| claim.get("metadata").get("name").text()).collect();
    names.sort_unstable();
    names.dedup();
    for field in ["subdomain", "hostname"] {
        crate::reset::unset(&mut munged["spec"], field);
    }
    if !names.is_empty() {
        let own = munged["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let claimed = names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        let kept = own.into_iter().filter(|volume| !names.iter().any(|name| volume["name"] == *name));
        munged["spec"]["volumes"] = Value::Array(claimed.chain(kept).collect());
    }
    let munged = template.with(&munged);
    if !parsed.is_everything() && !matches(&parsed, &munged) {
        faults.tolerable_but(sets, |faults| unmatched(&munged, faults), |faults| unmatched(&munged, faults));
    }
    let metadata = |faults: &mut Faults| pods::validate_template_metadata(&munged, faults);
    faults.tolerable_but(sets, metadata, metadata);
    faults.tolerable(sets, |faults| pods::validate_template_spec(&munged, faults));
}

pub(crate) fn validate_stateful_set_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        let status = new.get("status");
        let counts = [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ];
        let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        validate_counts(&status, &counts, &parts, "status.readyReplicas", faults);
        validate_collisions(&old.get("status"), &status, faults);
        return;
    }
    let (before, after) = (old.get("spec"), new.get("spec"));
    validate_stateful_spec(&after, false, faults);
    faults.immutable_go(&before.get("selector"), &after.get("selector"), "LabelSelector");
    let templates = after.get("volumeClaimTemplates");
    if !crate::equality::is_semantically_equal(&before.value["volumeClaimTemplates"], templates.value) {
        faults.invalid_go_list(&templates, "PersistentVolumeClaim", crate::check::IMMUTABLE);
    }
    for field in ["serviceName", "podManagementPolicy"] {
        faults.immutable(&before.get(field), &after.get(field));
    }
}

pub(crate) fn validate_revision(revision: &At<'_>, faults: &mut Faults) {
    faults.not_negative(&revision.get("revision"));
    let data = revision.get("data");
    match data.value {
        Value::Null => faults.required(&data, "data is mandatory"),
        Value::Object(_) => {}
        _ => faults.required(&data, "data must be a valid JSON object"),
    }
}

pub(crate) fn validate_revision_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
    faults.not_negative(&new.get("revision"));
    faults.immutable(&old.get("data"), &new.get("data"));
}
