//! What an update of a pod may change, by the part that is written.

use serde_json::{Value, json};

use super::{annotations, placement, spec, status};
use crate::check::{At, Faults};
use crate::diff;
use crate::equality::is_semantically_equal;
use crate::groups::quality_of_pod;
use crate::row::NameRule;
use crate::shapes;

pub(crate) fn validate_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    match subresource {
        "" => validate_whole(old, new, faults),
        "status" => status::validate(old, new, faults),
        "ephemeralcontainers" => validate_ephemeral(old, new, faults),
        "resize" => validate_resize(old, new, faults),
        _ => {}
    }
}

/// Upstream checks metadata and spec of the new pod as on create, and then the change.
fn validate_body(new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
    spec::validate_body(new, faults);
}

fn validate_annotations(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let before = At::root(&old.value["metadata"]["annotations"]);
    annotations::validate_update(&before, &new.get("metadata").get("annotations"), &new.get("spec"), faults);
}

const MAY_CHANGE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn validate_whole(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.only_written(|faults| validate_body(new, faults));
    validate_annotations(old, new, faults);
    let (before, after) = (old.get("spec"), new.get("spec"));
    for list in ["containers", "initContainers"] {
        let (before, after) = (before.get(list), after.get(list));
        if before.len() != after.len() {
            faults.forbidden(&after, "pod updates may not add or remove containers");
            return;
        }
        for image in after.items().map(|container| container.get("image")) {
            faults.need_text(&image);
            if image.text().trim() != image.text() {
                faults.invalid_text(&image, "must not have leading or trailing whitespace");
            }
        }
    }
    validate_deadline(&before.get("activeDeadlineSeconds"), &after.get("activeDeadlineSeconds"), faults);
    validate_tolerations(&before.get("tolerations"), &after.get("tolerations"), faults);
    let gates = after.get("schedulingGates");
    let is_in = |gates: &[Value], gate: &At<'_>| gates.iter().any(|other| other["name"] == gate.value["name"]);
    for (i, gate) in gates.items().enumerate().filter(|(_, gate)| !is_in(before.get("schedulingGates").list(), gate)) {
        let name = gate.get("name");
        if is_in(&gates.list()[i + 1..], &gate) {
            continue;
        }
        faults.forbidden(&name, format!("only deletion is allowed, but found new scheduling gate '{}'", name.text()));
    }
    if is_semantically_equal(before.value, after.value) {
        return;
    }
    let mut munged = after.value.clone();
    keep_what_may_change(before.value, &mut munged);
    if !before.get("schedulingGates").is_empty() {
        validate_gated(&before, &after, &mut munged, faults);
    }
    if !is_semantically_equal(&munged, before.value) {
        let shown = diff::unified("PodSpec", before.value, &munged);
        faults.forbidden(&after, format!("pod updates may not change fields other than {MAY_CHANGE}\n{shown}"));
    }
}

fn keep(spec: &mut Value, field: &str, from: &Value) {
    crate::reset::take(spec, field, from);
}

fn keep_what_may_change(before: &Value, munged: &mut Value) {
    for list in ["containers", "initContainers"] {
        for (i, container) in munged[list].as_array_mut().into_iter().flatten().enumerate() {
            keep(container, "image", &before[list][i]);
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(munged, field, before);
    }
    let grace = "terminationGracePeriodSeconds";
    if before[grace].as_i64().is_some_and(|seconds| seconds < 0) && munged[grace] == 1 {
        keep(munged, grace, before);
    }
}

fn validate_deadline(before: &At<'_>, after: &At<'_>, faults: &mut Faults) {
    const MAX: i64 = i32::MAX as i64;
    if !after.is_set() {
        if before.is_set() {
            faults.invalid(after, "must not update from a positive integer to nil value");
        }
        return;
    }
    if !(0..=MAX).contains(&after.int()) {
        faults.invalid_int(after, shapes::between(0, MAX));
    }
    if before.is_set() && before.int() < after.int() {
        faults.invalid_int(after, "must be less than or equal to previous value");
    }
}

fn validate_tolerations(before: &At<'_>, after: &At<'_>, faults: &mut Faults) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        crate::reset::unset(&mut toleration, "tolerationSeconds");
        toleration
    };
    let kept: Vec<Value> = after.list().iter().map(without_seconds).collect();
    for _ in before.list().iter().filter(|old| !kept.contains(&without_seconds(old))) {
        faults.forbidden(after, "existing toleration can not be modified except its tolerationSeconds");
    }
    faults.only_written(|faults| placement::validate_tolerations(after, placement::keep_comparison, faults));
}

