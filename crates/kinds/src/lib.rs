//! Schema facts: which kinds exist and what their fields are. Data only; every engine above walks it.
//!
//! A `Catalog` holds resources (rows of facts) and an arena of types. The built-in catalog is made from the committed fact
//! table at first use; a CRD adds rows and types to a new catalog, so a custom kind is served by the same code.
//!
//! Not here: formats (`codec`), defaults that need logic and validation (`strategies`), printer cells (`show`).
//! Invariant: no crate above has a table keyed by kind that repeats a fact which stands here.

mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use object::key::{GroupResource, GroupVersionKind};
use serde_json::Value;

pub use table::FACTS;

/// Position of a type in its catalog's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// A struct of the API: `io.k8s.api.apps.v1.Deployment`.
#[derive(Debug)]
pub struct Type {
    pub name: String,
    /// In the order of the Go struct; inline structs are flattened.
    pub fields: Vec<Field>,
    /// Group and version are `*` for a type that every group knows (`DeleteOptions`, `WatchEvent`).
    pub group_version_kinds: Vec<GroupVersionKind>,
    /// How server-side apply merges a value of this type (`x-kubernetes-map-type`), also as an item of a list.
    pub merge: Merge,
    /// `x-kubernetes-unions`, for OpenAPI only.
    pub unions: Option<Value>,
    /// The protobuf message, by ascending tags. Empty for a type that has none.
    pub wire: Vec<Wire>,
    /// Positions of the fields in the order of their names.
    by_name: Vec<u16>,
    /// The heads of those names.
    heads: Vec<u64>,
}

impl Type {
    pub fn new(name: &str, fields: Vec<Field>) -> Self {
        let mut by_name: Vec<u16> = (0..fields.len() as u16).collect();
        by_name.sort_by(|a, b| fields[usize::from(*a)].name.cmp(&fields[usize::from(*b)].name));
        let heads = by_name.iter().map(|i| head(fields[usize::from(*i)].name.as_bytes())).collect();
        Type {
            name: name.to_owned(),
            fields,
            group_version_kinds: Vec::new(),
            merge: Merge::Unmarked,
            unions: None,
            wire: Vec::new(),
            by_name,
            heads,
        }
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.by_name.binary_search_by(|i| self.fields[usize::from(*i)].name.as_str().cmp(name)).ok()?;
        Some(&self.fields[usize::from(self.by_name[at])])
    }

    /// The position in `fields`. `place` makes a walk through names in their order cheap; any other order is right too.
    pub fn position(&self, name: &[u8], place: &mut Place) -> Option<usize> {
        let wanted = head(name);
        let is_behind = place.0 > 0 && self.heads[place.0 - 1] >= wanted;
        let mut at = if is_behind { 0 } else { place.0 };
        while self.heads.get(at).is_some_and(|head| *head < wanted) {
            at += 1;
        }
        while self.heads.get(at) == Some(&wanted) {
            let field = usize::from(self.by_name[at]);
            at += 1;
            // Equal heads leave only what is behind them to compare.
            let candidate = self.fields[field].name.as_bytes();
            if candidate.len() == name.len() && candidate.get(8..) == name.get(8..) {
                place.0 = at;
                return Some(field);
            }
        }
        None
    }
}

/// The first eight bytes of a name, in the order of names: mostly enough to tell it from others.
fn head(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = name.len().min(8);
    bytes[..len].copy_from_slice(&name[..len]);
    u64::from_be_bytes(bytes)
}

/// How far a walk through the names of a type has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(usize);

/// One entry of a protobuf message.
#[derive(Debug)]
pub enum Wire {
    /// `field` is a position in `Type::fields`.
    Field { tag: u32, field: u16 },
    /// A message of its own on the wire whose fields stand among the others' in JSON (Go's inline struct).
    Inline { tag: u32, parts: Vec<Wire> },
}

impl Wire {
    pub fn tag(&self) -> u32 {
        match self {
            Wire::Field { tag, .. } | Wire::Inline { tag, .. } => *tag,
        }
    }
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub shape: Shape,
    /// Protobuf tag; 0 when the field is not on that wire.
    pub tag: u32,
    pub required: bool,
    /// Go writes a pointer's zero value, and drops a plain one's when `omit_empty`.
    pub pointer: bool,
    pub omit_empty: bool,
    pub omit_zero: bool,
    /// How server-side apply merges it.
    pub merge: Merge,
    /// How a strategic merge patch merges it.
    pub patch: Option<PatchStrategy>,
    /// A constant default (`protocol: TCP`).
    pub default: Option<Value>,
    /// The known values of a string, or of the strings in a list or map (`enum`), sorted; empty when any will do.
    pub allowed: Vec<String>,
    /// How Go's decoder names the type in its errors (`v1.PullPolicy`); empty when the shape tells it.
    pub go_type: String,
    /// The inline structs it comes from, as Go's decoder names them in paths (`VolumeSource`); mostly empty.
    pub inlined: String,
}

impl Field {
    /// A plain optional value off the protobuf wire.
    pub fn new(name: &str, shape: Shape) -> Self {
        Field {
            name: name.to_owned(),
            shape,
            tag: 0,
            required: false,
            pointer: false,
            omit_empty: false,
            omit_zero: false,
            merge: Merge::Unmarked,
            patch: None,
            default: None,
            allowed: Vec::new(),
            go_type: String::new(),
            inlined: String::new(),
        }
    }

