//! Writing: create, update, patch, delete and the subresources.

use expect_test::expect;

use super::check;

const CM: &str = "/api/v1/namespaces/default/configmaps";
const NS: &str = r#"
    quiet POST /api/v1/namespaces {"metadata":{"name":"default"}}
    quiet POST /api/v1/namespaces/default/serviceaccounts {"metadata":{"name":"default"},"automountServiceAccountToken":false}
"#;

fn on(script: &str) -> String {
    let script =
        script.replace("CM", CM).replace("PODS", "/api/v1/namespaces/default/pods").replace("SVC", "/api/v1/namespaces/default/services");
    format!("{NS}\n{}", script.replace("DEPLOY", "/apis/apps/v1/namespaces/default/deployments"))
}

#[test]
fn objects_come_change_and_go() {
    check(
        &on(r#"
        POST CM {"metadata":{"name":"a","labels":{"x":"1"}},"data":{"k":"v"}}
        POST CM {"metadata":{"name":"a"}}
        GET CM/a
        PUT CM/a {"metadata":{"name":"a"},"data":{"k":"w"}}
        PUT CM/a {"metadata":{"name":"a"},"data":{"k":"w"}}
        PUT CM/a {"metadata":{"name":"a","resourceVersion":"2"},"data":{"k":"x"}}
        PATCH CM/a {"data":{"l":"1","k":null}}
        DELETE CM/a
        GET CM/a
        DELETE CM/a
        "#),
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"labels":{"x":"1"},"name":"a","namespace":"default","resourceVersion":"4"}}
            409 {"apiVersion":"v1","code":409,"details":{"kind":"configmaps","name":"a"},"kind":"Status","message":"configmaps \"a\" already exists","metadata":{},"reason":"AlreadyExists","status":"Failure"}
            200 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"labels":{"x":"1"},"name":"a","namespace":"default","resourceVersion":"4"}}
            200 {"apiVersion":"v1","data":{"k":"w"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"5"}}
            200 {"apiVersion":"v1","data":{"k":"w"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"5"}}
            409 {"apiVersion":"v1","code":409,"details":{"kind":"configmaps","name":"a"},"kind":"Status","message":"Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again","metadata":{},"reason":"Conflict","status":"Failure"}
            200 {"apiVersion":"v1","data":{"l":"1"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"6"}}
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"a"},"kind":"Status","metadata":{},"status":"Success"}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"configmaps","name":"a"},"kind":"Status","message":"configmaps \"a\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"configmaps","name":"a"},"kind":"Status","message":"configmaps \"a\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
        "#]],
    );
}

#[test]
fn names_places_and_kinds_must_fit() {
    check(
        &on(r#"
        POST CM {"metadata":{"generateName":"a-"}}
        POST CM {"metadata":{"name":"A"}}
        POST CM {"metadata":{}}
        POST CM {"metadata":{"name":"a","namespace":"b"}}
        POST CM {"kind":"Secret","metadata":{"name":"a"}}
        POST CM {"apiVersion":"v2","metadata":{"name":"a"}}
        POST CM/a {"metadata":{"name":"a"}}
        PUT CM/a {"metadata":{"name":"b"}}
        PUT CM/a {"metadata":{"name":"a"}}
        POST CM {"metadata":{"name":"a"},"data":{"k":1}}
        POST CM {"metadata":
        GET /api/v1/namespaces/default/nothings
        GET /apis/none/v1/things
        PUT CM {"metadata":{"name":"a"}}
        "#),
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"a-","name":"a-5g4fh","namespace":"default","resourceVersion":"4"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"metadata.name","message":"Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')","reason":"FieldValueInvalid"}],"kind":"ConfigMap","name":"A"},"kind":"Status","message":"ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')","metadata":{},"reason":"Invalid","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"metadata.name","message":"Required value: name or generateName is required","reason":"FieldValueRequired"}],"kind":"ConfigMap"},"kind":"Status","message":"ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required","metadata":{},"reason":"Invalid","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"the namespace of the provided object does not match the namespace sent on the request","metadata":{},"reason":"BadRequest","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion","metadata":{},"reason":"BadRequest","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\" in scheme \"pkg/runtime/scheme.go:111\"","metadata":{},"reason":"BadRequest","status":"Failure"}
            405 {"apiVersion":"v1","code":405,"details":{},"kind":"Status","message":"the server does not allow this method on the requested resource","metadata":{},"reason":"MethodNotAllowed","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"the name of the object (b) does not match the name on the URL (a)","metadata":{},"reason":"BadRequest","status":"Failure"}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"configmaps","name":"a"},"kind":"Status","message":"configmaps \"a\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string","metadata":{},"reason":"BadRequest","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({\"metadata\":)","metadata":{},"reason":"BadRequest","status":"Failure"}
            404 {"apiVersion":"v1","code":404,"details":{},"kind":"Status","message":"the server could not find the requested resource","metadata":{},"reason":"NotFound","status":"Failure"}
            404 404 page not found
            405 {"apiVersion":"v1","code":405,"details":{},"kind":"Status","message":"the server does not allow this method on the requested resource","metadata":{},"reason":"MethodNotAllowed","status":"Failure"}
        "#]],
    );
}

