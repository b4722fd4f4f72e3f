//! Keeps a cluster for a while, to be looked at with any client: `cargo test -p kubelet --test host -- serve`.

use std::net::SocketAddr;
use std::time::Duration;

use pki::Leaf;

use crate::cluster::loopback;

const STAYS: Duration = Duration::from_secs(600);

pub(crate) fn run() {
    crate::cluster::run(|cluster| async move {
        let now = object::time::Clock::system().now();
        let (kubeconfig, _stop) = {
            let cluster = cluster.lock().await;
            let authority = &cluster.authority;
            let pair = authority.issue(&Leaf::server("kubernetes", Vec::new(), vec![loopback()]), now).expect("a certificate");
            let admin = authority.issue(&Leaf::client("admin", "system:masters"), now).expect("a certificate");
            let tls = pki::tls::server(&pki::Identity::new(&pair).expect("an identity"), authority.certificate_pem()).expect("settings");
            let listener = tokio::net::TcpListener::bind(SocketAddr::new(loopback(), 0)).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let (stop, stopped) = tokio::sync::watch::channel(false);
            tokio::spawn(cluster.server.clone().serve(listener, tls, stopped));
            let file = cluster.directory.join("kubeconfig");
            std::fs::write(cluster.directory.join("ca.pem"), authority.certificate_pem()).expect("written");
            std::fs::write(cluster.directory.join("admin.pem"), &admin.certificate_pem).expect("written");
            std::fs::write(cluster.directory.join("admin.key"), &admin.key_pem).expect("written");
            let folder = cluster.directory.display();
            let text = format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n\
                 clusters: [{{name: test, cluster: {{server: 'https://{address}', certificate-authority: {folder}/ca.pem}}}}]\n\
                 users: [{{name: admin, user: {{client-certificate: {folder}/admin.pem, client-key: {folder}/admin.key}}}}]\n"
            );
            std::fs::write(&file, text).expect("written");
            (file, stop)
        };
        println!("KUBECONFIG={}", kubeconfig.display());
        tokio::select! {
            () = tokio::time::sleep(STAYS) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    });
}
