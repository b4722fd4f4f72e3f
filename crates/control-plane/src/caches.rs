//! The caches that several controllers read, and the ways into them. Each index is made once, here.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::options::Selection;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::key::ObjectKey;
use reconcile::cache::Cached;
use reconcile::{Cache, Index, Informers};

use control_cluster::endpoints::mirror;
use control_cluster::endpoints::slices::{MANAGED_BY, MANAGER, SERVICE_NAME};

pub(crate) struct Caches {
    pub(crate) pods: Cache<Pod>,
    pub(crate) replica_sets: Cache<ReplicaSet>,
    pub(crate) replication_controllers: Cache<ReplicationController>,
    pub(crate) deployments: Cache<Deployment>,
    pub(crate) daemon_sets: Cache<DaemonSet>,
    pub(crate) stateful_sets: Cache<StatefulSet>,
    pub(crate) revisions: Cache<ControllerRevision>,
    pub(crate) claims: Cache<PersistentVolumeClaim>,
    pub(crate) volumes: Cache<PersistentVolume>,
    pub(crate) attributes_classes: Cache<VolumeAttributesClass>,
    pub(crate) jobs: Cache<Job>,
    pub(crate) cron_jobs: Cache<CronJob>,
    pub(crate) services: Cache<Service>,
    pub(crate) endpoints: Cache<Endpoints>,
    pub(crate) slices: Cache<EndpointSlice>,
    pub(crate) namespaces: Cache<Namespace>,
    pub(crate) nodes: Cache<Node>,
    pub(crate) leases: Cache<Lease>,
    pub(crate) accounts: Cache<ServiceAccount>,
    pub(crate) root_cas: Cache<ConfigMap>,
    pub(crate) cluster_roles: Cache<ClusterRole>,
    pub(crate) budgets: Cache<PodDisruptionBudget>,
    pub(crate) quotas: Cache<ResourceQuota>,

    /// By uid of the controlling owner; where there is none, as an orphan of its namespace and of each of its labels there.
    pub(crate) pods_by_owner: Index<Pod>,
    pub(crate) sets_by_owner: Index<ReplicaSet>,
    pub(crate) jobs_by_owner: Index<Job>,
    pub(crate) revisions_by_owner: Index<ControllerRevision>,
    pub(crate) pods_by_node: Index<Pod>,
    /// By namespace and each claim that its volumes name.
    pub(crate) pods_by_claim: Index<Pod>,
    /// By namespace and each label.
    pub(crate) pods_by_label: Index<Pod>,
    /// By namespace and the first pair of the selector: a pod it selects has that label.
    pub(crate) services_by_selector: Index<Service>,
    /// Those of the endpoint slice controller, by namespace and service.
    pub(crate) slices_by_service: Index<EndpointSlice>,
    /// Those that mirror Endpoints.
    pub(crate) mirrors_by_service: Index<EndpointSlice>,
}

