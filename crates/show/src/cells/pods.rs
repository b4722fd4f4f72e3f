//! Pods: the status column is what people know a pod's state by.

use jiff::Timestamp;
use serde_json::Value;

use super::{condition, container_cells, count, has_condition, label_text, list, name, number, or_none, text};
use crate::age::{age, since};

pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.last_restart {
        Some(at) if summary.restarts != 0 => format!("{} ({} ago)", summary.restarts, since(at, now)),
        _ => summary.restarts.to_string(),
    };
    let status = &pod["status"];
    vec![
        name(pod),
        Value::from(format!("{}/{}", summary.n_ready, summary.n_containers)),
        Value::from(summary.reason),
        Value::from(restarts),
        Value::from(age(pod, now)),
        or_none(&status["podIPs"][0]["ip"]),
        or_none(&pod["spec"]["nodeName"]),
        or_none(&status["nominatedNodeName"]),
        readiness_gates(pod),
    ]
}

pub(super) fn pod_template(object: &Value) -> Vec<Value> {
    let template = &object["template"];
    let [names, images] = container_cells(&template["spec"]["containers"]);
    vec![name(object), names, images, label_text(&template["metadata"]["labels"])]
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = list(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return Value::from("<none>");
    }
    let n_true = gates.iter().filter(|gate| has_condition(pod, text(&gate["conditionType"]))).count();
    Value::from(format!("{n_true}/{}", gates.len()))
}

struct Summary<'a> {
    reason: String,
    n_ready: usize,
    n_containers: usize,
    restarts: i64,
    last_restart: Option<&'a Value>,
}

impl<'a> Summary<'a> {
    fn of(pod: &'a Value) -> Self {
        let status = &pod["status"];
        let phase = text(&status["phase"]);
        let mut reason = status["reason"].as_str().filter(|r| !r.is_empty()).unwrap_or(phase).to_owned();
        if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
            reason = "SchedulingGated".to_owned();
        }
        let sidecars: Vec<&str> =
            list(&pod["spec"]["initContainers"]).iter().filter(|c| c["restartPolicy"] == "Always").map(|c| text(&c["name"])).collect();
        let n_containers = list(&pod["spec"]["containers"]).len() + sidecars.len();
        let mut summary = Summary { reason, n_ready: 0, n_containers, restarts: 0, last_restart: None };
        let mut of_sidecars = Restarts::default();
        let is_initializing = summary.look_at_init_containers(pod, &sidecars, &mut of_sidecars);
        if !is_initializing || has_condition(pod, "Initialized") {
            summary.look_at_containers(pod, of_sidecars);
        }
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if status["reason"] == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Failed" | "Succeeded") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// True when one of them keeps the pod from going on.
    fn look_at_init_containers(&mut self, pod: &'a Value, sidecars: &[&str], of_sidecars: &mut Restarts<'a>) -> bool {
        let mut all = Restarts::default();
        let mut is_initializing = false;
        for (i, container) in list(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
            let is_sidecar = sidecars.contains(&text(&container["name"]));
            all.add(container);
            if is_sidecar {
                of_sidecars.add(container);
            }
            let (waiting, terminated) = (&container["state"]["waiting"], &container["state"]["terminated"]);
            let waiting_reason = text(&waiting["reason"]);
            if !terminated.is_null() && number(&terminated["exitCode"]) == 0 {
                continue;
            }
            if is_sidecar && container["started"] == true {
                self.n_ready += usize::from(container["ready"] == true);
                continue;
            }
            is_initializing = true;
            self.reason = if !terminated.is_null() {
                format!("Init:{}", termination_reason(terminated))
            } else if !matches!(waiting_reason, "" | "PodInitializing") {
                format!("Init:{waiting_reason}")
            } else {
                format!("Init:{i}/{}", count(&pod["spec"]["initContainers"]))
            };
            break;
        }
        (self.restarts, self.last_restart) = (all.n, all.last);
        is_initializing
    }

    fn look_at_containers(&mut self, pod: &'a Value, of_sidecars: Restarts<'a>) {
        let mut restarts = of_sidecars;
        let (mut has_running, mut error_reason) = (false, String::new());
        for container in list(&pod["status"]["containerStatuses"]).iter().rev() {
            restarts.add(container);
            let state = &container["state"];
            let waiting_reason = text(&state["waiting"]["reason"]);
            let terminated = &state["terminated"];
            if !waiting_reason.is_empty() {
                self.reason = waiting_reason.to_owned();
            } else if !terminated.is_null() {
                self.reason = termination_reason(terminated);
                if number(&terminated["exitCode"]) != 0 {
                    error_reason.clone_from(&self.reason);
                }
            } else if container["ready"] == true && !state["running"].is_null() {
                has_running = true;
                self.n_ready += 1;
            }
        }
        // A pod that still has a running container is not completed.
        if self.reason == "Completed" {
            if has_running && has_condition(pod, "Ready") {
                self.reason = "Running".to_owned();
            } else if !error_reason.is_empty() {
                self.reason = error_reason;
            } else if has_running {
                self.reason = "NotReady".to_owned();
            }
        }
        (self.restarts, self.last_restart) = (restarts.n, restarts.last);
    }
}

fn termination_reason(terminated: &Value) -> String {
    let reason = text(&terminated["reason"]);
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match number(&terminated["signal"]) {
        0 => format!("ExitCode:{}", number(&terminated["exitCode"])),
        signal => format!("Signal:{signal}"),
    }
}

#[derive(Default)]
struct Restarts<'a> {
    n: i64,
    /// The latest end of an earlier run; times in UTC sort as texts.
    last: Option<&'a Value>,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, container: &'a Value) {
        self.n += number(&container["restartCount"]);
        let ended = &container["lastState"]["terminated"]["finishedAt"];
        if ended.is_string() && self.last.is_none_or(|last| text(last) < text(ended)) {
            self.last = Some(ended);
        }
    }
}