/// A pod that is not yet to be scheduled may be narrowed to fewer nodes.
fn validate_gated(before: &At<'_>, after: &At<'_>, munged: &mut Value, faults: &mut Faults) {
    let (old_selector, selector) = (before.get("nodeSelector"), after.get("nodeSelector"));
    if !is_semantically_equal(old_selector.value, selector.value) {
        if old_selector.entries().any(|(key, value)| selector.value.get(key) != Some(value.value)) {
            faults.invalid(&selector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
        }
        keep(munged, "nodeSelector", before.value);
    }
    let (old_affinity, affinity) = (before.get("affinity").get("nodeAffinity"), after.get("affinity").get("nodeAffinity"));
    if is_semantically_equal(old_affinity.value, affinity.value) {
        return;
    }
    validate_terms(&old_affinity, &affinity, faults);
    if !munged["affinity"].is_object() {
        munged["affinity"] = json!({});
    }
    keep(&mut munged["affinity"], "nodeAffinity", &before.value["affinity"]);
    if before.value["affinity"].is_null() && munged["affinity"] == json!({}) {
        crate::reset::unset(munged, "affinity");
    }
}

fn validate_terms(before: &At<'_>, after: &At<'_>, faults: &mut Faults) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let (old, new) = (before.get(REQUIRED).get("nodeSelectorTerms"), after.get(REQUIRED).get("nodeSelectorTerms"));
    if !old.is_empty() && old.len() != new.len() {
        faults.invalid_go_list(&new, "NodeSelectorTerm", "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    let starts_with =
        |new: &At<'_>, old: &At<'_>| new.len() >= old.len() && old.list().iter().zip(new.list()).all(|(a, b)| is_semantically_equal(a, b));
    for (old, new) in old.items().zip(new.items()) {
        let lists = ["matchExpressions", "matchFields"].map(|name| (old.get(name), new.get(name)));
        let was_empty = lists.iter().all(|(old, _)| old.is_empty()) && lists.iter().any(|(_, new)| !new.is_empty());
        if was_empty || !lists.iter().all(|(old, new)| starts_with(new, old)) {
            faults.invalid_go(&new, "NodeSelectorTerm", new.value, "only additions are allowed (no mutations or deletions)");
        }
    }
}

fn nowhere<'a>() -> At<'a> {
    At::root(&Value::Null).named("")
}

fn validate_ephemeral(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_body(new, faults);
    validate_annotations(old, new, faults);
    if !old.value["metadata"]["annotations"][annotations::MIRROR].is_null() {
        faults.0.clear();
        faults.forbidden(&nowhere(), "static pods do not support ephemeral containers");
        return;
    }
    let list = new.get("spec").get("ephemeralContainers");
    for before in old.get("spec").get("ephemeralContainers").list() {
        let name = before["name"].as_str().unwrap_or("");
        match list.list().iter().rfind(|container| container["name"] == name) {
            None => faults.forbidden(&list, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(after) if !is_semantically_equal(before, after) => {
                let shown = diff::unified("EphemeralContainer", before, after);
                faults.forbidden(&list, format!("existing ephemeral containers {name:?} may not be changed\n{shown}"));
            }
            Some(_) => {}
        }
    }
}

fn validate_resize(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_body(new, faults);
    if !old.value["metadata"]["annotations"][annotations::MIRROR].is_null() {
        faults.0.clear();
        faults.forbidden(&nowhere(), "static pods cannot be resized");
        return;
    }
    let (before, after) = (old.get("spec"), new.get("spec"));
    if before.value["os"]["name"] == "windows" {
        faults.0.clear();
        faults.forbidden(&nowhere(), "windows pods cannot be resized");
        return;
    }
    let old_class = &old.value["status"]["qosClass"];
    if old_class.as_str().unwrap_or(quality_of_pod(old.value)) != quality_of_pod(new.value) {
        faults.invalid_as(&after, new.value["status"]["qosClass"].clone(), "Pod QOS Class may not change as a result of resizing");
    }
    let running = old.get("status").get("containerStatuses").items().find(|status| status.get("state").get("running").is_set());
    if running.is_some_and(|status| !status.get("resources").is_set()) {
        faults.forbidden(&after, "Pod running on node without support for resize");
    }
    let mut munged = after.value.clone();
    if !validate_pod_resize(&before, &after, &mut munged, faults) || !validate_same_containers(&before, &after, faults) {
        return;
    }
    for list in ["initContainers", "containers"] {
        for (before, after) in before.get(list).items().zip(after.get(list).items()) {
            for (field, what) in [("requests", "requests"), ("limits", "limits")] {
                let (old, new) = (before.get("resources").get(field), after.get("resources").get(field));
                if is_any_removed(&old, &new) {
                    faults.forbidden(&new, format!("resource {what} cannot be removed"));
                }
            }
        }
    }
    validate_only_amounts(&before, &after, &mut munged, faults);
    if faults.0.is_empty() && !is_semantically_equal(&munged, before.value) {
        faults.forbidden(&after, "only cpu and memory resources are mutable");
    }
}

fn is_any_removed(old: &At<'_>, new: &At<'_>) -> bool {
    old.entries().any(|(name, _)| new.value.get(name).is_none())
}

/// Amounts of the pod as a whole. False when nothing more is to be said.
fn validate_pod_resize(before: &At<'_>, after: &At<'_>, munged: &mut Value, faults: &mut Faults) -> bool {
    let (old, new) = (before.get("resources"), after.get("resources"));
    let has_amounts = |resources: &At<'_>| !resources.get("requests").is_empty() || !resources.get("limits").is_empty();
    if !has_amounts(&old) && !has_amounts(&new) {
        return true;
    }
    if old.is_set() && !new.is_set() {
        faults.forbidden(&new, "pod-level resources cannot be removed");
        return true;
    }
    for (field, what) in [("requests", "requests"), ("limits", "limits")] {
        if is_any_removed(&old.get(field), &new.get(field)) {
            faults.forbidden(&new.get(field), format!("pod-level resource {what} cannot be removed"));
        }
    }
    keep_amounts(&mut munged["resources"], old.value);
    if !old.is_set() && munged["resources"].as_object().is_none_or(serde_json::Map::is_empty) {
        crate::reset::unset(munged, "resources");
    }
    if !is_semantically_equal(&munged["resources"], old.value) {
        faults.forbidden(after, "only cpu and memory resources are mutable at pod-level");
    }
    true
}

fn validate_same_containers(before: &At<'_>, after: &At<'_>, faults: &mut Faults) -> bool {
    let found = faults.0.len();
    for list in ["containers", "initContainers"] {
        let (old, new) = (before.get(list), after.get(list));
        if old.len() != new.len() {
            faults.forbidden(&new, format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (old, new) in old.items().zip(new.items()).filter(|(old, new)| old.value["name"] != new.value["name"]) {
            debug_assert!(old.is_set());
            faults.forbidden(&new.get("name"), format!("{list} may not be renamed or reordered on resize"));
        }
    }
    faults.0.len() == found
}

/// CPU and memory as they were.
fn keep_amounts(resources: &mut Value, old: &Value) {
    for field in ["requests", "limits"] {
        let mut amounts = resources[field].as_object().cloned().unwrap_or_default();
        for name in ["cpu", "memory"] {
            match old[field].get(name) {
                Some(amount) => amounts.insert(name.to_owned(), amount.clone()),
                None => amounts.remove(name),
            };
        }
        if amounts.is_empty() {
            crate::reset::unset(resources, field);
            continue;
        }
        if !resources.is_object() {
            *resources = json!({});
        }
        resources[field] = Value::Object(amounts);
    }
}

fn validate_only_amounts(before: &At<'_>, after: &At<'_>, munged: &mut Value, faults: &mut Faults) {
    for list in ["containers", "initContainers"] {
        for (i, (old, new)) in before.get(list).items().zip(after.get(list).items()).enumerate() {
            let container = &mut munged[list][i];
            keep_amounts(&mut container["resources"], &old.value["resources"]);
            let is_same = is_semantically_equal(container, old.value);
            if list == "containers" {
                if !is_same {
                    faults.forbidden(after, "only cpu and memory resources are mutable");
                }
                continue;
            }
            if !is_same {
                faults.forbidden(&new, "only cpu and memory resources for init or sidecar containers are mutable");
            }
            let is_changed = !is_semantically_equal(new.value, old.value) && new.get("restartPolicy") != "Always";
            let restarts = |rule: &&Value| rule["restartPolicy"] == "RestartContainer";
            for _ in new.get("resizePolicy").list().iter().filter(|rule| is_changed && restarts(rule)) {
                faults.forbidden(&new, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized");
            }
        }
    }
    let (old, new) = (before.get("volumes"), after.get("volumes"));
    if !is_semantically_equal(old.value, new.value) {
        let text = "volumes are immutable on resize when InPlacePodVerticalScalingMemoryBackedVolumes feature gate is disabled";
        faults.forbidden(&new, text);
    }
}
