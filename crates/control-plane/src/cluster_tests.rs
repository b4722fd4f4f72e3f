//! Controllers of the cluster's own objects against the real API server, on the cluster of `tests`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
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
    });
}
