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

/// Each of these would make a careless reader run deep, grow or take long.
#[test]
fn hostile_texts_end() {
    let nested = |head: &str, tail: &str, n: usize| format!("{}1{}", head.repeat(n), tail.repeat(n));
    let hostile = [
        nested("[1].map(x, ", ")", 240),
        nested("[1].exists(x, [x].exists_one(y, {x: y}.all(z, ", " == 1)))", 80),
        nested("cel.bind(a, {1: ", "}, {a: a})", 120),
        format!("optional.of(1){}", ".optMap(x, x)".repeat(240)),
        format!("[{}]", "-1,".repeat(1_500)),
        format!("[{}]", "[],".repeat(1_500)),
        format!("[{}]", "size([]),".repeat(1_000)),
        format!("{}1", "-1[".repeat(200)),
        format!("{}1", "{1:[f(".repeat(80)),
        format!("{}1", "1 ? ".repeat(240)),
        format!("a{}", ".b".repeat(1_500)),
        format!("x{}", " ".repeat(90_000)),
        "(".repeat(100_000),
        "'%'.format(['".repeat(3_000),
        format!("'a'.matches('{}')", "(".repeat(20_000)),
        (0..40).fold("a".to_owned(), |inner, _| format!("cel.bind(a, {{a: a}}, {inner})")),
    ];
    for text in hostile {
        _ = check(&text, &Environment::device());
    }
}