#[test]
fn unknown_fields_warn_or_are_refused() {
    check(
        &on(r#"
        POST CM {"metadata":{"name":"a"},"dat":{"k":"v"},"data":{"k":"v"},"data":{"k":"v"}}
        POST CM?fieldValidation=Strict {"metadata":{"name":"b"},"dat":{"k":"v"}}
        POST CM?fieldValidation=Strict {"metadata":{"name":"b"},"dat":{"k":"v"},"data":{"k":true}}
        POST CM?fieldValidation=Ignore {"metadata":{"name":"c"},"dat":{"k":"v"}}
        POST CM?fieldValidation=Odd {"metadata":{"name":"d"}}
        POST CM?dryRun=Some {"metadata":{"name":"d"}}
        POST CM?dryRun=All {"metadata":{"name":"d"}}
        GET CM/d
        PATCH CM/a?fieldValidation=Strict {"dat":{"k":"v"}}
        "#),
        expect![[r#"
            201 [299 - "unknown field \"dat\""] [299 - "duplicate field \"data\""] {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"4"}}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"dat\"","metadata":{},"reason":"BadRequest","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go struct field ConfigMap.data of type string","metadata":{},"reason":"BadRequest","status":"Failure"}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"default","resourceVersion":"5"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"fieldValidation","message":"Unsupported value: \"Odd\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"","reason":"FieldValueNotSupported"}],"group":"meta.k8s.io","kind":"CreateOptions"},"kind":"Status","message":"CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Odd\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"","metadata":{},"reason":"Invalid","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"dryRun","message":"Unsupported value: [\"Some\"]: supported values: \"All\"","reason":"FieldValueNotSupported"}],"group":"meta.k8s.io","kind":"CreateOptions"},"kind":"Status","message":"CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"","metadata":{},"reason":"Invalid","status":"Failure"}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d","namespace":"default"}}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"configmaps","name":"d"},"kind":"Status","message":"configmaps \"d\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"patch","message":"Invalid value: \"{\\\"apiVersion\\\":\\\"v1\\\",\\\"dat\\\":{\\\"k\\\":\\\"v\\\"},\\\"data\\\":{\\\"k\\\":\\\"v\\\"},\\\"kind\\\":\\\"ConfigMap\\\",\\\"metadata\\\":{\\\"creationTimestamp\\\":\\\"2026-11-22T10:00:00Z\\\",\\\"managedFields\\\":[{\\\"apiVersion\\\":\\\"v1\\\",\\\"fieldsType\\\":\\\"FieldsV1\\\",\\\"fieldsV1\\\":{\\\"f:data\\\":{\\\".\\\":{},\\\"f:k\\\":{}}},\\\"manager\\\":\\\"unknown\\\",\\\"operation\\\":\\\"Update\\\",\\\"time\\\":\\\"2026-11-22T10:00:00Z\\\"}],\\\"name\\\":\\\"a\\\",\\\"namespace\\\":\\\"default\\\",\\\"resourceVersion\\\":\\\"4\\\",\\\"uid\\\":\\\"7476cf8a-4baa-4dc0-87b3-41d690d7a28a\\\"}}\": strict decoding error: unknown field \"dat\"","reason":"FieldValueInvalid"}]},"kind":"Status","message":" \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion\\\":\\\"v1\\\",\\\"dat\\\":{\\\"k\\\":\\\"v\\\"},\\\"data\\\":{\\\"k\\\":\\\"v\\\"},\\\"kind\\\":\\\"ConfigMap\\\",\\\"metadata\\\":{\\\"creationTimestamp\\\":\\\"2026-11-22T10:00:00Z\\\",\\\"managedFields\\\":[{\\\"apiVersion\\\":\\\"v1\\\",\\\"fieldsType\\\":\\\"FieldsV1\\\",\\\"fieldsV1\\\":{\\\"f:data\\\":{\\\".\\\":{},\\\"f:k\\\":{}}},\\\"manager\\\":\\\"unknown\\\",\\\"operation\\\":\\\"Update\\\",\\\"time\\\":\\\"2026-11-22T10:00:00Z\\\"}],\\\"name\\\":\\\"a\\\",\\\"namespace\\\":\\\"default\\\",\\\"resourceVersion\\\":\\\"4\\\",\\\"uid\\\":\\\"7476cf8a-4baa-4dc0-87b3-41d690d7a28a\\\"}}\": strict decoding error: unknown field \"dat\"","metadata":{},"reason":"Invalid","status":"Failure"}
        "#]],
    );
}

