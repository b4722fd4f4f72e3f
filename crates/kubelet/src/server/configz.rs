//! `/configz`: the settings this node runs with, in the words of a kubelet's configuration file.

use serde_json::{Value, json};

use crate::agent::Agent;

/// Only what is so: settings we have no counterpart for are not made up.
pub(super) fn of(agent: &Agent) -> Value {
    let config = &agent.node.config;
    json!({"kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "port": config.port,
        "maxPods": config.max_pods,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "resolvConf": config.host_resolv_conf,
        "podCIDR": config.pod_cidrs.join(","),
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {}},
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"}},
        "cgroupsPerQOS": false,
        "cgroupRoot": config.cgroup_root,
        "cpuCFSQuota": true,
        "cpuManagerPolicy": "none",
        "memoryManagerPolicy": "None",
        "topologyManagerPolicy": "none",
        "serializeImagePulls": false,
        "nodeLeaseDurationSeconds": 40,
        "nodeStatusReportFrequency": "5m0s",
        "nodeStatusUpdateFrequency": "10s",
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 5,
        "imageMinimumGCAge": "2m0s",
        "imageGCHighThresholdPercent": 85,
        "imageGCLowThresholdPercent": 80,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%"},
        "evictionPressureTransitionPeriod": "5m0s",
        "failSwapOn": false,
        "localStorageCapacityIsolation": true,
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5m0s"},
        "enableServer": true,
        "enableDebuggingHandlers": true,
    }})
}
