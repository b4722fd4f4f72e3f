//! Reads the committed fact tables. Written by `cargo xtask gen-facts`, checked by the tests: a fault here is a bug, so it panics.
//!
//! types.txt, one type and then its fields, one a line (no line has a blank but those shown):
//!
//! ```text
//! type NAME [kind=GROUP/VERSION/KIND,...] [merge=atomic] [unions=JSON]
//!  NAME TAG SHAPE [required] [pointer] [omitempty] [omitzero] [merge=...] [patch=merge+retainKeys] [key=name] [default=JSON] [enum=A,B%20C] [within=TAG:NAME.TAG:NAME] [go=TYPE]
//! ```
//!
//! `within` names the inline structs a field comes from, with their protobuf tags (0: not on that wire); `go` is Go's name of the
//! type where the shape does not tell it. resources.txt, in discovery order:
//!
//! ```text
//! version GROUP/VERSION
//!  PLURAL SINGULAR KIND namespaced|cluster VERBS [short=...] [categories=...] [stored=GROUP/VERSION] [returns-deleted]
//!   SUBRESOURCE GROUP/VERSION/KIND VERBS
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use object::key::GroupVersionKind;

use crate::{Catalog, Field, Group, Merge, PatchStrategy, Resource, SchemaAlternative, Shape, Subresource, Type, TypeId, Wire};

const SCHEMA_PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

const TYPES: &str = include_str!("../facts/types.txt");
const RESOURCES: &str = include_str!("../facts/resources.txt");
/// The committed tables, for whoever must notice that they changed.
pub const FACTS: [&str; 2] = [TYPES, RESOURCES];

pub(crate) fn builtin() -> Catalog {
    let types = types(TYPES);
    let (resources, groups) = resources(RESOURCES, &Catalog::new(types.clone(), Vec::new(), Vec::new()));
    Catalog::new(types, resources, groups)
}

fn types(table: &str) -> Vec<Arc<Type>> {
    let names = table.lines().filter_map(|line| line.strip_prefix("type ")).map(|line| line.split(' ').next().unwrap_or(""));
    let ids: HashMap<&str, TypeId> = names.enumerate().map(|(i, name)| (name, TypeId(i as u32))).collect();
    let mut types = Vec::with_capacity(ids.len());
    let mut open: Option<OpenType> = None;
    for line in table.lines() {
        if let Some(header) = line.strip_prefix("type ") {
            types.extend(open.take().map(OpenType::close));
            open = Some(OpenType::new(header));
        } else if let Some(open) = &mut open {
            open.field(line.trim_start(), &ids);
        }
    }
    types.extend(open.map(OpenType::close));
    types
}

/// A type whose fields are still being read.
struct OpenType {
    ty: Type,
    fields: Vec<Field>,
    wire: Vec<Wire>,
}

impl OpenType {
    fn new(header: &str) -> Self {
        let mut words = header.split(' ');
        let mut ty = Type::new(words.next().unwrap_or(""), Vec::new());
        for mark in words {
            match mark.split_once('=').expect("a mark of a type has a value") {
                ("kind", kinds) => ty.group_version_kinds = kinds.split(',').map(kind).collect(),
                ("merge", text) => ty.merge = merge(text),
                ("unions", json) => ty.unions = Some(serde_json::from_str(json).expect("unions are JSON")),
                (other, _) => panic!("unknown mark {other} of type {}", ty.name),
            }
        }
        OpenType { ty, fields: Vec::new(), wire: Vec::new() }
    }

    fn field(&mut self, line: &str, ids: &HashMap<&str, TypeId>) {
        let mut words = line.split(' ');
        let (Some(name), Some(tag), Some(shape_text)) = (words.next(), words.next(), words.next()) else {
            panic!("short line in {}: {line}", self.ty.name)
        };
        let mut field = Field::new(name, shape(shape_text, ids));
        field.tag = tag.parse().expect("a tag is a number");
        let mut within: Vec<(u32, &str)> = Vec::new();
        for mark in words {
            if let Some(("within", path)) = mark.split_once('=') {
                within = path.split('.').map(inline_part).collect();
            } else {
                mark_field(&mut field, mark);
            }
        }
        field.inlined = within.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(".");
        if field.tag != 0 {
            let path: Vec<u32> = within.iter().map(|(tag, _)| *tag).collect();
            place(&mut self.wire, &path, field.tag, self.fields.len() as u16);
        }
        self.fields.push(field);
    }

    fn close(mut self) -> Arc<Type> {
        sort_wire(&mut self.wire);
        let mut ty = Type::new(&self.ty.name, self.fields);
        ty.wire = self.wire;
        Arc::new(Type { group_version_kinds: self.ty.group_version_kinds, merge: self.ty.merge, unions: self.ty.unions, ..ty })
    }
}

fn inline_part(text: &str) -> (u32, &str) {
    let (tag, name) = text.split_once(':').expect("an inline struct has tag and name");
    (tag.parse().expect("a tag is a number"), name)
}

fn place(wire: &mut Vec<Wire>, path: &[u32], tag: u32, field: u16) {
    let Some((outer, rest)) = path.split_first() else {
        wire.push(Wire::Field { tag, field });
        return;
    };
    let at = wire.iter().position(|part| matches!(part, Wire::Inline { tag, .. } if tag == outer)).unwrap_or_else(|| {
        wire.push(Wire::Inline { tag: *outer, parts: Vec::new() });
        wire.len() - 1
    });
    if let Wire::Inline { parts, .. } = &mut wire[at] {
        place(parts, rest, tag, field);
    }
}

fn sort_wire(wire: &mut [Wire]) {
    wire.sort_by_key(Wire::tag);
    for part in wire {
        if let Wire::Inline { parts, .. } = part {
            sort_wire(parts);
        }
    }
}

