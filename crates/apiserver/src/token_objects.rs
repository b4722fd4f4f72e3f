//! The objects that a token stands and falls with.

use object::{Value, meta, time};
use registry::Registry;

/// Clocks of signer and checker may differ by this.
pub(crate) const LEEWAY_SECONDS: i64 = 60;

/// Upstream: tokens of an object under deletion hold for a minute more, so that it can end in peace.
pub(crate) fn is_long_gone(registry: &Registry, object: &Value) -> bool {
    let Some(at) = meta::deletion_timestamp(object).and_then(time::parse) else {
        return false;
    };
    registry.clock().now().as_second() > at.as_second() + LEEWAY_SECONDS
}

pub(crate) fn lookup(registry: &Registry, plural: &str, namespace: &str, name: &str) -> Option<Value> {
    let resource = registry.builtin("", "v1", plural).ok()?;
    let stored = registry.get(&resource, namespace, name, "").ok()?;
    registry.decode(&resource, &stored).ok()
}

/// Takes the same time wherever the first difference is.
pub(crate) fn is_same_secret(held: &str, sent: &str) -> bool {
    held.len() == sent.len() && held.bytes().zip(sent.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
