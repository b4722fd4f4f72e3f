//! A pod's `/etc/resolv.conf`: what `net-plan` says, with this node's surroundings.

use k8s_openapi::api::core::v1::Pod;
use net_plan::resolv;
use pod_plan::pod::BoundPod;

use crate::config::Config;

pub(crate) fn resolv_conf(config: &Config, pod: &BoundPod) -> String {
    let surroundings = resolv::Surroundings {
        dns_addresses: config.cluster_dns.clone(),
        cluster_domain: config.cluster_domain.clone(),
        host_resolv_conf: std::fs::read_to_string(&config.host_resolv_conf).unwrap_or_default(),
    };
    let pod = Pod { metadata: pod.meta.clone(), spec: Some(pod.spec.clone()), status: None };
    resolv::resolv_conf(&pod, &surroundings)
}
