//! The core group.

mod pods;
mod quality;
mod services;

use object::{meta, time};
use serde_json::{Value, json};

use crate::reset::{take, unset};
use crate::row::{NameRule, Row};
use crate::validation::core::{self as rules, claims, configs, endpoints, events, nodes, quotas, services as service_rules, volumes};
use crate::validation::pods as pod_rules;
use crate::{Context, allotment};

pub(crate) use pods::app_armor_profile;
pub(crate) use quality::class_of as quality_of_pod;

pub(super) const ROWS: &[Row] = &[
    Row::new("", "configmaps").checked(configs::validate_config_map, configs::validate_config_map_update),
    Row::new("", "endpoints").checked(endpoints::validate, endpoints::validate_update),
    Row { name: NameRule::PathSegment, ..Row::new("", "events").checked(events::validate_core, events::validate_core_update) },
    Row::new("", "limitranges").checked(quotas::validate_range, quotas::validate_range_update),
    Row {
        name: NameRule::Label,
        create: Some(create_namespace),
        update: Some(update_namespace),
        canonicalize: Some(label_with_name),
        ..Row::new("", "namespaces").checked(rules::validate_namespace, rules::validate_namespace_update)
    },
    Row { keeps_status_on_create: true, ..Row::new("", "nodes").checked(nodes::validate, nodes::validate_update) },
    Row {
        create: Some(create_claim),
        update: Some(update_claim),
        ..Row::new("", "persistentvolumeclaims").checked(claims::validate, claims::validate_update)
    },
    Row {
        create: Some(create_volume),
        update: Some(update_volume),
        ..Row::new("", "persistentvolumes").checked(volumes::validate, volumes::validate_update)
    },
    Row {
        create: Some(pods::create),
        update: Some(pods::update),
        ..Row::new("", "pods").with_generation().checked(pod_rules::validate, pod_rules::validate_update)
    },
    Row::new("", "podtemplates").bumped_by(&["/template"]).checked(rules::validate_template, rules::validate_template_update),
    Row {
        name: NameRule::GeneratedSubdomain,
        ..Row::new("", "replicationcontrollers").with_generation().checked(rules::validate_controller, rules::validate_controller_update)
    },
    Row::new("", "resourcequotas").checked(quotas::validate_quota, quotas::validate_quota_update),
    Row { update: Some(update_secret), ..Row::new("", "secrets").checked(configs::validate_secret, configs::validate_secret_update) },
    Row {
        create: Some(clean_references),
        update: Some(|_, _, new, c| clean_references(new, c)),
        validate_update: Some(rules::validate_account_update),
        ..Row::new("", "serviceaccounts")
    },
    Row {
        name: NameRule::Label,
        complete: Some(services::complete),
        update: Some(services::update),
        canonicalize: Some(allotment::strip),
        ..Row::new("", "services").checked(service_rules::validate, service_rules::validate_update)
    },
];

const NAMESPACE_FINALIZER: &str = "kubernetes";

fn create_namespace(namespace: &mut Value, _: &Context<'_>) {
    namespace["status"] = json!({"phase": "Active"});
    match &mut namespace["spec"]["finalizers"] {
        Value::Array(finalizers) => {
            if finalizers.iter().all(|f| f != NAMESPACE_FINALIZER) {
                finalizers.push(Value::from(NAMESPACE_FINALIZER));
            }
        }
        none => *none = json!([NAMESPACE_FINALIZER]),
    }
    label_with_name(namespace);
}

fn update_namespace(subresource: &str, old: &Value, namespace: &mut Value, _: &Context<'_>) {
    match subresource {
        "" => take(&mut namespace["spec"], "finalizers", &old["spec"]),
        "finalize" => take(namespace, "status", old),
        _ => {}
    }
}

/// Upstream: the label that every namespace has, whatever was sent.
fn label_with_name(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    meta::metadata_mut(namespace).entry("labels").or_insert(Value::Null)["kubernetes.io/metadata.name"] = Value::from(name);
}

fn update_secret(_: &str, old: &Value, secret: &mut Value, _: &Context<'_>) {
    if secret["type"].as_str().unwrap_or("").is_empty() {
        take(secret, "type", old);
    }
}

/// Only names of secrets are kept.
fn clean_references(account: &mut Value, _: &Context<'_>) {
    for secret in account.get_mut("secrets").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = secret["name"].as_str().unwrap_or("");
        *secret = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    }
}

fn create_volume(volume: &mut Value, context: &Context<'_>) {
    volume["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": time::seconds(context.now)});
}

fn update_volume(subresource: &str, old: &Value, volume: &mut Value, context: &Context<'_>) {
    if subresource != "status" {
        return;
    }
    let is_same_phase = old["status"]["phase"] == volume["status"]["phase"];
    let (before, sent) = (&old["status"]["lastPhaseTransitionTime"], &volume["status"]["lastPhaseTransitionTime"]);
    if is_same_phase && sent.is_null() && !before.is_null() {
        volume["status"]["lastPhaseTransitionTime"] = before.clone();
    } else if !is_same_phase && (sent.is_null() || sent == before) {
        volume["status"]["lastPhaseTransitionTime"] = Value::from(time::seconds(context.now));
    }
}

fn create_claim(claim: &mut Value, _: &Context<'_>) {
    drop_odd_data_source(claim, &Value::Null);
    mirror_data_sources(claim);
    claim["status"] = json!({"phase": "Pending"});
}

fn update_claim(subresource: &str, old: &Value, claim: &mut Value, _: &Context<'_>) {
    if subresource.is_empty() {
        drop_odd_data_source(claim, old);
        mirror_data_sources(claim);
    }
}

/// Upstream: `dataSource` is for claims and snapshots only; anything else was always dropped in silence.
fn drop_odd_data_source(claim: &mut Value, old: &Value) {
    let is_in_use = |spec: &Value| !spec["dataSource"].is_null() || !spec["dataSourceRef"].is_null();
    let spec = &mut claim["spec"];
    // One of another namespace is behind a closed gate.
    let has_namespace = spec["dataSourceRef"]["namespace"].as_str().is_some_and(|namespace| !namespace.is_empty());
    if has_namespace && old["spec"]["dataSourceRef"].is_null() {
        unset(spec, "dataSourceRef");
    }
    if is_in_use(&old["spec"]) || !spec["dataSourceRef"].is_null() {
        return;
    }
    let source = &spec["dataSource"];
    let kind = (source["apiGroup"].as_str().unwrap_or(""), source["kind"].as_str().unwrap_or(""));
    if !matches!(kind, ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")) {
        unset(spec, "dataSource");
    }
}

/// `dataSource` and `dataSourceRef` say the same unless the latter names another namespace.
fn mirror_data_sources(claim: &mut Value) {
    let spec = &mut claim["spec"];
    let (source, reference) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    if !source.is_null() && reference.is_null() {
        spec["dataSourceRef"] = source;
    } else if source.is_null() && !reference.is_null() && reference["namespace"].as_str().unwrap_or("").is_empty() {
        spec["dataSource"] = reference;
        unset(&mut spec["dataSource"], "namespace");
    }
    for field in ["dataSource", "dataSourceRef"] {
        if spec[field].is_null() {
            unset(spec, field);
        }
    }
}
