//! What listeners of a cache are told.

use std::sync::Arc;

use object::key::ObjectKey;

/// One object before and after; several changes may have been drawn together.
#[derive(Debug)]
pub struct Changed<K> {
    pub key: ObjectKey,
    pub old: Option<Arc<K>>,
    pub new: Option<Arc<K>>,
}

impl<K> Clone for Changed<K> {
    fn clone(&self) -> Self {
        Changed { key: self.key.clone(), old: self.old.clone(), new: self.new.clone() }
    }
}

impl<K> Changed<K> {
    /// Both sides that are there: what was and what is may concern different keys.
    pub fn sides(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(self.new.iter())
    }
}