impl Caches {
    pub(crate) fn new(informers: &Informers) -> Arc<Self> {
        let pods = informers.of::<Pod>();
        let replica_sets = informers.of::<ReplicaSet>();
        let revisions = informers.of::<ControllerRevision>();
        let jobs = informers.of::<Job>();
        let services = informers.of::<Service>();
        let slices = informers.of::<EndpointSlice>();
        Arc::new(Caches {
            pods_by_owner: pods.index(|pod| owner_entries(&pod.metadata)),
            sets_by_owner: replica_sets.index(|set| owner_entries(&set.metadata)),
            revisions_by_owner: revisions.index(|revision| owner_entries(&revision.metadata)),
            jobs_by_owner: jobs.index(|job| owner_entries(&job.metadata)),
            pods_by_node: pods.index(|pod| vec![control_workloads::pods::node_name(pod).to_owned()]),
            pods_by_claim: pods.index(claim_entries),
            pods_by_label: pods.index(|pod| label_entries(&pod.metadata)),
            services_by_selector: services.index(|service| selector_entry(service).into_iter().collect()),
            slices_by_service: slices.index(|slice| service_entry(&slice.metadata, MANAGER).into_iter().collect()),
            mirrors_by_service: slices.index(|slice| service_entry(&slice.metadata, mirror::MANAGER).into_iter().collect()),
            pods,
            replica_sets,
            revisions,
            services,
            slices,
            replication_controllers: informers.of(),
            deployments: informers.of(),
            daemon_sets: informers.of(),
            stateful_sets: informers.of(),
            claims: informers.of(),
            volumes: informers.of(),
            attributes_classes: informers.of(),
            jobs,
            cron_jobs: informers.of(),
            endpoints: informers.of(),
            namespaces: informers.of(),
            nodes: informers.of(),
            accounts: informers.of(),
            cluster_roles: informers.of(),
            budgets: informers.of(),
            quotas: informers.of(),
            leases: informers.select(Selection::namespace("kube-node-lease")),
            root_cas: informers.select(Selection::fields(format!("metadata.name={}", control_cluster::account::ROOT_CA))),
        })
    }

    /// What an owner controls, and what it might adopt: orphans with the first of the labels it selects by.
    pub(crate) fn candidates<K: Cached>(index: &Index<K>, owner: &ObjectMeta, selected: Option<&BTreeMap<String, String>>) -> Vec<Arc<K>> {
        let orphans = orphans_of(owner);
        let entry = selected.and_then(BTreeMap::first_key_value).map_or_else(|| orphans.clone(), |pair| pair_entry(&orphans, pair));
        let mut found = index.get(owner.uid.as_deref().unwrap_or(""));
        found.extend(index.get(&entry));
        found
    }
}

fn orphans_of(metadata: &ObjectMeta) -> String {
    format!("orphans/{}", metadata.namespace.as_deref().unwrap_or(""))
}

/// Those that share an owner have it in common; so do all orphans of a namespace.
pub(crate) fn owner_entry(metadata: &ObjectMeta) -> String {
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    controller.map_or_else(|| orphans_of(metadata), |owner| owner.uid.clone())
}

fn owner_entries(metadata: &ObjectMeta) -> Vec<String> {
    let entry = owner_entry(metadata);
    let labels = metadata.labels.iter().flatten();
    let mut entries = if is_orphan(metadata) { labels.map(|pair| pair_entry(&entry, pair)).collect() } else { Vec::new() };
    entries.push(entry);
    entries
}

pub(crate) fn is_orphan(metadata: &ObjectMeta) -> bool {
    !metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true))
}

fn claim_entries(pod: &Pod) -> Vec<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
    control_cluster::protection::claims_of_pod(pod).map(|name| ObjectKey::new(namespace, name).to_string()).collect()
}

fn pair_entry(within: &str, (key, value): (&String, &String)) -> String {
    format!("{within}/{key}={value}")
}

pub(crate) fn label_entries(metadata: &ObjectMeta) -> Vec<String> {
    let namespace = metadata.namespace.as_deref().unwrap_or("");
    metadata.labels.iter().flatten().map(|pair| pair_entry(namespace, pair)).collect()
}

pub(crate) fn selector_entry(service: &Service) -> Option<String> {
    let selector: &BTreeMap<String, String> = service.spec.as_ref()?.selector.as_ref()?;
    Some(pair_entry(service.metadata.namespace.as_deref().unwrap_or(""), selector.iter().next()?))
}

fn service_entry(slice: &ObjectMeta, manager: &str) -> Option<String> {
    let labels = slice.labels.as_ref()?;
    let is_ours = labels.get(MANAGED_BY).map(String::as_str) == Some(manager);
    let service = labels.get(SERVICE_NAME).filter(|_| is_ours)?;
    Some(format!("{}/{service}", slice.namespace.as_deref().unwrap_or("")))
}
