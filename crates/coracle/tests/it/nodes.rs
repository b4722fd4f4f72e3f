//! Two hosts, one cluster: on one link, and with a router between.

use std::time::{Duration, Instant};

use crate::lab::{Background, Between, Lab, Second, is_possible};

/// `near` serves, `far` joined; a pod of the same name on each, behind a Service of the same name.
struct Cluster {
    near: Lab,
    far: Second,
    agent: Background,
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
    let agent = join(&far, &["--token", token.trim()]);
    near.until("get nodes", are_both_ready);
    for (name, port) in NAMES.iter().zip(SERVICE_PORTS) {
        let manifest = near.write(
            &format!("{name}.yaml"),
            &format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{nodeName: {name}, containers: \
                 [{{name: c, image: 'box:1', command: [sh, -c, 'echo here is {name}; exec httpd -f -vv -p 8080 -h /bin']}}]}}}}\n---\n\
                 {{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: LoadBalancer, \
                 ipFamilyPolicy: RequireDualStack, selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: 8080}}]}}}}\n"
            ),
        );
        near.kubectl(&format!("apply -f {manifest}"));
    }
    near.kubectl("wait --for=condition=Ready pod/near pod/far --timeout=30s");
    Some(Cluster { near, far, agent })
}

fn join(far: &Second, more: &[&str]) -> Background {
    let [near_ips, far_ips] = far.addresses;
    let (server, ips) = (format!("--server=https://{}:6443", near_ips[0]), format!("--node-ip={}", far_ips.join(",")));
    far.lab.start(Lab::coracle_program(), &[&["agent", &server, "--node-name=far", &ips], more].concat())
}

