//! The life of one object of each kind: created, read in every form, updated, patched, applied by two managers, deleted.

use serde_json::{Value, json};

use crate::seeds::{self, Subject};
use crate::story::{Edit, Request, Story};

/// Something in the reference changes these by itself, so what is read depends on the moment.
const RESTLESS: &[&str] = &["apiservices", "customresourcedefinitions", "flowschemas", "prioritylevelconfigurations"];

pub(super) fn stories() -> Vec<Story> {
    let stored = seeds::subjects().into_iter().filter(|s| s.is_stored() && !RESTLESS.contains(&s.resource.plural.as_str()));
    stored.flat_map(|subject| [life(&subject), changes(&subject), applied(&subject)]).collect()
}

fn life(subject: &Subject) -> Story {
    let mut story = Story::for_pods(format!("life/{}", subject.label()));
    let (all, name) = (subject.collection(), format!("life-{}", subject.label()));
    let one = subject.item(&name);
    let object = subject.rich(&name);
    let mut add = |request| story.add(request);
    add(Request::get("absent", &one));
    add(Request::new("create-dry", "POST", format!("{all}?dryRun=All"), object.to_string()));
    add(Request::get("absent-after-dry", &one));
    add(Request::new("create", "POST", format!("{all}?fieldManager=one"), object.to_string()));
    add(Request::new("create-again", "POST", &*all, object.to_string()));
    if subject.has_free_names() {
        add(Request::new("generate", "POST", format!("{all}?dryRun=All"), generated(&object).to_string()));
    }
    for (what, accept) in FORMS {
        add(Request::get(format!("get-{what}"), &one).accept(accept));
        add(Request::get(format!("list-{what}"), format!("{all}?fieldSelector=metadata.name%3D{}", subject.name(&name))).accept(accept));
    }
    for include in ["None", "Metadata", "Object", "Wrong"] {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        add(Request::get(format!("table-{include}"), format!("{one}?includeObject={include}")).accept(table));
    }
    add(Request::get("read-again", &one));
    add(Request::put_last("update-nothing", &one, vec![]));
    add(Request::put_last("update-label", format!("{one}?fieldManager=two"), vec![Edit::set("/metadata/labels/l", "1")]));
    add(Request::put_last(
        "update-stale",
        &one,
        vec![Edit::set("/metadata/resourceVersion", "$(rv0)"), Edit::set("/metadata/labels/l", "2")],
    ));
    add(Request::put_last("update-bad-revision", &one, vec![Edit::set("/metadata/resourceVersion", "abc")]));
    add(Request::put_last(
        "update-unconditional",
        &one,
        vec![Edit::remove("/metadata/resourceVersion"), Edit::set("/metadata/labels/l", "3")],
    ));
    add(Request::put_last("update-other-name", &one, vec![Edit::set("/metadata/name", "other")]));
    add(Request::put_last("update-other-uid", &one, vec![Edit::set("/metadata/uid", "11111111-2222-3333-4444-555555555555")]));
    add(Request::put_last(
        "update-absent",
        format!("{all}/{ABSENT}"),
        vec![Edit::set("/metadata/name", ABSENT), Edit::remove("/metadata/uid"), Edit::remove("/metadata/resourceVersion")],
    ));
    add(Request::put_last("update-dry", format!("{one}?dryRun=All"), vec![Edit::set("/metadata/labels/l", "4")]));
    add(Request::put_last(
        "update-metadata",
        &one,
        vec![
            Edit::set("/metadata/creationTimestamp", "2001-02-03T04:05:06Z"),
            Edit::set("/metadata/generation", 77),
            Edit::set("/metadata/deletionTimestamp", "2001-02-03T04:05:06Z"),
            Edit::set("/metadata/selfLink", "/x"),
            Edit::remove("/metadata/managedFields"),
            Edit::set("/metadata/finalizers", json!(["example.com/f"])),
        ],
    ));
    deletion(subject, &name, &mut story);
    story
}

const ABSENT: &str = "never-there";

