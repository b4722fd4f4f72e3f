//! All rows at work against the real API server over a memory store. Nodes are played: a pod bound to one runs at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::Api;
use client::api::Kind;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::Value;
use object::key::ObjectKey;
use object::plan::{DeleteOptions, PatchKind, Propagation, key_of};
use reconcile::{Cache, Changed};
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;
use serde_json::json;

use super::*;

/// Everything here settles in milliseconds; a machine under load gets its time.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) struct House {
    client: Client,
    pub(crate) informers: Informers,
    control: ControlPlane,
}

pub(crate) fn run(story: impl AsyncFnOnce(&House)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let house = House::start().await;
        story(&house).await;
        house.informers.stop().await;
        house.control.stop().await;
    });
}

impl House {
    async fn start() -> Self {
        let clock = Clock::system();
        let token_key = Arc::new(pki::token::TokenKey::generate().unwrap());
        let registry = Registry::new(store::Store::memory(), clock.clone(), Entropy::seeded(1), ServiceSettings::default());
        let server = ApiServer::new(Settings {
            registry,
            token_key: Arc::clone(&token_key),
            issuer: "https://kubernetes.default.svc".to_owned(),
            static_tokens: HashMap::new(),
            address: "10.0.0.1:6443".to_owned(),
            kubelet_tls: None,
        });
        server.bootstrap(&["10.0.0.1".parse().unwrap()], 6443).await.unwrap();
        let admin = UserInfo { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()], ..UserInfo::default() };
        let client = Client::new(Arc::new(server.local(admin)));
        let options = Options {
            root_ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            signer: Some(pki::Authority::create("kubernetes", clock.now()).unwrap()),
            token_key: Some(token_key),
            pod_networks: vec![Pool::parse("10.244.0.0/16").unwrap()],
            scheduler: scheduling::Options::default(),
            controllers: Selection::default(),
        };
        let control = ControlPlane::start(client.clone(), clock, options).await.expect("all are known");
        let informers = Informers::new(client.clone());
        House { client, informers, control }
    }

    pub(crate) fn api<K: Kind>(&self) -> Api<K> {
        Api::new(&self.client)
    }

    pub(crate) async fn create<K: Kind>(&self, object: Value) -> K {
        self.api::<K>().create(&serde_json::from_value(object).unwrap()).await.unwrap()
    }

    pub(crate) async fn patch<K: Kind>(&self, key: &ObjectKey, patch: Value) {
        self.api::<K>().patch(key, "", PatchKind::Merge, &patch).await.unwrap();
    }

    pub(crate) async fn delete<K: Kind>(&self, key: &ObjectKey, propagation: Propagation) {
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        self.api::<K>().delete(key, &options).await.unwrap();
    }

    /// Waits until the objects of a kind are as wanted.
    pub(crate) async fn until<K: Kind>(&self, what: &str, is_so: impl Fn(&[Arc<K>]) -> bool) -> Vec<Arc<K>> {
        let cache: Cache<K> = self.informers.of();
        cache.synced().await;
        let mut progress = cache.progress();
        let wait = async {
            loop {
                let objects = cache.list();
                if is_so(&objects) {
                    return objects;
                }
                progress.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(SETTLE_TIME_MAX, wait).await {
            Ok(objects) => objects,
            Err(_) => panic!("not settled: {what}: {}", serde_json::to_string_pretty(&trees(&cache)).unwrap()),
        }
    }

    /// A node that runs every pod bound to it, and lets go of every pod that leaves.
    pub(crate) async fn play_node(&self, name: &str) {
        let addresses = json!([{"type": "InternalIP", "address": "192.0.2.1"}]);
        let capacity = json!({"cpu": "64", "memory": "256Gi", "pods": "2000"});
        self.create::<Node>(json!({"metadata": {"name": name}})).await;
        let status = json!({"status": {"capacity": capacity, "allocatable": capacity, "addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]}});
        self.api::<Node>().patch(&ObjectKey::cluster(name), "status", PatchKind::Merge, &status).await.unwrap();
        let pods: Cache<Pod> = self.informers.of();
        let (api, mut changes, name) = (self.api::<Pod>(), pods.subscribe(), name.to_owned());
        tokio::spawn(async move {
            let mut n_pods = 0_u32;
            loop {
                let Changed { new: Some(pod), key, .. } = changes.next().await else { continue };
                if control_workloads::pods::node_name(&pod) != name {
                    continue;
                }
                if pod.metadata.deletion_timestamp.is_some() {
                    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                    let _ = api.delete(&key, &now).await;
                } else if control_workloads::pods::phase(&pod) == "Pending" {
                    n_pods += 1;
                    let ip = format!("10.244.{}.{}", n_pods / 250, n_pods % 250 + 1);
                    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
                    let _ = api.patch(&key, "status", PatchKind::Merge, &status).await;
                }
            }
        });
    }
}

fn trees<K: Kind>(cache: &Cache<K>) -> Vec<Value> {
    cache.list().iter().map(|object| serde_json::to_value(&**object).unwrap()).collect()
}

fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

fn deployment(replicas: i32) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "a"}], "terminationGracePeriodSeconds": 1}}},
    })
}

