//! Two hosts, one cluster: on one link, and with a router between.

use crate::lab::{Background, Between, Lab, Second, is_possible};

/// `near` serves, `far` joined; a pod of the same name on each, behind a Service of the same name.
struct Cluster {
    near: Lab,
    far: Second,
    _agent: Background,
}

const NAMES: [&str; 2] = ["near", "far"];
/// A service of type LoadBalancer has its port on all nodes' addresses: two services need two.
const SERVICE_PORTS: [u16; 2] = [81, 82];

fn cluster(between: Between) -> Option<Cluster> {
    if !is_possible() {
        return None;
    }
    let near = Lab::new();
    let far = near.second_host(between);
    let ips = far.addresses.map(|pair| format!("--node-ip={}", pair.join(",")));
    near.coracle(&["up", "--node-name=near", &ips[0]]);
    if !near.has_kubectl() || !near.build_box() || !far.lab.build_box() {
        return None;
    }
    let token = near.coracle(&["token"]);
    let server = format!("--server=https://{}:6443", far.addresses[0][0]);
    let flags = ["agent", &server, "--node-name=far", &ips[1], "--token", token.trim()];
    let agent = far.lab.start(Lab::coracle_program(), &flags);
    near.until("get nodes", |text| text.lines().filter(|l| l.contains(" Ready")).count() == 2);
    for (name, port) in NAMES.iter().zip(SERVICE_PORTS) {
        let manifest = near.write(
            &format!("{name}.yaml"),
            &format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{nodeName: {name}, containers: \
                 [{{name: c, image: 'box:1', command: [sh, -c, 'echo here is {name}; exec httpd -f -p 8080 -h /bin']}}]}}}}\n---\n\
                 {{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: LoadBalancer, \
                 ipFamilyPolicy: RequireDualStack, selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: 8080}}]}}}}\n"
            ),
        );
        near.kubectl(&format!("apply -f {manifest}"));
    }
    near.kubectl("wait --for=condition=Ready pod/near pod/far --timeout=30s");
    Some(Cluster { near, far, _agent: agent })
}

impl Cluster {
    /// Where the file server of either pod is to be found: its own addresses, its service's, and the nodes' own.
    fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        let mut add = |ips: &str, port: &str| {
            let bracketed = ips.split_whitespace().map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() });
            urls.extend(bracketed.map(|host| format!("http://{host}:{port}/busybox")));
        };
        for (name, port) in NAMES.iter().zip(SERVICE_PORTS) {
            let port = port.to_string();
            add(&self.near.kubectl(&format!("get pod {name} -o jsonpath={{.status.podIPs[*].ip}}")), "8080");
            add(&self.near.kubectl(&format!("get service {name} -o jsonpath={{.spec.clusterIPs[*]}}")), &port);
            let balanced = format!("get service {name} -o jsonpath={{.status.loadBalancer.ingress[*].ip}}");
            add(&self.near.until(&balanced, |ips| ips.split(' ').count() == 4), &port);
            let node_port = self.near.kubectl(&format!("get service {name} -o jsonpath={{.spec.ports[0].nodePort}}"));
            add(&self.far.addresses.as_flattened().join(" "), &node_port);
        }
        assert_eq!(urls.len(), 24, "{urls:?}");
        urls
    }

    fn reaches_everything(&self) {
        let urls = self.urls().join(" ");
        // No `-T`: Debian's static busybox crashes on it.
        let fetch = |wget: &str, urls: &str| format!("for u in {urls}; do timeout 10 {wget} -q -O /dev/null $u || echo $u; done");
        // Not the bare name: that is also the host name of the pod which asks.
        let names = format!("http://near.default:{}/sh http://far.default.svc.cluster.local:{}/sh", SERVICE_PORTS[0], SERVICE_PORTS[1]);
        for name in NAMES {
            self.near.until(&format!("exec {name} -- sh -c '{}'", fetch("wget", &format!("{urls} {names}"))), str::is_empty);
        }
        for host in [&self.near, &self.far.lab] {
            assert_eq!(host.shell(&fetch("busybox wget", &urls)), "");
        }
    }

    fn finds_names_from_afar(&self) {
        let answer = self.near.kubectl("exec far -- nslookup near.default.svc.cluster.local");
        for ip in self.near.kubectl("get service near -o jsonpath={.spec.clusterIPs[*]}").split(' ') {
            assert!(answer.contains(ip), "no {ip} in {answer}");
        }
    }

    fn is_looked_into_from_the_server(&self) {
        assert_eq!(self.near.kubectl("exec far -- hostname"), "far\n");
        assert_eq!(self.near.kubectl("logs far"), "here is far\n");
        let _forwarded = self.near.start_kubectl("port-forward pod/far 18080:8080");
        self.near
            .shell("for i in $(seq 100); do busybox wget -q -O /dev/null http://127.0.0.1:18080/busybox && exit; sleep 0.1; done; exit 1");
    }
}

fn check(between: Between) {
    let Some(cluster) = cluster(between) else { return };
    cluster.reaches_everything();
    cluster.finds_names_from_afar();
    cluster.is_looked_into_from_the_server();
}

#[test]
fn pods_and_services_are_reached_across_hosts_on_one_link() {
    check(Between::Link);
}

#[test]
fn pods_and_services_are_reached_across_a_router() {
    check(Between::Router);
}
