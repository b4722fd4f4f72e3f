//! Workloads against the real API server, on the cluster of `tests`.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Event, Pod, ReplicationController};
use object::key::ObjectKey;
use object::plan::{PatchKind, Propagation};
use reconcile::Cache;
use serde_json::{Value, json};

use crate::tests::{House, run};

/// Every running pod that is not to be restarted ends, as its annotation `ends` says.
fn end_pods(house: &House) {
    let pods: Cache<Pod> = house.informers.of();
    let (api, mut changes) = (house.api::<Pod>(), pods.subscribe());
    tokio::spawn(async move {
        loop {
            let changed = changes.next().await;
            let Some(pod) = &changed.new else { continue };
            let phase = pod.metadata.annotations.as_ref().and_then(|a| a.get("ends"));
            if let Some(phase) = phase.filter(|_| control_workloads::pods::phase(pod) == "Running") {
                let _ = api.patch(&changed.key, "status", PatchKind::Merge, &json!({"status": {"phase": phase}})).await;
            }
        }
    });
}

fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

fn template(annotations: Value) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "a"}], "terminationGracePeriodSeconds": 1},
    })
}

fn job(completions: i32, phase: &str) -> Value {
    let mut template = template(json!({"ends": phase}));
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"completions": completions, "parallelism": 2, "backoffLimit": 0, "template": template},
    })
}

fn has_condition(jobs: &[Arc<Job>], kind: &str) -> bool {
    jobs.iter().any(|job| job.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == kind && c.status == "True"))
}

#[test]
fn jobs_complete_and_fail() {
    run(async |house| {
        house.play_node("n1").await;
        end_pods(house);
        house.create::<Job>(job(5, "Succeeded")).await;
        let done = house.until::<Job>("complete", |jobs| has_condition(jobs, "Complete")).await;
        let status = done[0].status.clone().unwrap();
        assert_eq!((status.succeeded, status.active, status.terminating), (Some(5), None, Some(0)));
        assert!(status.completion_time.is_some());
        let pods = house.until::<Pod>("let go", |pods| pods.iter().all(|pod| pod.metadata.finalizers.is_none())).await;
        assert_eq!(pods.len(), 5);
        house.until::<Event>("told", |events| events.iter().any(|e| e.reason.as_deref() == Some("Completed"))).await;
        house.delete::<Job>(&web(), Propagation::Background).await;
        house.until::<Pod>("no pods", |pods| pods.is_empty()).await;

        house.create::<Job>(job(1, "Failed")).await;
        house.until::<Job>("failed", |jobs| has_condition(jobs, "Failed")).await;
        house.delete::<Job>(&web(), Propagation::Foreground).await;
        house.until::<Job>("gone", |jobs| jobs.is_empty()).await;
    });
}

#[test]
fn a_running_job_goes_with_its_pods() {
    run(async |house| {
        house.play_node("n1").await;
        house.create::<Job>(job(5, "Never")).await;
        house.until::<Pod>("running", |pods| pods.len() == 2).await;
        house.delete::<Job>(&web(), Propagation::Background).await;
        house.until::<Pod>("no pods", |pods| pods.is_empty()).await;
    });
}

#[test]
fn a_cron_job_starts_its_job_and_goes_with_it() {
    run(async |house| {
        house.play_node("n1").await;
        end_pods(house);
        let spec = job(1, "Succeeded")["spec"].clone();
        let cron_job = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"schedule": "@every 1s", "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 1, "jobTemplate": {"spec": spec}},
        });
        house.create::<CronJob>(cron_job).await;
        house
            .until::<CronJob>("a success", |all| all.iter().any(|c| c.status.as_ref().is_some_and(|s| s.last_successful_time.is_some())))
            .await;
        house.patch::<CronJob>(&web(), json!({"spec": {"suspend": true}})).await;
        house.delete::<CronJob>(&web(), Propagation::Background).await;
        house.until::<Job>("no jobs", |jobs| jobs.is_empty()).await;
        house.until::<Pod>("no pods", |pods| pods.is_empty()).await;
    });
}

#[test]
fn replication_controllers_replicate() {
    run(async |house| {
        house.play_node("n1").await;
        let spec = json!({"replicas": 3, "selector": {"app": "web"}, "template": template(json!({}))});
        house.create::<ReplicationController>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).await;
        let ready = |n: i32| {
            move |all: &[Arc<ReplicationController>]| all.iter().any(|c| c.status.as_ref().is_some_and(|s| s.ready_replicas == Some(n)))
        };
        house.until::<ReplicationController>("three", ready(3)).await;
        house.patch::<ReplicationController>(&web(), json!({"spec": {"replicas": 1}})).await;
        house.until::<ReplicationController>("one", ready(1)).await;
        house.delete::<ReplicationController>(&web(), Propagation::Foreground).await;
        house.until::<ReplicationController>("gone", |all| all.is_empty()).await;
    });
}
