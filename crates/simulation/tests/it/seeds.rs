//! Clusters to which random things happen, one for each seed: programs change, nodes lose power or are cut off, the control plane
//! dies in the middle of its work, clocks are set. Rules hold at every step, more of them when all is well again.
//!
//! A failure names its seed: `SEED=7 cargo test -p simulation seeds` plays that one alone, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::options::Selection;
use client::watch::{Event, Start, Tree, Watch};
use object::key::GroupVersionResource;
use object::plan::{DeleteOptions, PatchKind};
use serde_json::{Value, json};
use simulation::Simulation;

const N_SEEDS: u64 = 4;
const N_STEPS: usize = 12;
const N_NODES: u64 = 3;
const PROGRAMS: [&str; 2] = ["red", "blue"];
/// What a played node offers, and what each pod asks for, in thousandths of a processor.
const NODE_MILLIS: u64 = 4000;
const POD_MILLIS: u64 = 600;
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn rules_hold_whatever_happens() {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..N_SEEDS, |seed| seed..seed + 1);
    let faults: Vec<String> = seeds.filter_map(|seed| live(seed).err().map(|fault| format!("SEED={seed}: {fault}"))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn live(seed: u64) -> Result<(), String> {
    Simulation::run(async || {
        let mut cluster = Cluster::start(seed).await;
        for step in 0..N_STEPS {
            let what = cluster.step().await;
            if std::env::var_os("SEED").is_some() {
                println!("{step}: {what}");
            }
            cluster.check_always().await.map_err(|fault| format!("after step {step} ({what}): {fault}"))?;
        }
        cluster.heal().await;
        cluster.check_always().await?;
        cluster.check_at_rest().await
    })
}

struct Cluster {
    simulation: Simulation,
    dice: Dice,
    down: BTreeSet<u64>,
    has_control: bool,
    /// Where each pod, by uid, was first seen to run, and those seen elsewhere later.
    moved: Arc<Mutex<(BTreeMap<String, String>, Vec<String>)>>,
}

impl Cluster {
    async fn start(seed: u64) -> Self {
        let simulation = Simulation::start(u8::try_from(N_NODES).expect("few")).await;
        for name in PROGRAMS {
            let labels = json!({"app": name});
            let container = json!({"name": name, "image": "web:1", "resources": {"requests": {"cpu": format!("{POD_MILLIS}m")}},
                "readinessProbe": {"periodSeconds": 2, "exec": {"command": ["true"]}}});
            let spec = json!({"replicas": 3, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}});
            let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec});
            let _: Value = simulation.client.create(DEPLOYMENTS, &deployment).await.expect("creates");
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": labels, "ports": [{"port": 80}]}});
            let _: Value = simulation.client.create("/api/v1/namespaces/default/services", &service).await.expect("creates");
        }
        let moved = Arc::new(Mutex::new((BTreeMap::new(), Vec::new())));
        let mut watch: Watch<Tree> =
            Watch::new(simulation.client.clone(), &GroupVersionResource::new("", "v1", "pods"), &Selection::everything(), Start::Initial);
        let seen = moved.clone();
        tokio::spawn(async move {
            while let Ok(event) = watch.next().await {
                let (Event::Added(Tree(pod)) | Event::Modified(Tree(pod))) = event else { continue };
                let Some(node) = pod["spec"]["nodeName"].as_str() else { continue };
                let mut seen = seen.lock().expect("nobody panics with it");
                let first = seen.0.entry(pod["metadata"]["uid"].to_string()).or_insert_with(|| node.to_owned()).clone();
                if first != node {
                    seen.1.push(format!("{} was on {first} and is on {node}", pod["metadata"]["name"]));
                }
            }
        });
        Cluster { simulation, dice: Dice(seed), down: BTreeSet::new(), has_control: true, moved }
    }

    async fn step(&mut self) -> String {
        let node_number = self.dice.below(N_NODES) + 1;
        let node = format!("node-{node_number}");
        let program = PROGRAMS[usize::try_from(self.dice.below(2)).expect("small")];
        let what = match self.dice.below(10) {
            0 | 1 => {
                let replicas = self.dice.below(6);
                self.patch(program, &json!({"spec": {"replicas": replicas}})).await;
                format!("scale {program} to {replicas}")
            }
            2 => {
                let image = format!("web:{}", self.dice.below(4));
                let containers = json!([{"name": program, "image": image}]);
                self.patch(program, &json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
                format!("{program} gets image {image}")
            }
            3 => self.delete_a_pod().await,
            4 if self.down.insert(node_number) => {
                self.simulation.crash(&node);
                format!("crash {node}")
            }
            4 => {
                self.down.remove(&node_number);
                self.simulation.boot(&node);
                format!("boot {node}")
            }
            5 => {
                self.simulation.cut(&node);
                format!("cut {node}")
            }
            6 => {
                self.simulation.heal(&node);
                format!("heal {node}")
            }
            7 if self.has_control => {
                self.simulation.crash_control_plane();
                self.has_control = false;
                "crash the control plane".to_owned()
            }
            7 => {
                self.simulation.start_control_plane().await;
                self.has_control = true;
                "start the control plane".to_owned()
            }
            8 => {
                let seconds = i64::try_from(self.dice.below(400)).expect("small") - 100;
                self.simulation.set_clock(seconds);
                format!("set the clock by {seconds} s")
            }
            _ => {
                let is_sick = self.dice.below(2) == 0;
                self.simulation.set_sick(program, is_sick);
                format!("{program} is sick: {is_sick}")
            }
        };
        let seconds = self.dice.below(80);
        self.simulation.tick(Duration::from_millis(seconds * seconds * 30)).await;
        what
    }

    async fn patch(&self, program: &str, patch: &Value) {
        let path = format!("{DEPLOYMENTS}/{program}");
        let _: Value = self.simulation.client.patch(&path, PatchKind::Strategic, patch).await.expect("patches");
    }

    async fn delete_a_pod(&mut self) -> String {
        let pods = self.list(PODS).await;
        if pods.is_empty() {
            return "nothing".to_owned();
        }
        let at = usize::try_from(self.dice.below(pods.len() as u64)).expect("small");
        let name = pods[at]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let _ = self.simulation.client.delete(&format!("{PODS}/{name}"), &DeleteOptions::default()).await;
        format!("delete {name}")
    }

    async fn heal(&mut self) {
        for number in 1..=N_NODES {
            self.simulation.heal(&format!("node-{number}"));
        }
        for number in std::mem::take(&mut self.down) {
            self.simulation.boot(&format!("node-{number}"));
        }
        PROGRAMS.iter().for_each(|program| self.simulation.set_sick(program, false));
        if !self.has_control {
            self.simulation.start_control_plane().await;
        }
        // Back-offs of containers and image pulls reach five minutes, and so do tolerations.
        self.simulation.tick(Duration::from_secs(700)).await;
        self.simulation.settle().await;
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let mut list: Value = self.simulation.client.get(path).await.expect("lists");
        list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What holds at every moment.
    async fn check_always(&self) -> Result<(), String> {
        let moved = self.moved.lock().expect("nobody panics with it").1.clone();
        if !moved.is_empty() {
            return Err(format!("a pod was bound twice: {moved:?}"));
        }
        let mut n_pods_of = BTreeMap::<String, u64>::new();
        for pod in self.list(PODS).await {
            let has_ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|_| !has_ended) {
                *n_pods_of.entry(node.to_owned()).or_default() += 1;
            }
        }
        match n_pods_of.iter().find(|(_, n)| **n * POD_MILLIS > NODE_MILLIS) {
            Some((node, n)) => Err(format!("{n} pods are too many for {node}")),
            None => Ok(()),
        }
    }

    /// What holds when every node is up, all probes succeed, and nothing is left to do.
    async fn check_at_rest(&self) -> Result<(), String> {
        let pods = self.list(PODS).await;
        let sets = self.list("/apis/apps/v1/namespaces/default/replicasets").await;
        let slices = self.list("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices").await;
        let owners: BTreeSet<&str> = sets.iter().filter_map(|set| set["metadata"]["uid"].as_str()).collect();
        for pod in &pods {
            let owner = pod["metadata"]["ownerReferences"][0]["uid"].as_str();
            if !owner.is_some_and(|owner| owners.contains(owner)) {
                return Err(format!("{} is nobody's", pod["metadata"]["name"]));
            }
        }
        for deployment in self.list(DEPLOYMENTS).await {
            let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
            let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
            let status = &deployment["status"];
            for count in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
                if status[count].as_u64().unwrap_or(0) != wanted {
                    return Err(format!("{name} wants {wanted} replicas, and its status is {status}"));
                }
            }
            let own: Vec<&Value> = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == name).collect();
            if own.len() as u64 != wanted {
                return Err(format!("{name} has {} pods in place of {wanted}", own.len()));
            }
            let ips: BTreeSet<&str> = own.iter().filter_map(|pod| pod["status"]["podIP"].as_str()).collect();
            let is_of = |slice: &&Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name;
            let endpoints = slices.iter().filter(is_of).flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
            let ready = endpoints.filter(|e| e["conditions"]["ready"] == true).filter_map(|e| e["addresses"][0].as_str());
            let ready: BTreeSet<&str> = ready.collect();
            if ips.len() as u64 != wanted || ready != ips {
                return Err(format!("the pods of {name} are {ips:?}, and its endpoints {ready:?}"));
            }
        }
        Ok(())
    }
}