fn is_complete(deployments: &[Arc<Deployment>], replicas: i32) -> bool {
    deployments.iter().any(|d| {
        let status = d.status.clone().unwrap_or_default();
        status.observed_generation == d.metadata.generation
            && status.updated_replicas == Some(replicas)
            && status.available_replicas == Some(replicas)
            && status.replicas == Some(replicas)
    })
}

#[test]
fn a_deployment_runs_rolls_heals_and_goes() {
    run(async |house| {
        house.play_node("n1").await;
        house.create::<Service>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}})).await;
        house.create::<Deployment>(deployment(3)).await;
        house.until::<Deployment>("available", |d| is_complete(d, 3)).await;
        let ready = |slices: &[Arc<EndpointSlice>]| {
            let ours = slices
                .iter()
                .filter(|s| s.metadata.labels.as_ref().is_some_and(|l| l.get("kubernetes.io/service-name").is_some_and(|n| n == "web")));
            let endpoints = ours.flat_map(|s| s.endpoints.iter().flatten());
            endpoints.filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true))).count()
        };
        house.until::<EndpointSlice>("endpoints", |slices| ready(slices) == 3).await;
        house
            .until::<Endpoints>("Endpoints", |all| {
                all.iter().any(|e| {
                    e.metadata.name.as_deref() == Some("web")
                        && e.subsets.iter().flatten().flat_map(|s| s.addresses.iter().flatten()).count() == 3
                })
            })
            .await;
        house
            .until::<Service>("an address", |all| {
                all.iter().any(|s| {
                    s.status
                        .as_ref()
                        .and_then(|s| s.load_balancer.as_ref())
                        .and_then(|l| l.ingress.as_ref())
                        .is_some_and(|i| i[0].ip.as_deref() == Some("192.0.2.1"))
                })
            })
            .await;

        let victim = house.until::<Pod>("pods", |pods| pods.len() == 3).await[0].clone();
        house.delete::<Pod>(&key_of(&victim.metadata), Propagation::Background).await;
        house.until::<Pod>("a replacement", |pods| pods.len() == 3 && pods.iter().all(|p| p.metadata.uid != victim.metadata.uid)).await;

        house.patch::<Deployment>(&web(), json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}})).await;
        house
            .until::<Deployment>("rolled", |d| {
                is_complete(d, 3) && d[0].metadata.annotations.as_ref().is_some_and(|a| a["deployment.kubernetes.io/revision"] == "2")
            })
            .await;
        house.until::<ReplicaSet>("two sets", |sets| sets.len() == 2).await;
        house
            .until::<Event>("events", |events| {
                let has = |reason: &str| events.iter().any(|e| e.reason.as_deref() == Some(reason));
                has("ScalingReplicaSet") && has("SuccessfulCreate") && has("SuccessfulDelete") && has("Scheduled")
            })
            .await;

        house.delete::<Deployment>(&web(), Propagation::Foreground).await;
        house.until::<Deployment>("gone", |all| all.is_empty()).await;
        house.until::<Pod>("no pods", |pods| pods.is_empty()).await;
        house.until::<ReplicaSet>("no sets", |sets| sets.is_empty()).await;
    });
}

