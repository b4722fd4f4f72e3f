//! What only pods have: `binding` and `eviction`. Both end in the ordinary update and delete.

use object::selector::LabelSelector;
use object::status::Status;
use object::{Value, meta, time};
use serde_json::{Map, json};

use crate::form;
use crate::options::{DeleteOptions, WriteOptions};
use crate::request::{Answer, Request, Written};
use crate::stages::OWN_MANAGER;
use crate::write::{Plan, Way};
use crate::{Registry, address, metadata};

const CONFLICTS_MAX: usize = 1_000;
/// Upstream: `MaxDisruptedPodSize`.
const DISRUPTED_PODS_MAX: usize = 2_000;

impl Registry {
    /// `request.name` is the pod's.
    pub async fn bind(&self, request: &Request, binding: Value, options: &WriteOptions) -> Result<Written, Status> {
        options.check("CreateOptions", false)?;
        if meta::name(&binding) != request.name {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        let mut binding = binding;
        metadata::place(request, &mut binding)?;
        let node = binding["target"]["name"].as_str().unwrap_or("");
        check_target(&binding["target"])?;
        if request.name.is_empty() {
            return Err(Status::bad_request("Name parameter required."));
        }
        self.admit_subresource(request, &binding)?;
        let now = time::seconds(self.clock.now());
        let plan = Plan { options, manager: None, conflicts_max: CONFLICTS_MAX, way: Way::Engine };
        self.update_with(request, &plan, &mut |pod| bound(request, pod, &binding, node, &now)).await?;
        let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { answer: Answer::Tree(answer), is_new: true, warnings: Vec::new() })
    }

    pub async fn evict(&self, request: &Request, eviction: &Value, options: &WriteOptions) -> Result<Written, Status> {
        options.check("CreateOptions", false)?;
        let sent_name = meta::name(eviction);
        if !sent_name.is_empty() && sent_name != request.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut deletion = crate::options::DeleteOptions::from_tree(&eviction["deleteOptions"]);
        deletion.dry_run.extend(options.dry_run.iter().cloned());
        let pod = self.current(request)?.tree;
        self.admit_subresource(request, eviction)?;
        if needs_budget(&pod) {
            self.charge_budget(request, &pod, &deletion).await?;
        }
        let as_pod = Request { subresource: String::new(), ..request.clone() };
        if !deletion.is_dry_run() {
            self.mark_disrupted(&as_pod, &mut deletion).await?;
        }
        self.delete(&as_pod, &deletion).await?;
        let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { answer: Answer::Tree(answer), is_new: true, warnings: Vec::new() })
    }

    /// The pod says why it goes: a job need not count it as failed.
    async fn mark_disrupted(&self, pod: &Request, deletion: &mut DeleteOptions) -> Result<(), Status> {
        let as_status = Request { subresource: "status".to_owned(), ..pod.clone() };
        let options = WriteOptions::default();
        let plan = Plan { options: &options, manager: None, conflicts_max: CONFLICTS_MAX, way: Way::Engine };
        let now = time::seconds(self.clock.now());
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
            "lastProbeTime": null, "lastTransitionTime": now,
        });
        let marking = &mut |found: &Value| {
            crate::delete::check_preconditions(pod, found, deletion)?;
            let mut marked = found.clone();
            set_condition(&mut marked, condition.clone());
            Ok(marked)
        };
        let written = self.update_with(&as_status, &plan, marking).await?;
        // The condition is our own doing, and the caller's precondition holds for what it made.
        if let (Some(version), Answer::Stored(stored)) = (&mut deletion.resource_version, written.answer) {
            *version = stored.revision.0.to_string();
        }
        Ok(())
    }

    /// Takes one disruption from the budget that covers the pod.
    async fn charge_budget(&self, request: &Request, pod: &Value, deletion: &DeleteOptions) -> Result<(), Status> {
        let budgets = self.budgets_of(request, pod)?;
        let [budget] = budgets.as_slice() else {
            return if budgets.is_empty() {
                Ok(())
            } else {
                Err(Status::internal("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."))
            };
        };
        let is_unhealthy =
            pod["status"]["conditions"].as_array().is_none_or(|c| !c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
        let status = &budget["status"];
        if is_unhealthy {
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            let enough =
                status["currentHealthy"].as_i64() >= status["desiredHealthy"].as_i64() && status["desiredHealthy"].as_i64() > Some(0);
            if always || enough {
                return Ok(());
            }
        }
        let resource = self.builtin("policy", "v1", "poddisruptionbudgets")?;
        let charge = Request {
            resource,
            subresource: "status".to_owned(),
            namespace: request.namespace.clone(),
            name: meta::name(budget).to_owned(),
            user: request.user.clone(),
        };
        let options = WriteOptions { dry_run: deletion.dry_run.clone(), ..WriteOptions::default() };
        let plan = Plan { options: &options, manager: Some(OWN_MANAGER), conflicts_max: CONFLICTS_MAX, way: Way::Engine };
        let now = time::seconds(self.clock.now());
        self.update_with(&charge, &plan, &mut |budget| charged(budget, &request.name, &now)).await.map(|_| ())
    }

    fn budgets_of(&self, request: &Request, pod: &Value) -> Result<Vec<Value>, Status> {
        let resource = self.builtin("policy", "v1", "poddisruptionbudgets")?;
        let prefix = address::prefix(&resource, &request.namespace);
        let page = self.store.range(&prefix, None, store::At::Latest, 0).map_err(|e| crate::faults::from_store(&e))?;
        let mut covering = Vec::new();
        for record in &page.records {
            let budget = form::decode(&resource, &record.value, record.modified).map_err(Status::internal)?;
            let selector = LabelSelector::from_object(&budget["spec"]["selector"]).unwrap_or(LabelSelector::nothing());
            if selector.matches(meta::labels(pod)) {
                covering.push(budget);
            }
        }
        Ok(covering)
    }
}

