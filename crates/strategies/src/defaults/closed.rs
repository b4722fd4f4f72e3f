//! Fields behind gates that are closed: upstream reads them, tells who wrote them, and drops them before it looks at the object.
//!
//! The ways to them are found once for each kind, so that an object without them costs a look at where they would be.

use std::collections::HashMap;
use std::sync::OnceLock;

use kinds::{Resource, Shape, Type, TypeId};
use serde_json::Value;

/// Deeper than any; schemas of custom resources speak of themselves without end.
const DEPTH_MAX: usize = 16;

/// From an object to a field. A step without a name is into each item of a list or map.
struct Way {
    steps: Vec<Option<&'static str>>,
    field: &'static str,
    takes_empty_along: bool,
}

pub(crate) fn drop(resource: &Resource, object: &mut Value) {
    static WAYS: OnceLock<HashMap<(&str, &str, &str), Vec<Way>>> = OnceLock::new();
    let ways = WAYS.get_or_init(|| {
        let all = kinds::builtin().resources.iter();
        all.map(|r| ((r.group.as_str(), r.version.as_str(), r.plural.as_str()), ways_of(r.type_id)))
            .filter(|(_, ways)| !ways.is_empty())
            .collect()
    });
    let key = (resource.group.as_str(), resource.version.as_str(), resource.plural.as_str());
    for way in ways.get(&key).into_iter().flatten() {
        drop_at(object, &way.steps, way);
    }
}

/// Whether the value has been left with nothing, and goes.
fn drop_at(value: &mut Value, steps: &[Option<&'static str>], way: &Way) -> bool {
    match (steps.split_first(), value) {
        (None, Value::Object(map)) => map.remove(way.field).is_some() && way.takes_empty_along && map.is_empty(),
        (Some((None, rest)), Value::Array(items)) => {
            items.iter_mut().for_each(|item| _ = drop_at(item, rest, way));
            false
        }
        (Some((None, rest)), Value::Object(map)) => {
            map.values_mut().for_each(|item| _ = drop_at(item, rest, way));
            false
        }
        (Some((Some(field), rest)), Value::Object(map)) => {
            if map.get_mut(*field).is_some_and(|inner| drop_at(inner, rest, way)) {
                map.remove(*field);
            }
            false
        }
        _ => false,
    }
}

fn ways_of(type_id: TypeId) -> Vec<Way> {
    let (mut ways, mut steps) = (Vec::new(), Vec::new());
    collect(kinds::builtin().get(type_id), &mut steps, &mut ways);
    ways
}

fn collect(ty: &'static Type, steps: &mut Vec<Option<&'static str>>, ways: &mut Vec<Way>) {
    if steps.len() > DEPTH_MAX {
        return;
    }
    for (field, takes_empty_along) in super::short_name(&ty.name).and_then(|name| super::facts().get(name)).iter().flat_map(|f| &f.closed) {
        ways.push(Way { steps: steps.clone(), field, takes_empty_along: *takes_empty_along });
    }
    for field in &ty.fields {
        let n_steps = steps.len();
        steps.push(Some(&field.name));
        let mut shape = &field.shape;
        while let Shape::List(item) | Shape::Map(item) = shape {
            steps.push(None);
            shape = item;
        }
        if let Shape::Struct(id) = shape {
            collect(kinds::builtin().get(*id), steps, ways);
        }
        steps.truncate(n_steps);
    }
}
