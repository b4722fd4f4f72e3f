//! What `/metrics` says of requests: upstream's names, labels and values.

use super::*;

const REQUESTS: &str = r#"
    quiet GET /api/v1/namespaces/d/configmaps
    quiet GET /api/v1/configmaps
    quiet GET /livez
    quiet GET /api/v1/namespaces/d/configmaps?fieldSelector=metadata.name=a
    quiet POST /api/v1/namespaces {"metadata":{"name":"d"}}
    quiet POST /api/v1/namespaces/d/configmaps {"metadata":{"name":"a"}}
    quiet POST /api/v1/namespaces/d/configmaps?dryRun=All {"metadata":{"name":"b"}}
    quiet POST /api/v1/namespaces/d/configmaps?dryRun=Some {"metadata":{"name":"b"}}
    header content-type application/apply-patch+yaml
    quiet PATCH /api/v1/namespaces/d/configmaps/a?fieldManager=m {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}
    quiet PATCH /api/v1/namespaces/d/configmaps/a {"data":{"k":"v"}}
    quiet GET /api/v1/namespaces/d/configmaps/a
    quiet GET /api/v1/configmaps?watch=1
    quiet GET /api/v1/namespaces/d/configmaps/none
    quiet GET /apis/apps/v1/namespaces/d/deployments/w/scale
    quiet GET /api/v1/namespaces/d/pods/p/log
    quiet DELETE /api/v1/namespaces/d/configmaps
    quiet GET /api/v1/endpoints
    quiet GET /api/v1/made-up-1
    quiet GET /api/v1/namespaces/d/pods/p/made-up-2
    quiet GET /made-up-3
    as a@b.example
    quiet GET /api/v1/secrets
    as nobody
    header authorization Bearer wrong
    quiet GET /api/v1/pods
    as admin system:masters
"#;

/// Lines of `/metrics` that begin with one of `names`.
fn lines(server: &ApiServer, names: &[&str]) -> String {
    let text = server.metrics.text(&server.registry.catalog(), server.registry.store());
    text.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn check_lines(names: &[&str], expected: Expect) {
    let server = server();
    run(&server, REQUESTS);
    expected.assert_eq(&lines(&server, names));
}

#[test]
fn requests_are_told_apart_as_upstream_does() {
    check_lines(
        &["apiserver_request_total{", "apiserver_requested_deprecated_apis{"],
        expect_test::expect![[r#"
            apiserver_request_total{code="500",component="",dry_run="",group="",resource="",scope="",subresource="/livez",verb="GET",version=""} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="cluster",subresource="",verb="WATCH",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="DELETE",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="GET",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="APPLY",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 1
            apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="PATCH",version="v1"} 1
            apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="endpoints",scope="cluster",subresource="",verb="LIST",version="v1"} 1
            apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="namespaces",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="log",verb="CONNECT",version="v1"} 1
            apiserver_request_total{code="404",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="scale",verb="GET",version="v1"} 1
            apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_request_total{code="422",component="apiserver",dry_run="invalid",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
        "#]],
    );
}

#[test]
fn times_and_sizes_are_counted_for_what_upstream_counts_them() {
    check_lines(
        &[
            "apiserver_request_duration_seconds_count{",
            "apiserver_response_sizes_sum{",
            "apiserver_response_sizes_bucket{component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"cluster\",subresource=\"\",verb=\"LIST\"",
        ],
        expect_test::expect![[r#"
            apiserver_request_duration_seconds_count{component="",dry_run="",group="",resource="",scope="",subresource="/livez",verb="GET",version=""} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="cluster",subresource="",verb="WATCH",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="DELETE",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="GET",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="APPLY",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 2
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="PATCH",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="endpoints",scope="cluster",subresource="",verb="LIST",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="namespaces",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="log",verb="CONNECT",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="scale",verb="GET",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="All",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_request_duration_seconds_count{component="apiserver",dry_run="invalid",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
            apiserver_response_sizes_sum{component="",group="",resource="",scope="",subresource="/livez",verb="GET",version=""} 761
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="1000"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="10000"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="100000"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="1e+06"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="1e+07"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="1e+08"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="1e+09"} 1
            apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1",le="+Inf"} 1
            apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1"} 89
            apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="WATCH",version="v1"} 232
            apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="GET",version="v1"} 89
            apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 89
            apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 394
            apiserver_response_sizes_sum{component="apiserver",group="",resource="endpoints",scope="cluster",subresource="",verb="LIST",version="v1"} 89
            apiserver_response_sizes_sum{component="apiserver",group="",resource="pods",scope="resource",subresource="log",verb="CONNECT",version="v1"} 170
            apiserver_response_sizes_sum{component="apiserver",group="apps",resource="deployments",scope="resource",subresource="scale",verb="GET",version="v1"} 204
        "#]],
    );
}

#[test]
fn watches_users_and_objects_are_counted() {
    let names = [
        "apiserver_watch_events_total{",
        "apiserver_watch_events_sizes_sum{",
        "apiserver_longrunning_requests{",
        "apiserver_current_inflight_requests{",
        "authenticat",
        "apiserver_resource_objects{group=\"\",resource=\"namespaces\"",
    ];
    check_lines(
        &names,
        expect_test::expect![[r#"
            apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="WATCH",version="v1"} 0
            apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="resource",subresource="log",verb="CONNECT",version="v1"} 0
            apiserver_current_inflight_requests{request_kind="mutating"} 0
            apiserver_current_inflight_requests{request_kind="readOnly"} 0
            apiserver_watch_events_total{group="",resource="configmaps",version="v1"} 1
            apiserver_watch_events_sizes_sum{group="",resource="configmaps",version="v1"} 232
            authenticated_user_requests{username="admin"} 20
            authenticated_user_requests{username="email_id"} 1
            authentication_attempts{result="error"} 1
            authentication_attempts{result="success"} 21
            apiserver_resource_objects{group="",resource="namespaces"} 1
        "#]],
    );
}

#[test]
fn a_watch_is_under_way_until_its_body_is_gone() {
    let server = server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let watch = Request::get("/api/v1/namespaces/d/pods?watch=1&fieldSelector=metadata.name=p").body(()).expect("a request");
    let peer = Peer { user: user_of("admin system:masters"), ..Peer::default() };
    let response = runtime.block_on(Arc::clone(&server).handle(watch.into_parts().0, RequestBody::Whole(Bytes::new()), peer));
    let names = ["apiserver_longrunning_requests{", "apiserver_request_total{"];
    expect_test::expect![[r#"
        apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="WATCH",version="v1"} 1
    "#]].assert_eq(&lines(&server, &names));
    drop(response);
    expect_test::expect![[r#"
        apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="WATCH",version="v1"} 1
        apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="WATCH",version="v1"} 0
    "#]].assert_eq(&lines(&server, &names));
}

#[test]
fn every_family_has_a_head_and_nothing_stands_twice() {
    let server = server();
    run(&server, REQUESTS);
    let text = server.metrics.text(&server.registry.catalog(), server.registry.store());
    let mut seen = std::collections::HashSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap_or("");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(series.starts_with(family), "{line} stands under {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "{line} stands twice");
        }
    }
    let of_process = ["cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds", "virtual_memory_bytes"];
    for name in of_process {
        assert!(text.contains(&format!("\nprocess_{name} ")), "{name}");
    }
}
