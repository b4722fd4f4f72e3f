//! `coracle up`: a cluster in the background, Ready, and kubectl pointed at it. Doing it again is harmless.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::admin::admin_client;
use crate::cli::ClusterFlags;
use crate::daemon;
use crate::failure::Failure;
use crate::kubeconfig;
use crate::options::{self, Place, ServerOptions};
use crate::say;

/// The first start on a slow disk; a normal one takes about a second.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

pub(crate) fn run(flags: &ClusterFlags) -> Result<(), Failure> {
    let options = ServerOptions::resolve(flags)?;
    let kubeconfig_path = options::kubeconfig_path(flags.kubeconfig.as_deref())?;
    let began = object::time::stopwatch();
    let running = crate::block_on(is_serving(&options.place))?;
    if !running {
        start(flags, &options, began)?;
    }
    let text = std::fs::read_to_string(options.place.admin_kubeconfig())
        .map_err(|e| Failure::caused("cannot read the administrator's kubeconfig", &e).hint("coracle down && coracle up"))?;
    let document = codec::yaml::parse(&text).map_err(|e| Failure::new(format!("the administrator's kubeconfig: {e}")))?;
    kubeconfig::merge(&kubeconfig_path, &document)?;
    let verb = if running { "was running already" } else { "is ready" };
    say!("Cluster `{}` {verb} ({:.1} s).", options.place.name, began.elapsed().as_secs_f64());
    say!("kubectl uses context `{}` of {} now. Try:", options.place.context(), kubeconfig_path.display());
    say!("  kubectl get nodes");
    say!("  kubectl create deployment web --image=localhost:{}/chat:1 --replicas=2", options.registry_port);
    Ok(())
}

/// Whether a server holds the cluster and answers. One that is just dying (killed, or stopping) is waited for until it is gone.
async fn is_serving(place: &Place) -> bool {
    for _ in 0..PATIENCE.as_millis() / BETWEEN_LOOKS.as_millis() {
        if daemon::server_pid(place).is_none() {
            return false;
        }
        let answers = async { admin_client(place).ok()?.get::<serde_json::Value>("/version").await.ok() };
        if tokio::time::timeout(ANSWER_TIME_MAX, answers).await.is_ok_and(|answer| answer.is_some()) {
            return true;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    true
}

fn start(flags: &ClusterFlags, options: &ServerOptions, began: Instant) -> Result<(), Failure> {
    let starting = daemon::start_server(&options.place, &arguments(flags, options))?;
    let is_terminal = std::io::stderr().is_terminal();
    let ready = starting.wait_ready(&options.place, PATIENCE, &mut |status| {
        if is_terminal && began.elapsed() > Duration::from_secs(1) {
            eprint!("\r\x1b[K{status} …");
            let _ = std::io::stderr().flush();
        }
    });
    if is_terminal {
        eprint!("\r\x1b[K");
    }
    ready
}

/// The same flags for the server, with paths made absolute: it runs in another folder.
fn arguments(flags: &ClusterFlags, options: &ServerOptions) -> Vec<String> {
    let mut arguments = vec![
        format!("--name={}", options.place.name),
        format!("--data-dir={}", options.place.data_dir.display()),
        format!("--api-port={}", options.api_port),
        format!("--registry-port={}", options.registry_port),
        format!("--kubelet-port={}", options.kubelet_port),
        format!("--pod-cidr={}", flags.pod_cidr),
        format!("--service-cidr={}", flags.service_cidr),
        format!("--node-name={}", options.node_name),
        format!("--controllers={}", options.controllers),
        format!("--log={}", flags.log),
    ];
    if !options.node_ips.is_empty() {
        let ips: Vec<String> = options.node_ips.iter().map(ToString::to_string).collect();
        arguments.push(format!("--node-ip={}", ips.join(",")));
    }
    arguments
}
