use expect_test::{Expect, expect};
use net_plan::resolv::{Surroundings, resolv_conf};
use serde_json::{Value, json};

fn check(spec: Value, expected: Expect) {
    let pod = serde_json::from_value(json!({"metadata": {"namespace": "shop"}, "spec": spec})).expect("a pod");
    let surroundings = Surroundings {
        dns_addresses: ["10.96.0.10", "fd00:10:96::a"].map(|ip| ip.parse().expect("an address")).to_vec(),
        cluster_domain: "cluster.local".to_owned(),
        host_resolv_conf: "# from dhcp\nnameserver 192.0.2.53\nsearch example.com. lab.example.com\noptions edns0 trust-ad\n".to_owned(),
    };
    expected.assert_eq(&resolv_conf(&pod, &surroundings));
}

#[test]
fn policies() {
    check(
        json!({"containers": []}),
        expect![[r#"
        search shop.svc.cluster.local svc.cluster.local cluster.local example.com lab.example.com
        nameserver 10.96.0.10
        nameserver fd00:10:96::a
        options ndots:5
    "#]],
    );
    check(
        json!({"containers": [], "dnsPolicy": "Default"}),
        expect![[r#"
        search example.com lab.example.com
        nameserver 192.0.2.53
        options edns0 trust-ad
    "#]],
    );
    check(
        json!({"containers": [], "dnsPolicy": "ClusterFirst", "hostNetwork": true}),
        expect![[r#"
        search example.com lab.example.com
        nameserver 192.0.2.53
        options edns0 trust-ad
    "#]],
    );
    check(
        json!({"containers": [], "dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}),
        expect![[r#"
        search shop.svc.cluster.local svc.cluster.local cluster.local example.com lab.example.com
        nameserver 10.96.0.10
        nameserver fd00:10:96::a
        options ndots:5
    "#]],
    );
}

#[test]
fn own_configuration_is_added() {
    let config =
        json!({"nameservers": ["1.1.1.1"], "searches": ["my.lan"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    check(
        json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config}),
        expect![[r#"
        search my.lan
        nameserver 1.1.1.1
        options ndots:2 edns0
    "#]],
    );
    check(
        json!({"containers": [], "dnsConfig": config}),
        expect![[r#"
        search shop.svc.cluster.local svc.cluster.local cluster.local example.com lab.example.com my.lan
        nameserver 10.96.0.10
        nameserver fd00:10:96::a
        nameserver 1.1.1.1
        options ndots:2 edns0
    "#]],
    );
}
