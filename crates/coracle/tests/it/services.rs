//! Services and their names, as pods see them.

use crate::lab::{Lab, is_possible};

/// Two pods that tell their name, and one that asks.
const WEB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  serviceName: bare
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: box:1
        command: [sh, -c, 'mkdir /www; hostname > /www/name; exec httpd -f -p 8080 -h /www']
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {port: http, path: /name}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: bare}
spec: {clusterIP: None, ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: any}
spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {ipFamilyPolicy: RequireDualStack, sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {type: ExternalName, externalName: any.default.svc.cluster.local}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: box:1, command: [sleep, '1000']}]}
"#;

fn lab() -> Option<Lab> {
    if !is_possible() {
        return None;
    }
    let lab = Lab::new();
    lab.coracle(&["up"]);
    if !lab.has_kubectl() || !lab.build_box() {
        return None;
    }
    let manifest = lab.write("web.yaml", WEB);
    lab.kubectl(&format!("apply -f {manifest}"));
    lab.kubectl("wait --for=condition=Ready pod/web-0 pod/web-1 pod/client --timeout=60s");
    Some(lab)
}

fn asked(lab: &Lab, line: &str) -> String {
    lab.kubectl(&format!("exec client -- sh -c '{line}'"))
}

fn addresses(lab: &Lab, what: &str) -> Vec<String> {
    lab.kubectl(&format!("get {what}")).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn names_lead_to_services_and_pods() {
    let Some(lab) = lab() else { return };
    let web_0 = addresses(&lab, "pod web-0 -o jsonpath={.status.podIPs[*].ip}");
    let web_1 = addresses(&lab, "pod web-1 -o jsonpath={.status.podIPs[*].ip}");
    let any = addresses(&lab, "service any -o jsonpath={.spec.clusterIPs[*]}");
    let all = [web_0.clone(), web_1].concat();
    let domain = "default.svc.cluster.local";
    let checks = [
        (format!("nslookup any.{domain}"), any.clone()),
        (format!("nslookup -type=a any.{domain}"), vec![any[0].clone()]),
        (format!("nslookup -type=aaaa any.{domain}"), vec![any[1].clone()]),
        (format!("nslookup bare.{domain}"), all),
        (format!("nslookup web-0.bare.{domain}"), web_0.clone()),
        (format!("nslookup -type=srv _http._tcp.any.{domain}"), vec![format!("80 any.{domain}")]),
        (
            format!("nslookup -type=srv _http._tcp.bare.{domain}"),
            vec![format!("8080 web-0.bare.{domain}"), format!("8080 web-1.bare.{domain}")],
        ),
        (format!("nslookup other.{domain}"), [vec![format!("any.{domain}")], any.clone()].concat()),
        (format!("nslookup {}", any[0]), vec![format!("any.{domain}")]),
        (format!("nslookup {}", any[1]), vec![format!("any.{domain}")]),
        (format!("nslookup {}", web_0[0]), vec![format!("web-0.bare.{domain}")]),
    ];
    for (line, expected) in checks {
        let answer = asked(&lab, &line);
        for part in &expected {
            assert!(answer.contains(part.as_str()), "`{line}` lacks `{part}`:\n{answer}");
        }
    }
    assert!(lab.kubectl_error(&format!("exec client -- nslookup nobody.{domain}")).contains("exit code 1"));
}

#[test]
fn clients_are_spread_or_stay_with_their_pod() {
    let Some(lab) = lab() else { return };
    for family in [0, 1] {
        let names_of = |service: &str| {
            let ip = &addresses(&lab, &format!("service {service} -o jsonpath={{.spec.clusterIPs[*]}}"))[family];
            let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
            let ask = format!("for i in $(seq 30); do wget -q -O- http://{host}/name; done");
            let answers = asked(&lab, &ask);
            assert_eq!(answers.lines().count(), 30, "{answers}");
            answers.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names_of("sticky").len(), 1);
        assert_eq!(names_of("any").len(), 2);
    }
}

#[test]
fn a_pod_that_is_not_ready_gets_no_requests() {
    let Some(lab) = lab() else { return };
    lab.kubectl("exec web-0 -- rm /www/name");
    lab.until("get endpointslices -l kubernetes.io/service-name=any -o jsonpath={.items[*].endpoints[*].conditions.ready}", |ready| {
        ready.matches("false").count() == 2
    });
    lab.until("exec client -- sh -c 'for i in $(seq 20); do wget -q -O- http://any/name; done'", |names| {
        names.lines().count() == 20 && names.lines().all(|name| name == "web-1")
    });
}
