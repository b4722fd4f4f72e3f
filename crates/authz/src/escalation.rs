//! Nobody may grant rights they do not hold: the checks on writes of roles and bindings.
//!
//! `escalate` on a role, or `bind` on the role of a binding, lifts them; callers ask `authorize` with the attributes given here.

use object::key::GroupResource;
use object::meta;
use object::status::Status;
use serde_json::Value;

use crate::PRIVILEGED_GROUP;
use crate::rbac::Rbac;
use crate::request::{Attributes, UserInfo};
use crate::rule::{Rule, compacted, missing, quoted};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Why `object`, a role or binding about to be written, must be refused; `old` is what it replaces.
/// `authorize` is the whole chain, for a user may hold `escalate` or `bind` through any authorizer.
pub fn check(
    rbac: &Rbac,
    user: &UserInfo,
    object: &Value,
    old: Option<&Value>,
    authorize: &dyn Fn(&Attributes<'_>) -> bool,
) -> Result<(), Status> {
    if user.is_in(PRIVILEGED_GROUP) || old.is_some_and(|old| changes_only_collection_fields(old, object)) {
        return Ok(());
    }
    let (namespace, name) = (meta::namespace(object), meta::name(object));
    let kind = object["kind"].as_str().unwrap_or("");
    let resource = match kind {
        "Role" => "roles",
        "ClusterRole" => "clusterroles",
        "RoleBinding" => "rolebindings",
        "ClusterRoleBinding" => "clusterrolebindings",
        _ => return Ok(()),
    };
    let refused = |cause: &str| Status::forbidden(&GroupResource::new(GROUP, resource), name, cause);
    if kind.ends_with("Binding") {
        let text = |field: &str| object["roleRef"][field].as_str().unwrap_or("");
        let role_resource = if text("kind") == "Role" { "roles" } else { "clusterroles" };
        let bind = Attributes::resource(user, "bind", text("apiGroup"), "*", role_resource).in_namespace(namespace).named(text("name"));
        if authorize(&bind) {
            return Ok(());
        }
        let rules = rbac
            .rules_of_role(text("kind"), text("name"), namespace)
            .map_err(|fault| not_found_role(text("kind"), text("name"), &fault))?;
        return confirm(rbac, user, namespace, rules).map_err(|cause| refused(&cause));
    }
    if authorize(&Attributes::resource(user, "escalate", GROUP, "*", resource).in_namespace(namespace).named(name)) {
        return Ok(());
    }
    confirm(rbac, user, namespace, &Rule::list_of(object)).map_err(|cause| refused(&cause))?;
    if is_aggregated(object) || old.is_some_and(is_aggregated) {
        confirm(rbac, user, namespace, &full_authority())
            .map_err(|_| refused("must have cluster-admin privileges to use the aggregationRule"))?;
    }
    Ok(())
}

/// Whether a user holds all of `rules` in a namespace; otherwise the text that lists what is missing.
pub fn confirm(rbac: &Rbac, user: &UserInfo, namespace: &str, rules: &[Rule]) -> Result<(), String> {
    let (held, faults) = rbac.rules_for(user, namespace);
    let lacking = missing(held.iter().copied(), rules);
    if lacking.is_empty() {
        return Ok(());
    }
    let mut texts: Vec<String> = compacted(lacking).iter().map(Rule::compact_text).collect();
    texts.sort();
    texts.dedup();
    let mut cause = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        texts.join("\n")
    );
    if !faults.is_empty() {
        cause.push_str(&format!("; resolution errors: [{}]", faults.join(", ")));
    }
    Err(cause)
}

fn not_found_role(kind: &str, name: &str, fault: &str) -> Status {
    let word = match kind {
        "Role" => "role",
        "ClusterRole" => "clusterrole",
        _ => return Status::new(500, "", fault),
    };
    Status::not_found(&GroupResource::new(GROUP, word), name)
}

fn is_aggregated(role: &Value) -> bool {
    role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|selectors| !selectors.is_empty())
}

fn full_authority() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

/// The garbage collector must be able to let go of objects whose rights it does not hold.
fn changes_only_collection_fields(old: &Value, new: &Value) -> bool {
    let without = |object: &Value| {
        let mut object = object.clone();
        for field in ["finalizers", "ownerReferences", "managedFields", "resourceVersion", "selfLink", "generation"] {
            meta::unset(&mut object, field);
        }
        object
    };
    without(old) == without(new)
}
