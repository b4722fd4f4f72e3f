//! Reading: lists in pages, selectors, watches, formats, documents.

use expect_test::expect;

use super::check;

const THREE: &str = r#"
    quiet POST /api/v1/namespaces {"metadata":{"name":"d"}}
    quiet POST /api/v1/namespaces/d/configmaps {"metadata":{"name":"a","labels":{"x":"1"}}}
    quiet POST /api/v1/namespaces/d/configmaps {"metadata":{"name":"b","labels":{"x":"2"}}}
    quiet POST /api/v1/namespaces/d/configmaps {"metadata":{"name":"c"}}
"#;

fn after_three(script: &str) -> String {
    format!("{THREE}\n{}", script.replace("CM", "/api/v1/namespaces/d/configmaps"))
}

#[test]
fn lists_in_pages() {
    check(
        &after_three(
            r#"
        GET CM?limit=2
        GET CM?limit=2&continue=eyJydiI6NSwic3RhcnQiOiJiXHUwMDAwIiwidiI6Im1ldGEuazhzLmlvL3YxIn0
        GET CM?limit=1&labelSelector=x
        GET CM?continue=garbage
        GET CM?resourceVersion=99
        GET CM?resourceVersion=x
        GET CM?resourceVersionMatch=Exact
        GET CM?resourceVersion=3&resourceVersionMatch=Exact
        "#,
        ),
        expect![[r#"
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}},{"metadata":{"labels":{"x":"2"},"name":"b","namespace":"d","resourceVersion":"4"}}],"kind":"ConfigMapList","metadata":{"continue":"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIvYlx1MDAwMCJ9","remainingItemCount":1,"resourceVersion":"5"}}
            200 {"apiVersion":"v1","items":[{"metadata":{"name":"c","namespace":"d","resourceVersion":"5"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"5"}}
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}}],"kind":"ConfigMapList","metadata":{"continue":"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIvYVx1MDAwMCJ9","resourceVersion":"5"}}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"invalid continue token: continue key is not valid: invalid character '\\u0081' looking for beginning of value","metadata":{},"reason":"BadRequest","status":"Failure"}
            504 {"apiVersion":"v1","code":504,"details":{"causes":[{"message":"Too large resource version","reason":"ResourceVersionTooLarge"}],"retryAfterSeconds":1},"kind":"Status","message":"Timeout: Too large resource version: 99, current: 5","metadata":{},"reason":"Timeout","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax","metadata":{},"reason":"BadRequest","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"resourceVersionMatch","message":"Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided","reason":"FieldValueForbidden"}],"group":"meta.k8s.io","kind":"ListOptions"},"kind":"Status","message":"ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided","metadata":{},"reason":"Invalid","status":"Failure"}
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"3"}}
        "#]],
    );
}

#[test]
fn selectors() {
    check(
        &after_three(
            r#"
        GET CM?labelSelector=x%20in%20(1,3)
        GET CM?labelSelector=!x
        GET CM?labelSelector=a%20b
        GET CM?fieldSelector=metadata.name=b
        GET CM?fieldSelector=metadata.name!=b,metadata.namespace=d
        GET CM?fieldSelector=spec.x=b
        GET /api/v1/pods?fieldSelector=spec.nodeName=
        GET /api/v1/pods?fieldSelector=spec.other=
        "#,
        ),
        expect![[r#"
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"5"}}
            200 {"apiVersion":"v1","items":[{"metadata":{"name":"c","namespace":"d","resourceVersion":"5"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"5"}}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt","metadata":{},"reason":"BadRequest","status":"Failure"}
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"2"},"name":"b","namespace":"d","resourceVersion":"4"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"5"}}
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}},{"metadata":{"name":"c","namespace":"d","resourceVersion":"5"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"5"}}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"","metadata":{},"reason":"BadRequest","status":"Failure"}
            200 {"apiVersion":"v1","items":[],"kind":"PodList","metadata":{"resourceVersion":"5"}}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"field label not supported: spec.other","metadata":{},"reason":"BadRequest","status":"Failure"}
        "#]],
    );
}

