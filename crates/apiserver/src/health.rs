//! `/healthz`, `/livez`, `/readyz`: the checks, one by one or all together.

use std::sync::atomic::Ordering;

use http::Response;

use crate::body::Body;
use crate::query::Query;
use crate::{ApiServer, answer};

type Check = fn(&ApiServer) -> Result<(), &'static str>;

const CHECKS: &[(&str, Check)] = &[
    ("ping", |_| Ok(())),
    ("log", |_| Ok(())),
    ("etcd", is_store_open),
    ("poststarthook/bootstrap-controller", is_bootstrapped),
    ("poststarthook/rbac/bootstrap-roles", is_bootstrapped),
    ("poststarthook/start-system-namespaces-controller", is_bootstrapped),
];

/// Checks that only `/readyz` has.
const READY_CHECKS: &[(&str, Check)] = &[
    ("etcd-readiness", is_store_open),
    // The store is the cache: there is nothing that could lag behind it.
    ("informer-sync", |_| Ok(())),
    ("shutdown", |server| if server.is_stopping.load(Ordering::Acquire) { Err("process is shutting down") } else { Ok(()) }),
];

fn is_store_open(server: &ApiServer) -> Result<(), &'static str> {
    if server.registry.store().is_open() { Ok(()) } else { Err("the store is closed") }
}

fn is_bootstrapped(server: &ApiServer) -> Result<(), &'static str> {
    if server.is_ready.load(Ordering::Acquire) { Ok(()) } else { Err("not finished") }
}

/// `endpoint` is `healthz`, `livez` or `readyz`; `rest` names one check.
pub(crate) fn answer(server: &ApiServer, endpoint: &str, rest: &str, query: &Query) -> Response<Body> {
    let extra = if endpoint == "readyz" { READY_CHECKS } else { &[] };
    let checks = CHECKS.iter().chain(extra);
    if !rest.is_empty() {
        return match checks.into_iter().find(|(name, _)| *name == rest) {
            None => crate::resources::not_served(),
            Some((_, check)) => match check(server) {
                Ok(()) => answer::text(200, "ok"),
                Err(why) => answer::text(500, format!("internal server error: {why}\n")),
            },
        };
    }
    let mut lines = String::new();
    let mut failed = Vec::new();
    for (name, check) in checks {
        if query.all("exclude").any(|x| x == *name) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if check(server).is_ok() {
            lines.push_str(&format!("[+]{name} ok\n"));
        } else {
            // Upstream: the reason goes to the log only.
            lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        return answer::text(500, format!("{lines}{endpoint} check failed\n"));
    }
    if query.get("verbose").is_some() { answer::text(200, format!("{lines}{endpoint} check passed\n")) } else { answer::text(200, "ok") }
}
