//! What the metrics APIs answered, as numbers: thousandths by pod, or one for the whole target.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use object::Value;
use object::quantity::Quantity;

/// Upstream: `metricServerDefaultMetricWindow`.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) milli: i64,
    pub(super) at: Timestamp,
    /// How long it was measured.
    pub(super) window: SignedDuration,
}

impl Sample {
    pub(super) fn assumed(milli: i64) -> Self {
        Sample { milli, at: Timestamp::UNIX_EPOCH, window: SignedDuration::ZERO }
    }
}

pub(super) type Samples = BTreeMap<String, Sample>;

fn milli(quantity: &Value) -> Option<i64> {
    Quantity::parse(quantity.as_str()?).ok().map(Quantity::milli_value)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn time(item: &Value) -> Timestamp {
    item["timestamp"].as_str().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Of a `PodMetricsList`. A pod that does not tell of each of its containers tells nothing.
pub(super) fn of_resource(list: &Value, resource: &str, container: Option<&str>) -> Result<Samples, String> {
    let mut samples = Samples::new();
    let mut n_items = 0;
    for item in items(list) {
        n_items += 1;
        let window = item["window"].as_str().and_then(|text| object::duration::parse(text).ok()).map(SignedDuration::from_nanos);
        let all = item["containers"].as_array().into_iter().flatten();
        let meant = all.filter(|c| container.is_none_or(|name| c["name"] == name));
        let usages: Vec<Option<i64>> = meant.map(|c| milli(&c["usage"][resource])).collect();
        let sum = usages.iter().copied().sum::<Option<i64>>().filter(|_| !usages.is_empty());
        if let (Some(milli), Some(name)) = (sum, item["metadata"]["name"].as_str()) {
            samples.insert(name.to_owned(), Sample { milli, at: time(item), window: window.unwrap_or(WINDOW) });
        }
    }
    if n_items == 0 { Err("no metrics returned from resource metrics API".to_owned()) } else { Ok(samples) }
}

/// Of a `MetricValueList` that speaks of pods.
pub(super) fn of_pods(list: &Value) -> Result<Samples, String> {
    let read = |item: &Value| {
        let window = item["windowSeconds"].as_i64().map_or(WINDOW, SignedDuration::from_secs);
        let name = item["describedObject"]["name"].as_str()?.to_owned();
        Some((name, Sample { milli: milli(&item["value"])?, at: time(item), window }))
    };
    let samples: Samples = items(list).filter_map(read).collect();
    if samples.is_empty() { Err("no metrics returned from custom metrics API".to_owned()) } else { Ok(samples) }
}

/// Of a `MetricValueList` about one object.
pub(super) fn of_object(list: &Value) -> Result<i64, String> {
    let first = items(list).next().and_then(|item| milli(&item["value"]));
    first.ok_or_else(|| "unable to fetch metrics from custom metrics API: no metrics returned".to_owned())
}

/// Of an `ExternalMetricValueList`, added up.
pub(super) fn of_external(list: &Value) -> Result<i64, String> {
    let values: Vec<i64> = items(list).filter_map(|item| milli(&item["value"])).collect();
    if values.is_empty() {
        return Err("no metrics returned from external metrics API".to_owned());
    }
    Ok(values.into_iter().fold(0, i64::saturating_add))
}

/// What each pod asks for, which utilization is a share of.
pub(super) fn requests<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    resource: &str,
    container: Option<&str>,
) -> Result<BTreeMap<String, i64>, String> {
    pods.map(|pod| Ok((pod.metadata.name.clone().unwrap_or_default(), request(pod, resource, container)?))).collect()
}

fn request(pod: &Pod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or("");
    let Some(spec) = &pod.spec else { return Ok(0) };
    let read = |requests: Option<&BTreeMap<String, TextQuantity>>| {
        requests.and_then(|r| r.get(resource)).and_then(|q| Quantity::parse(&q.0).ok()).map(Quantity::milli_value)
    };
    let stated = spec.resources.as_ref().and_then(|r| r.requests.as_ref()).filter(|r| !r.is_empty());
    if stated.is_some() && container.is_none() {
        return read(stated).ok_or_else(|| format!("missing pod-level request for {resource} in Pod {pod_name}"));
    }
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut all = spec.containers.iter().chain(sidecars);
    let of = |c: &Container| {
        let request = read(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
        request.ok_or_else(|| format!("missing request for {resource} in container {} of Pod {pod_name}", c.name))
    };
    match container {
        None => all.map(of).sum(),
        Some(name) => all.find(|c| c.name == name).map_or_else(|| Err(format!("container {name} not found in Pod {pod_name}")), of),
    }
}
