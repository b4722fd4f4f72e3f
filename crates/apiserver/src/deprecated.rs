//! Kinds that are going out of use.

/// What users of a kind that is going out of use are told with every answer.
pub(crate) fn warning(group: &str, plural: &str) -> Option<&'static str> {
    match (group, plural) {
        ("", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}