#[test]
fn orphans_stay_and_are_adopted_again() {
    run(async |house| {
        house.play_node("n1").await;
        house.create::<Deployment>(deployment(2)).await;
        house.until::<Deployment>("available", |d| is_complete(d, 2)).await;
        house.delete::<Deployment>(&web(), Propagation::Orphan).await;
        house.until::<Deployment>("gone", |all| all.is_empty()).await;
        let orphan = house.until::<ReplicaSet>("an orphan", |sets| sets.iter().all(|s| s.metadata.owner_references.is_none())).await;
        house.create::<Deployment>(deployment(2)).await;
        let adopted = house.until::<ReplicaSet>("adopted", |sets| sets.iter().all(|s| s.metadata.owner_references.is_some())).await;
        assert_eq!((adopted.len(), &adopted[0].metadata.uid), (1, &orphan[0].metadata.uid));
        house.until::<Deployment>("available", |d| is_complete(d, 2)).await;
    });
}

#[test]
fn bare_pods_are_adopted_by_whatever_selects_them() {
    run(async |house| {
        let template = |app: &str| json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
        for app in ["web", "api", "alone"] {
            let mut pod = template(app);
            pod["metadata"]["name"] = app.into();
            pod["metadata"]["namespace"] = "default".into();
            house.create::<Pod>(pod).await;
        }
        for (app, selector) in [
            ("web", json!({"matchLabels": {"app": "web"}})),
            ("api", json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]})),
        ] {
            let spec = json!({"replicas": 1, "selector": selector, "template": template(app)});
            house.create::<ReplicaSet>(json!({"metadata": {"name": app, "namespace": "default"}, "spec": spec})).await;
        }
        let owner_of = |pod: &Pod| pod.metadata.owner_references.iter().flatten().map(|owner| owner.name.clone()).next();
        let pods = house.until::<Pod>("two owners", |pods| pods.iter().filter_map(|pod| owner_of(pod)).count() == 2).await;
        let owners: Vec<_> = pods.iter().map(|pod| (pod.metadata.name.as_deref().unwrap_or(""), owner_of(pod))).collect();
        assert_eq!(owners, [("alone", None), ("api", Some("api".to_owned())), ("web", Some("web".to_owned()))]);
    });
}

