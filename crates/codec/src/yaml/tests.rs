use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{documents, duplicates, parse, write};

#[track_caller]
fn check_write(value: Value, expected: Expect) {
    let text = write(&value);
    expected.assert_eq(&text);
    assert_eq!(parse(&text), Ok(value), "what is written reads back");
}

#[test]
fn objects_are_written_as_kubectl_writes_them() {
    check_write(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {}, "annotations": {"b": "", "a/10": "1", "a/9": "true"}},
            "spec": {"containers": [{"name": "c", "args": ["-c", "- x", "a: b", "a:b", "#x", "0x1f", "1_000", "12:30", "2001-01-01", "~", "é"],
                "command": []}], "matrix": [[1, 2], [], [{"a": 1.5}]], "nothing": null}}),
        expect![[r##"
            apiVersion: v1
            kind: Pod
            metadata:
              annotations:
                a/9: "true"
                a/10: "1"
                b: ""
              labels: {}
              name: a
            spec:
              containers:
              - args:
                - -c
                - '- x'
                - 'a: b'
                - a:b
                - '#x'
                - "0x1f"
                - "1_000"
                - "12:30"
                - "2001-01-01"
                - "~"
                - é
                command: []
                name: c
              matrix:
              - - 1
                - 2
              - []
              - - a: 1.5
              nothing: null
        "##]],
    );
}

#[test]
fn long_and_many_lines() {
    let long = "word ".repeat(20) + "end";
    check_write(
        json!({"plain": long, "quoted": format!("it's: {long}"), "tab": format!("a\t{long}"), "block": "a\n  b\n", "strip": "a\nb",
            "keep": "a\n\n", "indented": " a\nb", "odd": "a \nb", "k".repeat(130): ["x"]}),
        expect![[r#"
            block: |
              a
                b
            indented: |2-
               a
              b
            keep: |+
              a

            ? kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
            : - x
            odd: "a \nb"
            plain: word word word word word word word word word word word word word word word
              word word word word word end
            quoted: 'it''s: word word word word word word word word word word word word word word
              word word word word word word end'
            strip: |-
              a
              b
            tab: "a\tword word word word word word word word word word word word word word word
              word word word word word end"
        "#]],
    );
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    for (text, expected) in [
        ("yes", json!(true)),
        ("y", json!(true)),
        ("Off", json!(false)),
        ("0777", json!(511)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("1_000", json!(1000)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        ("1.5", json!(1.5)),
        ("12:30", json!("12:30")),
        ("~", Value::Null),
        ("\"1\"", json!("1")),
        ("!!binary aGVsbG8=", json!("hello")),
        ("2001-01-01", json!("2001-01-01")),
        ("{a: {b: 1}, <<: {c: 2}}", json!({"a": {"b": 1}, "c": 2})),
        ("{a: 1, a: 2}", json!({"a": 2})),
        ("{1: a, true: b, 1.5: c}", json!({"1": "a", "true": "b", "1.5": "c"})),
        ("{\"1\": a}", json!({"1": "a"})),
        ("# nothing", Value::Null),
        ("", Value::Null),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
    for bad in ["a: b: c", "[", "{a", "? {a: b}\n: c", "null: x", ".inf", "*unknown"] {
        assert!(parse(bad).is_err(), "{bad} gives {:?}", parse(bad));
    }
}

#[test]
fn streams_split_at_separator_lines() {
    let text = "# a comment\n---\na: 1\n---\n---\nb: |\n  x\n  ---\n--- # note\nc: 3\n";
    let values: Vec<Value> = documents(text).map(Result::unwrap).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"b": "x\n---\n"}), json!({"c": 3})]);
}

#[test]
fn bombs_end_in_one_clear_error() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    let error = parse(&bomb).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1);
    assert!(parse(&"[".repeat(10_000)).is_err());
    assert!(parse(&"- ".repeat(10_000)).is_err());
    assert!(parse(&format!("{}x", "- ".repeat(70))).is_ok());
}

#[test]
fn duplicate_keys_are_named_with_their_lines() {
    for (text, expected) in [
        ("a: 1\nb: {a: 1}\n", None),
        ("a: 1\na: 2\n", Some("yaml: unmarshal errors:\n  line 2: key \"a\" already set in map")),
        (
            "spec:\n  x: 1\n  y: 2\n  x: 3\n  z:\n  - m: a\n    m: b\n    m: c\n",
            Some(
                "yaml: unmarshal errors:\n  line 4: key \"x\" already set in map\n  line 7: key \"m\" already set in map\n  line 8: key \"m\" already set in map",
            ),
        ),
    ] {
        assert_eq!(duplicates(text).as_deref(), expected, "{text}");
    }
}
