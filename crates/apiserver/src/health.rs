//! `/healthz`, `/livez`, `/readyz`: the checks, one by one or all together.

use std::sync::atomic::Ordering;

use http::Response;

use crate::body::Body;
use crate::query::Query;
use crate::start::Step;
use crate::{ApiServer, answer};

/// What a check looks at.
enum Look {
    /// That an answer comes is all there is to it.
    Answer,
    Store,
    /// A part of the bootstrap has been done. Upstream: what is deleted later makes nobody ill.
    Done(Step),
    NotStopping,
}

/// By upstream's names and in its order. What coracle has no part for is not listed, for nothing could be looked at: the loopback
/// certificate, definitions, flow control, leases and addresses of several servers, repair of addresses, remote API services.
const CHECKS: &[(&str, Look)] = &[
    ("ping", Look::Answer),
    ("log", Look::Answer),
    ("etcd", Look::Store),
    ("etcd-readiness", Look::Store),
    // The store is the cache: there is nothing that could lag behind it.
    ("informer-sync", Look::Answer),
    ("poststarthook/start-system-namespaces-controller", Look::Done(Step::Namespaces)),
    // The store has taken what was written first.
    ("poststarthook/storage-readiness", Look::Done(Step::Namespaces)),
    ("poststarthook/start-legacy-token-tracking-controller", Look::Done(Step::TokenTracking)),
    ("poststarthook/rbac/bootstrap-roles", Look::Done(Step::Policy)),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", Look::Done(Step::PriorityClasses)),
    ("poststarthook/priority-and-fairness-config-producer", Look::Done(Step::Standing)),
    ("poststarthook/bootstrap-controller", Look::Done(Step::KubernetesService)),
    ("poststarthook/start-kubernetes-service-cidr-controller", Look::Done(Step::ServiceRanges)),
    ("poststarthook/kube-apiserver-autoregistration", Look::Done(Step::Standing)),
    ("autoregister-completion", Look::Done(Step::Standing)),
    ("shutdown", Look::NotStopping),
];

/// Of these only `/readyz` knows.
const READINESS: &[&str] = &["etcd-readiness", "informer-sync", "shutdown"];

fn check(server: &ApiServer, look: &Look) -> Result<(), &'static str> {
    let (is_fine, why) = match look {
        Look::Answer => (true, ""),
        Look::Store => (server.registry.store().is_open(), "the store is closed"),
        Look::Done(step) => (server.n_steps_done.load(Ordering::Acquire) > *step as usize, "not finished"),
        Look::NotStopping => (!server.is_stopping.load(Ordering::Acquire), "process is shutting down"),
    };
    if is_fine { Ok(()) } else { Err(why) }
}

/// `endpoint` is `healthz`, `livez` or `readyz`; `rest` names one check.
pub(crate) fn answer(server: &ApiServer, endpoint: &str, rest: &str, query: &Query) -> Response<Body> {
    let mut checks = CHECKS.iter().filter(|(name, _)| endpoint == "readyz" || !READINESS.contains(name));
    if !rest.is_empty() {
        return match checks.find(|(name, _)| *name == rest) {
            None => crate::resources::not_served(),
            Some((_, look)) => match check(server, look) {
                Ok(()) => answer::text(200, "ok"),
                Err(why) => answer::text(500, format!("internal server error: {why}\n")),
            },
        };
    }
    let mut lines = String::new();
    let mut failed = Vec::new();
    for (name, look) in checks {
        if query.all("exclude").any(|x| x == *name) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if check(server, look).is_ok() {
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