#[test]
fn every_kind_of_patch() {
    check(
        &on(r#"
        POST DEPLOY {"metadata":{"name":"w"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}}
        header content-type application/json-patch+json
        PATCH DEPLOY/w [{"op":"test","path":"/spec/replicas","value":2}]
        header content-type application/json-patch+json
        PATCH DEPLOY/w [{"op":"replace","path":"/spec/replicas","value":2}]
        header content-type application/strategic-merge-patch+json
        PATCH DEPLOY/w {"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i:2"}]}}}}
        header content-type text/plain
        PATCH DEPLOY/w {}
        PATCH DEPLOY/none {"spec":{}}
        PATCH DEPLOY/w {"metadata":{"resourceVersion":"1"}}
        "#),
        expect![[r#"
            201 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":1,"name":"w","namespace":"default","resourceVersion":"4"},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}
            422 {"apiVersion":"v1","code":422,"details":{},"kind":"Status","message":"the server rejected our request due to an error in our request","metadata":{},"reason":"Invalid","status":"Failure"}
            200 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":2,"name":"w","namespace":"default","resourceVersion":"5"},"spec":{"progressDeadlineSeconds":600,"replicas":2,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}
            200 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":3,"name":"w","namespace":"default","resourceVersion":"6"},"spec":{"progressDeadlineSeconds":600,"replicas":2,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i:2","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}
            415 {"apiVersion":"v1","code":415,"details":{},"kind":"Status","message":"415: Unsupported Media Type","metadata":{},"reason":"UnsupportedMediaType","status":"Failure"}
            404 {"apiVersion":"v1","code":404,"details":{"group":"apps","kind":"deployments","name":"none"},"kind":"Status","message":"deployments.apps \"none\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            409 {"apiVersion":"v1","code":409,"details":{"group":"apps","kind":"deployments","name":"w"},"kind":"Status","message":"Operation cannot be fulfilled on deployments.apps \"w\": the object has been modified; please apply your changes to the latest version and try again","metadata":{},"reason":"Conflict","status":"Failure"}
        "#]],
    );
}

