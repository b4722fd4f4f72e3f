//! An API server over a memory store, for trying clients by hand: `cargo run --example serve -- DIR PORT`.
//! Writes `DIR/kubeconfig` and serves until it is killed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use apiserver::{ApiServer, Settings};
use object::time::Clock;
use pki::token::TokenKey;
use pki::{Authority, Leaf};
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| "coracle-api".to_owned());
    let port: u16 = args.next().unwrap_or_else(|| "16443".to_owned()).parse()?;
    let dir = Path::new(&dir);
    std::fs::create_dir_all(dir)?;
    let clock = Clock::system();
    let authority = Authority::create("coracle-ca", clock.now())?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let server_pair = authority.issue(&Leaf::server("apiserver", vec!["localhost".to_owned()], vec![loopback]), clock.now())?;
    let admin = authority.issue(&Leaf::client("kubernetes-admin", "system:masters"), clock.now())?;
    let ranges = ["10.96.0.0/16", "fd00:96::/112"].map(|range| range.parse()).into_iter().collect::<Result<_, _>>()?;
    let services = ServiceSettings { ranges, ..ServiceSettings::default() };
    let registry = Registry::new(store::Store::memory(), clock, Entropy::kernel(), services);
    let server = ApiServer::new(Settings {
        registry,
        token_key: Arc::new(TokenKey::generate()?),
        issuer: "https://kubernetes.default.svc".to_owned(),
        static_tokens: HashMap::new(),
        address: format!("127.0.0.1:{port}"),
        kubelet_tls: None,
    });
    server.bootstrap(&[IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))], port).await?;
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "try",
        "clusters": [{"name": "try", "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": base64(authority.certificate_pem())}}],
        "users": [{"name": "admin", "user": {"client-certificate-data": base64(&admin.certificate_pem), "client-key-data": base64(&admin.key_pem)}}],
        "contexts": [{"name": "try", "context": {"cluster": "try", "user": "admin"}}],
    });
    std::fs::write(dir.join("kubeconfig"), kubeconfig.to_string())?;
    let tls = pki::tls::server(&pki::Identity::new(&server_pair)?, authority.certificate_pem())?;
    let listener = tokio::net::TcpListener::bind((loopback, port)).await?;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    server.serve(listener, tls, stopped).await;
    Ok(())
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
