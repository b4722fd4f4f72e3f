//! Two hosts, one cluster.

use crate::lab::{Lab, is_possible};

#[test]
fn a_second_host_joins_and_runs_pods() {
    if !is_possible() {
        return;
    }
    let server = Lab::new();
    let far = server.neighbour();
    server.coracle(&["up", "--node-ip=198.51.100.1,2001:db8:1::1"]);
    if !server.has_kubectl() || !server.build_box() || !far.build_box() {
        return;
    }
    let token = server.coracle(&["token"]);
    let flags = ["agent", "--server=https://198.51.100.1:6443", "--node-name=far", "--node-ip=198.51.100.2,2001:db8:1::2", "--token"];
    let agent = far.start(Lab::coracle_program(), &[&flags[..], &[token.trim()]].concat());
    server.until("get nodes", |text| text.lines().filter(|l| l.contains(" Ready")).count() == 2);

    server.kubectl("create deployment web --image=box:1 --replicas=4 -- httpd -f -p 8080 -h /bin");
    server.kubectl("rollout status deployment/web --timeout=30s");
    let hosts = server.kubectl("get pods -o jsonpath={.items[*].spec.nodeName}");
    assert!(hosts.contains("far") && hosts.split(' ').any(|h| h != "far"), "{hosts}");
    server.kubectl("expose deployment web --port=80 --target-port=8080");
    server.kubectl(r#"run here --image=box:1 --restart=Never --overrides={"spec":{"nodeName":"far"}} -- sleep 1000"#);
    server.kubectl("wait --for=condition=Ready pod/here --timeout=30s");
    assert_eq!(server.kubectl("exec here -- echo from-afar"), "from-afar\n");
    drop(agent);
}
