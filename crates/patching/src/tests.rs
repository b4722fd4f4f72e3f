//! Tables of patches. The catalog here is a few made-up types, so that each rule has its own field.

use std::sync::Arc;

use kinds::{Catalog, Field, Merge, PatchStrategy, Shape, Type, TypeId};
use serde_json::{Value, json};

use crate::{json_patch, merge_patch, strategic_merge};

fn field(name: &str, shape: Shape, patch: &str, merge: Merge) -> Field {
    let words: Vec<&str> = patch.split(',').collect();
    let has = |w: &str| words.contains(&w);
    Field {
        omit_empty: true,
        merge,
        patch: (!patch.is_empty()).then(|| PatchStrategy {
            merge: has("merge"),
            replace_keys: has("replace"),
            retain_keys: has("retainKeys"),
            merge_key: words.iter().find_map(|w| w.strip_prefix("key=")).map(str::to_owned),
        }),
        ..Field::new(name, shape)
    }
}

/// 0 is the root, 1 an element of `items`, 2 a union-like struct.
fn catalog() -> Catalog {
    let list = |shape: Shape| Shape::List(Box::new(shape));
    let text = |name: &str| field(name, Shape::String, "", Merge::Unmarked);
    let root = vec![
        text("name"),
        field("items", list(Shape::Struct(TypeId(1))), "merge,key=name", Merge::Map(vec!["name".to_owned()])),
        field("tags", list(Shape::String), "merge", Merge::Set),
        field("plain", list(Shape::String), "", Merge::Atomic),
        field("one", Shape::Struct(TypeId(2)), "retainKeys", Merge::Unmarked),
        field("whole", Shape::Struct(TypeId(2)), "replace", Merge::Unmarked),
        field("labels", Shape::Map(Box::new(Shape::String)), "", Merge::Granular),
    ];
    let item = vec![text("name"), text("value"), field("tags", list(Shape::String), "merge", Merge::Set)];
    let union = vec![text("type"), text("a"), text("b")];
    let types = [("t.Root", root), ("t.Item", item), ("t.Union", union)]
        .into_iter()
        .map(|(name, fields)| Arc::new(Type::new(name, fields)))
        .collect();
    Catalog::new(types, Vec::new(), Vec::new())
}

#[track_caller]
fn check_strategic(doc: Value, patch: Value, expected: Result<Value, &str>) {
    let got = strategic_merge(&catalog(), TypeId(0), &doc, &patch).map(|(merged, _)| merged).map_err(|e| e.to_string());
    assert_eq!(got, expected.map_err(str::to_owned), "{doc} + {patch}");
}

#[test]
fn maps_and_directives_merge_as_upstream() {
    check_strategic(json!({"name": "a"}), json!({"name": null, "labels": {"x": "1", "y": null}}), Ok(json!({"labels": {"x": "1"}})));
    check_strategic(json!({"labels": {"a": "1"}}), json!({"labels": {"b": "2"}}), Ok(json!({"labels": {"a": "1", "b": "2"}})));
    check_strategic(json!({"labels": {"a": "1"}}), json!({"labels": {"b": "2", "$patch": "replace"}}), Ok(json!({"labels": {"b": "2"}})));
    check_strategic(json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), Ok(json!({"labels": {}})));
    check_strategic(json!({"whole": {"a": "1", "b": "2"}}), json!({"whole": {"a": "3"}}), Ok(json!({"whole": {"a": "3"}})));
    check_strategic(
        json!({"one": {"type": "A", "a": "1"}}),
        json!({"one": {"$retainKeys": ["type", "b"], "type": "B", "b": "2"}}),
        Ok(json!({"one": {"type": "B", "b": "2"}})),
    );
    check_strategic(
        json!({"one": {"a": "1"}}),
        json!({"one": {"$retainKeys": ["type"], "b": "2"}}),
        Err("invalid patch format of retainKeys"),
    );
    check_strategic(json!({}), json!({"$patch": "x"}), Err("unknown patch type: x in map: map[$patch:x]"));
    check_strategic(json!({}), json!([1]), Err("json: cannot unmarshal array into Go value of type map[string]interface {}"));
}

#[test]
fn lists_merge_by_key_and_keep_their_order() {
    let doc = || json!({"items": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}, {"name": "c"}]});
    check_strategic(
        doc(),
        json!({"items": [{"name": "b", "value": "9"}, {"name": "d"}]}),
        Ok(json!({"items": [{"name": "a", "value": "1"}, {"name": "b", "value": "9"}, {"name": "d"}, {"name": "c"}]})),
    );
    check_strategic(
        doc(),
        json!({"items": [{"name": "a", "$patch": "delete"}]}),
        Ok(json!({"items": [{"name": "b", "value": "2"}, {"name": "c"}]})),
    );
    check_strategic(doc(), json!({"items": [{"name": "z"}, {"$patch": "replace"}]}), Ok(json!({"items": [{"name": "z"}]})));
    check_strategic(doc(), json!({"items": [{"value": "z"}]}), Err("map: map[value:z] does not contain declared merge key: name"));
    check_strategic(
        doc(),
        json!({"$setElementOrder/items": [{"name": "c"}, {"name": "a"}], "items": [{"name": "c", "value": "3"}]}),
        Ok(json!({"items": [{"name": "b", "value": "2"}, {"name": "c", "value": "3"}, {"name": "a", "value": "1"}]})),
    );
    check_strategic(
        doc(),
        json!({"$setElementOrder/items": [{"name": "c"}], "items": [{"name": "a"}]}),
        Err("The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:c]]\n"),
    );
    check_strategic(json!({"plain": ["a"]}), json!({"plain": ["b"]}), Ok(json!({"plain": ["b"]})));
    check_strategic(json!({"tags": ["a", "b"]}), json!({"tags": ["b", "c"]}), Ok(json!({"tags": ["a", "b", "c"]})));
    check_strategic(json!({"tags": ["a", "b"]}), json!({"$deleteFromPrimitiveList/tags": ["a"]}), Ok(json!({"tags": ["b"]})));
    check_strategic(
        json!({"items": [{"name": "a", "tags": ["x", "y"]}]}),
        json!({"items": [{"name": "a", "$setElementOrder/tags": ["y", "z"], "$deleteFromPrimitiveList/tags": ["x"], "tags": ["z"]}]}),
        Ok(json!({"items": [{"name": "a", "tags": ["y", "z"]}]})),
    );
}

