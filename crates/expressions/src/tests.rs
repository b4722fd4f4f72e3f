//! Upstream's own environments were asked (`golden/`): the same types and the same words.

use serde_json::Value;

use crate::{Environment, check};

fn environment(name: &str) -> Environment {
    match name {
        "device" => Environment::device(),
        "admission" => Environment::admission().with_authorizer(),
        "params" => Environment::admission().with_authorizer().with_params(),
        "patch" => Environment::admission().with_authorizer().with_params().with_patches(),
        _ => Environment::default(),
    }
}

#[test]
fn types_and_faults_are_upstreams() {
    let mut wrong = Vec::new();
    for line in include_str!("../golden/expressions.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("golden lines are JSON");
        let (name, source) = (case["env"].as_str().unwrap_or(""), case["source"].as_str().unwrap_or(""));
        let wanted = case["type"].as_str().or(case["error"].as_str()).unwrap_or("");
        let found = match check(source, &environment(name)) {
            Ok(checked) => checked.result().to_string(),
            Err(faults) => faults.to_string(),
        };
        if found != wanted {
            wrong.push(format!("{name}: {source}\n--- upstream\n{wanted}\n--- here\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
