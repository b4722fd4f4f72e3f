//! Schema facts: which kinds exist and what their fields are. Data only; every engine above walks it.
//!
//! A `Catalog` holds resources (rows of facts) and an arena of types. The built-in catalog is made from the committed fact
//! table at first use; a CRD adds rows and types to a new catalog, so a custom kind is served by the same code.
//!
//! Not here: formats (`codec`), defaults that need logic and validation (`strategies`), printer cells (`show`).
//! Invariant: no crate above has a table keyed by kind that repeats a fact which stands here.

use std::sync::Arc;

use object::key::{GroupResource, GroupVersionKind};
use serde_json::Value;

/// Position of a type in its catalog's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// A struct of the API: `io.k8s.api.apps.v1.Deployment`.
#[derive(Debug)]
pub struct Type {
    pub name: String,
    /// In the order of the Go struct; inline structs are flattened.
    pub fields: Vec<Field>,
    pub group_version_kinds: Vec<GroupVersionKind>,
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
}

/// List and map types of server-side apply (`x-kubernetes-list-type`, `-map-type`). A list without a marker is atomic; a map or struct granular.
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
    pub plural: String,
    pub singular: String,
    pub namespaced: bool,
    /// `create delete deletecollection get list patch update watch`, sorted.
    pub verbs: Vec<String>,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<Subresource>,
    pub type_id: TypeId,
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
    pub types: Vec<Type>,
    pub resources: Vec<Arc<Resource>>,
    /// Groups in discovery order, each with its versions, preferred first.
    pub groups: Vec<Group>,
}

#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub versions: Vec<String>,
}

impl Catalog {
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.iter().find(|r| r.plural == plural && r.version == version && r.group == group)
    }
    pub fn by_kind(&self, kind: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.resources.iter().find(|r| r.kind == kind.kind && r.version == kind.version && r.group == kind.group)
    }
    /// The type of any kind that may be a body, also of those that are no resource (`DeleteOptions`, `Scale`, `Status`).
    pub fn type_of(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        self.types.iter().position(|t| t.group_version_kinds.contains(kind)).map(|i| TypeId(i as u32))
    }
}

/// The catalog of v1.37's built-in kinds.
pub fn builtin() -> &'static Arc<Catalog> {
    static BUILTIN: std::sync::OnceLock<Arc<Catalog>> = std::sync::OnceLock::new();
    BUILTIN.get_or_init(Arc::default)
}