fn are_both_ready(nodes: &str) -> bool {
    let ready: Vec<_> = nodes.lines().filter(|line| line.contains(" Ready")).collect();
    ready.len() == 2 && ready.iter().filter(|line| line.contains(" control-plane ")).count() == 1
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

    /// The other pod is gone: its addresses answer nobody, its service refuses at once.
    fn reaches_nothing_but_near(&self) {
        let cluster_ip = self.near.kubectl("get service far -o jsonpath={.spec.clusterIP}");
        let refused = |pod: &str| self.near.kubectl_error(&format!("exec {pod} -- wget -q -O /dev/null http://{cluster_ip}:82/sh"));
        assert!(refused("near").contains("refused"), "{}", refused("near"));
    }

    fn finds_names_from_afar(&self) {
        let answer = self.near.kubectl("exec far -- nslookup near.default.svc.cluster.local");
        for ip in self.near.kubectl("get service near -o jsonpath={.spec.clusterIPs[*]}").split(' ') {
            assert!(answer.contains(ip), "no {ip} in {answer}");
        }
    }

    /// `externalTrafficPolicy: Local`: only the node with the pod answers, and the pod sees who asked.
    fn keeps_local_traffic_local(&self) {
        let patch = r#"{"spec":{"externalTrafficPolicy":"Local"}}"#;
        self.near.kubectl(&format!("patch service far --type=merge -p {patch}"));
        let port = self.near.kubectl("get service far -o jsonpath={.spec.ports[0].nodePort}");
        let [near_ips, far_ips] = self.far.addresses;
        for (near_ip, far_ip) in near_ips.iter().zip(far_ips) {
            let bracketed = |ip: &str| if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
            let ask = |ip: &str| {
                let url = format!("http://{}:{port}/by-{}", bracketed(ip), near_ip.replace(':', "-"));
                self.near.attempt("timeout", &["2", "busybox", "wget", "-q", "-O", "/dev/null", &url])
            };
            // Nobody has such a file, but the pod has been asked for it.
            self.near.until("logs far", |log| {
                ask(far_ip);
                log.lines().any(|line| line.contains(near_ip) && line.contains(&format!("/by-{}", near_ip.replace(':', "-"))))
            });
            let from_afar = self.far.lab.attempt(
                "timeout",
                &["2", "busybox", "wget", "-q", "-O", "/dev/null", &format!("http://{}:{port}/sh", bracketed(near_ip))],
            );
            assert!(!from_afar.status.success(), "{near_ip} has no pod of the service, and yet answers");
        }
    }

    fn is_looked_into_from_the_server(&self) {
        assert_eq!(self.near.kubectl("exec far -- hostname"), "far\n");
        assert!(self.near.kubectl("logs far").starts_with("here is far\n"));
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
    cluster.keeps_local_traffic_local();
}

#[test]
fn pods_and_services_are_reached_across_hosts_on_one_link() {
    check(Between::Link);
}

#[test]
fn pods_and_services_are_reached_across_a_router() {
    check(Between::Router);
}

#[test]
fn pods_outlive_their_agent_and_both_hosts_outlive_the_server() {
    let Some(mut cluster) = cluster(Between::Link) else { return };
    let container = "get pod far -o jsonpath={.status.containerStatuses[0].containerID}/{.status.containerStatuses[0].restartCount}";
    let before = cluster.near.kubectl(container);
    assert!(before.ends_with("/0"), "{before}");

    let far = &cluster.far;
    far.lab.run("kill", &["-9", &far.lab.server_pid()]);
    let direct = format!("http://{}:8080/sh", cluster.near.kubectl("get pod far -o jsonpath={.status.podIP}"));
    cluster.near.run("busybox", &["wget", "-q", "-O", "/dev/null", &direct]);
    // Who it is, it knows from the first time.
    cluster.agent = join(far, &[]);
    cluster.near.until_works("exec far -- true");
    assert_eq!(cluster.near.kubectl(container), before);

    cluster.near.run("kill", &["-9", &cluster.near.server_pid()]);
    cluster.near.run("busybox", &["wget", "-q", "-O", "/dev/null", &direct]);
    cluster.near.coracle(&["up", "--node-name=near", &format!("--node-ip={}", cluster.far.addresses[0].join(","))]);
    cluster.near.until("get nodes", are_both_ready);
    cluster.near.until_works("exec far -- true");
    assert_eq!(cluster.near.kubectl(container), before);
    cluster.near.kubectl("delete pod far --timeout=60s");
    cluster.reaches_nothing_but_near();
}

#[test]
fn a_node_that_was_cut_off_is_ready_soon_after() {
    let Some(cluster) = cluster(Between::Router) else { return };
    cluster.far.set_router(false);
    cluster.near.until("get node far", |text| text.contains("NotReady"));
    cluster.far.set_router(true);
    let healed = Instant::now();
    cluster.near.until("get nodes", are_both_ready);
    // Ten seconds between two looks, and what a slow machine adds.
    assert!(healed.elapsed() < Duration::from_secs(25), "Ready only after {:?}", healed.elapsed());
    cluster.reaches_everything();
}

#[test]
fn a_host_that_may_not_join_is_told_what_to_do() {
    let Some(cluster) = cluster(Between::Link) else { return };
    let other = cluster.far.lab.dir.join("other").display().to_string();
    let server = format!("--server=https://{}:6443", cluster.far.addresses[0][0]);
    let refused = |name: &str, token: &str| {
        let flags = ["agent", &server, "--data-dir", &other, "--node-name", name, "--token", token];
        let output = cluster.far.lab.attempt(Lab::coracle_program(), &flags);
        assert!(!output.status.success(), "{name} joined with `{token}`");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let token = cluster.near.coracle(&["token"]);
    let (_, authority) = token.trim().split_once('@').expect("a token with a digest");
    let checks = [
        ("third", "abc", "hint: coracle token (on the server)"),
        ("third", "abcdef.0123456789abcdef@00", "is not the cluster of this token"),
        ("third", &format!("abcdef.0123456789abcdef@{authority}"), "token or certificate is wrong or too old"),
        ("near", token.trim(), "has a node `near` already"),
    ];
    for (name, token, expected) in checks {
        let said = refused(name, token);
        assert!(said.contains(expected) && said.contains("hint: "), "{name} with `{token}`: {said}");
    }
}

#[test]
fn nothing_outlives_a_reset_on_either_host() {
    let Some(cluster) = cluster(Between::Router) else { return };
    let uids = cluster.near.kubectl("get pods -o jsonpath={.items[*].metadata.uid}");
    let groups = |uid: &str| cluster.near.shell(&format!("find /sys/fs/cgroup -name '*{uid}*'"));
    for uid in uids.split(' ') {
        assert_ne!(groups(uid), "", "the pod has a cgroup");
    }
    // The one that joined another's cluster leaves a Node there.
    for (host, has_joined) in [(&cluster.far.lab, true), (&cluster.near, false)] {
        let mounts = || host.run("cat", &["/proc/self/mounts"]).contains(&host.dir.display().to_string());
        assert!(mounts(), "volumes are mounted");
        let said = host.coracle(&["reset"]);
        assert_eq!(said.contains("kubectl delete node far"), has_joined, "{said}");
        assert!(!mounts(), "{}", host.run("cat", &["/proc/self/mounts"]));
        assert!(!host.dir.join("data").exists());
        let links = host.run("ip", &["-o", "link"]);
        assert!(!links.contains("cor"), "{links}");
        for family in ["-4", "-6"] {
            assert_eq!(host.run("ip", &[family, "route", "show", "table", "all", "proto", "202"]), "");
        }
        assert_eq!(host.run("cat", &["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]), "0\n0\n");
    }
    for uid in uids.split(' ') {
        assert_eq!(groups(uid), "");
    }
}
