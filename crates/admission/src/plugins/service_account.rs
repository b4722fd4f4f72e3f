//! ServiceAccount: every pod runs as an account of its namespace, with its token mounted and its pull secrets.

use object::status::Status;
use object::{meta, names};
use serde_json::{Value, json};

use super::{is_mirror, items, list_mut};
use crate::{Operation, Request, Scene};

const DEFAULT_ACCOUNT: &str = "default";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Upstream: an hour and seven seconds, by which tokens of this volume are told from others.
const TOKEN_SECONDS: i64 = 3607;
const ENFORCE_ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, pod: &mut Value) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is_whole("", "pods") {
        return Ok(());
    }
    // Upstream checks in this pass too, so that what it refuses is refused before later plugins are asked.
    if is_mirror(pod) {
        return validate(scene, request, None, Some(pod), &mut Vec::new());
    }
    let name = match pod["spec"]["serviceAccountName"].as_str() {
        None | Some("") => DEFAULT_ACCOUNT.to_owned(),
        Some(name) => name.to_owned(),
    };
    let spec = &mut pod["spec"];
    // The old name of the field is kept alike.
    spec["serviceAccountName"] = Value::from(name.as_str());
    spec["serviceAccount"] = Value::from(name.as_str());
    let account = account(scene, request, pod, &name)?;
    let spec = &mut pod["spec"];
    let automount = spec["automountServiceAccountToken"].as_bool().or(account["automountServiceAccountToken"].as_bool()).unwrap_or(true);
    if automount {
        mount_token(spec, scene.random);
    }
    if items(spec, "imagePullSecrets").next().is_none() {
        let secrets: Vec<Value> = items(&account, "imagePullSecrets").map(|s| json!({"name": s["name"]})).collect();
        if !secrets.is_empty() {
            spec["imagePullSecrets"] = Value::Array(secrets);
        }
    }
    validate(scene, request, None, Some(pod), &mut Vec::new())
}

fn account(scene: &Scene<'_>, request: &Request<'_>, pod: &Value, name: &str) -> Result<Value, Status> {
    scene.get("", "serviceaccounts", request.namespace, name).ok_or_else(|| {
        let at = format!("{}/{name}", request.namespace);
        request.forbidden(Some(pod), format!("error looking up service account {at}: serviceaccount \"{name}\" not found"))
    })
}

fn mount_token(spec: &mut Value, random: u64) {
    let present = items(spec, "volumes").filter_map(|v| v["name"].as_str()).find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let name = present.clone().unwrap_or_else(|| names::generated(VOLUME_PREFIX, random));
    let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
    let mut is_needed = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if items(container, "volumeMounts").all(|m| m["mountPath"] != MOUNT_PATH) {
                list_mut(container, "volumeMounts").push(mount.clone());
                is_needed = true;
            }
        }
    }
    if present.is_none() && is_needed {
        list_mut(spec, "volumes").push(json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}

pub(crate) fn validate(
    scene: &Scene<'_>,
    request: &Request<'_>,
    _: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(pod) = new.filter(|_| request.is("", "pods")) else { return Ok(()) };
    let lists: &[(&str, &str)] = match (request.operation, request.subresource) {
        (Operation::Create, "") => &[("initContainers", "init container"), ("containers", "container")],
        (Operation::Update, "ephemeralcontainers") => &[("ephemeralContainers", "ephemeral container")],
        _ => return Ok(()),
    };
    let refused = |cause: String| request.forbidden(Some(pod), cause);
    if request.operation == Operation::Create && is_mirror(pod) {
        return mirror_fault(&pod["spec"]).map_or(Ok(()), |fault| Err(refused(fault.to_owned())));
    }
    let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or("");
    if name.is_empty() {
        return Err(refused(format!("no service account specified for pod {}/{}", request.namespace, meta::name(pod))));
    }
    let account = account(scene, request, pod, name)?;
    let is_enforced = matches!(meta::annotation(&account, ENFORCE_ANNOTATION), Some("1" | "t" | "T" | "true" | "TRUE" | "True"));
    if !is_enforced {
        return Ok(());
    }
    match secret_fault(&account, &pod["spec"], lists) {
        Some(fault) => Err(refused(fault)),
        None => Ok(()),
    }
}

/// A mirror pod must not lend its node any right.
fn mirror_fault(spec: &Value) -> Option<&'static str> {
    if !spec["serviceAccountName"].as_str().unwrap_or("").is_empty() {
        return Some("a mirror pod may not reference service accounts");
    }
    let is_named = |secret: &Value| secret["name"].as_str().or(secret["secretName"].as_str()).is_some_and(|n| !n.is_empty());
    let of_container = |container: &Value| {
        items(container, "env").any(|e| is_named(&e["valueFrom"]["secretKeyRef"]))
            || items(container, "envFrom").any(|e| is_named(&e["secretRef"]))
    };
    let in_containers = ["initContainers", "containers", "ephemeralContainers"].iter().any(|list| items(spec, list).any(of_container));
    let in_volumes =
        items(spec, "volumes").any(|v| is_named(&v["secret"]) || items(&v["projected"], "sources").any(|s| is_named(&s["secret"])));
    if in_containers || in_volumes || items(spec, "imagePullSecrets").any(is_named) {
        return Some("a mirror pod may not reference secrets");
    }
    let has_token = items(spec, "volumes").any(|v| items(&v["projected"], "sources").any(|s| s.get("serviceAccountToken").is_some()));
    has_token.then_some("a mirror pod may not use ServiceAccountToken volume projections")
}

/// The first secret that the account does not list.
fn secret_fault(account: &Value, spec: &Value, lists: &[(&str, &str)]) -> Option<String> {
    let account_name = meta::name(account);
    let listed = |list: &str, name: &str| items(account, list).any(|s| s["name"] == name);
    let missing = |secret: &str| format!("is not allowed because service account {account_name} does not reference that {secret}");
    let is_whole = lists.len() > 1;
    for volume in items(spec, "volumes").filter(|_| is_whole) {
        let Some(name) = volume["secret"]["secretName"].as_str() else { continue };
        if !listed("secrets", name) {
            return Some(format!("volume with secret.secretName=\"{name}\" {}", missing("secret")));
        }
    }
    for (list, word) in lists {
        for container in items(spec, list) {
            let at = format!("{word} {}", container["name"].as_str().unwrap_or(""));
            for env in items(container, "env") {
                let Some(name) = env["valueFrom"]["secretKeyRef"]["name"].as_str() else { continue };
                if !listed("secrets", name) {
                    let variable = env["name"].as_str().unwrap_or("");
                    return Some(format!("{at} with envVar {variable} referencing secret.secretName=\"{name}\" {}", missing("secret")));
                }
            }
            for source in items(container, "envFrom") {
                let Some(name) = source["secretRef"]["name"].as_str() else { continue };
                if !listed("secrets", name) {
                    return Some(format!("{at} with envFrom referencing secret.secretName=\"{name}\" {}", missing("secret")));
                }
            }
        }
    }
    items(spec, "imagePullSecrets").filter(|_| is_whole).enumerate().find_map(|(i, secret)| {
        let name = secret["name"].as_str().unwrap_or("");
        (!listed("imagePullSecrets", name)).then(|| format!("imagePullSecrets[{i}].name=\"{name}\" {}", missing("imagePullSecret")))
    })
}
