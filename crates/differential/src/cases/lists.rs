//! Lists and watches: pages, selectors, revisions, tables, deletion of collections.

use serde_json::json;

use crate::story::{Request, Story};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

pub(super) fn stories() -> Vec<Story> {
    vec![pages(), selectors(), field_selectors(), watches(), revisions()]
}

/// Five config maps and a secret whose labels differ.
fn shelf(name: &str) -> Story {
    let mut story = Story::for_pods(name);
    for (i, tier) in ["front", "front", "back", "back", ""].into_iter().enumerate() {
        let mut labels = json!({"number": i.to_string()});
        if !tier.is_empty() {
            labels["tier"] = json!(tier);
        }
        let object = json!({"metadata": {"name": format!("m{i}"), "labels": labels}, "data": {"i": i.to_string()}});
        story.add(Request::new(format!("make-{i}"), "POST", "/api/v1/namespaces/$(ns)/configmaps", object.to_string()));
    }
    story
}

const MAPS: &str = "/api/v1/namespaces/$(ns)/configmaps";

fn pages() -> Story {
    let mut story = shelf("lists/pages");
    let mut add = |name: &str, query: &str| story.add(Request::get(name, format!("{MAPS}?{query}")));
    add("all", "");
    add("first", "limit=2");
    add("second", "limit=2&continue=$(continue)");
    add("third", "limit=2&continue=$(continue)");
    add("limit-all", "limit=5");
    add("limit-more", "limit=500");
    add("limit-zero", "limit=0");
    add("limit-negative", "limit=-1");
    add("limit-text", "limit=abc");
    add("limit-huge", "limit=99999999999999999999");
    add("first-selected", "limit=1&labelSelector=tier");
    add("second-selected", "limit=1&labelSelector=tier&continue=$(continue)");
    add("bad-token", "limit=2&continue=abc");
    add("bad-token-2", "limit=2&continue=bm8");
    add("token-of-nothing", "limit=2&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0");
    add("token-with-revision", "limit=1&resourceVersion=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0");
    add("token-leaving", "limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94XHUwMDAwIn0");
    story.add(Request::get("first-table", format!("{MAPS}?limit=2")).accept(TABLE));
    story.add(Request::get("second-table", format!("{MAPS}?limit=2&continue=$(continue)")).accept(TABLE));
    story
        .add(Request::get("partial", format!("{MAPS}?limit=2")).accept("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"));
    story.add(Request::get("protobuf", format!("{MAPS}?limit=2")).accept("application/vnd.kubernetes.protobuf"));
    story.add(Request::get("yaml", format!("{MAPS}?limit=1")).accept("application/yaml"));
    story.add(Request::get("pretty", format!("{MAPS}/m0?pretty=true")));
    story.add(Request::get("pretty-off", format!("{MAPS}/m0?pretty=0")));
    story.add(Request::get("browser", format!("{MAPS}/m0")).header("user-agent", "Mozilla/5.0"));
    story
}

fn selectors() -> Story {
    let mut story = shelf("lists/labels");
    for (i, selector) in LABELS.iter().enumerate() {
        story.add(Request::get(format!("{i:02}-{selector}"), format!("{MAPS}?labelSelector={}", escaped(selector))));
    }
    story.add(Request::new("delete-wrong-selector", "DELETE", format!("{MAPS}?labelSelector={}", escaped("a in")), ""));
    story.add(Request::new("delete-front", "DELETE", format!("{MAPS}?labelSelector=tier%3Dfront"), ""));
    story.add(Request::new("delete-first", "DELETE", format!("{MAPS}?limit=1"), ""));
    story.add(Request::new("delete-by-name", "DELETE", format!("{MAPS}?fieldSelector=metadata.name%3Dm3"), ""));
    story.add(Request::new("delete-rest", "DELETE", MAPS, ""));
    story
}

const LABELS: &[&str] = &[
    "tier=front",
    "tier==front",
    "tier!=front",
    "tier",
    "!tier",
    "tier in (front,back)",
    "tier notin (front)",
    "tier in ()",
    "tier in (front",
    "number>2",
    "number<2",
    "number>=2",
    "number>x",
    "tier=front,number=1",
    "tier=front,,number=1",
    ",tier",
    "tier,",
    "tier=",
    "tier in (,)",
    "a/b/c=1",
    "-a=1",
    "a=-1",
    "a=b c",
    "tier =front",
    " tier",
    "tier in",
    "tier in front",
    "tier ! front",
    "!",
    "=",
    "()",
    "in",
    "notin",
    "in=x",
    "in in (in)",
    "a=b=c",
    "a b",
    "example.com/a=1",
    "EXAMPLE.com/a=1",
    "a=é",
    "x>",
    "x<1,x>0",
    "tier in (front, back )",
    "tier in (front) , number",
    "a in (b!)",
    "!tier=front",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
    "a=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
];

