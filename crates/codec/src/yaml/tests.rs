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

/// What `go.yaml.in/yaml/v2` says of each.
#[test]
fn faults_in_gos_words() {
    for (text, expected) in [
        ("a: b: c", "mapping values are not allowed in this context"),
        ("a: [", "line 1: did not find expected node content"),
        ("a: [\n", "line 1: did not find expected node content"),
        ("a: [b", "line 1: did not find expected ',' or ']'"),
        ("a: [b\nc: d", "line 1: did not find expected ',' or ']'"),
        ("a: [b,\nc: d", "line 2: did not find expected ',' or ']'"),
        ("a: {", "line 1: did not find expected node content"),
        ("{", "line 1: did not find expected node content"),
        ("{a", "line 1: did not find expected ',' or '}'"),
        ("{a:", "line 1: did not find expected node content"),
        ("{a: b", "line 1: did not find expected ',' or '}'"),
        ("{a: b\n", "line 1: did not find expected ',' or '}'"),
        ("{a: b]", "did not find expected ',' or '}'"),
        ("[a}", "did not find expected ',' or ']'"),
        ("[}", "did not find expected node content"),
        ("]", "did not find expected node content"),
        ("}", "did not find expected node content"),
        ("a: ]", "did not find expected node content"),
        ("\ta: b", "found character that cannot start any token"),
        ("a:\n\tb: c", "line 2: found character that cannot start any token"),
        ("a:\n  b: c\n\td: e", "line 3: found a tab character that violates indentation"),
        ("- a\nb: c", "line 1: did not find expected '-' indicator"),
        ("a: b\n a: c", "line 2: mapping values are not allowed in this context"),
        ("a: b\n- c", "line 1: did not find expected key"),
        ("a:\n  - b\n c: d", "line 2: did not find expected key"),
        ("a:\n    b: c\n  d: e", "line 2: did not find expected key"),
        ("a: b\nc", "line 3: could not find expected ':'"),
        ("a: b\nc\nd: e", "line 3: could not find expected ':'"),
        ("a\nb: c", "line 2: mapping values are not allowed in this context"),
        ("%", "could not find expected directive name"),
        ("%YAML 3.0\n---\na", "found incompatible YAML document"),
        ("%YAML\n---\na", "did not find expected version number"),
        ("%YAML 1.1\n%YAML 1.1\n---\na", "line 1: found duplicate %YAML directive"),
        ("@x", "found character that cannot start any token"),
        ("`x", "found character that cannot start any token"),
        ("a: @x", "found character that cannot start any token"),
        ("a: %x", "found character that cannot start any token"),
        ("a: *x", "unknown anchor 'x' referenced"),
        ("a:\n- *x", "unknown anchor 'x' referenced"),
        ("a: *", "did not find expected alphabetic or numeric character"),
        ("a: &", "did not find expected alphabetic or numeric character"),
        ("a: 'b", "found unexpected end of stream"),
        ("a: 'b\nc: d\n", "line 3: found unexpected end of stream"),
        ("a: \"b", "found unexpected end of stream"),
        ("a: \"b\nc: d\n", "line 3: found unexpected end of stream"),
        ("a: \"\\q\"", "found unknown escape character"),
        ("a: \"\\x1\"", "did not find expected hexdecimal number"),
        ("a: \"\\ud800\"", "found invalid Unicode character escape code"),
        ("a: 'b' c", "did not find expected key"),
        ("a: \"b\" c\nd: e", "did not find expected key"),
        ("a: - b", "block sequence entries are not allowed in this context"),
        ("- - a\n - b", "line 1: did not find expected '-' indicator"),
        ("- a\n  - b: c\n - d", "line 2: mapping values are not allowed in this context"),
        ("a: !x!y b", "found undefined tag handle"),
        ("a: |x\n b", "did not find expected comment or line break"),
        ("a: |0\n b", "found an indentation indicator equal to 0"),
        ("a: |\n  b\n c\n", "line 2: did not find expected key"),
        ("a: |\n\tb", "line 2: found a tab character where an indentation space is expected"),
        ("? a\nb c", "line 3: could not find expected ':'"),
        ("a: b\n? c\n d: e\nf", "line 3: mapping values are not allowed in this context"),
        ("a:b\nc: d", "line 2: mapping values are not allowed in this context"),
        ("a: {b: c\nd: e", "line 1: did not find expected ',' or '}'"),
        ("a: {b: c}}", "did not find expected key"),
        ("a: [b]]", "did not find expected key"),
        ("a: [b] c", "did not find expected key"),
        ("a: {b: c} d", "did not find expected key"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n labels: b", "line 4: did not find expected key"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n name: a\n  labels: b", "line 5: mapping values are not allowed in this context"),
        ("apiVersion: v1\nkind Pod\n", "line 3: could not find expected ':'"),
        ("apiVersion: v1\nkind Pod\nmetadata:\n  name: a\n", "line 3: could not find expected ':'"),
        ("a: \"b\n---\nc\"", "line 2: found unexpected document indicator"),
        ("{a, - b}", "did not find expected node content"),
        ("[- b]", "did not find expected node content"),
        ("a: b\n\n\nc: d: e\n", "line 4: mapping values are not allowed in this context"),
        ("a:\n- b\n-c\nd: e", "line 4: could not find expected ':'"),
        ("a: {b", "line 1: did not find expected ',' or '}'"),
        ("a: {b\n\n\n", "line 3: did not find expected ',' or '}'"),
        ("a: \u{1}", "control characters are not allowed"),
        ("a: \"x\u{1}\"", "control characters are not allowed"),
        ("a: !<x b", "did not find the expected '>'"),
        ("--- a\nb: c", "line 2: mapping values are not allowed in this context"),
        ("{a: b", "line 1: did not find expected ',' or '}'"),
        ("{a: b # c", "line 1: did not find expected ',' or '}'"),
        ("[a # c:", "line 1: did not find expected ',' or ']'"),
        ("\"a", "found unexpected end of stream"),
        ("a: *x y", "unknown anchor 'x' referenced"),
        ("x: &a [*b]", "unknown anchor 'b' referenced"),
        ("[a,,b]", "did not find expected node content"),
        ("{,}", "did not find expected node content"),
        ("a: ? b", "mapping keys are not allowed in this context"),
        ("key: [a, b\nother: c\n", "line 1: did not find expected ',' or ']'"),
        ("\t", "found character that cannot start any token"),
        ("a: [b\n", "line 1: did not find expected ',' or ']'"),
    ] {
        assert_eq!(parse(text).map_err(|e| e.to_string()), Err(expected.to_owned()), "{text:?}");
    }
    assert_eq!(documents("---\t# comment\na: 1\n").next(), Some(Ok(json!({"a": 1}))));
}
