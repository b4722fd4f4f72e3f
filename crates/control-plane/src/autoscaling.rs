//! The row of horizontal autoscalers: the target's scale, its pods, and what the metrics APIs say of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::options::Query;
use client::{Client, Error};
use control_workloads::autoscaler::{self, Memory, Target};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler, MetricIdentifier, MetricSpec};
use k8s_openapi::api::core::v1::Pod;
use object::Value;
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::Plan;
use object::selector::LabelSelector;
use reconcile::{Ask, Cache, Controller, Informers};

use crate::caches::Caches;
use crate::discovery::{self, Discovered, Served};

const RESOURCE_METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
/// The newer first; adapters serve one of them.
const CUSTOM_METRICS: &[&str] = &["/apis/custom.metrics.k8s.io/v1beta2", "/apis/custom.metrics.k8s.io/v1beta1"];
const EXTERNAL_METRICS: &str = "/apis/external.metrics.k8s.io/v1beta1";

struct Autoscaling {
    client: Client,
    caches: Arc<Caches>,
    autoscalers: Cache<HorizontalPodAutoscaler>,
    served: Mutex<Discovered>,
    known: Mutex<BTreeMap<ObjectKey, Known>>,
}

/// What no object tells of an autoscaler.
#[derive(Default)]
struct Known {
    memory: Memory,
    /// What its target selected lately: two that share pods would fight.
    selector: Option<LabelSelector>,
}