fn field_selectors() -> Story {
    let mut story = shelf("lists/fields");
    let fields = [
        ("configmaps", "metadata.name=m1"),
        ("configmaps", "metadata.name!=m1"),
        ("configmaps", "metadata.name==m1"),
        ("configmaps", "metadata.namespace=none"),
        ("configmaps", "data.i=1"),
        ("configmaps", "metadata.name"),
        ("configmaps", "metadata.name=m1,"),
        ("configmaps", "=m1"),
        ("configmaps", "metadata.name=a\\,b"),
        ("configmaps", "metadata.name=a\\xb"),
        ("configmaps", "metadata.name=m1,metadata.name=m2"),
        ("configmaps", "metadata.labels.tier=front"),
        ("configmaps", "metadata.uid=x"),
        ("configmaps", "metadata.name="),
        ("configmaps", "metadata.name!="),
        ("configmaps", "a>b"),
        ("pods", "status.phase=Running"),
        ("pods", "spec.nodeName="),
        ("pods", "spec.nodeName=n"),
        ("pods", "spec.restartPolicy=Always"),
        ("pods", "spec.schedulerName=default-scheduler"),
        ("pods", "spec.serviceAccountName=default"),
        ("pods", "spec.hostNetwork=false"),
        ("pods", "status.podIP="),
        ("pods", "status.podIPs="),
        ("pods", "status.nominatedNodeName="),
        ("pods", "spec.containers=x"),
        ("pods", "metadata.annotations=x"),
        ("services", "spec.clusterIP=None"),
        ("services", "spec.type=ClusterIP"),
        ("services", "spec.ports=1"),
        ("secrets", "type=Opaque"),
        ("secrets", "data=x"),
        ("events", "involvedObject.kind=Pod"),
        ("events", "type=Normal"),
        ("events", "reason=x"),
        ("events", "source=x"),
        ("events", "reportingComponent=x"),
        ("events", "involvedObject.fieldPath=x"),
        ("events", "count=1"),
        ("replicationcontrollers", "status.replicas=0"),
        ("replicationcontrollers", "spec.replicas=0"),
        ("endpoints", "subsets=x"),
        ("serviceaccounts", "metadata.name=default"),
        ("persistentvolumeclaims", "status.phase=Bound"),
        ("resourcequotas", "spec.hard=x"),
        ("limitranges", "spec=x"),
    ];
    for (plural, selector) in fields {
        story.add(Request::get(
            format!("{plural}-{selector}"),
            format!("/api/v1/namespaces/$(ns)/{plural}?fieldSelector={}", escaped(selector)),
        ));
    }
    let cluster = [
        ("/api/v1/nodes", "spec.unschedulable=true"),
        ("/api/v1/nodes", "spec.podCIDR=x"),
        ("/api/v1/namespaces", "status.phase=Nope"),
        ("/api/v1/namespaces", "spec=x"),
        ("/apis/apps/v1/namespaces/$(ns)/replicasets", "status.replicas=0"),
        ("/apis/apps/v1/namespaces/$(ns)/deployments", "spec.replicas=1"),
        ("/apis/batch/v1/namespaces/$(ns)/jobs", "status.successful=1"),
        ("/apis/batch/v1/namespaces/$(ns)/jobs", "spec.parallelism=1"),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests", "spec.signerName=none"),
        ("/apis/certificates.k8s.io/v1/clustertrustbundles", "spec.signerName=none"),
        ("/apis/certificates.k8s.io/v1/namespaces/$(ns)/podcertificaterequests", "spec.nodeName=none"),
        ("/apis/events.k8s.io/v1/namespaces/$(ns)/events", "reason=x"),
        ("/apis/events.k8s.io/v1/namespaces/$(ns)/events", "regarding.kind=x"),
        ("/apis/events.k8s.io/v1/namespaces/$(ns)/events", "involvedObject.kind=x"),
        ("/apis/resource.k8s.io/v1/resourceslices", "spec.nodeName=none"),
        ("/apis/resource.k8s.io/v1/resourceslices", "spec.driver=none"),
        ("/apis/networking.k8s.io/v1/ipaddresses", "spec.parentRef.name=x"),
        ("/apis/networking.k8s.io/v1/ipaddresses", "metadata.name=10.1.1.1"),
        ("/apis/storage.k8s.io/v1/volumeattachments", "spec.nodeName=x"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "rules=x"),
        ("/apis/storagemigration.k8s.io/v1/storageversionmigrations", "status=x"),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "spec.group=x"),
    ];
    for (path, selector) in cluster {
        story.add(Request::get(format!("{path}-{selector}"), format!("{path}?fieldSelector={}", escaped(selector))));
    }
    story
}

