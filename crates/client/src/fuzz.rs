//! Bent kubeconfig files.

use std::path::Path;

#[test]
fn kubeconfig() {
    let seeds = ["
current-context: b
clusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443', certificate-authority-data: Y2E=, tls-server-name: x}}]
contexts: [{name: a, context: {cluster: c, user: plugin}}, {name: b, context: {cluster: c, user: u, namespace: chat}}]
users: [{name: u, user: {token: t}}, {name: plugin, user: {exec: {command: x}}}, {name: v, user: {client-key-data: eA==}}]
"];
    let words = [
        "current-context: ",
        "clusters: ",
        "users:\n- ",
        "name: ",
        "certificate-authority: ",
        "insecure-skip-tls-verify: true",
        "? ",
        "[[",
        "&a ",
        "*a",
    ];
    ::fuzz::run(&seeds, &words, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        [None, Some("a")].map(|context| crate::kubeconfig::parse(text, Path::new("/nowhere"), context).is_ok()).contains(&true)
    });
}