#[test]
fn watches_show_each_change_once() {
    check(
        &after_three(
            r#"
        PATCH CM/a {"metadata":{"labels":{"x":"9"}}}
        DELETE CM/b
        GET CM?watch=1&resourceVersion=3
        GET CM?watch=1&resourceVersion=3&labelSelector=x=1
        GET CM?watch=1
        GET CM?watch=1&resourceVersion=3&fieldSelector=metadata.name=c
        GET CM?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true
        GET CM?watch=1&sendInitialEvents=true
        GET CM?watch=1&resourceVersion=999
        GET CM?watch=1&continue=x
        GET CM?limit=1&resourceVersion=0
        GET CM?limit=1&timeout=5
        header accept application/json;as=Table;v=v1;g=meta.k8s.io
        GET CM?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true
        "#,
        ),
        expect![[r#"
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"9"},"name":"a","namespace":"d","resourceVersion":"6"}}
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"b"},"kind":"Status","metadata":{},"status":"Success"}
            200 {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"2"},"name":"b","namespace":"d","resourceVersion":"4"}},"type":"ADDED"} {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"d","resourceVersion":"5"}},"type":"ADDED"} {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"9"},"name":"a","namespace":"d","resourceVersion":"6"}},"type":"MODIFIED"} {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"2"},"name":"b","namespace":"d","resourceVersion":"7"}},"type":"DELETED"}
            200 {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"6"}},"type":"DELETED"}
            200 {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"9"},"name":"a","namespace":"d","resourceVersion":"6"}},"type":"ADDED"} {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"d","resourceVersion":"5"}},"type":"ADDED"}
            200 {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"d","resourceVersion":"5"}},"type":"ADDED"}
            200 {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"x":"9"},"name":"a","namespace":"d","resourceVersion":"6"}},"type":"ADDED"} {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"d","resourceVersion":"5"}},"type":"ADDED"} {"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"7"}},"type":"BOOKMARK"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"resourceVersionMatch","message":"Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan","reason":"FieldValueForbidden"}],"group":"meta.k8s.io","kind":"ListOptions"},"kind":"Status","message":"ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan","metadata":{},"reason":"Invalid","status":"Failure"}
            200
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"resourceVersionMatch","message":"Forbidden: resourceVersionMatch is forbidden when continue is provided","reason":"FieldValueForbidden"}],"group":"meta.k8s.io","kind":"ListOptions"},"kind":"Status","message":"ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided","metadata":{},"reason":"Invalid","status":"Failure"}
            200 {"apiVersion":"v1","items":[{"metadata":{"labels":{"x":"9"},"name":"a","namespace":"d","resourceVersion":"6"}},{"metadata":{"name":"c","namespace":"d","resourceVersion":"5"}}],"kind":"ConfigMapList","metadata":{"resourceVersion":"7"}}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"invalid timeout specified in the request URL - time: missing unit in duration \"5\"","metadata":{},"reason":"BadRequest","status":"Failure"}
            200 {"object":{"apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"format":"name","name":"Name","priority":0,"type":"string"},{"format":"","name":"Data","priority":0,"type":"string"},{"format":"","name":"Age","priority":0,"type":"string"}],"kind":"Table","metadata":{"resourceVersion":"6"},"rows":[{"cells":["a",0,"0s"],"object":{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"labels":{"x":"9"},"name":"a","namespace":"d","resourceVersion":"6"}}}]},"type":"ADDED"} {"object":{"apiVersion":"meta.k8s.io/v1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"5"},"rows":[{"cells":["c",0,"0s"],"object":{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"c","namespace":"d","resourceVersion":"5"}}}]},"type":"ADDED"} {"object":{"apiVersion":"meta.k8s.io/v1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[{"cells":["",0,"<unknown>"],"object":{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"7"}}}]},"type":"BOOKMARK"}
        "#]],
    );
}

