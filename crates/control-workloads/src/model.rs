//! A tiny API in memory for tests of plans: carries plans out to the letter and refuses stale ones by panicking.
//!
//! Objects come from lines such as `replicaset web replicas=3 | pod web-a owner=web Running`. Not a server: no defaults, no validation.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod, ReplicationController};
use k8s_openapi::{Metadata, Resource};
use object::Value;
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Change, Plan, Write};
use object::{meta, time};
use serde::de::DeserializeOwned;
use serde_json::json;

type Id = (String, ObjectKey);

pub(crate) struct Model {
    pub(crate) objects: BTreeMap<Id, Value>,
    revision: u64,
    pub(crate) now: Timestamp,
}

impl Model {
    pub(crate) fn new(text: &str) -> Self {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut model = Model { objects: BTreeMap::new(), revision: 0, now };
        for line in text.split(['|', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            model.add(line);
        }
        model
    }

    pub(crate) fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let setting = |name: &str| words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        let number = |name: &str| setting(name).and_then(|n| n.parse::<i64>().ok());
        let (kind, name) = (words[0], words[1]);
        let app = setting("app").unwrap_or("web");
        let template = json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": setting("image").unwrap_or("a")}]}});
        let mut object = match kind {
            "deployment" => json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "spec": {
                    "replicas": number("replicas"), "selector": {"matchLabels": {"app": app}}, "template": template,
                    "paused": words.contains(&"paused").then_some(true),
                    "revisionHistoryLimit": number("history"), "progressDeadlineSeconds": number("deadline"),
                    "strategy": if words.contains(&"recreate") { json!({"type": "Recreate"}) } else {
                        json!({"type": "RollingUpdate", "rollingUpdate": {
                            "maxSurge": number("surge").unwrap_or(1), "maxUnavailable": number("unavailable").unwrap_or(0)}})
                    },
                },
            }),
            "replicaset" => json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "spec": {"replicas": number("replicas"), "selector": {"matchLabels": {"app": app}}, "template": template,
                    "minReadySeconds": number("minready")},
            }),
            "pod" => {
                let phase = words.iter().find(|w| ["Pending", "Running", "Succeeded", "Failed"].contains(w)).unwrap_or(&"Pending");
                let ready = if words.contains(&"Ready") { "True" } else { "False" };
                json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "spec": {"nodeName": setting("node")},
                    "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": time::seconds(self.ago(number("readyfor").unwrap_or(0)))}]},
                })
            }
            "daemonset" => json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet",
                "spec": {"selector": {"matchLabels": {"app": app}}, "template": template, "revisionHistoryLimit": number("history"),
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {
                        "maxSurge": number("surge").unwrap_or(0), "maxUnavailable": number("unavailable").unwrap_or(1)}}},
            }),
            "statefulset" => json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "spec": {"replicas": number("replicas"), "selector": {"matchLabels": {"app": app}}, "template": template, "serviceName": name,
                    "podManagementPolicy": if words.contains(&"parallel") { "Parallel" } else { "OrderedReady" },
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {
                        "partition": number("partition").unwrap_or(0), "maxUnavailable": number("unavailable")}},
                    "persistentVolumeClaimRetentionPolicy": {"whenScaled": setting("scaled"), "whenDeleted": setting("deleted")},
                    "volumeClaimTemplates": if words.contains(&"claims") { json!([{"metadata": {"name": "data"}}]) } else { json!(null) }},
            }),
            "node" => json!({
                "apiVersion": "v1", "kind": "Node",
                "spec": {"taints": setting("taint").map(|effect| json!([{"key": "t", "effect": effect}]))},
            }),
            "job" => json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": {
                    "selector": {"matchLabels": {"app": app}}, "template": template,
                    "parallelism": number("parallelism").unwrap_or(1), "completions": number("completions"),
                    "completionMode": if words.contains(&"indexed") { "Indexed" } else { "NonIndexed" },
                    "backoffLimit": number("backoff").unwrap_or(6), "backoffLimitPerIndex": number("perindex"),
                    "maxFailedIndexes": number("maxfailed"), "activeDeadlineSeconds": number("deadline"),
                    "ttlSecondsAfterFinished": number("ttl"), "suspend": words.contains(&"suspend"),
                    "podReplacementPolicy": setting("replace").unwrap_or("TerminatingOrFailed"),
                },
            }),
            "replicationcontroller" => json!({
                "apiVersion": "v1", "kind": "ReplicationController",
                "spec": {"replicas": number("replicas"), "selector": {"app": app}, "template": template},
            }),
            "cronjob" => json!({"apiVersion": "batch/v1", "kind": "CronJob"}),
            other => panic!("no kind `{other}` in this model"),
        };
        object["metadata"] = json!({"name": name, "namespace": "default", "labels": {"app": app}, "annotations": {}});
        if words.contains(&"tracked") {
            object["metadata"]["finalizers"] = json!([crate::job::FINALIZER]);
        }
        if let Some(index) = setting("index") {
            object["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = index.into();
        }
        if let Some(seconds) = number("ended") {
            let end = json!({"exitCode": number("exit").unwrap_or(0), "finishedAt": time::seconds(self.ago(seconds))});
            object["status"]["containerStatuses"] =
                json!([{"name": "c", "ready": false, "restartCount": 0, "image": "a", "imageID": "", "state": {"terminated": end}}]);
        }
        if let Some(cost) = setting("cost") {
            object["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"] = cost.into();
        }
        if let Some(owner) = setting("owner") {
            let (owner_kind, api) = self.kind_of(owner, if kind == "replicaset" { "Deployment" } else { "ReplicaSet" });
            object["metadata"]["ownerReferences"] =
                json!([{"apiVersion": api, "kind": owner_kind, "name": owner, "uid": format!("uid-{owner}"), "controller": true}]);
        }
        let resource = format!("{kind}s");
        self.insert(&resource, object);
        let created = time::seconds(self.ago(number("age").unwrap_or(0)));
        let stored = self.objects.get_mut(&(resource, ObjectKey::new("default", name))).unwrap();
        meta::set(stored, "uid", format!("uid-{name}"));
        meta::set(stored, "creationTimestamp", created);
        if words.contains(&"leaving") {
            meta::set(stored, "deletionTimestamp", "2026-01-01T00:00:00Z");
        }
    }

    /// The kind and version of the object that has this name.
    fn kind_of(&self, name: &str, fallback: &'static str) -> (String, String) {
        let named = self.objects.iter().find(|((resource, key), _)| key.name == name && resource != "pods" && fallback != "Deployment");
        match named {
            Some((_, object)) => (object["kind"].as_str().unwrap().to_owned(), object["apiVersion"].as_str().unwrap().to_owned()),
            None => (fallback.to_owned(), "apps/v1".to_owned()),
        }
    }

    fn ago(&self, seconds: i64) -> Timestamp {
        self.now - SignedDuration::from_secs(seconds)
    }

    fn insert(&mut self, resource: &str, mut object: Value) {
        self.revision += 1;
        meta::set(&mut object, "resourceVersion", self.revision.to_string());
        if meta::uid(&object).is_empty() {
            meta::set(&mut object, "uid", format!("uid-{}", self.revision));
            meta::set(&mut object, "creationTimestamp", time::seconds(self.now));
            meta::set(&mut object, "generation", 1);
        }
        self.objects.insert((resource.to_owned(), meta::key(&object)), object);
    }

    pub(crate) fn list<K: Resource + DeserializeOwned>(&self) -> Vec<Arc<K>> {
        let of_kind = self.objects.iter().filter(|((resource, _), _)| resource == K::URL_PATH_SEGMENT);
        of_kind.map(|(_, object)| Arc::new(serde_json::from_value(object.clone()).unwrap())).collect()
    }

    pub(crate) fn get<K: Resource + DeserializeOwned>(&self, name: &str) -> Option<Arc<K>> {
        let object = self.objects.get(&(K::URL_PATH_SEGMENT.to_owned(), ObjectKey::new("default", name)))?;
        Some(Arc::new(serde_json::from_value(object.clone()).unwrap()))
    }

    /// What the object, or orphans, are candidates for.
    pub(crate) fn candidates<K>(&self, uid: Option<&String>) -> Vec<Arc<K>>
    where
        K: Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta> + DeserializeOwned,
    {
        let mut all = self.list::<K>();
        all.retain(|object| crate::claims::controller_of(object.metadata()).is_none_or(|owner| Some(&owner.uid) == uid));
        all
    }

    /// Carries a plan out; an object may be changed once.
    pub(crate) fn carry_out(&mut self, plan: &Plan) {
        let mut touched = std::collections::BTreeSet::new();
        for change in &plan.changes {
            let id = target(&change.write);
            assert!(touched.insert(id.clone()), "two changes of {id:?} in one plan");
            self.write(id, &change.write);
        }
    }

    fn write(&mut self, id: Id, write: &Write) {
        match write {
            Write::Create { object, .. } => {
                if !self.objects.contains_key(&id) {
                    self.insert(&id.0, object.clone());
                }
            }
            Write::Update { object, .. } | Write::UpdateStatus { object, .. } => {
                let mut old = self.objects.get(&id).unwrap_or_else(|| panic!("{id:?} is gone")).clone();
                assert_eq!(meta::resource_version(&old), meta::resource_version(object), "stale update of {id:?}");
                let is_status = matches!(write, Write::UpdateStatus { .. });
                // As upstream, a deployment's annotations may be written along with its status.
                let fields: &[&str] = if is_status { &["metadata", "status"] } else { &["metadata", "spec"] };
                if !is_status && old["spec"] != object["spec"] {
                    let next = meta::generation(&old) + 1;
                    meta::set(&mut old, "generation", next);
                }
                let generation = old["metadata"]["generation"].clone();
                for field in fields {
                    old[*field] = object[*field].clone();
                }
                old["metadata"]["generation"] = generation;
                self.insert(&id.0, old);
            }
            Write::Patch { patch, .. } => {
                let mut old = self.objects.get(&id).unwrap_or_else(|| panic!("{id:?} is gone")).clone();
                match patch["metadata"][TAKE_FINALIZERS].as_array() {
                    Some(_) => meta::unset(&mut old, "finalizers"),
                    None => merge(&mut old, patch),
                }
                self.insert_or_end(id, old);
            }
            Write::Delete { .. } => {
                let Some(mut old) = self.objects.get(&id).cloned() else { return };
                meta::set(&mut old, "deletionTimestamp", time::seconds(self.now));
                self.insert_or_end(id, old);
            }
            Write::DeleteCollection { .. } | Write::Subresource { .. } => panic!("not in this model"),
        }
    }

    /// What leaves is there as long as a finalizer holds it.
    fn insert_or_end(&mut self, id: Id, object: Value) {
        let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        if object["metadata"]["deletionTimestamp"].is_null() || is_held {
            self.insert(&id.0, object);
        } else {
            self.objects.remove(&id);
        }
    }
}

