//! Who may do what: authentication, impersonation, RBAC, reviews.

use expect_test::expect;

use super::{check, run, server};

#[test]
fn strangers_see_only_what_is_public() {
    check(
        r"
        bootstrap
        as nobody
        GET /version
        GET /livez
        GET /api/v1/namespaces
        header authorization Bearer wrong
        GET /version
        header authorization Bearer admin-token
        GET /api/v1/namespaces/default
        ",
        expect![[r#"
            200 {"buildDate":"1970-01-01T00:00:00Z","compiler":"rustc","emulationMajor":"1","emulationMinor":"37","gitCommit":"","gitTreeState":"clean","gitVersion":"v1.37.1","goVersion":"","major":"1","minCompatibilityMajor":"1","minCompatibilityMinor":"36","minor":"37","platform":"linux/amd64"}
            200 ok
            403 {"apiVersion":"v1","code":403,"details":{"kind":"namespaces"},"kind":"Status","message":"namespaces is forbidden: User \"system:anonymous\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope","metadata":{},"reason":"Forbidden","status":"Failure"}
            401 {"apiVersion":"v1","code":401,"kind":"Status","message":"Unauthorized","metadata":{},"reason":"Unauthorized","status":"Failure"}
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"default"},"name":"default","resourceVersion":"2"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}
        "#]],
    );
}

#[test]
fn roles_hold_at_once() {
    check(
        r#"
        bootstrap
        as jane devs
        GET /api/v1/namespaces/default/configmaps
        as admin system:masters
        POST /apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings {"metadata":{"name":"r"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"devs"}]}
        POST /apis/rbac.authorization.k8s.io/v1/clusterroles {"metadata":{"name":"view-config"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list"]}]}
        POST /apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings {"metadata":{"name":"s"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view-config"},"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"devs"}]}
        as jane devs
        GET /api/v1/namespaces/default/configmaps
        GET /api/v1/namespaces/kube-system/configmaps
        DELETE /api/v1/namespaces/default/configmaps/x
        POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews {"spec":{"resourceAttributes":{"verb":"list","resource":"configmaps","namespace":"default"}}}
        POST /apis/authentication.k8s.io/v1/selfsubjectreviews {}
        "#,
        expect![[r#"
            403 {"apiVersion":"v1","code":403,"details":{"kind":"configmaps"},"kind":"Status","message":"configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"","metadata":{},"reason":"Forbidden","status":"Failure"}
            201 {"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"r","namespace":"default","resourceVersion":"207"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"devs"}]}
            201 {"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"view-config","resourceVersion":"208"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list"]}]}
            201 {"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"s","namespace":"default","resourceVersion":"209"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view-config"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"devs"}]}
            200 {"apiVersion":"v1","items":[],"kind":"ConfigMapList","metadata":{"resourceVersion":"209"}}
            403 {"apiVersion":"v1","code":403,"details":{"kind":"configmaps"},"kind":"Status","message":"configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"kube-system\"","metadata":{},"reason":"Forbidden","status":"Failure"}
            403 {"apiVersion":"v1","code":403,"details":{"kind":"configmaps","name":"x"},"kind":"Status","message":"configmaps \"x\" is forbidden: User \"jane\" cannot delete resource \"configmaps\" in API group \"\" in the namespace \"default\"","metadata":{},"reason":"Forbidden","status":"Failure"}
            201 {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","metadata":{},"spec":{"resourceAttributes":{"namespace":"default","resource":"configmaps","verb":"list"}},"status":{"allowed":true,"reason":"RBAC: allowed by RoleBinding \"s/default\" of ClusterRole \"view-config\" to Group \"devs\""}}
            201 {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{},"status":{"userInfo":{"groups":["devs","system:authenticated"],"username":"jane"}}}
        "#]],
    );
}