fn bound(request: &Request, pod: &Value, binding: &Value, node: &str, now: &str) -> Result<Value, Status> {
    let conflict = |cause: String| Err(Status::conflict(&crate::pods::binding_resource(), &request.name, &cause));
    let sent_uid = meta::uid(binding);
    if !sent_uid.is_empty() && sent_uid != meta::uid(pod) {
        return conflict(format!("Precondition failed: UID in precondition: {sent_uid}, UID in object meta: {}", meta::uid(pod)));
    }
    if meta::deletion_timestamp(pod).is_some() {
        return conflict(format!("pod {} is being deleted, cannot be assigned to a host", request.name));
    }
    if let Some(host) = pod["spec"]["nodeName"].as_str().filter(|h| !h.is_empty()) {
        return conflict(format!("pod {} is already assigned to node {host:?}", request.name));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|g| !g.is_empty()) {
        return conflict(format!("pod {} has non-empty .spec.schedulingGates", request.name));
    }
    let mut new = pod.clone();
    new["spec"]["nodeName"] = Value::from(node);
    for (key, value) in binding["metadata"]["annotations"].as_object().into_iter().flatten() {
        let metadata = meta::metadata_mut(&mut new);
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        annotations[key.as_str()] = value.clone();
    }
    set_condition(&mut new, json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}));
    Ok(new)
}

fn set_condition(object: &mut Value, condition: Value) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = Value::Array(Vec::new());
    }
    let conditions = object["status"]["conditions"].as_array_mut().expect("made an array above");
    match conditions.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

pub(crate) fn binding_resource() -> object::key::GroupResource {
    object::key::GroupResource::new("", "pods/binding")
}

/// Upstream: a pod that is over, not yet running or already going disturbs nobody.
fn needs_budget(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending")) && meta::deletion_timestamp(pod).is_none()
}

fn charged(budget: &Value, pod_name: &str, now: &str) -> Result<Value, Status> {
    let name = meta::name(budget);
    let status = &budget["status"];
    let refused = |why: String, retry_after_seconds: Option<u32>| {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut refusal = Status::too_many_requests(text, retry_after_seconds.unwrap_or(0));
        refusal.details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
        if let Some(seconds) = retry_after_seconds {
            refusal.details["retryAfterSeconds"] = Value::from(seconds);
        }
        refusal
    };
    if status["observedGeneration"].as_i64().unwrap_or(0) < meta::generation(budget) {
        return Err(refused(format!("The disruption budget {name} is still being processed by the server."), Some(10)));
    }
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed < 0 {
        let group_resource = object::key::GroupResource::new("policy", "poddisruptionbudgets");
        return Err(Status::forbidden(&group_resource, name, "pdb disruptions allowed is negative"));
    }
    if status["disruptedPods"].as_object().is_some_and(|p| p.len() > DISRUPTED_PODS_MAX) {
        let group_resource = object::key::GroupResource::new("policy", "poddisruptionbudgets");
        return Err(Status::forbidden(
            &group_resource,
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let (desired, healthy) = (status["desiredHealthy"].as_i64().unwrap_or(0), status["currentHealthy"].as_i64().unwrap_or(0));
        return Err(refused(format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"), None));
    }
    let mut new = budget.clone();
    new["status"]["disruptionsAllowed"] = Value::from(allowed - 1);
    new["status"]["disruptedPods"][pod_name] = Value::from(now);
    if allowed == 1 {
        let condition = json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": status["observedGeneration"], "lastTransitionTime": now,
        });
        set_condition(&mut new, condition);
    }
    Ok(new)
}

/// Upstream: these faults are no refusal of an object, so they come as an error without a reason.
fn check_target(target: &Value) -> Result<(), Status> {
    let path = object::field::Path::new("target");
    let kind = target["kind"].as_str().unwrap_or("");
    let mut faults = Vec::new();
    if !matches!(kind, "" | "Node") {
        faults.push(object::field::Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]).to_string());
    }
    if target["name"].as_str().unwrap_or("").is_empty() {
        faults.push(object::field::Error::required(&path.child("name"), "").to_string());
    }
    match faults.as_slice() {
        [] => Ok(()),
        [one] => Err(Status::new(500, "", one.clone())),
        all => Err(Status::new(500, "", format!("[{}]", all.join(", ")))),
    }
}