const TAKE_FINALIZERS: &str = "$deleteFromPrimitiveList/finalizers";

fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (name, value) in fields {
                if value.is_null() {
                    into.as_object_mut().unwrap().remove(name);
                } else {
                    merge(&mut into[name.as_str()], value);
                }
            }
        }
        other => *into = other.clone(),
    }
}

fn target(write: &Write) -> Id {
    let id = |resource: &GroupVersionResource, key: ObjectKey| (resource.resource.clone(), key);
    match write {
        Write::Create { resource, object } | Write::Update { resource, object } | Write::UpdateStatus { resource, object } => {
            id(resource, meta::key(object))
        }
        Write::Patch { resource, key, .. } | Write::Delete { resource, key, .. } | Write::Subresource { resource, key, .. } => {
            id(resource, key.clone())
        }
        Write::DeleteCollection { resource, namespace } => id(resource, ObjectKey::new(namespace.as_str(), "")),
    }
}

/// One line a change; generated names end in `*` and like lines are counted.
pub(crate) fn show(plan: &Plan) -> String {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for change in &plan.changes {
        let line = show_change(change);
        match lines.last_mut().filter(|(last, _)| *last == line) {
            Some((_, n)) => *n += 1,
            None => lines.push((line, 1)),
        }
    }
    let mut text = String::new();
    for (line, n) in lines {
        text.push_str(&if n == 1 { format!("{line}\n") } else { format!("{line}  ({n})\n") });
    }
    if let Some(at) = plan.wake_at {
        text.push_str(&format!("wake at {at}\n"));
    }
    text
}

