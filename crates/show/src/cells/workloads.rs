//! Controllers of pods.

use jiff::Timestamp;
use object::key::GroupVersionKind;
use serde_json::Value;

use super::{
    container_cells, count, has_condition, label_text, list, name, named, number, number_cell, selector_line, selector_text, text,
};
use crate::age::{age, human_duration, since};

fn pod_containers(object: &Value) -> [Value; 2] {
    container_cells(&object["spec"]["template"]["spec"]["containers"])
}

pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = replicas(object, now);
    cells.push(label_text(&object["spec"]["selector"]));
    cells
}

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = replicas(object, now);
    cells.push(selector_text(&object["spec"]["selector"]));
    cells
}

fn replicas(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let counts = [&spec["replicas"], &status["replicas"], &status["readyReplicas"]].map(number_cell);
    let mut cells = named(object, now, counts);
    cells.extend(pod_containers(object));
    cells
}

fn ready_of_wanted(object: &Value) -> Value {
    Value::from(format!("{}/{}", number(&object["status"]["readyReplicas"]), number(&object["spec"]["replicas"])))
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let mut cells =
        named(object, now, [ready_of_wanted(object), number_cell(&status["updatedReplicas"]), number_cell(&status["availableReplicas"])]);
    cells.extend(pod_containers(object));
    cells.push(Value::from(selector_line(&object["spec"]["selector"]).unwrap_or_else(|()| "<invalid>".to_owned())));
    cells
}

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = named(object, now, [ready_of_wanted(object)]);
    cells.extend(pod_containers(object));
    cells
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let counts = ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"];
    let mut cells = vec![name(object)];
    cells.extend(counts.map(|field| number_cell(&status[field])));
    cells.push(label_text(&object["spec"]["template"]["spec"]["nodeSelector"]));
    cells.push(Value::from(age(object, now)));
    cells.extend(pod_containers(object));
    cells.push(selector_text(&object["spec"]["selector"]));
    cells
}

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let controller = object::meta::controller(object).map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let kind = GroupVersionKind::from_api_version(text(&owner["apiVersion"]), text(&owner["kind"]));
            let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
            format!("{}{group}/{}", kind.kind, text(&owner["name"])).to_lowercase()
        },
    );
    named(object, now, [Value::from(controller), number_cell(&object["revision"])])
}

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let succeeded = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let time = |field: &str| status[field].as_str().and_then(object::time::parse);
    let duration =
        time("startTime").map_or_else(String::new, |start| human_duration(time("completionTime").unwrap_or(now).duration_since(start)));
    let mut cells = named(object, now, [Value::from(job_state(object)), Value::from(completions), Value::from(duration)]);
    cells.extend(pod_containers(object));
    cells.push(selector_text(&spec["selector"]));
    cells
}

fn job_state(job: &Value) -> &'static str {
    if has_condition(job, "Complete") {
        return "Complete";
    }
    if has_condition(job, "Failed") {
        return "Failed";
    }
    if !job["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating";
    }
    ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(|ty| has_condition(job, ty)).unwrap_or("Running")
}

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let last_schedule = &status["lastScheduleTime"];
    let last_schedule = if last_schedule.is_null() { "<none>".to_owned() } else { since(last_schedule, now) };
    let suspend = match spec["suspend"].as_bool() {
        None => "<unset>",
        Some(true) => "True",
        Some(false) => "False",
    };
    let time_zone = spec["timeZone"].as_str().unwrap_or("<none>");
    let mut cells = named(
        object,
        now,
        [
            Value::from(text(&spec["schedule"])),
            Value::from(time_zone),
            Value::from(suspend),
            count(&status["active"]),
            Value::from(last_schedule),
        ],
    );
    let job = &spec["jobTemplate"]["spec"];
    cells.extend(container_cells(&job["template"]["spec"]["containers"]));
    cells.push(selector_text(&job["selector"]));
    cells
}

pub(super) fn pod_disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match &object["spec"][field] {
        Value::Null => Value::from("N/A"),
        Value::String(text) => Value::from(text.as_str()),
        other => Value::from(other.to_string()),
    };
    named(object, now, [bound("minAvailable"), bound("maxUnavailable"), number_cell(&object["status"]["disruptionsAllowed"])])
}

pub(super) fn horizontal_pod_autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let target = &spec["scaleTargetRef"];
    let reference = format!("{}/{}", text(&target["kind"]), text(&target["name"]));
    let min = spec["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |n| n.to_string());
    named(
        object,
        now,
        [
            Value::from(reference),
            Value::from(metrics(object)),
            Value::from(min),
            number_cell(&spec["maxReplicas"]),
            number_cell(&object["status"]["currentReplicas"]),
        ],
    )
}

const METRICS_MAX: usize = 2;

fn metrics(autoscaler: &Value) -> String {
    let (spec, status) = (&autoscaler["spec"], &autoscaler["status"]);
    // autoscaling/v1 has just the one metric.
    if let Some(target) = spec["targetCPUUtilizationPercentage"].as_i64() {
        return format!("cpu: {}/{target}%", percent(&status["currentCPUUtilizationPercentage"], "<unknown>"));
    }
    let specs = list(&spec["metrics"]);
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let statuses = list(&status["currentMetrics"]);
    let all: Vec<String> = specs.iter().enumerate().map(|(i, spec)| metric(spec, statuses.get(i).unwrap_or(&Value::Null))).collect();
    let line = all.iter().take(METRICS_MAX).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > METRICS_MAX { format!("{line} + {} more...", all.len() - METRICS_MAX) } else { line }
}

fn percent(value: &Value, otherwise: &str) -> String {
    value.as_i64().map_or_else(|| otherwise.to_owned(), |n| format!("{n}%"))
}

fn metric(spec: &Value, status: &Value) -> String {
    let (field, is_named) = match text(&spec["type"]) {
        "External" => ("external", false),
        "Object" => ("object", false),
        "Pods" => ("pods", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (source, current) = (&spec[field], &status[field]["current"]);
    let target = &source["target"];
    let quantity = |value: &Value| value.as_str().unwrap_or("<unknown>").to_owned();
    if is_named {
        let name = text(&source["name"]);
        return match target["averageValue"].as_str() {
            Some(wanted) => format!("{name}: {}/{wanted}", quantity(&current["averageValue"])),
            None => {
                let wanted = percent(&target["averageUtilization"], "<auto>");
                format!("{name}: {}/{wanted}", percent(&current["averageUtilization"], "<unknown>"))
            }
        };
    }
    match target["averageValue"].as_str() {
        Some(wanted) if field == "pods" => format!("{}/{wanted}", quantity(&current["averageValue"])),
        Some(wanted) => format!("{}/{wanted} (avg)", quantity(&current["averageValue"])),
        None => format!("{}/{}", quantity(&current["value"]), text(&target["value"])),
    }
}