fn watches() -> Story {
    let mut story = shelf("lists/watches");
    let mut add = |name: &str, query: &str| story.add(Request::get(name, format!("{MAPS}?{query}&timeoutSeconds=1")));
    add("from-nothing", "watch=true");
    add("from-zero", "watch=1&resourceVersion=0");
    add("not", "watch=false");
    add("odd", "watch=maybe");
    add("selected", "watch=true&labelSelector=tier%3Dback");
    add("one", "watch=true&fieldSelector=metadata.name%3Dm1");
    add("list-first", "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    add("list-first-without-match", "watch=true&sendInitialEvents=true&allowWatchBookmarks=true");
    add("list-first-without-bookmarks", "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    add("list-first-exact", "watch=true&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1&allowWatchBookmarks=true");
    add("list-first-not", "watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    add("match-without-list-first", "watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1");
    add("list-with-list-first", "sendInitialEvents=true");
    add("bad-revision", "watch=true&resourceVersion=abc");
    add("future", "watch=true&resourceVersion=999999999");
    add("bad-timeout", "watch=true&timeoutSeconds=x");
    let table = |name: &str, query: &str| Request::get(name, format!("{MAPS}?watch=true&timeoutSeconds=1{query}"));
    story.add(table("table", "").accept(TABLE));
    story.add(table("table-objects", "&includeObject=Object").accept(TABLE));
    story.add(table("partial", "").accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"));
    story.add(table("yaml", "").accept("application/yaml"));
    story.add(table("other-accept", "").accept("text/html"));
    story.add(Request::get("legacy", "/api/v1/watch/namespaces/$(ns)/configmaps?timeoutSeconds=1"));
    story.add(Request::get("legacy-one", "/api/v1/watch/namespaces/$(ns)/configmaps/m2?timeoutSeconds=1"));
    story
}

fn revisions() -> Story {
    let mut story = shelf("lists/revisions");
    let mut add = |name: &str, query: &str| story.add(Request::get(name, format!("{MAPS}?{query}")));
    add("zero", "resourceVersion=0");
    add("first", "resourceVersion=$(rv0)");
    add("exact", "resourceVersion=$(rv0)&resourceVersionMatch=Exact");
    add("exact-now", "resourceVersion=$(rv)&resourceVersionMatch=Exact");
    add("exact-zero", "resourceVersion=0&resourceVersionMatch=Exact");
    add("exact-paged", "resourceVersion=$(rv0)&resourceVersionMatch=Exact&limit=1");
    add("not-older", "resourceVersion=$(rv0)&resourceVersionMatch=NotOlderThan");
    add("match-alone", "resourceVersionMatch=Exact");
    add("match-wrong", "resourceVersion=1&resourceVersionMatch=Nearly");
    add("match-with-token", "limit=1&resourceVersionMatch=Exact&continue=x");
    add("bad", "resourceVersion=abc");
    add("negative", "resourceVersion=-1");
    add("future", "resourceVersion=999999999");
    add("future-exact", "resourceVersion=999999999&resourceVersionMatch=Exact");
    let mut add = |name: &str, query: &str| story.add(Request::get(name, format!("{MAPS}/m0?{query}")));
    add("get-zero", "resourceVersion=0");
    add("get-bad", "resourceVersion=abc");
    add("get-future", "resourceVersion=999999999");
    add("get-match", "resourceVersion=1&resourceVersionMatch=Exact");
    let mut add = |name: &str, query: &str| story.add(Request::get(name, format!("{MAPS}?{query}")));
    add("zero-limit", "resourceVersion=0&limit=1");
    add("zero-limit-not-older", "resourceVersion=0&resourceVersionMatch=NotOlderThan&limit=1");
    add("not-older-limit", "resourceVersion=$(rv0)&resourceVersionMatch=NotOlderThan&limit=5");
    add("watch-continue", "watch=1&continue=abc&timeoutSeconds=1");
    add("watch-continue-zero", "watch=1&continue=abc&resourceVersion=0&timeoutSeconds=1");
    add("watch-continue-exact", "watch=1&continue=abc&resourceVersionMatch=Exact&timeoutSeconds=1");
    add("timeout", "timeout=1m");
    add("timeout-none", "timeout=0");
    add("timeout-negative", "timeout=-5s");
    add("timeout-unit", "timeout=5");
    add("timeout-text", "timeout=x");
    add("timeout-odd", "timeout=1.5h3q");
    story
}

/// For a query.
pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
