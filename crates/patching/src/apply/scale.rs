//! Field managers of an object as those of its `scale`, where only the number of replicas can be owned, and back.
//!
//! Upstream: `ScaleHandler`. An update through the scale becomes an entry of its own without a time, beside one the same manager
//! may have; the next write keeps the later of two such entries.

use serde_json::Value;

use super::managers::{Managed, ManagerId, Owned, written};
use super::set::FieldSet;

/// The version of the scale and of the object it is a view of.
const SCALE: &str = "autoscaling/v1";
const REPLICAS: &[&str] = &["f:spec", "f:replicas"];

/// The entries of a scale.
pub fn scale_managers(entries: &Value, api_version: &str) -> Result<Vec<Value>, String> {
    let owns = |owned: &Owned| owned.api_version == api_version && owned.set.has(REPLICAS);
    let in_scale = |(id, owned): (ManagerId, Owned)| (id, Owned { set: replicas(), api_version: SCALE.to_owned(), time: owned.time });
    Ok(written(Managed::read(entries)?.0.into_iter().filter(|(_, owned)| owns(owned)).map(in_scale).collect()))
}

/// The entries of the object after those of its scale were changed.
pub fn parent_managers(entries: &Value, scale_entries: &Value, api_version: &str) -> Result<Vec<Value>, String> {
    let mut of_scale = Managed::read(scale_entries)?.0;
    let mut parent = Vec::new();
    for (id, mut owned) in Managed::read(entries)?.0.into_iter().filter(|(_, owned)| owned.api_version == api_version) {
        if owned.set.has(REPLICAS) && of_scale.remove(&id).is_none() {
            owned.set.unmark(REPLICAS);
        }
        if !owned.set.is_empty() {
            parent.push((id, owned));
        }
    }
    let new = of_scale.into_iter().filter(|(_, owned)| owned.set.has(REPLICAS));
    parent.extend(new.map(|(id, _)| (id, Owned { set: replicas(), api_version: api_version.to_owned(), time: None })));
    Ok(written(parent))
}

fn replicas() -> FieldSet {
    FieldSet::of_path(REPLICAS)
}
