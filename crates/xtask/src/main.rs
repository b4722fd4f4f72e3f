//! Chores of the house: `cargo xtask ci` is what continuous integration runs.

mod bench;
mod binary;
mod ci;
mod clients;
mod conformance;
mod fuzz;
mod gen_facts;
mod guest;
mod record_validation;
mod run;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask ci | clients | guest [--debug | --release] | bench [MEASURE...] | fuzz SECONDS [TARGET] | conformance OPTIONS | differential OPTIONS | gen-facts --discovery FILE --openapi FILE --tables FILE
       | swap KUBECONFIG [SCRIPT] | record-validation KUBECONFIG ETCD [GROUP...]
  ci           install what tests need, check the formatting, run all tests
  clients      fetch real clients into target/clients: kubectl, Helm, Python, JavaScript, client-go, kube-rs
  bench        build for release and print the table of measures beside upstream's figures (root; docs/BENCHMARKS.md)
  fuzz         bend the input of every decoder, or of those whose name has TARGET in it, so many seconds each
  guest        a stock kernel under emulation: cgroup v2, a power cut, what a kernel may lack
  conformance  judge coracle by upstream's suite
  differential ask a kube-apiserver and coracle the same and show what differs; any option it does not know shows how
  swap         play the simulation's scripts with our controllers, scheduler and nodes on the fresh kube-apiserver of KUBECONFIG
  gen-facts    renew the committed fact tables, once per Kubernetes minor
    --discovery  what a default kube-apiserver answers to aggregated discovery v2: {\"api\": ..., \"apis\": ...}
    --openapi    its OpenAPI v3 documents by path, gzipped: {\"apis/apps/v1\": {...}, ...}
    --tables     its server-side table columns by resource: {\"apps/v1/deployments\": [{name, type, format, priority}, ...]}
  record-validation  renew what a fresh reference kube-apiserver says of faulty objects (crates/strategies/golden/validation);
    ETCD is where its store listens, as host:port";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["ci"] => ci::run(),
        ["clients"] => clients::fetch(),
        ["bench", ref measures @ ..] => bench::run(measures),
        ["fuzz", seconds, ref target @ ..] => fuzz::run(seconds, target),
        ["guest"] => guest::run(binary::Profile::Optimised),
        ["guest", "--debug"] => guest::run(binary::Profile::Debug),
        ["guest", "--release"] => guest::run(binary::Profile::Release),
        ["conformance", ref options @ ..] => conformance::run(options),
        ["differential", ref options @ ..] => run::cargo(&[&["run", "--quiet", "--package", "differential", "--"], options].concat()),
        ["swap", kubeconfig, ref script @ ..] => swap(kubeconfig, script.first().unwrap_or(&"")),
        ["gen-facts", "--discovery", discovery, "--openapi", openapi, "--tables", tables] => {
            gen_facts::run(discovery.as_ref(), openapi.as_ref(), tables.as_ref()).map_err(|e| e.to_string())
        }
        ["record-validation", kubeconfig, etcd, ref files @ ..] => record_validation::run(kubeconfig.as_ref(), etcd, files),
        _ => {
            eprintln!("{USAGE}\n{}", conformance::USAGE);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn swap(kubeconfig: &str, script: &str) -> Result<(), String> {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["test", "-p", "simulation", "--test", "it", "swap::", "--", "--nocapture"]);
    run::done(command.env("CORACLE_SWAP_KUBECONFIG", kubeconfig).env("CORACLE_SWAP_SCRIPT", script))
}