#[test]
fn an_apply_to_the_status_of_a_missing_policy_would_make_it() {
    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/p/status?fieldManager=m";
    let body = r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{"name":"p"},"status":{"observedGeneration":1}}"#;
    check(
        &format!("header content-type application/apply-patch+yaml\nPATCH {path} {body}"),
        expect![[r#"
        422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.matchConstraints","message":"Required value","reason":"FieldValueRequired"},{"field":"spec.validations","message":"Required value: validations or auditAnnotations must contain at least one item","reason":"FieldValueRequired"},{"field":"spec.auditAnnotations","message":"Required value: validations or auditAnnotations must contain at least one item","reason":"FieldValueRequired"}],"group":"admissionregistration.k8s.io","kind":"ValidatingAdmissionPolicy","name":"p"},"kind":"Status","message":"ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: [spec.matchConstraints: Required value, spec.validations: Required value: validations or auditAnnotations must contain at least one item, spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item]","metadata":{},"reason":"Invalid","status":"Failure"}
    "#]],
    );
}

#[test]
fn server_side_apply_creates_owns_and_conflicts() {
    let apply = "header content-type application/apply-patch+yaml";
    check(
        &on(&format!(
            r#"
        {apply}
        PATCH CM/a?fieldManager=one {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{"k":"v","l":"1"}}}}
        {apply}
        PATCH CM/a?fieldManager=one {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{"k":"v","l":"1"}}}}
        {apply}
        PATCH CM/a?fieldManager=two {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{"k":"w"}}}}
        {apply}
        PATCH CM/a?fieldManager=two&force=true {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{"k":"w"}}}}
        {apply}
        PATCH CM/a?fieldManager=one {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{"m":"1"}}}}
        {apply}
        PATCH CM/a {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}}}}
        {apply}
        PATCH CM/a?fieldManager=one&fieldValidation=Strict {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"dat":{{}}}}
        {apply}
        PATCH CM/a?fieldManager=one {{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"a"}}}}
        PATCH CM/a?force=true {{}}
        {apply}
        PATCH CM/none/status?fieldManager=one {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"none"}}}}
        "#
        )),
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v","l":"1"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"4"}}
            200 {"apiVersion":"v1","data":{"k":"v","l":"1"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"4"}}
            409 {"apiVersion":"v1","code":409,"details":{"causes":[{"field":".data.k","message":"conflict with \"one\"","reason":"FieldManagerConflict"}]},"kind":"Status","message":"Apply failed with 1 conflict: conflict with \"one\": .data.k","metadata":{},"reason":"Conflict","status":"Failure"}
            200 {"apiVersion":"v1","data":{"k":"w","l":"1"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"5"}}
            200 {"apiVersion":"v1","data":{"k":"w","m":"1"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"6"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"fieldManager","message":"Required value: is required for apply patch","reason":"FieldValueRequired"}],"group":"meta.k8s.io","kind":"PatchOptions"},"kind":"Status","message":"PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch","metadata":{},"reason":"Invalid","status":"Failure"}
            500 {"apiVersion":"v1","code":500,"kind":"Status","message":"failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dat: field not declared in schema","metadata":{},"status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"invalid object type: /v1, Kind=Secret","metadata":{},"reason":"BadRequest","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"force","message":"Forbidden: may not be specified for non-apply patch","reason":"FieldValueForbidden"}],"group":"meta.k8s.io","kind":"PatchOptions"},"kind":"Status","message":"PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch","metadata":{},"reason":"Invalid","status":"Failure"}
            404 {"apiVersion":"v1","code":404,"details":{},"kind":"Status","message":"the server could not find the requested resource","metadata":{},"reason":"NotFound","status":"Failure"}
        "#]],
    );
}

#[test]
fn status_and_scale_are_apart() {
    check(
        &on(r#"
        POST DEPLOY {"metadata":{"name":"w"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}},"status":{"replicas":9}}
        PATCH DEPLOY/w/status {"spec":{"replicas":7},"status":{"replicas":3}}
        PATCH DEPLOY/w {"status":{"replicas":5}}
        GET DEPLOY/w/scale
        PUT DEPLOY/w/scale {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"w"},"spec":{"replicas":4}}
        PATCH DEPLOY/w/scale {"spec":{"replicas":-1}}
        PATCH DEPLOY/w/scale {"spec":{"replicas":0}}
        "#),
        expect![[r#"
            201 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":1,"name":"w","namespace":"default","resourceVersion":"4"},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}
            200 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":1,"name":"w","namespace":"default","resourceVersion":"5"},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{"replicas":3}}
            200 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":1,"name":"w","namespace":"default","resourceVersion":"5"},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{"replicas":3}}
            200 {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"w","namespace":"default","resourceVersion":"5"},"spec":{"replicas":1},"status":{"replicas":3,"selector":"a=b"}}
            200 {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"w","namespace":"default","resourceVersion":"6"},"spec":{"replicas":4},"status":{"replicas":3,"selector":"a=b"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.replicas","message":"Invalid value: -1: must be greater than or equal to 0","reason":"FieldValueInvalid"}],"group":"autoscaling","kind":"Scale","name":"w"},"kind":"Status","message":"Scale.autoscaling \"w\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0","metadata":{},"reason":"Invalid","status":"Failure"}
            200 {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"w","namespace":"default","resourceVersion":"7"},"spec":{},"status":{"replicas":3,"selector":"a=b"}}
        "#]],
    );
}

