//! Swap: coracle's controllers, scheduler and nodes on another API server print what they print on coracle's own.
//!
//! `cargo xtask swap KUBECONFIG` names a fresh server, upstream's; without one there is nothing to do. Time is real there, so scripts
//! that let much of it pass are left out, and how long something took is not compared. After each script the server is swept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use client::remote::Remote;
use client::{Client, Transport};
use object::key::GroupVersionResource;
use object::plan::{DeleteOptions, Propagation};
use serde_json::Value;
use simulation::Simulation;

use crate::scripts::{play, scripts};

/// How long a script may wait in all, besides coming to rest.
const WAITS_MAX: Duration = Duration::from_secs(60);

#[test]
fn another_server_makes_no_difference() {
    let Ok(kubeconfig) = std::env::var("CORACLE_SWAP_KUBECONFIG") else {
        eprintln!("skipped: no other API server; `cargo xtask swap KUBECONFIG` names one");
        return;
    };
    let only = std::env::var("CORACLE_SWAP_SCRIPT").unwrap_or_default();
    let target = client::kubeconfig::read(Path::new(&kubeconfig), None).expect("a kubeconfig");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut faults = Vec::new();
    for file in scripts() {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = std::fs::read_to_string(&file).expect("a script is text");
        if !name.contains(&only) || !is_short(&wanted) {
            println!("{name}: left out");
            continue;
        }
        let found = runtime.block_on(async {
            let server: Arc<dyn Transport> = Arc::new(Remote::new(target.clone()).expect("a client"));
            let found = play(&wanted, async |n_nodes| Simulation::start_on(server.clone(), n_nodes).await).await;
            sweep(&Client::new(server)).await;
            found
        });
        let is_same = timeless(&found) == timeless(&wanted);
        println!("{name}: {}", if is_same { "the same" } else { "different" });
        if !is_same {
            faults.push(format!("{name} prints there:\n{found}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

pub(crate) fn is_short(script: &str) -> bool {
    let waits = script.lines().filter_map(|line| line.strip_prefix("$ tick ")).map(crate::command::duration);
    waits.sum::<Duration>() <= WAITS_MAX
}

/// Without durations, the minutes in names, and the layout that follows from their lengths.
fn timeless(text: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_duration = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit())
            && word
                .split_inclusive(['s', 'm', 'h', 'd'])
                .all(|part| part.ends_with(['s', 'm', 'h', 'd']) && is_number(&part[..part.len() - 1]))
    };
    let part = |part: &'_ str| if is_number(part) && part.len() > 6 { "*".to_owned() } else { part.to_owned() };
    let word = |word: &str| if is_duration(word) { "*".to_owned() } else { word.split('-').map(part).collect::<Vec<_>>().join("-") };
    text.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// Takes away what scripts make, with nobody there to clean up after them.
async fn sweep(client: &Client) {
    let at_once = DeleteOptions { grace_period_seconds: Some(0), propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    let catalog = kinds::builtin();
    for resource in catalog.resources.iter().filter(|r| r.has_verb("deletecollection")) {
        let of_scripts = resource.namespaced || matches!(resource.plural.as_str(), "nodes" | "priorityclasses" | "persistentvolumes");
        if !of_scripts || resource.plural == "serviceaccounts" {
            continue;
        }
        let path = GroupVersionResource::new(&resource.group, &resource.version, &resource.plural);
        // Kinds that the other server does not serve are not there either.
        let _ = client.delete(&path.collection_path(if resource.namespaced { "default" } else { "" }), &at_once).await;
    }
    // Services cannot be deleted as a collection everywhere; the server's own comes back.
    let services: Value = client.get("/api/v1/namespaces/default/services").await.unwrap_or_default();
    for name in services["items"].as_array().into_iter().flatten().filter_map(|service| service["metadata"]["name"].as_str()) {
        let _ = client.delete(&format!("/api/v1/namespaces/default/services/{name}"), &at_once).await;
    }
}