fn mark_field(field: &mut Field, mark: &str) {
    let patch = || PatchStrategy { merge: false, replace_keys: false, retain_keys: false, merge_key: None };
    match mark.split_once('=').unwrap_or((mark, "")) {
        ("required", _) => field.required = true,
        ("pointer", _) => field.pointer = true,
        ("omitempty", _) => field.omit_empty = true,
        ("omitzero", _) => field.omit_zero = true,
        ("merge", text) => field.merge = merge(text),
        ("patch", text) => {
            let strategy = field.patch.get_or_insert_with(patch);
            for word in text.split('+') {
                match word {
                    "merge" => strategy.merge = true,
                    "replace" => strategy.replace_keys = true,
                    "retainKeys" => strategy.retain_keys = true,
                    other => panic!("unknown patch strategy {other}"),
                }
            }
        }
        ("key", key) => field.patch.get_or_insert_with(patch).merge_key = Some(key.to_owned()),
        ("default", json) => field.default = Some(serde_json::from_str(json).expect("a default is JSON")),
        ("go", name) => field.go_type = name.to_owned(),
        ("enum", values) => field.allowed = values.split(',').map(|v| v.replace("%20", " ")).collect(),
        (other, _) => panic!("unknown mark {other} of field {}", field.name),
    }
}

fn shape(text: &str, ids: &HashMap<&str, TypeId>) -> Shape {
    if let Some(item) = text.strip_prefix("[]") {
        return Shape::List(Box::new(shape(item, ids)));
    }
    if let Some(item) = text.strip_prefix("{}") {
        return Shape::Map(Box::new(shape(item, ids)));
    }
    let id = |name: &str| *ids.get(name).unwrap_or_else(|| panic!("type {name} is not in the table"));
    match text {
        "bool" => Shape::Bool,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "double" => Shape::Double,
        "string" => Shape::String,
        "bytes" => Shape::Bytes,
        "quantity" => Shape::Quantity,
        "intorstring" => Shape::IntOrString,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "duration" => Shape::Duration,
        "any" => Shape::Any,
        "fields" => Shape::FieldsV1,
        "schemaorlist" => Shape::SchemaOr(id(SCHEMA_PROPS), SchemaAlternative::Schemas),
        "schemaorbool" => Shape::SchemaOr(id(SCHEMA_PROPS), SchemaAlternative::Bool),
        "schemaorstrings" => Shape::SchemaOr(id(SCHEMA_PROPS), SchemaAlternative::Strings),
        name => Shape::Struct(id(name)),
    }
}

fn merge(text: &str) -> Merge {
    match text.split_once(':').unwrap_or((text, "")) {
        ("atomic", _) => Merge::Atomic,
        ("granular", _) => Merge::Granular,
        ("set", _) => Merge::Set,
        ("map", keys) => Merge::Map(keys.split(',').map(str::to_owned).collect()),
        (other, _) => panic!("unknown merge {other}"),
    }
}

fn kind(text: &str) -> GroupVersionKind {
    let mut parts = text.splitn(3, '/');
    let mut next = || parts.next().unwrap_or("");
    GroupVersionKind::new(next(), next(), next())
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn resources(table: &str, types: &Catalog) -> (Vec<Arc<Resource>>, Vec<Group>) {
    let mut resources: Vec<Resource> = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut at = ("", "");
    for line in table.lines() {
        if let Some(api) = line.strip_prefix("version ") {
            at = api.split_once('/').expect("a version has a group");
            match groups.iter_mut().find(|g| g.name == at.0) {
                Some(group) => group.versions.push(at.1.to_owned()),
                None => groups.push(Group { name: at.0.to_owned(), versions: vec![at.1.to_owned()] }),
            }
        } else if let Some(line) = line.strip_prefix("  ") {
            resources.last_mut().expect("a subresource follows its resource").subresources.push(subresource(line));
        } else {
            resources.push(resource(at.0, at.1, line.trim_start(), types));
        }
    }
    (resources.into_iter().map(Arc::new).collect(), groups)
}

fn resource(group: &str, version: &str, line: &str, types: &Catalog) -> Resource {
    let mut parts = line.split(' ');
    let mut next = || parts.next().unwrap_or_else(|| panic!("short line: {line}"));
    let (plural, singular, kind, scope, verbs) = (next(), next(), next(), next(), next());
    let type_id = types.type_of(&GroupVersionKind::new(group, version, kind)).unwrap_or_else(|| panic!("no type of kind {kind}"));
    let mut resource = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: singular.to_owned(),
        namespaced: scope == "namespaced",
        verbs: words(verbs),
        short_names: Vec::new(),
        categories: Vec::new(),
        subresources: Vec::new(),
        returns_deleted: false,
        type_id,
        storage_group: group.to_owned(),
        storage_version: version.to_owned(),
    };
    for mark in parts {
        match mark.split_once('=').unwrap_or((mark, "")) {
            ("returns-deleted", _) => resource.returns_deleted = true,
            ("short", names) => resource.short_names = words(names),
            ("categories", names) => resource.categories = words(names),
            ("stored", api) => {
                let (group, version) = api.split_once('/').expect("stored names group and version");
                (resource.storage_group, resource.storage_version) = (group.to_owned(), version.to_owned());
            }
            (other, _) => panic!("unknown mark {other} of {plural}"),
        }
    }
    resource
}

fn subresource(line: &str) -> Subresource {
    let mut parts = line.split(' ');
    let mut next = || parts.next().unwrap_or_else(|| panic!("short line: {line}"));
    Subresource { name: next().to_owned(), kind: kind(next()), verbs: words(next()) }
}
