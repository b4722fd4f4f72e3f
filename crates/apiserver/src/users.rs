//! What every user is given beyond what they show: membership among the authenticated, or not.

use std::sync::Arc;

use authz::UserInfo;
use jiff::Timestamp;

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A certificate's common name and organizations, and when it ends.
pub(crate) fn user_of_certificate(certificate_der: &[u8]) -> Option<(UserInfo, Timestamp)> {
    let subject = pki::subject(certificate_der).ok()?;
    if subject.common_name.is_empty() {
        return None;
    }
    let user = UserInfo { name: subject.common_name, groups: subject.organizations, ..UserInfo::default() };
    Some((authenticated(user), subject.until))
}

pub(crate) fn authenticated(mut user: UserInfo) -> UserInfo {
    if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

pub(crate) fn anonymous() -> Arc<UserInfo> {
    Arc::new(UserInfo { name: "system:anonymous".to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..UserInfo::default() })
}
