//! What a request may ask for beside its path, and how that is written into a query.

use object::plan::PatchKind;

/// Which objects of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Empty: all namespaces (or a cluster-scoped kind).
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
}

impl Selection {
    pub fn everything() -> Self {
        Selection::default()
    }
    pub fn namespace(namespace: impl Into<String>) -> Self {
        Selection { namespace: namespace.into(), ..Selection::default() }
    }
    pub fn fields(selector: impl Into<String>) -> Self {
        Selection { field_selector: selector.into(), ..Selection::default() }
    }
    pub fn labels(selector: impl Into<String>) -> Self {
        Selection { label_selector: selector.into(), ..Selection::default() }
    }

    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        query.add_if_set("labelSelector", &self.label_selector);
        query.add_if_set("fieldSelector", &self.field_selector);
        query
    }
}

pub(crate) fn content_type(kind: PatchKind) -> &'static str {
    match kind {
        PatchKind::Json => "application/json-patch+json",
        PatchKind::Merge => "application/merge-patch+json",
        PatchKind::Strategic => "application/strategic-merge-patch+json",
        PatchKind::Apply { .. } => "application/apply-patch+yaml",
    }
}

pub(crate) fn patch_query(kind: PatchKind) -> Query {
    let mut query = Query::default();
    if let PatchKind::Apply { field_manager, force } = kind {
        query.add("fieldManager", field_manager);
        query.add("force", if force { "true" } else { "false" });
    }
    query
}

/// A query string in the making.
#[derive(Clone, Debug, Default)]
pub struct Query(String);

impl Query {
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => self.0.push(char::from(byte)),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    self.0.push('%');
                    self.0.push(char::from(HEX[usize::from(byte >> 4)]));
                    self.0.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
        }
    }

    pub fn add_if_set(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(name, value);
        }
    }

    /// Adds all terms of another query.
    pub fn append(&mut self, other: &Query) {
        if let Some(terms) = other.0.strip_prefix('?') {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(terms);
        }
    }

    /// Empty, or `?a=b&c=d`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
