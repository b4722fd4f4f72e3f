//! What all pod tasks of one node share.

use std::net::IpAddr;
use std::sync::Arc;

use client::Client;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use object::plan::{Reference, Weight};
use object::time::Clock;
use oci_runtime::runtime::Runtime;
use pod_plan::effect::Note;
use pod_plan::field_value::Surroundings;
use pod_plan::pod::{BoundPod, field_path};
use reconcile::events::Origin;
use reconcile::{Cache, Recorder};

use crate::config::Config;
use crate::objects::ObjectSource;
use crate::seams::{Disk, Images, PodNetwork, Prober};

pub struct Node {
    pub config: Config,
    pub client: Client,
    pub clock: Clock,
    pub runtime: Arc<dyn Runtime>,
    pub images: Arc<dyn Images>,
    pub network: Arc<dyn PodNetwork>,
    pub disk: Arc<dyn Disk>,
    pub prober: Arc<dyn Prober>,
    pub objects: Arc<ObjectSource>,
    /// For the variables that name services; shared by all nodes of a simulation.
    pub services: Cache<Service>,
    pub recorder: Recorder,
}

impl Node {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin { component: "kubelet", host: Arc::from(self.config.node_name.as_str()) }
    }

    /// Records an event about a pod or one of its containers.
    pub(crate) fn tell(&self, pod: &BoundPod, note: &Note) {
        let about = Reference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.meta.resource_version.clone().unwrap_or_default(),
            field_path: note.container.as_ref().map(|(role, name)| field_path(*role, name)).unwrap_or_default(),
        };
        let weight = if note.is_warning { Weight::Warning } else { Weight::Normal };
        let note = object::plan::Note { about, weight, reason: note.reason, message: note.message.clone() };
        self.recorder.record(self.origin(), note);
    }

    /// A pod's addresses, the family of the node's primary one first.
    pub(crate) fn pod_ips(&self, pod: &BoundPod) -> Vec<IpAddr> {
        if pod.is_host_network() {
            return self.config.host_ips.clone();
        }
        let mut ips = self.network.addresses(&pod.uid);
        let wants_ipv6 = self.config.host_ips.first().is_some_and(IpAddr::is_ipv6);
        ips.sort_by_key(|ip| ip.is_ipv6() != wants_ipv6);
        ips
    }

    pub(crate) fn surroundings(&self, pod: &BoundPod) -> Surroundings {
        Surroundings {
            host_ips: self.config.host_ip_texts(),
            pod_ips: self.pod_ips(pod).iter().map(ToString::to_string).collect(),
            allocatable: self.config.allocatable(),
        }
    }
}
