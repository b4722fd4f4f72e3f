use std::sync::Arc;

use expect_test::{Expect, expect};
use net_plan::names::{Answer, Data, Kind, Names};
use object::key::ObjectKey;
use serde_json::{Value, json};

fn names() -> Names {
    let mut names = Names::new("cluster.local", vec!["10.96.0.10".parse().expect("an address")]);
    names.set_namespace("default", true);
    let mut set = |name: &str, spec: Value, slices: Value| {
        let service = serde_json::from_value(json!({"metadata": {"namespace": "default", "name": name}, "spec": spec})).expect("a service");
        let slices =
            slices.as_array().expect("a list").iter().map(|slice| Arc::new(serde_json::from_value(slice.clone()).expect("a slice")));
        names.set_service(&ObjectKey::new("default", name), Some(Arc::new(service)), slices.collect());
    };
    let ports = json!([{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]);
    set("web", json!({"clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20", "fd00::20"], "ports": ports}), json!([]));
    let endpoints = json!([
        {"addresses": ["10.244.0.5"], "hostname": "db-0"},
        {"addresses": ["10.244.1.6"]},
        {"addresses": ["10.244.1.7"], "conditions": {"ready": false}},
    ]);
    let slice =
        json!({"metadata": {}, "addressType": "IPv4", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}], "endpoints": endpoints});
    set("db", json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]}), json!([slice]));
    set("idle", json!({"clusterIP": "None"}), json!([]));
    set("out", json!({"type": "ExternalName", "externalName": "example.com."}), json!([]));
    names
}

fn shown(data: &Data) -> String {
    match data {
        Data::Address(ip) => ip.to_string(),
        Data::Srv { priority, weight, port, target } => format!("{priority} {weight} {port} {target}"),
        Data::Cname(name) | Data::Ptr(name) | Data::Ns(name) | Data::Txt(name) => name.clone(),
        Data::Soa => "soa".to_owned(),
    }
}