const SHOWN_OF_STATUS: &[&str] = &[
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "collisionCount",
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "numberMisscheduled",
    "active",
    "succeeded",
    "failed",
    "completedIndexes",
    "failedIndexes",
];

fn show_change(change: &Change) -> String {
    let (resource, key) = target(&change.write);
    let kind = resource.trim_end_matches('s');
    match &change.write {
        Write::Create { object, .. } => {
            let generated = object["metadata"]["generateName"].as_str();
            let generated = generated.filter(|base| meta::name(object).len() == base.len() + 5);
            let mut name = generated.map_or_else(|| key.name.clone(), |base| format!("{base}*"));
            if resource == "controllerrevisions" {
                name = format!("{}", object["revision"]);
            }
            let size = object["spec"]["replicas"].as_i64().map(|n| format!(" replicas={n}")).unwrap_or_default();
            format!("create {kind} {name}{size}")
        }
        Write::Update { object, .. } => match &change.done {
            Some(note) => format!("update {kind} {}: {}", key.name, note.message),
            None => format!("update {kind} {} replicas={}", key.name, object["spec"]["replicas"]),
        },
        Write::UpdateStatus { object, .. } => {
            let status = &object["status"];
            let mut text = format!("status {kind} {}:", key.name);
            for field in SHOWN_OF_STATUS {
                match &status[*field] {
                    Value::Number(n) => text.push_str(&format!(" {field}={n}")),
                    Value::String(word) => text.push_str(&format!(" {field}={word}")),
                    _ => {}
                }
            }
            for ended in ["succeeded", "failed"] {
                if let Some(uids) = status["uncountedTerminatedPods"][ended].as_array() {
                    text.push_str(&format!(" {ended}+{}", uids.len()));
                }
            }
            for condition in status["conditions"].as_array().into_iter().flatten() {
                let word = |field: &str| condition[field].as_str().unwrap_or("").to_owned();
                text.push_str(&format!(" {}={}({})", word("type"), word("status"), word("reason")));
            }
            text
        }
        Write::Patch { patch, .. } if patch["metadata"][TAKE_FINALIZERS].is_array() => format!("let {kind} {} go", key.name),
        Write::Patch { patch, .. } => {
            let mut patch = patch.clone();
            meta::unset(&mut patch, "resourceVersion");
            meta::unset(&mut patch, "uid");
            format!("patch {kind} {}: {}", key.name, patch["metadata"])
        }
        Write::Delete { .. } => format!("delete {kind} {}", key.name),
        Write::DeleteCollection { .. } | Write::Subresource { .. } => format!("{kind} {}", key.name),
    }
}