#[test]
fn namespaces_get_their_accounts_and_end_with_all_they_hold() {
    run(async |house| {
        house.create::<Namespace>(json!({"metadata": {"name": "chat"}})).await;
        let in_chat = |namespace: &Option<String>| namespace.as_deref() == Some("chat");
        house.until::<ServiceAccount>("an account", |all| all.iter().any(|a| in_chat(&a.metadata.namespace))).await;
        house.until::<ConfigMap>("the root CA", |all| all.iter().any(|c| in_chat(&c.metadata.namespace))).await;
        for i in 0..100 {
            house.create::<ConfigMap>(json!({"metadata": {"name": format!("c{i}"), "namespace": "chat"}})).await;
        }
        house
            .create::<Pod>(json!({"metadata": {"name": "p", "namespace": "chat"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}))
            .await;
        house.delete::<Namespace>(&ObjectKey::cluster("chat"), Propagation::Background).await;
        house.until::<Namespace>("gone", |all| all.iter().all(|n| n.metadata.name.as_deref() != Some("chat"))).await;
        house.until::<ConfigMap>("empty", |all| !all.iter().any(|c| in_chat(&c.metadata.namespace))).await;
    });
}

#[test]
fn nodes_get_their_networks_and_their_taints() {
    run(async |house| {
        house.play_node("n1").await;
        house.play_node("n2").await;
        let nodes = house
            .until::<Node>("networks", |nodes| {
                nodes.len() == 2 && nodes.iter().all(|n| n.spec.as_ref().is_some_and(|s| s.pod_cidr.is_some()))
            })
            .await;
        let cidr = |i: usize| nodes[i].spec.clone().unwrap().pod_cidr;
        assert_ne!(cidr(0), cidr(1));
        house
            .until::<Node>("no taints", |nodes| {
                nodes.iter().all(|n| n.spec.as_ref().is_none_or(|s| s.taints.iter().flatten().next().is_none()))
            })
            .await;
        house.create::<Deployment>(deployment(4)).await;
        house.until::<Deployment>("available", |d| is_complete(d, 4)).await;
        let down = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        house.api::<Node>().patch(&ObjectKey::cluster("n1"), "status", PatchKind::Merge, &down).await.unwrap();
        house
            .until::<Node>("taints", |nodes| nodes[0].spec.as_ref().is_some_and(|s| s.taints.as_ref().is_some_and(|t| t.len() == 2)))
            .await;
        house
            .until::<Pod>("unready pods", |pods| {
                pods.iter().all(|p| (control_workloads::pods::node_name(p) == "n1") != control_workloads::pods::is_ready(p))
            })
            .await;
    });
}

#[test]
fn daemons_run_everywhere_and_sets_keep_their_numbers() {
    run(async |house| {
        house.play_node("n1").await;
        house.play_node("n2").await;
        let template = |app: &str| json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
        let spec = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")});
        house.create::<DaemonSet>(json!({"metadata": {"name": "agent", "namespace": "default"}, "spec": spec})).await;
        house
            .until::<DaemonSet>("daemons", |sets| sets.iter().any(|s| s.status.as_ref().is_some_and(|s| s.number_available == Some(2))))
            .await;
        let spec = json!({"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template("db")});
        house.create::<StatefulSet>(json!({"metadata": {"name": "db", "namespace": "default"}, "spec": spec})).await;
        house
            .until::<StatefulSet>("numbered", |sets| {
                sets.iter().any(|s| s.status.as_ref().is_some_and(|s| s.available_replicas == Some(3)))
            })
            .await;
        house.play_node("n3").await;
        house.until::<DaemonSet>("a daemon more", |sets| sets[0].status.as_ref().is_some_and(|s| s.number_available == Some(3))).await;
        let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}});
        house.patch::<StatefulSet>(&ObjectKey::new("default", "db"), image.clone()).await;
        house.patch::<DaemonSet>(&ObjectKey::new("default", "agent"), image).await;
        house
            .until::<Pod>("all renewed", |pods| {
                let is_new = |pod: &Arc<Pod>| pod.spec.as_ref().is_some_and(|s| s.containers[0].image.as_deref() == Some("b"));
                pods.len() == 6 && pods.iter().all(|pod| is_new(pod) && control_workloads::pods::is_ready(pod))
            })
            .await;
    });
}

#[test]
fn a_kubelets_request_is_granted_and_signed() {
    run(async |house| {
        let leaf = pki::Leaf::client("system:node:n1", "system:nodes");
        let (_, request) = pki::ask(&leaf, Clock::system().now()).unwrap();
        let spec = json!({
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["client auth", "digital signature"],
            "request": serde_json::to_value(k8s_openapi::ByteString(request.into_bytes())).unwrap(),
        });
        house.create::<CertificateSigningRequest>(json!({"metadata": {"name": "n1"}, "spec": spec})).await;
        let signed = |csr: &Arc<CertificateSigningRequest>| csr.status.as_ref().and_then(|s| s.certificate.clone());
        let requests = house.until::<CertificateSigningRequest>("signed", |all| all.iter().any(|csr| signed(csr).is_some())).await;
        let pem = String::from_utf8(signed(&requests[0]).unwrap().0).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
    });
}

/// More pods than any batch of the parts between holds; `bench` measures a thousand in a release build.
#[test]
fn hundreds_of_replicas_come_and_go() {
    const N: i32 = 300;
    run(async |house| {
        house.play_node("n1").await;
        house.create::<Deployment>(deployment(N)).await;
        house.until::<Deployment>("available", |d| is_complete(d, N)).await;
        house.delete::<Deployment>(&web(), Propagation::Background).await;
        house.until::<Pod>("gone", |pods| pods.is_empty()).await;
    });
}
