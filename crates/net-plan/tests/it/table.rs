use expect_test::{Expect, expect};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use net_plan::rows::{NodeView, Owner};
use net_plan::table::{Change, Row, Table};
use object::key::ObjectKey;
use serde_json::{Value, json};

use crate::services::{service, slice};

/// Sets services one after the other and shows what each step costs.
#[derive(Default)]
struct Steps {
    table: Table,
    text: String,
}

impl Steps {
    fn set(mut self, name: &str, spec: Value, endpoints: &[&str]) -> Self {
        let slices: Vec<EndpointSlice> = if endpoints.is_empty() { Vec::new() } else { vec![slice(endpoints)] };
        let mut service = service(spec);
        service.metadata.name = Some(name.to_owned());
        let node = NodeView { name: "node-1".to_owned(), ..NodeView::default() };
        let rows = net_plan::service::rows(&service, &slices.iter().collect::<Vec<_>>(), &node);
        let change = self.table.set(&Owner::Service(ObjectKey::new("default", name)), rows.clone());
        self.text += &format!("{name} {}\n{}", endpoints.join(" "), shown(&change));
        let again = self.table.set(&Owner::Service(ObjectKey::new("default", name)), rows);
        assert!(again.is_empty(), "the same rows again change nothing: {again:?}");
        self
    }

    fn check(self, expected: Expect) {
        expected.assert_eq(&self.text);
    }
}

fn shown(change: &Change) -> String {
    let row = |row: &Row| match row {
        Row::Front(front, row) => format!("front {front} {:?}", row.action).replace("target: ", "").replace("mode: Mode ", ""),
        Row::Slot { target, slot, backend } => format!("slot {target:?} {slot} {backend}"),
        Row::Live { target, backend } => format!("live {target:?} {backend}"),
        Row::Local(ip) => format!("local {ip}"),
    };
    let deletions = change.delete.iter().map(|deleted| format!("  - {}\n", row(deleted)));
    let additions = change.add.iter().map(|added| format!("  + {}\n", row(added)));
    let stale = change.stale.iter().map(|stale| format!("  forget {} but to {:?}\n", stale.front, stale.keep));
    deletions.chain(additions).chain(stale).collect()
}

#[test]
fn an_endpoint_costs_a_few_rows() {
    Steps::default()
        .set("web", json!({}), &["10.244.0.1", "10.244.0.2", "10.244.0.3"])
        .set("web", json!({}), &["10.244.0.1", "10.244.0.2", "10.244.0.3", "10.244.0.4"])
        .set("web", json!({}), &["10.244.0.2", "10.244.0.3", "10.244.0.4"])
        .set("web", json!({}), &["10.244.0.3", "10.244.0.4", "10.244.0.9"])
        .set("web", json!({}), &[])
        .check(expect![[r#"
            web 10.244.0.1 10.244.0.2 10.244.0.3
              + slot 7f034182e0f1be46 0 10.244.0.1:8080
              + slot 7f034182e0f1be46 1 10.244.0.2:8080
              + slot 7f034182e0f1be46 2 10.244.0.3:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 3, { sticky_seconds: None, masquerade: false } }
            web 10.244.0.1 10.244.0.2 10.244.0.3 10.244.0.4
              - front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 3, { sticky_seconds: None, masquerade: false } }
              + slot 7f034182e0f1be46 3 10.244.0.4:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 4, { sticky_seconds: None, masquerade: false } }
            web 10.244.0.2 10.244.0.3 10.244.0.4
              - slot 7f034182e0f1be46 0 10.244.0.1:8080
              - slot 7f034182e0f1be46 3 10.244.0.4:8080
              - front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 4, { sticky_seconds: None, masquerade: false } }
              + slot 7f034182e0f1be46 0 10.244.0.4:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 3, { sticky_seconds: None, masquerade: false } }
            web 10.244.0.3 10.244.0.4 10.244.0.9
              - slot 7f034182e0f1be46 1 10.244.0.2:8080
              + slot 7f034182e0f1be46 1 10.244.0.9:8080
            web 
              - slot 7f034182e0f1be46 0 10.244.0.4:8080
              - slot 7f034182e0f1be46 1 10.244.0.9:8080
              - slot 7f034182e0f1be46 2 10.244.0.3:8080
              - front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 3, { sticky_seconds: None, masquerade: false } }
              + front tcp 10.96.0.20:80 Reject
        "#]]);
}