#[test]
fn who_may_only_change_makes_nothing() {
    check(
        r#"
        bootstrap
        quiet POST /apis/rbac.authorization.k8s.io/v1/clusterroles {"metadata":{"name":"changer"},"rules":[{"apiGroups":["","coordination.k8s.io"],"resources":["configmaps","leases"],"verbs":["get","patch","update"]}]}
        quiet POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings {"metadata":{"name":"c"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"changer"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"jane"}]}
        quiet POST /api/v1/namespaces/default/configmaps {"metadata":{"name":"there"}}
        as jane
        PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l {"metadata":{"name":"l"}}
        header content-type application/apply-patch+yaml
        PATCH /api/v1/namespaces/default/configmaps/new?fieldManager=x {"apiVersion":"v1","kind":"ConfigMap"}
        header content-type application/apply-patch+yaml
        PATCH /api/v1/namespaces/default/configmaps/there?fieldManager=x {"apiVersion":"v1","kind":"ConfigMap"}
        "#,
        expect![[r#"
            403 {"apiVersion":"v1","code":403,"details":{"group":"coordination.k8s.io","kind":"leases","name":"l"},"kind":"Status","message":"leases.coordination.k8s.io \"l\" is forbidden: User \"jane\" cannot create resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"default\"","metadata":{},"reason":"Forbidden","status":"Failure"}
            403 {"apiVersion":"v1","code":403,"details":{"kind":"configmaps","name":"new"},"kind":"Status","message":"configmaps \"new\" is forbidden: User \"jane\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"default\"","metadata":{},"reason":"Forbidden","status":"Failure"}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","namespace":"default","resourceVersion":"209"}}
        "#]],
    );
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    check(
        r#"
        bootstrap
        quiet POST /apis/rbac.authorization.k8s.io/v1/clusterroles {"metadata":{"name":"granter"},"rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles","rolebindings"],"verbs":["create","get"]},{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}
        quiet POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings {"metadata":{"name":"g"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"granter"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"jane"}]}
        as jane
        POST /apis/rbac.authorization.k8s.io/v1/namespaces/default/roles {"metadata":{"name":"a"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}
        POST /apis/rbac.authorization.k8s.io/v1/namespaces/default/roles {"metadata":{"name":"b"},"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}]}
        POST /apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings {"metadata":{"name":"c"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"a","namespace":"default","resourceVersion":"209"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}
            403 {"apiVersion":"v1","code":403,"details":{"group":"rbac.authorization.k8s.io","kind":"roles","name":"b"},"kind":"Status","message":"roles.rbac.authorization.k8s.io \"b\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}","metadata":{},"reason":"Forbidden","status":"Failure"}
            403 {"apiVersion":"v1","code":403,"details":{"group":"rbac.authorization.k8s.io","kind":"rolebindings","name":"c"},"kind":"Status","message":"rolebindings.rbac.authorization.k8s.io \"c\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}","metadata":{},"reason":"Forbidden","status":"Failure"}
        "#]],
    );
}

#[test]
fn acting_as_others() {
    check(
        r#"
        bootstrap
        header impersonate-user jane
        header impersonate-group devs
        POST /apis/authentication.k8s.io/v1/selfsubjectreviews {}
        header impersonate-user system:serviceaccount:default:robot
        POST /apis/authentication.k8s.io/v1/selfsubjectreviews {}
        as jane
        header impersonate-user admin
        GET /version
        header impersonate-group admins
        GET /version
        "#,
        expect![[r#"
            201 {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{},"status":{"userInfo":{"groups":["devs","system:authenticated"],"username":"jane"}}}
            201 {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{},"status":{"userInfo":{"groups":["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"],"username":"system:serviceaccount:default:robot"}}}
            403 {"apiVersion":"v1","code":403,"details":{"kind":"users","name":"admin"},"kind":"Status","message":"users \"admin\" is forbidden: User \"jane\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope","metadata":{},"reason":"Forbidden","status":"Failure"}
            400 {"apiVersion":"v1","code":400,"kind":"Status","message":"requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"admins\"}, Extra:map[string][]string(nil)} without impersonating a user name","metadata":{},"reason":"BadRequest","status":"Failure"}
        "#]],
    );
}

#[test]
fn tokens_name_their_account_while_it_lives() {
    let server = server();
    let made = run(
        &server,
        r#"
        bootstrap
        POST /api/v1/namespaces/default/serviceaccounts {"metadata":{"name":"robot"}}
        POST /api/v1/namespaces/default/serviceaccounts/robot/token {"spec":{"expirationSeconds":5}}
        POST /api/v1/namespaces/default/serviceaccounts/robot/token {"spec":{"audiences":["vault"]}}
        POST /api/v1/namespaces/default/serviceaccounts/robot/token {"spec":{"expirationSeconds":600}}
        "#,
    );
    let token =
        made.rsplit_once("\"token\":\"").and_then(|(_, rest)| rest.split_once('"')).map(|(token, _)| token.to_owned()).expect("a token");
    let script = format!(
        r#"
        as nobody
        header authorization Bearer {token}
        POST /apis/authentication.k8s.io/v1/selfsubjectreviews {{}}
        as admin system:masters
        POST /apis/authentication.k8s.io/v1/tokenreviews {{"spec":{{"token":"nonsense"}}}}
        DELETE /api/v1/namespaces/default/serviceaccounts/robot
        as nobody
        header authorization Bearer {token}
        POST /apis/authentication.k8s.io/v1/selfsubjectreviews {{}}
        "#
    );
    let seen = made
        .replace(|c: char| !c.is_ascii(), "")
        .lines()
        .map(|l| l.split("\"token\":").next().unwrap_or("").to_owned() + "\n")
        .collect::<String>();
    let seen = seen + &run(&server, &script);
    // The token's own id changes with its signature's key.
    let seen: String = seen.lines().filter(|l| !l.contains("JTI=") || l.starts_with("201")).map(|l| l.to_owned() + "\n").collect();
    expect![[r#"
        201 {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot","namespace":"default","resourceVersion":"207"}}
        422 {"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.expirationSeconds","message":"Invalid value: 5: may not specify a duration less than 10 minutes","reason":"FieldValueInvalid"}],"group":"authentication.k8s.io","kind":"TokenRequest"},"kind":"Status","message":"TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes","metadata":{},"reason":"Invalid","status":"Failure"}
        201 {"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":{"name":"robot","namespace":"default"},"spec":{"audiences":["vault"],"boundObjectRef":null,"expirationSeconds":3600},"status":{"expirationTimestamp":"2026-11-22T11:00:00Z",
        201 {"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":{"name":"robot","namespace":"default"},"spec":{"audiences":["https://kubernetes.default.svc"],"boundObjectRef":null,"expirationSeconds":600},"status":{"expirationTimestamp":"2026-11-22T10:10:00Z",
        201 {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{},"status":{"userInfo":{"extra":{"authentication.kubernetes.io/credential-id":["JTI=d4e06692-e7b4-44d3-afc6-6748949cc89f"]},"groups":["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"],"username":"system:serviceaccount:default:robot"}}}
        201 {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","metadata":{},"spec":{"token":"nonsense"},"status":{"error":"invalid bearer token","user":{}}}
        200 {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot","namespace":"default","resourceVersion":"208"}}
        401 {"apiVersion":"v1","code":401,"kind":"Status","message":"Unauthorized","metadata":{},"reason":"Unauthorized","status":"Failure"}
    "#]].assert_eq(&seen);
}

#[test]
fn since_when_tokens_are_tracked_is_said() {
    check(
        r#"
        bootstrap
        GET /api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking
        "#,
        expect![[r#"
            200 {"apiVersion":"v1","data":{"since":"2026-11-22"},"kind":"ConfigMap","metadata":{"name":"kube-apiserver-legacy-service-account-token-tracking","namespace":"kube-system","resourceVersion":"201"}}
        "#]],
    );
}