#[test]
fn pods_bind_end_gracefully_and_keep_finalizers() {
    check(
        &on(r#"
        POST PODS {"metadata":{"name":"p","finalizers":["a.b/c"]},"spec":{"containers":[{"name":"c","image":"i:1"}],"terminationGracePeriodSeconds":5}}
        POST PODS/p/binding {"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}
        POST PODS/p/binding {"metadata":{"name":"p"},"target":{"kind":"Node","name":"m"}}
        DELETE PODS/p?gracePeriodSeconds=20
        DELETE PODS/p {"gracePeriodSeconds":0,"preconditions":{"uid":"x"}}
        DELETE PODS/p?gracePeriodSeconds=0
        PATCH PODS/p {"metadata":{"finalizers":["a.b/c","d.e/f"]}}
        PATCH PODS/p {"metadata":{"finalizers":null}}
        GET PODS/p
        POST PODS {"metadata":{"name":"q"},"spec":{"containers":[{"name":"c","image":"i:1"}]}}
        DELETE PODS/q
        GET PODS/q
        POST /api/v1/namespaces/none/pods {"metadata":{"name":"q"},"spec":{"containers":[{"name":"c","image":"i:1"}]}}
        POST PODS {"metadata":{"name":"q"},"spec":{"serviceAccountName":"none","containers":[{"name":"c","image":"i:1"}]}}
        DELETE /api/v1/namespaces/default
        "#),
        expect![[r#"
            201 {"apiVersion":"v1","kind":"Pod","metadata":{"finalizers":["a.b/c"],"generation":1,"name":"p","namespace":"default","resourceVersion":"4"},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":5,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"phase":"Pending","qosClass":"BestEffort"}}
            201 {"apiVersion":"v1","code":201,"kind":"Status","metadata":{},"status":"Success"}
            409 {"apiVersion":"v1","code":409,"details":{"kind":"pods/binding","name":"p"},"kind":"Status","message":"Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"","metadata":{},"reason":"Conflict","status":"Failure"}
            200 {"apiVersion":"v1","kind":"Pod","metadata":{"deletionGracePeriodSeconds":20,"deletionTimestamp":"2026-11-22T10:00:20Z","finalizers":["a.b/c"],"generation":2,"name":"p","namespace":"default","resourceVersion":"6"},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"nodeName":"n","preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":5,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2026-11-22T10:00:00Z","status":"True","type":"PodScheduled"}],"phase":"Pending","qosClass":"BestEffort"}}
            409 {"apiVersion":"v1","code":409,"details":{"kind":"Pod","name":"p"},"kind":"Status","message":"Operation cannot be fulfilled on Pod \"p\": the UID in the precondition (x) does not match the UID in record (7476cf8a-4baa-4dc0-87b3-41d690d7a28a). The object might have been deleted and then recreated","metadata":{},"reason":"Conflict","status":"Failure"}
            200 {"apiVersion":"v1","kind":"Pod","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-11-22T10:00:00Z","finalizers":["a.b/c"],"generation":2,"name":"p","namespace":"default","resourceVersion":"7"},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"nodeName":"n","preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":5,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2026-11-22T10:00:00Z","status":"True","type":"PodScheduled"}],"phase":"Pending","qosClass":"BestEffort"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"metadata.finalizers","message":"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"d.e/f\"}","reason":"FieldValueForbidden"}],"kind":"Pod","name":"p"},"kind":"Status","message":"Pod \"p\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"d.e/f\"}","metadata":{},"reason":"Invalid","status":"Failure"}
            200 {"apiVersion":"v1","kind":"Pod","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-11-22T10:00:00Z","generation":2,"name":"p","namespace":"default","resourceVersion":"7"},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"nodeName":"n","preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":5,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2026-11-22T10:00:00Z","status":"True","type":"PodScheduled"}],"phase":"Pending","qosClass":"BestEffort"}}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"pods","name":"p"},"kind":"Status","message":"pods \"p\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            201 {"apiVersion":"v1","kind":"Pod","metadata":{"generation":1,"name":"q","namespace":"default","resourceVersion":"9"},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":30,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"phase":"Pending","qosClass":"BestEffort"}}
            200 {"apiVersion":"v1","kind":"Pod","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-11-22T10:00:00Z","generation":2,"name":"q","namespace":"default","resourceVersion":"10"},"spec":{"containers":[{"image":"i:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":30,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"phase":"Pending","qosClass":"BestEffort"}}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"pods","name":"q"},"kind":"Status","message":"pods \"q\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"namespaces","name":"none"},"kind":"Status","message":"namespaces \"none\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
            403 {"apiVersion":"v1","code":403,"details":{"kind":"pods","name":"q"},"kind":"Status","message":"pods \"q\" is forbidden: error looking up service account default/none: serviceaccount \"none\" not found","metadata":{},"reason":"Forbidden","status":"Failure"}
            403 {"apiVersion":"v1","code":403,"details":{"kind":"namespaces","name":"default"},"kind":"Status","message":"namespaces \"default\" is forbidden: this namespace may not be deleted","metadata":{},"reason":"Forbidden","status":"Failure"}
        "#]],
    );
}

#[test]
fn parts_of_a_pod_change_alone() {
    let strategic = "header content-type application/strategic-merge-patch+json";
    check(
        &on(&format!(
            r#"
        quiet POST PODS {{"metadata":{{"name":"p"}},"spec":{{"containers":[{{"name":"c","image":"i:1","resources":{{"requests":{{"cpu":"500m"}}}}}}],"terminationGracePeriodSeconds":0}}}}
        {strategic}
        quiet PATCH PODS/p/ephemeralcontainers {{"spec":{{"ephemeralContainers":[{{"name":"e","image":"j:1"}}],"nodeName":"x"}}}}
        {strategic}
        quiet PATCH PODS/p/resize {{"spec":{{"containers":[{{"name":"c","image":"other:1","resources":{{"requests":{{"cpu":"1"}}}}}}]}}}}
        {strategic}
        PATCH PODS/p {{"spec":{{"containers":[{{"name":"c","image":"k:1"}}]}}}}
        {strategic}
        PATCH PODS/p {{"spec":{{"containers":[{{"name":"c","workingDir":"/x"}}]}}}}
        POST PODS/p/eviction {{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"p"}}}}
        GET PODS/p
        "#
        )),
        expect![[r#"
            200 {"apiVersion":"v1","kind":"Pod","metadata":{"generation":4,"name":"p","namespace":"default","resourceVersion":"7"},"spec":{"containers":[{"image":"k:1","imagePullPolicy":"IfNotPresent","name":"c","resources":{"requests":{"cpu":"1"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"ephemeralContainers":[{"image":"j:1","imagePullPolicy":"IfNotPresent","name":"e","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":0,"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]},"status":{"phase":"Pending","qosClass":"Burstable"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec","message":"Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n@@ -7,7 +7,7 @@\n    \"Image\": \"k:1\",\n    \"Command\": null,\n    \"Args\": null,\n-   \"WorkingDir\": \"\",\n+   \"WorkingDir\": \"/x\",\n    \"Ports\": null,\n    \"EnvFrom\": null,\n    \"Env\": null,\n","reason":"FieldValueForbidden"}],"kind":"Pod","name":"p"},"kind":"Status","message":"Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n@@ -7,7 +7,7 @@\n    \"Image\": \"k:1\",\n    \"Command\": null,\n    \"Args\": null,\n-   \"WorkingDir\": \"\",\n+   \"WorkingDir\": \"/x\",\n    \"Ports\": null,\n    \"EnvFrom\": null,\n    \"Env\": null,\n","metadata":{},"reason":"Invalid","status":"Failure"}
            201 {"apiVersion":"v1","code":201,"kind":"Status","metadata":{},"status":"Success"}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"pods","name":"p"},"kind":"Status","message":"pods \"p\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
        "#]],
    );
}

#[test]
fn namespaces_wait_for_their_own_finalizers() {
    check(
        r#"
        POST /api/v1/namespaces {"metadata":{"name":"n"}}
        DELETE /api/v1/namespaces/n
        DELETE /api/v1/namespaces/n
        PATCH /api/v1/namespaces/n {"spec":{"finalizers":[]}}
        PUT /api/v1/namespaces/n/finalize {"metadata":{"name":"n"},"spec":{"finalizers":[]}}
        GET /api/v1/namespaces/n
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"n"},"name":"n","resourceVersion":"2"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"deletionTimestamp":"2026-11-22T10:00:00Z","labels":{"kubernetes.io/metadata.name":"n"},"name":"n","resourceVersion":"3"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"deletionTimestamp":"2026-11-22T10:00:00Z","labels":{"kubernetes.io/metadata.name":"n"},"name":"n","resourceVersion":"3"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"deletionTimestamp":"2026-11-22T10:00:00Z","labels":{"kubernetes.io/metadata.name":"n"},"name":"n","resourceVersion":"3"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"deletionTimestamp":"2026-11-22T10:00:00Z","labels":{"kubernetes.io/metadata.name":"n"},"name":"n","resourceVersion":"3"},"spec":{},"status":{"phase":"Terminating"}}
            404 {"apiVersion":"v1","code":404,"details":{"kind":"namespaces","name":"n"},"kind":"Status","message":"namespaces \"n\" not found","metadata":{},"reason":"NotFound","status":"Failure"}
        "#]],
    );
}

#[test]
fn propagation_becomes_finalizers() {
    check(
        &on(r#"
        POST CM {"metadata":{"name":"a"}}
        DELETE CM/a?propagationPolicy=Foreground
        POST CM {"metadata":{"name":"b"}}
        DELETE CM/b {"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Orphan"}
        DELETE CM/b {"propagationPolicy":"Odd"}
        DELETE CM?labelSelector=none
        "#),
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default","resourceVersion":"4"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-11-22T10:00:00Z","finalizers":["foregroundDeletion"],"name":"a","namespace":"default","resourceVersion":"5"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","namespace":"default","resourceVersion":"6"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-11-22T10:00:00Z","finalizers":["orphan"],"name":"b","namespace":"default","resourceVersion":"7"}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"propagationPolicy","message":"Unsupported value: \"Odd\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"","reason":"FieldValueNotSupported"}],"group":"meta.k8s.io","kind":"DeleteOptions"},"kind":"Status","message":"DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Odd\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"","metadata":{},"reason":"Invalid","status":"Failure"}
            200 {"apiVersion":"v1","items":[],"kind":"ConfigMapList","metadata":{"resourceVersion":"7"}}
        "#]],
    );
}

