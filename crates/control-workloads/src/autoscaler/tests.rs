use serde_json::json;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

fn autoscaler(metrics: Value, behavior: Value) -> HorizontalPodAutoscaler {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {"minReplicas": 1, "maxReplicas": 10, "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "metrics": metrics, "behavior": behavior},
    }))
    .unwrap()
}

fn cpu(percent: i32) -> Value {
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}])
}

fn scale(replicas: i32) -> Scale {
    serde_json::from_value(
        json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas}, "status": {"replicas": replicas, "selector": "app=web"}}),
    )
    .unwrap()
}

/// Ready for an hour, each asking for one core.
fn pods(n: i32) -> Vec<Arc<Pod>> {
    let pod = |i| {
        json!({
            "metadata": {"name": format!("web-{i}")},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running", "startTime": at(-3600), "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(-3500)}]},
        })
    };
    (0..n).map(|i| Arc::new(serde_json::from_value(pod(i)).unwrap())).collect()
}

fn used(millis: &[i64]) -> Result<Value, String> {
    let item = |(i, milli): (usize, &i64)| json!({"metadata": {"name": format!("web-{i}")}, "timestamp": at(0), "window": "30s", "containers": [{"name": "c", "usage": {"cpu": format!("{milli}m")}}]});
    Ok(json!({"items": millis.iter().enumerate().map(item).collect::<Vec<_>>()}))
}

struct Told {
    size: Option<i32>,
    conditions: String,
    notes: Vec<String>,
    memory: Memory,
}

fn ask(autoscaler: &HorizontalPodAutoscaler, replicas: i32, answer: Result<Value, String>, memory: Memory, now: Timestamp) -> Told {
    let scale = scale(replicas);
    let resource = GroupVersionResource::new("apps", "v1", "deployments");
    let target = Target { resource, scale: &scale, pods: Ok(pods(replicas)), answers: &[answer] };
    let (plan, memory) = plan(&View { autoscaler, target: Ok(target), memory, refusal: None }, now);
    let mut told = Told {
        size: None,
        conditions: String::new(),
        notes: plan.notes.into_iter().map(|n| format!("{}: {}", n.reason, n.message)).collect(),
        memory,
    };
    for change in plan.changes {
        match change.write {
            Write::Subresource { object, .. } => told.size = object["spec"]["replicas"].as_i64().map(|n| n as i32),
            Write::UpdateStatus { object, .. } => {
                let conditions = object["status"]["conditions"].as_array().unwrap();
                let words = conditions.iter().map(|c| {
                    format!("{}={} {}", c["type"].as_str().unwrap(), c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
                });
                told.conditions = words.collect::<Vec<_>>().join(", ");
            }
            _ => panic!(),
        }
    }
    told
}

#[test]
fn the_load_decides_within_tolerance_and_range() {
    let half = autoscaler(cpu(50), Value::Null);
    for (n, millis, wanted) in [
        (2, vec![500, 500], None),
        (2, vec![540, 540], None),
        (2, vec![1000, 1000], Some(4)),
        (2, vec![3000, 3000], Some(4)),
        (4, vec![2000; 4], Some(8)),
        (2, vec![900], None),
    ] {
        let told = ask(&half, n, used(&millis), Memory::default(), at(0));
        assert_eq!(told.size, wanted, "{n} {millis:?} {} {:?}", told.conditions, told.notes);
    }
    let told = ask(&half, 12, used(&[500; 12]), Memory::default(), at(0));
    assert_eq!(told.size, Some(10), "above the range");
}

#[test]
fn it_shrinks_only_when_all_was_quiet_for_a_while() {
    let half = autoscaler(cpu(50), Value::Null);
    let first = ask(&half, 4, used(&[100; 4]), Memory::default(), at(0));
    assert_eq!(first.size, None);
    assert_eq!(
        first.conditions,
        "AbleToScale=True ScaleDownStabilized, ScalingActive=True ValidMetricFound, ScalingLimited=False DesiredWithinRange"
    );
    let later = ask(&half, 4, used(&[100; 4]), first.memory, at(301));
    assert_eq!(later.size, Some(1));
}

#[test]
fn rules_hold_the_rate() {
    let rules = json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
        "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
    });
    let slow = autoscaler(cpu(50), rules);
    let first = ask(&slow, 2, used(&[1000, 1000]), Memory::default(), at(0));
    assert_eq!(first.size, Some(3));
    assert!(first.conditions.contains("ScalingLimited=True ScaleUpLimit"), "{}", first.conditions);
    let soon = ask(&slow, 3, used(&[1000; 3]), first.memory.clone(), at(15));
    assert_eq!(soon.size, None);
    assert_eq!(ask(&slow, 3, used(&[1000; 3]), first.memory, at(61)).size, Some(4));
    assert_eq!(ask(&slow, 4, used(&[10; 4]), Memory::default(), at(0)).size, None, "growing only");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let half = autoscaler(cpu(50), Value::Null);
    let fault = "the server could not find the requested resource (get pods.metrics.k8s.io)";
    let told = ask(&half, 2, Err(fault.to_owned()), Memory::default(), at(0));
    let said = format!(
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: {fault}"
    );
    assert_eq!(
        told.notes,
        [
            format!("FailedGetResourceMetric: {said}"),
            format!(
                "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {said}"
            ),
        ]
    );
    assert_eq!(told.conditions, "AbleToScale=True SucceededGetScale, ScalingActive=False FailedGetResourceMetric");
    let stopped = ask(&half, 0, used(&[]), Memory::default(), at(0));
    assert_eq!(stopped.conditions, "AbleToScale=True SucceededGetScale, ScalingActive=False ScalingDisabled");
}

#[test]
fn one_value_for_all_counts_too() {
    let target = json!({"type": "AverageValue", "averageValue": "10"});
    let queue = autoscaler(json!([{"type": "External", "external": {"metric": {"name": "queue"}, "target": target}}]), Value::Null);
    let told = ask(&queue, 2, Ok(json!({"items": [{"value": "45"}, {"value": "5"}]})), Memory::default(), at(0));
    assert_eq!(told.size, Some(4), "five, but not more than the double or four at once");
}