/// Plans of the workloads on what is in the model.
impl Model {
    pub(crate) fn plan_replica_set(&self, name: &str) -> Plan {
        self.plan_replicated::<ReplicaSet>(name)
    }

    pub(crate) fn plan_replication_controller(&self, name: &str) -> Plan {
        self.plan_replicated::<ReplicationController>(name)
    }

    fn plan_replicated<K: crate::replica_set::Replicated + DeserializeOwned>(&self, name: &str) -> Plan {
        let Some(set) = self.get::<K>(name) else { return Plan::nothing() };
        let pods = self.candidates::<Pod>(set.metadata().uid.as_ref());
        let view = crate::replica_set::View {
            replica_set: &*set,
            pods: &pods,
            related: &|| self.list::<Pod>(),
            is_name_taken: &|name| self.get::<Pod>(name).is_some(),
            failure: None,
        };
        crate::replica_set::plan(&view, self.now)
    }

    pub(crate) fn plan_daemon_set(&self, name: &str) -> Plan {
        let Some(set) = self.get::<DaemonSet>(name) else { return Plan::nothing() };
        let view = crate::daemon_set::View {
            daemon_set: &set,
            pods: &self.candidates(set.metadata.uid.as_ref()),
            revisions: &self.candidates(set.metadata.uid.as_ref()),
            nodes: &self.list::<Node>(),
            is_pod_name_taken: &|name| self.get::<Pod>(name).is_some(),
            is_revision_name_taken: &|name| self.get::<ControllerRevision>(name).is_some(),
        };
        crate::daemon_set::plan(&view, self.now)
    }

    pub(crate) fn plan_stateful_set(&self, name: &str) -> Plan {
        let Some(set) = self.get::<StatefulSet>(name) else { return Plan::nothing() };
        let view = crate::stateful_set::View {
            stateful_set: &set,
            pods: &self.candidates(set.metadata.uid.as_ref()),
            revisions: &self.candidates(set.metadata.uid.as_ref()),
            claim: &|name| self.get(name),
            is_revision_name_taken: &|name| self.get::<ControllerRevision>(name).is_some(),
        };
        crate::stateful_set::plan(&view, self.now)
    }

    pub(crate) fn plan_job(&self, name: &str) -> Plan {
        let Some(job) = self.get::<Job>(name) else { return Plan::nothing() };
        let pods = self.candidates::<Pod>(job.metadata.uid.as_ref());
        let view = crate::job::View { job: &job, pods: &pods, is_name_taken: &|name| self.get::<Pod>(name).is_some() };
        crate::job::plan(&view, self.now)
    }

    pub(crate) fn plan_deployment(&self, name: &str) -> Plan {
        let Some(deployment) = self.get::<Deployment>(name) else { return Plan::nothing() };
        let sets = self.candidates::<ReplicaSet>(deployment.metadata.uid.as_ref());
        let view = crate::deployment::View {
            deployment: &deployment,
            replica_sets: &sets,
            pods_of: &|set| {
                let owned = self.list::<Pod>().into_iter();
                owned
                    .filter(|p| crate::claims::controller_of(&p.metadata).is_some_and(|o| Some(&o.uid) == set.metadata.uid.as_ref()))
                    .collect()
            },
            set_named: &|name| self.get(name),
            failure: None,
        };
        crate::deployment::plan(&view, self.now)
    }
}