#[test]
fn services_get_addresses_and_ports() {
    check(
        &on(r#"
        POST SVC {"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.7","ports":[{"port":80}]}}
        POST SVC {"metadata":{"name":"b"},"spec":{"clusterIP":"10.96.0.7","ports":[{"port":80}]}}
        POST SVC {"metadata":{"name":"b"},"spec":{"clusterIP":"10.97.0.7","ports":[{"port":80}]}}
        POST SVC {"metadata":{"name":"c"},"spec":{"type":"NodePort","ipFamilyPolicy":"PreferDualStack","ports":[{"port":80,"nodePort":30001}]}}
        POST SVC {"metadata":{"name":"d"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30001}]}}
        POST SVC {"metadata":{"name":"d"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":80}]}}
        POST SVC {"metadata":{"name":"h"},"spec":{"clusterIP":"None","selector":{"a":"b"}}}
        POST SVC {"metadata":{"name":"e"},"spec":{"type":"ExternalName","externalName":"example.com"}}
        PATCH SVC/c {"spec":{"type":"ClusterIP","ipFamilyPolicy":"SingleStack","ports":[{"port":80}]}}
        POST SVC?dryRun=All {"metadata":{"name":"dry"},"spec":{"ports":[{"port":80}]}}
        PUT SVC/a {"metadata":{"name":"a"},"spec":{"ports":[{"port":81}]}}
        DELETE SVC/a
        POST SVC {"metadata":{"name":"f"},"spec":{"clusterIP":"10.96.0.7","ports":[{"port":80,"nodePort":30001}],"type":"LoadBalancer"}}
        GET /apis/networking.k8s.io/v1/ipaddresses
        "#),
        expect![[r#"
            201 {"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"default","resourceVersion":"4"},"spec":{"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.clusterIPs","message":"Invalid value: [\"10.96.0.7\"]: failed to allocate IP 10.96.0.7: provided IP is already allocated","reason":"FieldValueInvalid"}],"kind":"Service","name":"b"},"kind":"Status","message":"Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.7\"]: failed to allocate IP 10.96.0.7: provided IP is already allocated","metadata":{},"reason":"Invalid","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.clusterIPs","message":"Invalid value: [\"10.97.0.7\"]: failed to allocate IP 10.97.0.7: the provided network does not match the current range","reason":"FieldValueInvalid"}],"kind":"Service","name":"b"},"kind":"Status","message":"Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.97.0.7\"]: failed to allocate IP 10.97.0.7: the provided network does not match the current range","metadata":{},"reason":"Invalid","status":"Failure"}
            201 {"apiVersion":"v1","kind":"Service","metadata":{"name":"c","namespace":"default","resourceVersion":"5"},"spec":{"clusterIP":"10.96.210.93","clusterIPs":["10.96.210.93","fd00:10:96::6:e317"],"externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster","ipFamilies":["IPv4","IPv6"],"ipFamilyPolicy":"PreferDualStack","ports":[{"nodePort":30001,"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"NodePort"},"status":{"loadBalancer":{}}}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.ports[0].nodePort","message":"Invalid value: 30001: provided port is already allocated","reason":"FieldValueInvalid"}],"kind":"Service","name":"d"},"kind":"Status","message":"Service \"d\" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated","metadata":{},"reason":"Invalid","status":"Failure"}
            422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.ports[0].nodePort","message":"Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767","reason":"FieldValueInvalid"}],"kind":"Service","name":"d"},"kind":"Status","message":"Service \"d\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767","metadata":{},"reason":"Invalid","status":"Failure"}
            201 {"apiVersion":"v1","kind":"Service","metadata":{"name":"h","namespace":"default","resourceVersion":"6"},"spec":{"clusterIP":"None","clusterIPs":["None"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","selector":{"a":"b"},"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}
            201 {"apiVersion":"v1","kind":"Service","metadata":{"name":"e","namespace":"default","resourceVersion":"7"},"spec":{"externalName":"example.com","sessionAffinity":"None","type":"ExternalName"},"status":{"loadBalancer":{}}}
            200 {"apiVersion":"v1","kind":"Service","metadata":{"name":"c","namespace":"default","resourceVersion":"8"},"spec":{"clusterIP":"10.96.210.93","clusterIPs":["10.96.210.93"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}
            201 {"apiVersion":"v1","kind":"Service","metadata":{"name":"dry","namespace":"default"},"spec":{"clusterIP":"10.96.0.0","clusterIPs":["10.96.0.0"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}
            200 {"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"default","resourceVersion":"9"},"spec":{"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":81,"protocol":"TCP","targetPort":81}],"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}
            200 {"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"default","resourceVersion":"10"},"spec":{"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":81,"protocol":"TCP","targetPort":81}],"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}
            201 {"apiVersion":"v1","kind":"Service","metadata":{"name":"f","namespace":"default","resourceVersion":"11"},"spec":{"allocateLoadBalancerNodePorts":true,"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7"],"externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"nodePort":30001,"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"LoadBalancer"},"status":{"loadBalancer":{}}}
            200 {"apiVersion":"networking.k8s.io/v1","items":[{"metadata":{"labels":{"ipaddress.kubernetes.io/ip-family":"IPv4","ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io"},"name":"10.96.0.7","resourceVersion":"11"},"spec":{"parentRef":{"name":"f","namespace":"default","resource":"services"}}},{"metadata":{"labels":{"ipaddress.kubernetes.io/ip-family":"IPv4","ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io"},"name":"10.96.210.93","resourceVersion":"5"},"spec":{"parentRef":{"name":"c","namespace":"default","resource":"services"}}}],"kind":"IPAddressList","metadata":{"resourceVersion":"11"}}
        "#]],
    );
}
