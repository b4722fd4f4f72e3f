//! Controllers of the cluster's own objects against the real API server, on the cluster of `tests`.

use std::sync::Arc;

use control_workloads::pods::{condition, node_name};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use object::key::ObjectKey;
use object::plan::Propagation;
use serde_json::json;

use crate::tests::run;

fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

#[test]
fn quotas_tell_what_is_used() {
    run(async |house| {
        let hard = json!({"pods": "5", "count/configmaps": "10", "requests.cpu": "2"});
        house.create::<ResourceQuota>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"hard": hard}})).await;
        let used = |name: &'static str, amount: &'static str| {
            move |quotas: &[Arc<ResourceQuota>]| {
                let used = quotas.iter().filter_map(|q| q.status.as_ref()?.used.as_ref()?.get(name));
                used.map(|q| q.0.as_str()).eq([amount])
            }
        };
        // The cluster's own root certificate is there already.
        house.until::<ResourceQuota>("one", used("count/configmaps", "1")).await;
        house.create::<ConfigMap>(json!({"metadata": {"name": "c", "namespace": "default"}})).await;
        house.until::<ResourceQuota>("two", used("count/configmaps", "2")).await;
        let resources = json!({"requests": {"cpu": "500m"}});
        let spec = json!({"containers": [{"name": "c", "image": "a", "resources": resources}]});
        house.create::<Pod>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).await;
        house.until::<ResourceQuota>("half a core", used("requests.cpu", "500m")).await;
        house.delete::<Pod>(&web(), Propagation::Background).await;
        house.until::<ResourceQuota>("given back", used("pods", "0")).await;
    });
}

#[test]
fn a_pod_that_makes_room_says_why_before_it_goes() {
    run(async |house| {
        house.play_node("n1").await;
        for (name, value) in [("low", 1), ("high", 2)] {
            house.create::<PriorityClass>(json!({"metadata": {"name": name}, "value": value})).await;
            let containers = json!([{"name": "c", "image": "a", "resources": {"requests": {"cpu": "60"}}}]);
            let metadata = json!({"name": name, "namespace": "default", "finalizers": ["example.com/stay"]});
            house.create::<Pod>(json!({"metadata": metadata, "spec": {"priorityClassName": name, "containers": containers}})).await;
            house.until::<Pod>("the first has its place", |pods| pods.iter().any(|p| !node_name(p).is_empty())).await;
        }
        let is_victim = |p: &&Arc<Pod>| p.metadata.name.as_deref() == Some("low") && p.metadata.deletion_timestamp.is_some();
        let pods = house.until::<Pod>("the victim goes", |pods| pods.iter().any(|p| is_victim(&p))).await;
        let said = condition(pods.iter().find(is_victim).unwrap(), "DisruptionTarget").expect("it says why").clone();
        assert_eq!((said.status.as_str(), said.reason.as_deref()), ("True", Some("PreemptionByScheduler")));
        assert_eq!(said.message.as_deref(), Some("default-scheduler: preempting to accommodate a higher priority pod"));
        house.until::<Event>("told", |events| events.iter().any(|e| e.reason.as_deref() == Some("Preempted"))).await;
    });
}

#[test]
fn storage_in_use_stays_until_it_is_let_go() {
    run(async |house| {
        house.play_node("n1").await;
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        for name in ["used", "unused"] {
            house.create::<PersistentVolumeClaim>(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec})).await;
        }
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]);
        let spec = json!({"nodeName": "n1", "containers": [{"name": "c", "image": "a"}], "volumes": volumes});
        house.create::<Pod>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).await;
        for name in ["used", "unused"] {
            house.delete::<PersistentVolumeClaim>(&ObjectKey::new("default", name), Propagation::Background).await;
        }
        house.until::<PersistentVolumeClaim>("the used one", |all| all.len() == 1).await;
        house.delete::<Pod>(&web(), Propagation::Background).await;
        house.until::<PersistentVolumeClaim>("none", |all| all.is_empty()).await;

        house
            .create::<VolumeAttributesClass>(json!({"metadata": {"name": "gold"}, "driverName": "example.com", "parameters": {"a": "b"}}))
            .await;
        house.delete::<VolumeAttributesClass>(&ObjectKey::cluster("gold"), Propagation::Background).await;
        house.until::<VolumeAttributesClass>("no class", |all| all.is_empty()).await;
    });
}

#[test]
fn endpoints_by_hand_are_mirrored() {
    run(async |house| {
        let metadata = json!({"name": "web", "namespace": "default"});
        house.create::<Service>(json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}})).await;
        let subsets = |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"port": 80, "protocol": "TCP"}]}]);
        house.create::<Endpoints>(json!({"metadata": metadata, "subsets": subsets("10.1.2.3")})).await;
        let addresses = |slices: &[Arc<EndpointSlice>]| {
            let of_web = slices.iter().filter(|s| s.metadata.owner_references.iter().flatten().any(|o| o.kind == "Endpoints"));
            let all: Vec<String> = of_web.flat_map(|s| s.endpoints.iter().flatten()).flat_map(|e| e.addresses.clone()).collect();
            all
        };
        house.until::<EndpointSlice>("mirrored", |slices| addresses(slices) == ["10.1.2.3"]).await;
        house.patch::<Endpoints>(&web(), json!({"subsets": subsets("10.2.3.4")})).await;
        house.until::<EndpointSlice>("moved", |slices| addresses(slices) == ["10.2.3.4"]).await;
        house.delete::<Endpoints>(&web(), Propagation::Background).await;
        house.until::<EndpointSlice>("gone", |slices| addresses(slices).is_empty()).await;
    });
}