#[test]
fn affinity_has_a_row_for_each_backend() {
    let sticky = || json!({"sessionAffinity": "ClientIP"});
    Steps::default()
        .set("web", sticky(), &["10.244.0.1 node-1", "10.244.0.2"])
        .set("web", sticky(), &["10.244.0.2"])
        .set("web", json!({}), &["10.244.0.2"])
        .check(expect![[r#"
            web 10.244.0.1 node-1 10.244.0.2
              + slot 7f034182e0f1be46 0 10.244.0.1:8080
              + slot 7f034182e0f1be46 1 10.244.0.2:8080
              + live 7f034182e0f1be46 10.244.0.1:8080
              + live 7f034182e0f1be46 10.244.0.2:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 2, { sticky_seconds: Some(10800), masquerade: false } }
              + local 10.244.0.1
            web 10.244.0.2
              - slot 7f034182e0f1be46 0 10.244.0.1:8080
              - slot 7f034182e0f1be46 1 10.244.0.2:8080
              - live 7f034182e0f1be46 10.244.0.1:8080
              - front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 2, { sticky_seconds: Some(10800), masquerade: false } }
              - local 10.244.0.1
              + slot 7f034182e0f1be46 0 10.244.0.2:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 1, { sticky_seconds: Some(10800), masquerade: false } }
            web 10.244.0.2
              - live 7f034182e0f1be46 10.244.0.2:8080
              - front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 1, { sticky_seconds: Some(10800), masquerade: false } }
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 1, { sticky_seconds: None, masquerade: false } }
        "#]]);
}

#[test]
fn an_external_address_does_not_take_over_a_cluster_ip() {
    Steps::default()
        .set("a-thief", json!({"clusterIP": "10.96.0.66", "externalIPs": ["10.96.0.20"]}), &["10.244.0.66"])
        .set("web", json!({}), &["10.244.0.1"])
        .set("a-thief", json!({"clusterIP": "10.96.0.66", "externalIPs": ["10.96.0.20"]}), &["10.244.0.66", "10.244.0.67"])
        .check(expect![[r#"
            a-thief 10.244.0.66
              + slot 0381b09e6e0653e2 0 10.244.0.66:8080
              + front tcp 10.96.0.20:80 Pick { 0381b09e6e0653e2, n: 1, { sticky_seconds: None, masquerade: true } }
              + front tcp 10.96.0.66:80 Pick { 0381b09e6e0653e2, n: 1, { sticky_seconds: None, masquerade: false } }
            web 10.244.0.1
              - front tcp 10.96.0.20:80 Pick { 0381b09e6e0653e2, n: 1, { sticky_seconds: None, masquerade: true } }
              + slot 7f034182e0f1be46 0 10.244.0.1:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 1, { sticky_seconds: None, masquerade: false } }
            a-thief 10.244.0.66 10.244.0.67
              - front tcp 10.96.0.66:80 Pick { 0381b09e6e0653e2, n: 1, { sticky_seconds: None, masquerade: false } }
              + slot 0381b09e6e0653e2 1 10.244.0.67:8080
              + front tcp 10.96.0.66:80 Pick { 0381b09e6e0653e2, n: 2, { sticky_seconds: None, masquerade: false } }
        "#]]);
}

#[test]
fn udp_flows_to_former_backends_are_forgotten() {
    let udp = || json!({"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]});
    Steps::default()
        .set("web", udp(), &[])
        .set("web", udp(), &["10.244.0.1", "10.244.0.2"])
        .set("web", udp(), &["10.244.0.1", "10.244.0.2", "10.244.0.3"])
        .set("web", udp(), &["10.244.0.1"])
        .set("web", json!({}), &["10.244.0.1"])
        .check(expect![[r#"
            web 
              + front udp 10.96.0.20:53 Reject
            web 10.244.0.1 10.244.0.2
              - front udp 10.96.0.20:53 Reject
              + slot fdbb178b81604165 0 10.244.0.1:53
              + slot fdbb178b81604165 1 10.244.0.2:53
              + front udp 10.96.0.20:53 Pick { fdbb178b81604165, n: 2, { sticky_seconds: None, masquerade: false } }
              forget udp 10.96.0.20:53 but to [10.244.0.1:53, 10.244.0.2:53]
            web 10.244.0.1 10.244.0.2 10.244.0.3
              - front udp 10.96.0.20:53 Pick { fdbb178b81604165, n: 2, { sticky_seconds: None, masquerade: false } }
              + slot fdbb178b81604165 2 10.244.0.3:53
              + front udp 10.96.0.20:53 Pick { fdbb178b81604165, n: 3, { sticky_seconds: None, masquerade: false } }
            web 10.244.0.1
              - slot fdbb178b81604165 1 10.244.0.2:53
              - slot fdbb178b81604165 2 10.244.0.3:53
              - front udp 10.96.0.20:53 Pick { fdbb178b81604165, n: 3, { sticky_seconds: None, masquerade: false } }
              + front udp 10.96.0.20:53 Pick { fdbb178b81604165, n: 1, { sticky_seconds: None, masquerade: false } }
              forget udp 10.96.0.20:53 but to [10.244.0.1:53]
            web 10.244.0.1
              - slot fdbb178b81604165 0 10.244.0.1:53
              - front udp 10.96.0.20:53 Pick { fdbb178b81604165, n: 1, { sticky_seconds: None, masquerade: false } }
              + slot 7f034182e0f1be46 0 10.244.0.1:8080
              + front tcp 10.96.0.20:80 Pick { 7f034182e0f1be46, n: 1, { sticky_seconds: None, masquerade: false } }
              forget udp 10.96.0.20:53 but to []
        "#]]);
}
