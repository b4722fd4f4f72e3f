//! The two sides: coracle's API server in this process over a memory store, and a reference that a kubeconfig names.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::remote::Remote;
use client::transport::Transport;
use object::time::Clock;
use pki::token::TokenKey;
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;

/// Any time will do: answers are compared without times, but certificates and tokens must be valid at it.
const NOW: &str = "2026-11-22T10:00:00Z";

/// A fresh coracle that is set as the reference is.
pub async fn coracle() -> Result<impl Transport, String> {
    let clock = Clock::virtual_time(|| NOW.parse().expect("a time"));
    let ranges = ["10.96.0.0/16", "fd00:96::/112"].iter().filter_map(|range| range.parse().ok()).collect();
    let services = ServiceSettings { ranges, ..ServiceSettings::default() };
    let server = ApiServer::new(Settings {
        registry: Registry::new(store::Store::memory(), clock, Entropy::seeded(1), services),
        token_key: Arc::new(TokenKey::generate().map_err(|e| format!("cannot make a token key: {e}"))?),
        issuer: "https://kubernetes.default.svc".to_owned(),
        static_tokens: HashMap::new(),
        address: "192.0.2.10:6443".to_owned(),
        kubelet_tls: None,
    });
    let address = "192.0.2.10".parse().map_err(|e| format!("{e}"))?;
    server.bootstrap(&[address], 6443).await.map_err(|e| format!("cannot start: {e}"))?;
    let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
    Ok(server.local(UserInfo { name: "admin".to_owned(), uid: "admin-uid".to_owned(), groups, ..UserInfo::default() }))
}

/// The reference: a fresh kube-apiserver whose administrator the kubeconfig holds.
pub fn reference(kubeconfig: &Path) -> Result<impl Transport, String> {
    let target = client::kubeconfig::read(kubeconfig, None).map_err(|e| e.to_string())?;
    Remote::new(target).map_err(|e| e.to_string())
}