fn check(questions: &[(&str, Kind)], expected: Expect) {
    let names = names();
    let lines = questions.iter().map(|(name, kind)| {
        let answer = match names.answer(name, *kind) {
            Answer::Records { answers, additional } => {
                let list = |records: &[net_plan::names::Record]| {
                    let owner = |name: &Option<String>| name.as_ref().map_or(String::new(), |name| format!("{name} "));
                    records.iter().map(|record| format!("{}{}", owner(&record.name), shown(&record.data))).collect::<Vec<_>>().join(", ")
                };
                if additional.is_empty() { list(&answers) } else { format!("{} + {}", list(&answers), list(&additional)) }
            }
            other => format!("{other:?}"),
        };
        format!("{kind:?} {name}: {answer}\n")
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn services() {
    check(
        &[
            ("web.default.svc.cluster.local", Kind::A),
            ("web.default.svc.cluster.local", Kind::Aaaa),
            ("web.default.svc.cluster.local", Kind::Txt),
            ("_http._tcp.web.default.svc.cluster.local", Kind::Srv),
            ("_http._tcp.web.default.svc.cluster.local", Kind::A),
            ("_http._udp.web.default.svc.cluster.local", Kind::Srv),
            ("web.default.svc.cluster.local", Kind::Srv),
            ("out.default.svc.cluster.local", Kind::A),
            ("nobody.default.svc.cluster.local", Kind::A),
            ("web.default", Kind::A),
            ("web.default.svc.cluster.local.default.svc.cluster.local", Kind::A),
        ],
        expect![[r#"
            A web.default.svc.cluster.local: 10.96.0.20
            Aaaa web.default.svc.cluster.local: fd00::20
            Txt web.default.svc.cluster.local: NoData
            Srv _http._tcp.web.default.svc.cluster.local: 0 100 80 web.default.svc.cluster.local + web.default.svc.cluster.local 10.96.0.20, web.default.svc.cluster.local fd00::20
            A _http._tcp.web.default.svc.cluster.local: 10.96.0.20
            Srv _http._udp.web.default.svc.cluster.local: NoSuchName
            Srv web.default.svc.cluster.local: 0 50 80 web.default.svc.cluster.local, 0 50 9090 web.default.svc.cluster.local + web.default.svc.cluster.local 10.96.0.20, web.default.svc.cluster.local fd00::20
            A out.default.svc.cluster.local: Alias("example.com")
            A nobody.default.svc.cluster.local: NoSuchName
            A web.default: Elsewhere
            A web.default.svc.cluster.local.default.svc.cluster.local: NoSuchName
        "#]],
    );
}

#[test]
fn headless_services_and_their_endpoints() {
    check(
        &[
            ("db.default.svc.cluster.local", Kind::A),
            ("db.default.svc.cluster.local", Kind::Aaaa),
            ("db-0.db.default.svc.cluster.local", Kind::A),
            ("10-244-1-6.db.default.svc.cluster.local", Kind::A),
            ("db-9.db.default.svc.cluster.local", Kind::A),
            ("_sql._tcp.db.default.svc.cluster.local", Kind::Srv),
            ("idle.default.svc.cluster.local", Kind::A),
        ],
        expect![[r#"
            A db.default.svc.cluster.local: 10.244.0.5, 10.244.1.6
            Aaaa db.default.svc.cluster.local: NoData
            A db-0.db.default.svc.cluster.local: 10.244.0.5
            A 10-244-1-6.db.default.svc.cluster.local: 10.244.1.6
            A db-9.db.default.svc.cluster.local: NoSuchName
            Srv _sql._tcp.db.default.svc.cluster.local: 0 50 5432 db-0.db.default.svc.cluster.local, 0 50 5432 10-244-1-6.db.default.svc.cluster.local + db-0.db.default.svc.cluster.local 10.244.0.5, 10-244-1-6.db.default.svc.cluster.local 10.244.1.6
            A idle.default.svc.cluster.local: NoSuchName
        "#]],
    );
}

#[test]
fn pods_addresses_and_the_domain_itself() {
    check(
        &[
            ("10-244-0-5.default.pod.cluster.local", Kind::A),
            ("10-244-0-5.default.pod.cluster.local", Kind::Aaaa),
            ("fd00--5.default.pod.cluster.local", Kind::Aaaa),
            ("10-244-0-5.nowhere.pod.cluster.local", Kind::A),
            ("web.default.pod.cluster.local", Kind::A),
            ("20.0.96.10.in-addr.arpa", Kind::Ptr),
            ("5.0.244.10.in-addr.arpa", Kind::Ptr),
            ("6.1.244.10.in-addr.arpa", Kind::Ptr),
            ("0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", Kind::Ptr),
            ("cluster.local", Kind::Soa),
            ("cluster.local", Kind::Ns),
            ("cluster.local", Kind::A),
            ("ns.dns.cluster.local", Kind::A),
            ("dns-version.cluster.local", Kind::Txt),
            ("default.svc.cluster.local", Kind::A),
            ("nowhere.svc.cluster.local", Kind::A),
            ("svc.cluster.local", Kind::A),
            ("example.com", Kind::A),
            ("notcluster.local", Kind::A),
        ],
        expect![[r#"
            A 10-244-0-5.default.pod.cluster.local: 10.244.0.5
            Aaaa 10-244-0-5.default.pod.cluster.local: NoData
            Aaaa fd00--5.default.pod.cluster.local: fd00::5
            A 10-244-0-5.nowhere.pod.cluster.local: NoSuchName
            A web.default.pod.cluster.local: NoSuchName
            Ptr 20.0.96.10.in-addr.arpa: web.default.svc.cluster.local
            Ptr 5.0.244.10.in-addr.arpa: db-0.db.default.svc.cluster.local
            Ptr 6.1.244.10.in-addr.arpa: Elsewhere
            Ptr 0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa: web.default.svc.cluster.local
            Soa cluster.local: soa
            Ns cluster.local: ns.dns.cluster.local + ns.dns.cluster.local 10.96.0.10
            A cluster.local: NoData
            A ns.dns.cluster.local: 10.96.0.10
            Txt dns-version.cluster.local: 1.1.0
            A default.svc.cluster.local: NoData
            A nowhere.svc.cluster.local: NoSuchName
            A svc.cluster.local: NoData
            A example.com: Elsewhere
            A notcluster.local: Elsewhere
        "#]],
    );
}

#[test]
fn what_goes_is_forgotten() {
    let mut names = names();
    for service in ["web", "db"] {
        names.set_service(&ObjectKey::new("default", service), None, Vec::new());
    }
    assert_eq!(names.answer("web.default.svc.cluster.local", Kind::A), Answer::NoSuchName);
    assert_eq!(names.answer("20.0.96.10.in-addr.arpa", Kind::Ptr), Answer::Elsewhere);
    assert_eq!(names.answer("5.0.244.10.in-addr.arpa", Kind::Ptr), Answer::Elsewhere);
}