#[test]
fn json_patches_follow_the_rfc_and_upstreams_leniencies() {
    let doc = json!({"a": {"b~c/d": 1}, "l": ["x", "y"]});
    let cases = [
        (json!([{"op": "add", "path": "/n", "value": 1}]), Ok(json!({"a": {"b~c/d": 1}, "l": ["x", "y"], "n": 1}))),
        (json!([{"op": "replace", "path": "/a/b~0c~1d", "value": 2}]), Ok(json!({"a": {"b~c/d": 2}, "l": ["x", "y"]}))),
        (json!([{"op": "replace", "path": "/a/new", "value": 2}]), Ok(json!({"a": {"b~c/d": 1, "new": 2}, "l": ["x", "y"]}))),
        (json!([{"op": "add", "path": "/l/-", "value": "z"}]), Ok(json!({"a": {"b~c/d": 1}, "l": ["x", "y", "z"]}))),
        (json!([{"op": "add", "path": "/l/0", "value": "z"}]), Ok(json!({"a": {"b~c/d": 1}, "l": ["z", "x", "y"]}))),
        (json!([{"op": "remove", "path": "/l/-1"}]), Ok(json!({"a": {"b~c/d": 1}, "l": ["x"]}))),
        (json!([{"op": "move", "from": "/l/0", "path": "/a/m"}]), Ok(json!({"a": {"b~c/d": 1, "m": "x"}, "l": ["y"]}))),
        (json!([{"op": "copy", "from": "/l", "path": "/m"}]), Ok(json!({"a": {"b~c/d": 1}, "l": ["x", "y"], "m": ["x", "y"]}))),
        (json!([{"op": "test", "path": "/l/1", "value": "y"}, {"op": "remove", "path": "/a"}]), Ok(json!({"l": ["x", "y"]}))),
        (json!([{"op": "test", "path": "/none", "value": null}]), Ok(doc.clone())),
        (json!([{"op": "test", "path": "/l/1", "value": "n"}]), Err(422)),
        (json!([{"op": "remove", "path": "/none"}]), Err(422)),
        (json!([{"op": "add", "path": "/none/x", "value": 1}]), Err(422)),
        (json!([{"op": "add", "path": "/l/9", "value": 1}]), Err(422)),
        (json!([{"op": "leap", "path": "/a"}]), Err(422)),
        (json!([{"path": "/a"}]), Err(422)),
        (json!({"op": "add"}), Err(400)),
        (json!([1]), Err(400)),
        (Value::Array(vec![json!({"op": "test", "path": "/l/1", "value": "y"}); 10_001]), Err(413)),
    ];
    for (patch, expected) in cases {
        let got = json_patch(&doc, &patch).map_err(|e| e.to_status().code);
        assert_eq!(got, expected, "{}", patch.to_string().chars().take(200).collect::<String>());
    }
}

#[test]
fn merge_patches_follow_the_rfc() {
    for (doc, patch, expected) in [
        (json!({"a": 1, "b": {"c": 1, "d": 2}}), json!({"a": null, "b": {"c": 9}}), json!({"b": {"c": 9, "d": 2}})),
        (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
        (json!({}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}})),
        (json!({"a": "x"}), json!({"a": {"b": null}}), json!({"a": {}})),
        (json!({}), json!({"a": [null, {"b": null}]}), json!({"a": [null, {}]})),
    ] {
        let mut got = doc.clone();
        merge_patch(&mut got, &patch).unwrap();
        assert_eq!(got, expected, "{doc} + {patch}");
    }
    for bad in [json!(null), json!(true), json!("x")] {
        assert_eq!(merge_patch(&mut json!({}), &bad).unwrap_err().to_status().code, 400, "{bad}");
    }
}

#[test]
fn what_is_left_of_a_strategic_patch_lacks_what_was_carried_out() {
    let doc = json!({"items": [{"name": "a"}], "one": {"a": "1"}, "labels": {"a": "1"}});
    let patch = json!({"$setElementOrder/items": [{"name": "a"}], "items": [{"name": "a", "value": "1"}],
        "one": {"$retainKeys": ["b"], "b": "2"}, "labels": {"$patch": "replace", "b": "2"}, "name": null});
    let (_, left) = strategic_merge(&catalog(), TypeId(0), &doc, &patch).unwrap();
    assert_eq!(left, json!({"one": {"b": "2"}, "labels": {"b": "2"}, "name": null}));
    assert_eq!(crate::go_text::of(&left), "map[labels:map[b:2] name:<nil> one:map[b:2]]");
    assert_eq!(crate::go_text::of(&json!([1.5e3, 1e30, 0.00001, -2.5])), "[1500 1e+30 1e-05 -2.5]");
}
