//! A node's certificates over a year, signed by the real control plane on a clock that runs ahead.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::Client;
use control_plane::{ControlPlane, Options, Selection};
use jiff::{SignedDuration, Timestamp};
use kubelet::identity::{Asker, Wanted};
use object::time::Clock;
use pki::Identity;
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;
use serde_json::{Value, json};
use simulation::Simulation;

const BIRTH: Timestamp = Timestamp::constant(1_795_341_600, 0);
/// Timers are looked at at least once an hour; then half a month has passed.
const SPEED: u32 = 360;

fn fast_clock() -> Clock {
    let began = tokio::time::Instant::now();
    Clock::virtual_time(move || BIRTH + SignedDuration::try_from(began.elapsed() * SPEED).expect("a few years"))
}

async fn server(clock: &Clock) -> Arc<ApiServer> {
    let server = ApiServer::new(Settings {
        registry: Registry::new(store::Store::memory(), clock.clone(), Entropy::seeded(1), ServiceSettings::default()),
        token_key: Arc::new(pki::token::TokenKey::generate().expect("a key")),
        issuer: "https://kubernetes.default.svc".to_owned(),
        static_tokens: HashMap::new(),
        address: "10.0.0.1:6443".to_owned(),
        kubelet_tls: None,
    });
    server.bootstrap(&["10.0.0.1".parse().expect("an address")], 6443).await.expect("bootstraps");
    server
}

fn client_as(server: &Arc<ApiServer>, name: &str, group: &str) -> Client {
    let groups = vec![group.to_owned(), "system:authenticated".to_owned()];
    Client::new(Arc::new(server.local(UserInfo { name: name.to_owned(), groups, ..UserInfo::default() })))
}

#[test]
fn a_node_renews_its_certificate_before_it_ends() {
    Simulation::run(async || {
        let clock = fast_clock();
        let server = server(&clock).await;
        let admin = client_as(&server, "admin", "system:masters");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "node-renewal"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
        });
        let _: Value = admin.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.expect("a binding");
        let options = Options {
            root_ca: String::new(),
            signer: Some(pki::Authority::create("kubernetes", clock.now()).expect("an authority")),
            token_key: None,
            pod_networks: Vec::new(),
            scheduler: scheduling::Options::default(),
            controllers: Selection::parse("certificatesigningrequest"),
        };
        let _control = ControlPlane::start(admin.clone(), clock.clone(), options).await.expect("all are known");

        let asker =
            Asker { client: client_as(&server, "system:node:n1", "system:nodes"), node_name: "n1".to_owned(), clock: clock.clone() };
        let first = asker.ask(&Wanted::Client).await.expect("a certificate");
        let identity = Identity::new(&first).expect("an identity");
        let (keep, mut kept) = tokio::sync::mpsc::unbounded_channel();
        let keeping = asker.keep_fresh(Wanted::Client, first.clone(), identity.clone(), move |pair| {
            let _ = keep.send(pair.clone());
            Ok(())
        });
        let keeping = tokio::spawn(keeping);
        let next = kept.recv().await.expect("renewed").subject().expect("it says");
        let first = first.subject().expect("it says");
        let share = clock.now().duration_since(first.from).div_duration_f64(first.until.duration_since(first.from));
        assert!((0.69..0.96).contains(&share), "renewed after {share} of its life");
        assert_eq!(next.common_name, "system:node:n1");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(identity.generation(), 1);
        let requests: Value = admin.get("/apis/certificates.k8s.io/v1/certificatesigningrequests").await.expect("a list");
        let approved =
            requests["items"].as_array().expect("a list").iter().flat_map(|r| r["status"]["conditions"].as_array().expect("some"));
        let messages: Vec<&str> = approved.filter_map(|c| c["message"].as_str()).collect();
        assert_eq!(messages, ["Auto approving self kubelet client certificate after SubjectAccessReview."; 2]);
        keeping.abort();
    });
}