#[test]
fn quotas_let_in_what_fits_and_no_more() {
    run(async |house| {
        let hard = json!({"pods": "3", "requests.cpu": "1"});
        house.create::<ResourceQuota>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"hard": hard}})).await;
        let used = |wanted: &'static str| {
            move |quotas: &[Arc<ResourceQuota>]| {
                let used = quotas.iter().filter_map(|q| q.status.as_ref()?.used.as_ref()?.get("pods"));
                used.map(|q| q.0.as_str()).eq([wanted])
            }
        };
        house.until::<ResourceQuota>("counted", used("0")).await;
        let pod = |cpu: &str| {
            let resources = if cpu.is_empty() { json!({}) } else { json!({"requests": {"cpu": cpu}}) };
            let spec = json!({"containers": [{"name": "c", "image": "a", "resources": resources}]});
            let pod = json!({"metadata": {"generateName": "web-", "namespace": "default"}, "spec": spec});
            serde_json::from_value::<Pod>(pod).unwrap()
        };
        let api = house.api::<Pod>();
        let refusal = |answer: Result<Pod, client::Error>| {
            let text = answer.unwrap_err().to_string();
            text.split_once("forbidden: ").map(|(_, cause)| cause.to_owned()).unwrap_or(text)
        };
        assert_eq!(refusal(api.create(&pod("")).await), "failed quota: web: must specify requests.cpu for: c");
        let too_much = "exceeded quota: web, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1";
        assert_eq!(refusal(api.create(&pod("2")).await), too_much);
        let small = pod("100m");
        let all = futures_util::future::join_all((0..12).map(|_| api.create(&small))).await;
        assert_eq!(all.iter().filter(|answer| answer.is_ok()).count(), 3);
        house.until::<ResourceQuota>("full", used("3")).await;

        let labels = json!({"app": "more"});
        let resources = json!({"requests": {"cpu": "100m"}});
        let spec = json!({"containers": [{"name": "c", "image": "a", "resources": resources}]});
        let spec = json!({"replicas": 2, "selector": labels, "template": {"metadata": {"labels": labels}, "spec": spec}});
        house.create::<ReplicationController>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).await;
        let has_failed = |all: &[Arc<ReplicationController>]| {
            let conditions = all.iter().flat_map(|c| c.status.iter()).flat_map(|s| s.conditions.iter().flatten());
            conditions.into_iter().any(|c| c.type_ == "ReplicaFailure" && c.reason.as_deref() == Some("FailedCreate"))
        };
        house.until::<ReplicationController>("it says why", has_failed).await;
        house.patch::<ReplicationController>(&web(), json!({"spec": {"replicas": 0}})).await;
        house.until::<ReplicationController>("nothing fails", |all| !has_failed(all)).await;
    });
}

#[test]
fn an_autoscaler_keeps_its_target_in_range_and_says_what_it_cannot_measure() {
    run(async |house| {
        house.play_node("n1").await;
        let labels = json!({"app": "web"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
        let spec = json!({"replicas": 5, "selector": {"matchLabels": labels}, "template": template});
        house.create::<Deployment>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).await;
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}});
        let spec = json!({"maxReplicas": 3, "scaleTargetRef": target, "metrics": [{"type": "Resource", "resource": cpu}]});
        house.create::<HorizontalPodAutoscaler>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).await;
        house.until::<Deployment>("three", |all| all.iter().any(|d| d.spec.replicas == Some(3))).await;
        house.until::<Event>("told", |all| all.iter().any(|e| e.reason.as_deref() == Some("SuccessfulRescale"))).await;
        // A new wish is looked at at once.
        house.patch::<HorizontalPodAutoscaler>(&web(), json!({"spec": {"maxReplicas": 4}})).await;
        let reason = |autoscaler: &HorizontalPodAutoscaler| {
            let conditions = autoscaler.status.iter().flat_map(|s| s.conditions.iter().flatten());
            let active = conditions.into_iter().find(|c| c.type_ == "ScalingActive");
            active.and_then(|c| c.reason.clone())
        };
        let is_told = |all: &[Arc<HorizontalPodAutoscaler>]| all.iter().any(|a| reason(a).as_deref() == Some("FailedGetResourceMetric"));
        house.until::<HorizontalPodAutoscaler>("nothing measured", is_told).await;
    });
}

#[test]
fn a_token_in_a_secret_lets_its_account_in() {
    run(async |house| {
        house.create::<ServiceAccount>(json!({"metadata": {"name": "bot", "namespace": "default"}})).await;
        let annotations = json!({"kubernetes.io/service-account.name": "bot"});
        let metadata = json!({"name": "web", "namespace": "default", "annotations": annotations});
        house.create::<Secret>(json!({"metadata": metadata, "type": "kubernetes.io/service-account-token"})).await;
        let token = |secrets: &[Arc<Secret>]| {
            let bytes = secrets.iter().find_map(|s| s.data.as_ref()?.get("token").cloned())?;
            String::from_utf8(bytes.0).ok()
        };
        let secrets = house.until::<Secret>("filled", |all| token(all).is_some()).await;
        let spec = json!({"token": token(&secrets)});
        let review: TokenReview = house.create(json!({"metadata": {}, "spec": spec})).await;
        let user = review.status.unwrap().user.unwrap().username;
        assert_eq!(user.as_deref(), Some("system:serviceaccount:default:bot"));
        house.delete::<ServiceAccount>(&ObjectKey::new("default", "bot"), Propagation::Background).await;
        house.until::<Secret>("gone", |all| token(all).is_none()).await;
        let review: TokenReview = house.create(json!({"metadata": {}, "spec": spec})).await;
        assert_ne!(review.status.unwrap().authenticated, Some(true));
    });
}