    /// Whether protobuf holds the list as a message `{ items = 1 }` instead of repeating the field.
    pub fn is_message_list(&self) -> bool {
        self.go_type == "v1.Verbs"
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Bool,
    Int32,
    Int64,
    Double,
    String,
    /// Base64 in JSON.
    Bytes,
    Quantity,
    IntOrString,
    /// RFC 3339 with whole seconds, or null.
    Time,
    MicroTime,
    /// Go's duration text.
    Duration,
    /// Any object, kept as it is (`RawExtension`, `JSON`, `FieldsV1`).
    Any,
    FieldsV1,
    Struct(TypeId),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// A JSON schema or something simpler (`items`, `additionalProperties`, `dependencies` of a CRD's schema); merged as a whole.
    SchemaOr(TypeId, SchemaAlternative),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaAlternative {
    Schemas,
    Bool,
    Strings,
}

/// List and map types of server-side apply (`x-kubernetes-list-type`, `-map-type`). A list without a marker is atomic; a map or
/// struct granular.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Merge {
    #[default]
    Unmarked,
    Atomic,
    Granular,
    Set,
    /// List of structs keyed by these fields.
    Map(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct PatchStrategy {
    pub merge: bool,
    pub replace_keys: bool,
    pub retain_keys: bool,
    pub merge_key: Option<String>,
}

/// One served resource: a plural name in one group and version.
#[derive(Debug)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub list_kind: String,
    pub plural: String,
    pub singular: String,
    pub namespaced: bool,
    /// `create delete deletecollection get list patch update watch`, sorted.
    pub verbs: Vec<String>,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<Subresource>,
    /// DELETE answers with the object as it last was, not with a `Status`.
    pub returns_deleted: bool,
    pub type_id: TypeId,
    /// The group whose key space holds it: differs from `group` only for resources that two groups serve (events).
    pub storage_group: String,
    /// The version whose form is stored, when several versions of one resource are served.
    pub storage_version: String,
}

#[derive(Debug)]
pub struct Subresource {
    /// `status`, `scale`, `log`.
    pub name: String,
    pub verbs: Vec<String>,
    /// What is sent and answered there (`autoscaling/v1 Scale`).
    pub kind: GroupVersionKind,
}

impl Resource {
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(&self.group, &self.version, &self.kind)
    }
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}

/// All kinds and types known at one moment. Cheap to share, never changed: a CRD makes a new one.
#[derive(Debug, Default)]
pub struct Catalog {
    pub types: Vec<Arc<Type>>,
    pub resources: Vec<Arc<Resource>>,
    /// Groups in discovery order, each with its versions, preferred first.
    pub groups: Vec<Group>,
    /// By the one name that is nearly unique; the few that share it are told apart by a scan.
    resources_by_plural: HashMap<String, Vec<u32>>,
    resources_by_kind: HashMap<String, Vec<u32>>,
    types_by_kind: HashMap<String, Vec<TypeId>>,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub versions: Vec<String>,
}

impl Catalog {
    pub fn new(types: Vec<Arc<Type>>, resources: Vec<Arc<Resource>>, groups: Vec<Group>) -> Self {
        let mut catalog = Catalog { types, resources, groups, ..Catalog::default() };
        for (i, resource) in catalog.resources.iter().enumerate() {
            catalog.resources_by_plural.entry(resource.plural.clone()).or_default().push(i as u32);
            catalog.resources_by_kind.entry(resource.kind.clone()).or_default().push(i as u32);
        }
        for (i, ty) in catalog.types.iter().enumerate() {
            for kind in &ty.group_version_kinds {
                catalog.types_by_kind.entry(kind.kind.clone()).or_default().push(TypeId(i as u32));
            }
        }
        catalog
    }

    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        let same = self.resources_by_plural.get(plural)?;
        same.iter().map(|i| &self.resources[*i as usize]).find(|r| r.version == version && r.group == group)
    }

    /// The resource in its group's first version that has it.
    pub fn preferred(&self, resource: &GroupResource) -> Option<&Arc<Resource>> {
        let same = self.resources_by_plural.get(&resource.resource)?;
        same.iter().map(|i| &self.resources[*i as usize]).find(|r| r.group == resource.group)
    }

    pub fn by_kind(&self, kind: &GroupVersionKind) -> Option<&Arc<Resource>> {
        let same = self.resources_by_kind.get(&kind.kind)?;
        same.iter().map(|i| &self.resources[*i as usize]).find(|r| r.version == kind.version && r.group == kind.group)
    }

    /// The type of any kind that may be a body, also of those that are no resource (`DeleteOptions`, `Scale`, `Status`).
    pub fn type_of(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        let same = self.types_by_kind.get(&kind.kind)?;
        let is_of = |id: &&TypeId, group: &str, version: &str| {
            self.get(**id).group_version_kinds.iter().any(|k| k.kind == kind.kind && k.version == version && k.group == group)
        };
        same.iter().find(|id| is_of(id, &kind.group, &kind.version)).or_else(|| same.iter().find(|id| is_of(id, "*", "*"))).copied()
    }

    /// A struct by its OpenAPI name. Slow: for tests and start-up.
    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.types.iter().position(|t| t.name == name).map(|i| TypeId(i as u32))
    }
}

/// The catalog of v1.37's built-in kinds.
pub fn builtin() -> &'static Arc<Catalog> {
    static BUILTIN: std::sync::OnceLock<Arc<Catalog>> = std::sync::OnceLock::new();
    BUILTIN.get_or_init(|| Arc::new(table::builtin()))
}