pub(crate) fn autoscalers(caches: &Arc<Caches>, informers: &Informers, client: &Client, served: &Discovered) -> Controller {
    let autoscalers: Cache<HorizontalPodAutoscaler> = informers.of();
    let autoscaling = Arc::new(Autoscaling {
        client: client.clone(),
        caches: Arc::clone(caches),
        autoscalers: autoscalers.clone(),
        served: Mutex::new(served.clone()),
        known: Mutex::default(),
    });
    Controller::observing("horizontal-pod-autoscaler", "horizontal-pod-autoscaler", move |ask| {
        let autoscaling = Arc::clone(&autoscaling);
        async move { autoscaling.plan(&ask).await }
    })
    // Between two looks nothing but a new wish matters.
    .maps(&autoscalers, |changed| {
        let is_same = changed.old.as_ref().zip(changed.new.as_ref()).is_some_and(|(old, new)| old.spec == new.spec);
        if is_same { Vec::new() } else { vec![changed.key.clone()] }
    })
    .reads(&caches.pods)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Autoscaling {
    async fn plan(&self, ask: &Ask) -> Result<Plan, Error> {
        let Some(autoscaler) = self.autoscalers.get(&ask.key) else {
            locked(&self.known).remove(&ask.key);
            return Ok(Plan::nothing());
        };
        let spec = &autoscaler.spec;
        let scale = self.scale(&ask.key.namespace, &spec.scale_target_ref).await;
        let mut answers = Vec::new();
        let target = match &scale {
            Err(fault) => Err(fault.clone()),
            Ok((resource, scale)) => {
                let pods = self.pods(&ask.key, scale);
                let selector = scale.status.as_ref().and_then(|s| s.selector.as_deref()).unwrap_or("");
                for metric in spec.metrics.iter().flatten() {
                    answers.push(self.answer(&ask.key.namespace, metric, selector).await);
                }
                Ok(Target { resource: resource.clone(), scale, pods, answers: &answers })
            }
        };
        let refusal = ask.failure.as_ref().filter(|f| f.reason == "FailedRescale").map(|f| f.message.as_str());
        let memory = locked(&self.known).entry(ask.key.clone()).or_default().memory.clone();
        let (plan, memory) = autoscaler::plan(&autoscaler::View { autoscaler: &autoscaler, target, memory, refusal }, ask.now);
        locked(&self.known).entry(ask.key.clone()).or_default().memory = memory;
        Ok(plan)
    }

    async fn scale(&self, namespace: &str, target: &CrossVersionObjectReference) -> Result<(GroupVersionResource, Scale), String> {
        let served = self.served(target.api_version.as_deref().unwrap_or("v1"), &target.kind).await?;
        let path = format!("{}/scale", served.resource.path(&ObjectKey::new(namespace, target.name.as_str())));
        let scale = self.client.get::<Scale>(&path).await.map_err(|e| e.to_string())?;
        Ok((served.resource, scale))
    }

    /// Where objects of a kind are; a kind that was not there before may have come.
    async fn served(&self, api_version: &str, kind: &str) -> Result<Served, String> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let find = |discovered: &Discovered| discovered.resources.iter().find(|s| s.resource.group == group && s.kind == kind).cloned();
        let known = find(&locked(&self.served));
        if let Some(served) = known {
            return Ok(served);
        }
        let fresh = discovery::served(&self.client).await.map_err(|e| e.to_string())?;
        let found = find(&fresh);
        *locked(&self.served) = fresh;
        found.ok_or_else(|| format!("no matches for kind {kind:?} in group {group:?}"))
    }

    /// The target's pods, or the reason and text of why they cannot be told.
    fn pods(&self, key: &ObjectKey, scale: &Scale) -> Result<Vec<Arc<Pod>>, (&'static str, String)> {
        let text = scale.status.as_ref().and_then(|s| s.selector.as_deref()).unwrap_or("");
        if text.is_empty() {
            return Err(("SelectorRequired", "selector is required".to_owned()));
        }
        let selector = LabelSelector::parse(text).map_err(|fault| {
            ("InvalidSelector", format!("couldn't convert selector into a corresponding internal selector object: {fault}"))
        })?;
        let mut pods = self.caches.pods.list_in(&key.namespace);
        pods.retain(|pod| matches(&selector, pod));
        let mut known = locked(&self.known);
        known.entry(key.clone()).or_default().selector = Some(selector);
        let selects = |known: &Known| known.selector.as_ref().is_some_and(|s| pods.iter().any(|pod| matches(s, pod)));
        let others = known.iter().filter(|(other, known)| other.namespace == key.namespace && selects(known));
        let names: Vec<String> = others.map(|(other, _)| format!("{{{} {}}}", other.name, other.namespace)).take(2).collect();
        if names.len() > 1 {
            let text = format!("pods by selector {text} are controlled by more than one HPA (e.g. [{}])", names.join(" "));
            return Err(("AmbiguousSelector", text));
        }
        Ok(pods)
    }

    async fn answer(&self, namespace: &str, metric: &MetricSpec, selector: &str) -> Result<Value, String> {
        let get = async |path: String, label: &str| self.get(&path, label).await;
        match (&metric.pods, &metric.object, &metric.external) {
            (Some(source), ..) => {
                let mut query = metric_query("metricLabelSelector", &source.metric)?;
                query.add("labelSelector", selector);
                self.custom(&format!("/namespaces/{namespace}/pods/*/{}{}", source.metric.name, query.as_str())).await
            }
            (_, Some(source), _) => {
                let query = metric_query("metricLabelSelector", &source.metric)?;
                let (of, metric) = (&source.described_object, &source.metric.name);
                let rest = if of.kind == "Namespace" {
                    format!("/namespaces/{namespace}/metrics/{metric}{}", query.as_str())
                } else {
                    let resource = self.served(of.api_version.as_deref().unwrap_or("v1"), &of.kind).await?.resource.group_resource();
                    format!("/namespaces/{namespace}/{resource}/{}/{metric}{}", of.name, query.as_str())
                };
                self.custom(&rest).await
            }
            (_, _, Some(source)) => {
                let query = metric_query("labelSelector", &source.metric)?;
                let name = &source.metric.name;
                get(
                    format!("{EXTERNAL_METRICS}/namespaces/{namespace}/{name}{}", query.as_str()),
                    &format!("{name}.external.metrics.k8s.io"),
                )
                .await
            }
            _ => {
                let mut query = Query::default();
                query.add("labelSelector", selector);
                get(format!("{RESOURCE_METRICS}/namespaces/{namespace}/pods{}", query.as_str()), "pods.metrics.k8s.io").await
            }
        }
    }

    async fn custom(&self, rest: &str) -> Result<Value, String> {
        let mut last = Err("no custom metrics API (custom.metrics.k8s.io) registered".to_owned());
        for root in CUSTOM_METRICS {
            match self.client.get::<Value>(&format!("{root}{rest}")).await {
                Ok(answer) => return Ok(answer),
                Err(e) if e.is_not_found() => {}
                Err(e) => last = Err(e.to_string()),
            }
        }
        last
    }

    /// A server without the API answers a bare 404, which client libraries put into these words.
    async fn get(&self, path: &str, what: &str) -> Result<Value, String> {
        self.client.get::<Value>(path).await.map_err(|e| match e.is_not_found() || e.status().is_some_and(|s| s.code == 404) {
            true => format!("the server could not find the requested resource (get {what})"),
            false => e.to_string(),
        })
    }
}

fn metric_query(name: &str, metric: &MetricIdentifier) -> Result<Query, String> {
    let mut query = Query::default();
    if let Some(selector) = &metric.selector {
        let tree = serde_json::to_value(selector).expect("a selector is plain data");
        query.add_if_set(name, &LabelSelector::from_object(&tree)?.to_string());
    }
    Ok(query)
}

fn matches(selector: &LabelSelector, pod: &Pod) -> bool {
    selector.matches_with(&|key| pod.metadata.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str))
}
