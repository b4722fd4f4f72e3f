//! Chores a person runs by hand. `cargo xtask gen-facts` renews the committed fact tables; nothing here runs in a build.

mod gen_facts;

use std::process::ExitCode;

const USAGE: &str = "usage: xtask gen-facts --discovery FILE --openapi FILE --tables FILE
  --discovery  what a default kube-apiserver answers to aggregated discovery v2: {\"api\": ..., \"apis\": ...}
  --openapi    its OpenAPI v3 documents by path, gzipped: {\"apis/apps/v1\": {...}, ...}
  --tables     its server-side table columns by resource: {\"apps/v1/deployments\": [{name, type, format, priority}, ...]}";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["gen-facts", "--discovery", discovery, "--openapi", openapi, "--tables", tables] = arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match gen_facts::run(discovery.as_ref(), openapi.as_ref(), tables.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