const FORMS: &[(&str, &str)] = &[
    ("json", "application/json"),
    ("yaml", "application/yaml"),
    ("protobuf", "application/vnd.kubernetes.protobuf"),
    ("table", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    ("partial", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
    ("partial-list", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
];

fn generated(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("name");
        metadata.insert("generateName".to_owned(), json!("made-"));
    }
    object
}

fn deletion(subject: &Subject, name: &str, story: &mut Story) {
    let (all, one) = (subject.collection(), subject.item(name));
    let mut add = |request| story.add(request);
    let options = |fields: Value| fields.to_string();
    add(Request::new("delete-dry", "DELETE", format!("{one}?dryRun=All"), ""));
    add(Request::new(
        "delete-other-uid",
        "DELETE",
        &one,
        options(json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}})),
    ));
    add(Request::new("delete-stale", "DELETE", &one, options(json!({"preconditions": {"resourceVersion": "1"}}))));
    add(Request::new("delete-bad-policy", "DELETE", format!("{one}?propagationPolicy=Sideways"), ""));
    add(Request::new("delete-both-policies", "DELETE", &one, options(json!({"orphanDependents": true, "propagationPolicy": "Orphan"}))));
    add(Request::new("delete-negative-grace", "DELETE", &one, options(json!({"gracePeriodSeconds": -1}))));
    add(Request::get("read-before-delete", &one));
    add(Request::new("delete-foreground", "DELETE", format!("{one}?propagationPolicy=Foreground"), ""));
    add(Request::get("read-deleting", &one));
    add(Request::new("delete-again", "DELETE", &one, options(json!({"propagationPolicy": "Orphan", "gracePeriodSeconds": 0}))));
    add(Request::put_last("add-finalizer", &one, vec![Edit::set("/metadata/finalizers", json!(["example.com/f", "example.com/g"]))]));
    add(Request::patch("drop-finalizers", "merge", &one, r#"{"metadata":{"finalizers":null}}"#));
    add(Request::new("delete-gone", "DELETE", &one, ""));
    add(Request::get("gone", &one));
    add(Request::new("create-labelled", "POST", &*all, labelled(subject, name, "$(ns)").to_string()));
    if subject.resource.has_verb("deletecollection") {
        add(Request::new("delete-collection-none", "DELETE", format!("{all}?labelSelector=only%3Dnothing-{}", subject.label()), ""));
        add(Request::new("delete-collection-dry", "DELETE", format!("{all}?labelSelector=only%3D$(ns)&dryRun=All"), ""));
        add(Request::new("delete-collection", "DELETE", format!("{all}?labelSelector=only%3D$(ns)"), r#"{"gracePeriodSeconds":0}"#));
    } else {
        add(Request::new("delete-collection", "DELETE", format!("{all}?labelSelector=only%3D$(ns)"), ""));
    }
    add(Request::get("list-after-delete", format!("{all}?labelSelector=only%3D$(ns)")));
}

fn labelled(subject: &Subject, name: &str, value: &str) -> Value {
    let mut object = subject.minimal(name);
    object["metadata"]["labels"]["only"] = json!(value);
    object
}

/// Every kind of patch, and an update of every leaf.
fn changes(subject: &Subject) -> Story {
    let mut story = Story::for_pods(format!("change/{}", subject.label()));
    let (all, name) = (subject.collection(), format!("change-{}", subject.label()));
    let one = subject.item(&name);
    let object = subject.rich(&name);
    story.add(Request::new("create", "POST", all, object.to_string()));
    let dry = format!("{one}?dryRun=All");
    for (pointer, value) in leaves(&object, "") {
        if pointer == "/metadata/name" {
            continue;
        }
        let other = match &value {
            Value::String(_) => json!("other"),
            Value::Number(n) => json!(n.as_i64().unwrap_or(0) + 1),
            Value::Bool(b) => json!(!b),
            _ => continue,
        };
        story.add(Request::put_last(format!("change{pointer}"), &dry, vec![Edit::set(pointer.clone(), other)]));
        story.add(Request::put_last(format!("remove{pointer}"), &dry, vec![Edit::remove(pointer)]));
    }
    let mut add = |request| story.add(request);
    add(Request::patch(
        "json-add",
        "json",
        &one,
        r#"[{"op":"add","path":"/metadata/labels","value":{"a":"1"}},{"op":"test","path":"/metadata/labels/a","value":"1"}]"#,
    ));
    add(Request::patch("json-test-fails", "json", &one, r#"[{"op":"test","path":"/metadata/labels/a","value":"2"}]"#));
    add(Request::patch("json-absent", "json", &one, r#"[{"op":"remove","path":"/metadata/labels/zz"}]"#));
    add(Request::patch("json-kind", "json", &one, r#"[{"op":"replace","path":"/kind","value":"Other"}]"#));
    add(Request::patch(
        "json-unknown-field",
        "json",
        format!("{one}?fieldValidation=Strict"),
        r#"[{"op":"add","path":"/zzUnknown","value":1}]"#,
    ));
    add(Request::patch("merge", "merge", &one, r#"{"metadata":{"labels":{"a":null,"b":"2"}}}"#));
    add(Request::patch("merge-nothing", "merge", &one, "{}"));
    add(Request::patch("merge-unknown-warns", "merge", &one, r#"{"zzUnknown":1}"#));
    add(Request::patch("merge-wrong-type", "merge", &one, r#"{"metadata":{"labels":7}}"#));
    add(Request::patch("merge-name", "merge", &one, r#"{"metadata":{"name":"other"}}"#));
    add(Request::patch("merge-stale", "merge", &one, r#"{"metadata":{"resourceVersion":"1","labels":{"b":"3"}}}"#));
    add(Request::patch("strategic", "strategic-merge", &one, r#"{"metadata":{"annotations":{"x":"y"},"finalizers":["example.com/a"]}}"#));
    add(Request::patch(
        "strategic-finalizers",
        "strategic-merge",
        &one,
        r#"{"metadata":{"finalizers":["example.com/b"],"$deleteFromPrimitiveList/finalizers":["example.com/a"]}}"#,
    ));
    add(Request::patch(
        "strategic-replace",
        "strategic-merge",
        &one,
        r#"{"metadata":{"labels":{"$patch":"replace","only":"me"},"finalizers":null}}"#,
    ));
    add(Request::patch("strategic-bad", "strategic-merge", &one, r#"{"metadata":{"$patch":"sideways"}}"#));
    add(Request::patch("patch-dry", "merge", &dry, r#"{"metadata":{"labels":{"dry":"1"}}}"#));
    add(Request::patch("patch-absent", "merge", format!("{}/{ABSENT}", subject.collection()), "{}"));
    story.add(Request::get("result", &one));
    for sub in subject.resource.subresources.iter().filter(|s| s.verbs.iter().any(|v| v == "update") && s.verbs.iter().any(|v| v == "get"))
    {
        let sub_path = format!("{one}/{}", sub.name);
        story.add(Request::get(format!("{}-get", sub.name), &sub_path));
        story.add(Request::put_last(format!("{}-put", sub.name), &sub_path, vec![Edit::set("/metadata/labels/sub", "1")]));
        story.add(Request::patch(format!("{}-patch", sub.name), "merge", &sub_path, r#"{"metadata":{"annotations":{"sub":"1"}}}"#));
        story.add(Request::patch(
            format!("{}-patch-unknown", sub.name),
            "merge",
            format!("{sub_path}?fieldValidation=Strict"),
            r#"{"zz":1}"#,
        ));
        story.add(Request::new(format!("{}-post", sub.name), "POST", &sub_path, "{}"));
    }
    story.add(Request::new("delete", "DELETE", one, r#"{"gracePeriodSeconds":0}"#));
    story
}

fn leaves(value: &Value, at: &str) -> Vec<(String, Value)> {
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, member)| leaves(member, &format!("{at}/{}", key.replace('/', "~1")))).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(|(i, item)| leaves(item, &format!("{at}/{i}"))).collect(),
        leaf => vec![(at.to_owned(), leaf.clone())],
    }
}

/// Server-side apply by two managers: shared fields, a conflict, force, removal by leaving out, and the way from client-side apply.
fn applied(subject: &Subject) -> Story {
    let mut story = Story::for_pods(format!("apply/{}", subject.label()));
    let name = format!("apply-{}", subject.label());
    let one = subject.item(&name);
    let by = |manager: &str| format!("{one}?fieldManager={manager}");
    let object = subject.rich(&name);
    let with_labels = |labels: Value| {
        let mut object = object.clone();
        object["metadata"]["labels"] = labels;
        object.to_string()
    };
    let only_labels = |labels: Value| {
        json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": object["metadata"]["name"], "labels": labels}}).to_string()
    };
    let mut add = |request| story.add(request);
    add(Request::patch("no-manager", "apply", &one, with_labels(json!({"a": "1"}))));
    add(Request::patch("create", "apply", by("one"), with_labels(json!({"a": "1", "b": "1"}))));
    add(Request::patch("again", "apply", by("one"), with_labels(json!({"a": "1", "b": "1"}))));
    add(Request::patch("second-shares", "apply", by("two"), only_labels(json!({"a": "1", "c": "1"}))));
    add(Request::patch("second-conflicts", "apply", by("two"), only_labels(json!({"a": "2", "b": "2"}))));
    add(Request::patch("second-forces", "apply", format!("{}&force=true", by("two")), only_labels(json!({"a": "2", "c": "1"}))));
    add(Request::patch("first-conflicts", "apply", by("one"), with_labels(json!({"a": "1", "b": "1"}))));
    add(Request::patch("first-lets-go", "apply", by("one"), with_labels(json!({"b": "1"}))));
    add(Request::patch("first-removes", "apply", by("one"), with_labels(json!({}))));
    add(Request::patch("second-removes", "apply", by("two"), only_labels(json!({}))));
    add(Request::patch("merge-takes", "merge", format!("{one}?fieldManager=three"), r#"{"metadata":{"labels":{"m":"1"}}}"#));
    add(Request::patch("conflict-with-update", "apply", by("one"), with_labels(json!({"m": "2"}))));
    add(Request::patch("dry", "apply", format!("{}&dryRun=All", by("one")), with_labels(json!({"d": "1"}))));
    add(Request::patch(
        "unknown",
        "apply",
        format!("{}&fieldValidation=Strict", by("one")),
        json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "zz": 1}).to_string(),
    ));
    add(Request::patch("doubled", "apply", format!("{}&fieldValidation=Strict", by("one")), "apiVersion: v1\nkind: X\nzz: 1\nzz: 2\n"));
    add(Request::patch("no-kind", "apply", by("one"), "{}"));
    add(Request::patch(
        "managed-fields",
        "apply",
        by("one"),
        json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"managedFields": [{"manager": "x"}]}}).to_string(),
    ));
    add(Request::patch("reset-managers", "merge", &one, r#"{"metadata":{"managedFields":[{}]}}"#));
    add(Request::patch("after-reset", "apply", by("one"), with_labels(json!({"r": "1"}))));
    add(Request::new("delete", "DELETE", &*one, r#"{"gracePeriodSeconds":0}"#));
    story
}
