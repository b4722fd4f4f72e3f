//! Acting as somebody else: `Impersonate-*` headers, each of which the real user must be allowed to use.

use std::collections::BTreeMap;
use std::sync::Arc;

use authz::{Attributes, UserInfo};
use object::status::Status;

use crate::ApiServer;
use crate::call::Call;
use crate::query::{Plus, percent_decode};

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

pub(crate) fn apply(server: &ApiServer, call: &mut Call) -> Result<(), Status> {
    let Some(wanted) = read(call)? else {
        return Ok(());
    };
    check(server, &call.user, &wanted)?;
    call.user = Arc::new(finished(wanted));
    Ok(())
}

fn read(call: &Call) -> Result<Option<UserInfo>, Status> {
    let all =
        |name: &str| -> Vec<String> { call.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect() };
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &call.headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix("impersonate-extra-"), value.to_str()) {
            extra.entry(percent_decode(key, Plus::Literal)).or_default().push(value.to_owned());
        }
    }
    let name = call.header("impersonate-user").unwrap_or("").to_owned();
    let (groups, uid) = (all("impersonate-group"), call.header("impersonate-uid").unwrap_or("").to_owned());
    if name.is_empty() {
        if groups.is_empty() && extra.is_empty() && uid.is_empty() {
            return Ok(None);
        }
        let quoted: Vec<String> = groups.iter().map(|g| format!("{g:?}")).collect();
        return Err(Status::bad_request(format!(
            "requested &user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:[]string{{{}}}, Extra:map[string][]string(nil)}} without impersonating a user name",
            quoted.join(", ")
        )));
    }
    Ok(Some(UserInfo { name, uid, groups, extra }))
}

fn check(server: &ApiServer, user: &UserInfo, wanted: &UserInfo) -> Result<(), Status> {
    let ask = |attributes: Attributes<'_>| {
        let verdict = server.policy.authorize(&attributes);
        if verdict.is_allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
    };
    let of = |group, resource| Attributes::resource(user, "impersonate", group, "v1", resource);
    match service_account(&wanted.name) {
        Some((namespace, name)) => ask(of("", "serviceaccounts").in_namespace(namespace).named(name))?,
        None => ask(of("", "users").named(&wanted.name))?,
    }
    for group in &wanted.groups {
        ask(of("", "groups").named(group))?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            ask(of("authentication.k8s.io", "userextras").with_subresource(key).named(value))?;
        }
    }
    if !wanted.uid.is_empty() {
        ask(of("authentication.k8s.io", "uids").named(&wanted.uid))?;
    }
    Ok(())
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
}

/// Groups that every such user has.
fn finished(mut user: UserInfo) -> UserInfo {
    if user.groups.is_empty()
        && let Some((namespace, _)) = service_account(&user.name)
    {
        user.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    if user.name == "system:anonymous" {
        if !user.is_in("system:unauthenticated") {
            user.groups.push("system:unauthenticated".to_owned());
        }
        return user;
    }
    crate::users::authenticated(user)
}