#[test]
fn kinds_with_two_forms() {
    check(
        r#"
        quiet POST /api/v1/namespaces {"metadata":{"name":"d"}}
        POST /api/v1/namespaces/d/events {"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p","namespace":"d"},"message":"m","reason":"R","type":"Normal","count":2}
        GET /apis/events.k8s.io/v1/namespaces/d/events/e
        GET /apis/events.k8s.io/v1/events?fieldSelector=regarding.name=p
        GET /apis/events.k8s.io/v1/namespaces/d/events?watch=1
        POST /apis/events.k8s.io/v1/namespaces/d/events {"metadata":{"name":"f"},"regarding":{"kind":"Pod","name":"p","namespace":"d"},"note":"m","reason":"R","type":"Normal","eventTime":"2026-11-22T10:00:00.000000Z","reportingController":"a.b/c","reportingInstance":"i","action":"A"}
        GET /api/v1/namespaces/d/events/f
        GET /api/v1/namespaces/d/events?fieldSelector=source=a.b/c
        GET /api/v1/namespaces/d/events?fieldSelector=source=other
        POST /apis/autoscaling/v1/namespaces/d/horizontalpodautoscalers {"metadata":{"name":"h"},"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"w"},"targetCPUUtilizationPercentage":70}}
        GET /apis/autoscaling/v2/namespaces/d/horizontalpodautoscalers/h
        GET /apis/autoscaling/v1/namespaces/d/horizontalpodautoscalers
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","count":2,"eventTime":null,"firstTimestamp":null,"involvedObject":{"kind":"Pod","name":"p","namespace":"d"},"kind":"Event","lastTimestamp":null,"message":"m","metadata":{"name":"e","namespace":"d","resourceVersion":"3"},"reason":"R","reportingComponent":"","reportingInstance":"","source":{},"type":"Normal"}
            200 {"apiVersion":"events.k8s.io/v1","deprecatedCount":2,"deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null,"deprecatedSource":{},"eventTime":null,"kind":"Event","metadata":{"name":"e","namespace":"d","resourceVersion":"3"},"note":"m","reason":"R","regarding":{"kind":"Pod","name":"p","namespace":"d"},"type":"Normal"}
            200 {"apiVersion":"events.k8s.io/v1","items":[{"deprecatedCount":2,"deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null,"deprecatedSource":{},"eventTime":null,"metadata":{"name":"e","namespace":"d","resourceVersion":"3"},"note":"m","reason":"R","regarding":{"kind":"Pod","name":"p","namespace":"d"},"type":"Normal"}],"kind":"EventList","metadata":{"resourceVersion":"3"}}
            200 {"object":{"apiVersion":"events.k8s.io/v1","deprecatedCount":2,"deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null,"deprecatedSource":{},"eventTime":null,"kind":"Event","metadata":{"name":"e","namespace":"d","resourceVersion":"3"},"note":"m","reason":"R","regarding":{"kind":"Pod","name":"p","namespace":"d"},"type":"Normal"},"type":"ADDED"}
            201 {"action":"A","apiVersion":"events.k8s.io/v1","deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null,"deprecatedSource":{},"eventTime":"2026-11-22T10:00:00.000000Z","kind":"Event","metadata":{"name":"f","namespace":"d","resourceVersion":"4"},"note":"m","reason":"R","regarding":{"kind":"Pod","name":"p","namespace":"d"},"reportingController":"a.b/c","reportingInstance":"i","type":"Normal"}
            200 {"action":"A","apiVersion":"v1","eventTime":"2026-11-22T10:00:00.000000Z","firstTimestamp":null,"involvedObject":{"kind":"Pod","name":"p","namespace":"d"},"kind":"Event","lastTimestamp":null,"message":"m","metadata":{"name":"f","namespace":"d","resourceVersion":"4"},"reason":"R","reportingComponent":"a.b/c","reportingInstance":"i","source":{},"type":"Normal"}
            200 {"apiVersion":"v1","items":[{"action":"A","eventTime":"2026-11-22T10:00:00.000000Z","firstTimestamp":null,"involvedObject":{"kind":"Pod","name":"p","namespace":"d"},"lastTimestamp":null,"message":"m","metadata":{"name":"f","namespace":"d","resourceVersion":"4"},"reason":"R","reportingComponent":"a.b/c","reportingInstance":"i","source":{},"type":"Normal"}],"kind":"EventList","metadata":{"resourceVersion":"4"}}
            200 {"apiVersion":"v1","items":[],"kind":"EventList","metadata":{"resourceVersion":"4"}}
            201 {"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"generation":1,"name":"h","namespace":"d","resourceVersion":"5"},"spec":{"maxReplicas":3,"minReplicas":1,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"w"},"targetCPUUtilizationPercentage":70},"status":{"currentReplicas":0,"desiredReplicas":0}}
            200 {"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"generation":1,"name":"h","namespace":"d","resourceVersion":"5"},"spec":{"maxReplicas":3,"metrics":[{"resource":{"name":"cpu","target":{"averageUtilization":70,"type":"Utilization"}},"type":"Resource"}],"minReplicas":1,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"w"}},"status":{"currentMetrics":null,"desiredReplicas":0}}
            200 {"apiVersion":"autoscaling/v1","items":[{"metadata":{"generation":1,"name":"h","namespace":"d","resourceVersion":"5"},"spec":{"maxReplicas":3,"minReplicas":1,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"w"},"targetCPUUtilizationPercentage":70},"status":{"currentReplicas":0,"desiredReplicas":0}}],"kind":"HorizontalPodAutoscalerList","metadata":{"resourceVersion":"5"}}
        "#]],
    );
}

#[test]
fn formats() {
    check(
        &after_three(
            r#"
        header accept application/yaml
        GET CM/a
        header accept text/html
        GET CM/a
        header accept application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io
        GET CM/a
        header accept application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io
        GET CM?limit=1
        header accept application/json;as=Table;v=v1;g=meta.k8s.io
        GET CM?limit=1
        header accept application/json;as=Table;v=v1;g=meta.k8s.io
        GET CM/a?includeObject=None
        header accept application/json;as=Table;v=v1;g=meta.k8s.io
        GET CM?watch=1&includeObject=None
        GET CM/a?includeObject=Odd&pretty=true
        header accept application/json;as=Table;v=v1;g=meta.k8s.io
        GET /api/v1/componentstatuses?includeObject=None
        header content-type text/plain
        POST CM {"metadata":{"name":"z"}}
        header content-type application/yaml
        POST CM {metadata: {name: yy}}
        "#,
        ),
        expect![[r#"
            200 apiVersion: v1 kind: ConfigMap metadata:   creationTimestamp: "2026-11-22T10:00:00Z"   labels:     x: "1"   managedFields:   - apiVersion: v1     fieldsType: FieldsV1     fieldsV1:       f:metadata:         f:labels:           .: {}           f:x: {}     manager: unknown     operation: Update     time: "2026-11-22T10:00:00Z"   name: a   namespace: d   resourceVersion: "3"   uid: e099ec6c-d736-4ca5-85e7-bb0f12278575
            406 {"apiVersion":"v1","code":406,"details":{},"kind":"Status","message":"406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf","metadata":{},"reason":"NotAcceptable","status":"Failure"}
            200 {"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}}
            200 {"apiVersion":"meta.k8s.io/v1","items":[{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}}],"kind":"PartialObjectMetadataList","metadata":{"continue":"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIvYVx1MDAwMCJ9","remainingItemCount":2,"resourceVersion":"5"}}
            200 {"apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"format":"name","name":"Name","priority":0,"type":"string"},{"format":"","name":"Data","priority":0,"type":"string"},{"format":"","name":"Age","priority":0,"type":"string"}],"kind":"Table","metadata":{"continue":"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIvYVx1MDAwMCJ9","remainingItemCount":2,"resourceVersion":"5"},"rows":[{"cells":["a",0,"0s"],"object":{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"labels":{"x":"1"},"name":"a","namespace":"d","resourceVersion":"3"}}}]}
            200 {"apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"format":"name","name":"Name","priority":0,"type":"string"},{"format":"","name":"Data","priority":0,"type":"string"},{"format":"","name":"Age","priority":0,"type":"string"}],"kind":"Table","metadata":{"resourceVersion":"3"},"rows":[{"cells":["a",0,"0s"],"object":null}]}
            200 {"object":{"apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"format":"name","name":"Name","priority":0,"type":"string"},{"format":"","name":"Data","priority":0,"type":"string"},{"format":"","name":"Age","priority":0,"type":"string"}],"kind":"Table","metadata":{"resourceVersion":"3"},"rows":[{"cells":["a",0,"0s"],"object":null}]},"type":"ADDED"} {"object":{"apiVersion":"meta.k8s.io/v1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"4"},"rows":[{"cells":["b",0,"0s"],"object":null}]},"type":"ADDED"} {"object":{"apiVersion":"meta.k8s.io/v1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"5"},"rows":[{"cells":["c",0,"0s"],"object":null}]},"type":"ADDED"}
            200 {   "kind": "ConfigMap",   "apiVersion": "v1",   "metadata": {     "resourceVersion": "3",     "creationTimestamp": "2026-11-22T10:00:00Z",     "labels": {       "x": "1"     },     "managedFields": [       {         "apiVersion": "v1",         "fieldsType": "FieldsV1",         "fieldsV1": {           "f:metadata": {             "f:labels": {               ".": {},               "f:x": {}             }           }         },         "manager": "unknown",         "operation": "Update",         "time": "2026-11-22T10:00:00Z"       }     ],     "name": "a",     "namespace": "d",     "uid": "e099ec6c-d736-4ca5-85e7-bb0f12278575"   } }
            200 [299 - "v1 ComponentStatus is deprecated in v1.19+"] {"apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"format":"name","name":"Name","priority":0,"type":"string"},{"format":"","name":"Status","priority":0,"type":"string"},{"format":"","name":"Message","priority":0,"type":"string"},{"format":"","name":"Error","priority":0,"type":"string"}],"kind":"Table","metadata":{},"rows":[{"cells":["controller-manager","Healthy","ok",""],"object":null},{"cells":["etcd-0","Healthy","ok",""],"object":null},{"cells":["scheduler","Healthy","ok",""],"object":null}]}
            415 {"apiVersion":"v1","code":415,"kind":"Status","message":"the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf","metadata":{},"reason":"UnsupportedMediaType","status":"Failure"}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"yy","namespace":"d","resourceVersion":"6"}}
        "#]],
    );
}

#[test]
fn health() {
    check(
        r"
        GET /readyz
        bootstrap
        GET /readyz
        GET /livez?verbose
        GET /livez/ping
        close
        GET /livez
        GET /readyz/etcd-readiness
        GET /livez?exclude=etcd
        ",
        expect![[r#"
            500 [+]ping ok [+]log ok [+]etcd ok [+]etcd-readiness ok [+]informer-sync ok [-]poststarthook/start-system-namespaces-controller failed: reason withheld [-]poststarthook/storage-readiness failed: reason withheld [-]poststarthook/start-legacy-token-tracking-controller failed: reason withheld [-]poststarthook/rbac/bootstrap-roles failed: reason withheld [-]poststarthook/scheduling/bootstrap-system-priority-classes failed: reason withheld [-]poststarthook/priority-and-fairness-config-producer failed: reason withheld [-]poststarthook/bootstrap-controller failed: reason withheld [-]poststarthook/start-kubernetes-service-cidr-controller failed: reason withheld [-]poststarthook/kube-apiserver-autoregistration failed: reason withheld [-]autoregister-completion failed: reason withheld [+]shutdown ok readyz check failed
            200 ok
            200 [+]ping ok [+]log ok [+]etcd ok [+]poststarthook/start-system-namespaces-controller ok [+]poststarthook/storage-readiness ok [+]poststarthook/start-legacy-token-tracking-controller ok [+]poststarthook/rbac/bootstrap-roles ok [+]poststarthook/scheduling/bootstrap-system-priority-classes ok [+]poststarthook/priority-and-fairness-config-producer ok [+]poststarthook/bootstrap-controller ok [+]poststarthook/start-kubernetes-service-cidr-controller ok [+]poststarthook/kube-apiserver-autoregistration ok [+]autoregister-completion ok livez check passed
            200 ok
            500 [+]ping ok [+]log ok [-]etcd failed: reason withheld [+]poststarthook/start-system-namespaces-controller ok [+]poststarthook/storage-readiness ok [+]poststarthook/start-legacy-token-tracking-controller ok [+]poststarthook/rbac/bootstrap-roles ok [+]poststarthook/scheduling/bootstrap-system-priority-classes ok [+]poststarthook/priority-and-fairness-config-producer ok [+]poststarthook/bootstrap-controller ok [+]poststarthook/start-kubernetes-service-cidr-controller ok [+]poststarthook/kube-apiserver-autoregistration ok [+]autoregister-completion ok livez check failed
            500 internal server error: the store is closed
            200 ok
        "#]],
    );
}

#[test]
fn documents() {
    check(
        r"
        GET /version
        GET /api
        GET /apis/batch
        GET /apis/batch/v1
        GET /openapi/v3/apis/none/v1
        GET /nothing
        POST /api
        ",
        expect![[r#"
            200 {"buildDate":"1970-01-01T00:00:00Z","compiler":"rustc","emulationMajor":"1","emulationMinor":"37","gitCommit":"","gitTreeState":"clean","gitVersion":"v1.37.1","goVersion":"","major":"1","minCompatibilityMajor":"1","minCompatibilityMinor":"36","minor":"37","platform":"linux/amd64"}
            200 {"kind":"APIVersions","serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"10.0.0.1:6443"}],"versions":["v1"]}
            200 {"apiVersion":"v1","kind":"APIGroup","name":"batch","preferredVersion":{"groupVersion":"batch/v1","version":"v1"},"versions":[{"groupVersion":"batch/v1","version":"v1"}]}
            200 {"apiVersion":"v1","groupVersion":"batch/v1","kind":"APIResourceList","resources":[{"categories":["all"],"kind":"CronJob","name":"cronjobs","namespaced":true,"shortNames":["cj"],"singularName":"cronjob","storageVersionHash":"sd5LIXh4Fjs=","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]},{"kind":"CronJob","name":"cronjobs/status","namespaced":true,"singularName":"","verbs":["get","patch","update"]},{"categories":["all"],"kind":"Job","name":"jobs","namespaced":true,"singularName":"job","storageVersionHash":"mudhfqk/qZY=","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]},{"kind":"Job","name":"jobs/status","namespaced":true,"singularName":"","verbs":["get","patch","update"]}]}
            404 404 page not found
            404 404 page not found
            405 {"apiVersion":"v1","code":405,"details":{},"kind":"Status","message":"the server does not allow this method on the requested resource","metadata":{},"reason":"MethodNotAllowed","status":"Failure"}
        "#]],
    );
}
