//! Resources and their verbs as paths and operations.

use kinds::{Catalog, Field, Resource, Shape, Subresource};
use object::key::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::{Builder, root_of, sentences};

pub(super) const API_VERSIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions";
pub(super) const API_GROUP_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList";
pub(super) const API_GROUP: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup";
pub(super) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";
const API_RESOURCE_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";

pub(super) const MEDIA_TYPES: [&str; 3] = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
const STREAM_TYPES: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCH_TYPES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

const WRITE_PARAMETERS: [(&str, &str); 3] = [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const LIST_PARAMETERS: [(&str, &str); 11] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const DELETE_PARAMETERS: [(&str, &str); 5] = [
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

/// `rbac.authorization.k8s.io` is `rbacAuthorization` in tags.
pub(super) fn tag_group(group: &str) -> String {
    let mut letters = camel_group(group);
    if let Some(first) = letters.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    letters
}

pub(super) fn camel_group(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    group.trim_end_matches(".k8s.io").split('.').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut text = word.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// One operation on its way: parameters still hold those of the path.
struct Operation {
    method: &'static str,
    parameters: Vec<Value>,
    body: Value,
}

fn parameter(name: &str, place: &str, ty: &str) -> Value {
    let schema = json!({"type": ty, "uniqueItems": true});
    let mut parameter = json!({"name": name, "in": place, "description": sentences::of_parameter(name), "schema": schema});
    if place == "path" {
        parameter["required"] = Value::Bool(true);
    }
    parameter
}

fn query(parameters: &[(&str, &str)]) -> impl Iterator<Item = Value> {
    parameters.iter().map(|(name, ty)| parameter(name, "query", ty))
}

fn text_content(media_types: &[&str]) -> Value {
    media_types.iter().map(|media| ((*media).to_owned(), json!({"schema": {"type": "string"}}))).collect::<Map<_, _>>().into()
}

fn answer(code: &str, content: Value) -> Value {
    let mut answer = json!({"description": sentences::of_answer(code)});
    if !content.is_null() {
        answer["content"] = content;
    }
    answer
}

/// What a path's operations share.
struct Place<'a> {
    resource: &'a Resource,
    /// `AppsV1`.
    prefix: String,
    tag: String,
    kind: GroupVersionKind,
}

impl Builder<'_> {
    pub(super) fn single(&mut self, path: &str, tag: &str, id: &str, ty: &str, media_types: &[&str]) -> Map<String, Value> {
        let content = if ty.is_empty() { text_content(media_types) } else { self.content(ty, media_types) };
        let responses = json!({"200": answer("200", content), "401": answer("401", Value::Null)});
        let get = json!({"tags": [tag], "operationId": id, "responses": responses});
        Map::from_iter([(path.to_owned(), json!({"get": get}))])
    }

    fn content(&mut self, ty: &str, media_types: &[&str]) -> Value {
        let schema = self.schemas.reference(ty);
        media_types.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
    }

    pub(super) fn group_version(&mut self, group: &str, version: &str) -> Option<Map<String, Value>> {
        self.catalog.groups.iter().find(|g| g.name == group)?.versions.iter().find(|v| *v == version)?;
        let root = format!("/{}", root_of(group, version));
        let prefix = format!("{}{}", camel_group(group), capital(version));
        let tag = format!("{}_{version}", tag_group(group));
        let mut paths = self.single(&format!("{root}/"), &tag, &format!("get{prefix}APIResources"), API_RESOURCE_LIST, &MEDIA_TYPES);
        let catalog: &Catalog = self.catalog;
        for resource in catalog.resources.iter().filter(|r| r.group == group && r.version == version) {
            let place = Place { resource, prefix: prefix.clone(), tag: tag.clone(), kind: resource.gvk() };
            self.resource(&root, &place, &mut paths);
            for subresource in &resource.subresources {
                self.subresource(&root, &place, subresource, &mut paths);
            }
        }
        Some(paths)
    }

    fn resource(&mut self, root: &str, place: &Place<'_>, paths: &mut Map<String, Value>) {
        let resource = place.resource;
        let (plural, kind) = (&resource.plural, &resource.kind);
        let scoped = if resource.namespaced { format!("{root}/namespaces/{{namespace}}/{plural}") } else { format!("{root}/{plural}") };
        let namespaced = if resource.namespaced { format!("Namespaced{kind}") } else { kind.clone() };

        let mut operations = Vec::new();
        if resource.has_verb("list") {
            operations.push(self.list(place, &format!("list{}{namespaced}", place.prefix)));
        }
        if resource.has_verb("create") {
            operations.push(self.write(place, "post", &format!("create{}{namespaced}", place.prefix)));
        }
        if resource.has_verb("deletecollection") {
            operations.push(self.delete_collection(place, &format!("delete{}Collection{namespaced}", place.prefix)));
        }
        add_path(paths, &scoped, operations);
        if resource.namespaced && resource.has_verb("list") {
            let all = self.list(place, &format!("list{}{kind}ForAllNamespaces", place.prefix));
            add_path(paths, &format!("{root}/{plural}"), vec![all]);
        }

        let operations = self.item_operations(place, &resource.verbs, &namespaced);
        add_path(paths, &format!("{scoped}/{{name}}"), operations);
        if resource.has_verb("watch") {
            let watch_root = format!("{root}/watch");
            let in_scope = scoped.replacen(root, &watch_root, 1);
            let item = self.watch(place, "watch", &format!("watch{}{namespaced}", place.prefix));
            add_path(paths, &format!("{in_scope}/{{name}}"), vec![item]);
            let list = self.watch(place, "watchlist", &format!("watch{}{namespaced}List", place.prefix));
            add_path(paths, &in_scope, vec![list]);
            if resource.namespaced {
                let all = self.watch(place, "watchlist", &format!("watch{}{kind}ListForAllNamespaces", place.prefix));
                add_path(paths, &format!("{watch_root}/{plural}"), vec![all]);
            }
        }
    }

    /// Operations on one object: those of an item path and of most subresources.
    fn item_operations(&mut self, place: &Place<'_>, verbs: &[String], id: &str) -> Vec<Operation> {
        let has = |verb: &str| verbs.iter().any(|v| v == verb);
        let prefix = &place.prefix;
        let mut operations = Vec::new();
        if has("get") {
            operations.push(self.get(place, &format!("read{prefix}{id}")));
        }
        if has("update") {
            operations.push(self.write(place, "put", &format!("replace{prefix}{id}")));
        }
        if has("delete") {
            operations.push(self.delete(place, &format!("delete{prefix}{id}")));
        }
        if has("patch") {
            operations.push(self.patch(place, &format!("patch{prefix}{id}")));
        }
        operations
    }

    fn subresource(&mut self, root: &str, parent: &Place<'_>, subresource: &Subresource, paths: &mut Map<String, Value>) {
        let resource = parent.resource;
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("{root}{scope}/{}/{{name}}/{}", resource.plural, subresource.name);
        let namespaced = if resource.namespaced { "Namespaced" } else { "" };
        let id = format!("{namespaced}{}{}", resource.kind, capital(&subresource.name));
        let place = Place { resource, prefix: parent.prefix.clone(), tag: parent.tag.clone(), kind: subresource.kind.clone() };
        if subresource.kind.kind.ends_with("Options") {
            self.connect(&place, subresource, &path, &id, paths);
            return;
        }
        if subresource.name == "log" {
            let operation = self.log(&place, &id);
            add_path(paths, &path, vec![operation]);
            return;
        }
        let mut operations = self.item_operations(&place, &subresource.verbs, &id);
        if subresource.verbs.iter().any(|v| v == "create") {
            operations.push(self.write(&place, "post", &format!("create{}{id}", place.prefix)));
        }
        add_path(paths, &path, operations);
    }

    fn operation(&mut self, place: &Place<'_>, method: &'static str, id: &str, action: &str, responses: Value) -> Operation {
        let GroupVersionKind { group, version, kind } = &place.kind;
        Operation {
            method,
            parameters: vec![parameter("pretty", "query", "string")],
            body: json!({
                "tags": [place.tag], "operationId": id, "responses": responses, "x-kubernetes-action": action,
                "description": sentences::of_operation(action, kind),
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
            }),
        }
    }

    /// The same content under each code, and 401 without any.
    fn responses(&mut self, codes: &[&str], ty: &str, media_types: &[&str]) -> Value {
        let content = self.content(ty, media_types);
        let mut responses: Map<String, Value> = codes.iter().map(|code| ((*code).to_owned(), answer(code, content.clone()))).collect();
        responses.insert("401".to_owned(), answer("401", Value::Null));
        Value::Object(responses)
    }

    fn type_name(&self, kind: &GroupVersionKind) -> String {
        self.catalog.type_of(kind).map_or_else(String::new, |id| self.catalog.get(id).name.clone())
    }

    fn list(&mut self, place: &Place<'_>, id: &str) -> Operation {
        let list_kind = GroupVersionKind { kind: place.resource.list_kind.clone(), ..place.resource.gvk() };
        let media_types = [&MEDIA_TYPES[..], &STREAM_TYPES[..]].concat();
        let responses = self.responses(&["200"], &self.type_name(&list_kind), &media_types);
        let mut operation = self.operation(place, "get", id, "list", responses);
        operation.parameters.extend(query(&LIST_PARAMETERS));
        operation
    }

    fn watch(&mut self, place: &Place<'_>, action: &str, id: &str) -> Operation {
        let media_types = [&MEDIA_TYPES[..], &STREAM_TYPES[..]].concat();
        let responses = self.responses(&["200"], WATCH_EVENT, &media_types);
        let mut operation = self.operation(place, "get", id, action, responses);
        operation.parameters.extend(query(&LIST_PARAMETERS));
        operation
    }

    fn get(&mut self, place: &Place<'_>, id: &str) -> Operation {
        let responses = self.responses(&["200"], &self.type_name(&place.kind), &MEDIA_TYPES);
        self.operation(place, "get", id, "get", responses)
    }

    fn write(&mut self, place: &Place<'_>, method: &'static str, id: &str) -> Operation {
        let codes: &[&str] = if method == "post" { &["200", "201", "202"] } else { &["200", "201"] };
        let ty = self.type_name(&place.kind);
        let responses = self.responses(codes, &ty, &MEDIA_TYPES);
        let mut operation = self.operation(place, method, id, method, responses);
        operation.parameters.extend(query(&WRITE_PARAMETERS));
        operation.body["requestBody"] = json!({"content": self.content(&ty, &["*/*"]), "required": true});
        operation
    }

    fn patch(&mut self, place: &Place<'_>, id: &str) -> Operation {
        let ty = self.type_name(&place.kind);
        let responses = self.responses(&["200", "201"], &ty, &MEDIA_TYPES);
        let mut operation = self.operation(place, "patch", id, "patch", responses);
        operation.parameters.extend(query(&WRITE_PARAMETERS));
        operation.parameters.push(parameter("force", "query", "boolean"));
        operation.body["requestBody"] = json!({"content": self.content(PATCH, &PATCH_TYPES), "required": true});
        operation
    }

    fn delete(&mut self, place: &Place<'_>, id: &str) -> Operation {
        let ty = if place.resource.returns_deleted { self.type_name(&place.kind) } else { STATUS.to_owned() };
        let responses = self.responses(&["200", "202"], &ty, &MEDIA_TYPES);
        let mut operation = self.operation(place, "delete", id, "delete", responses);
        operation.parameters.extend(query(&DELETE_PARAMETERS));
        operation.body["requestBody"] = json!({"content": self.content(DELETE_OPTIONS, &["*/*"])});
        operation
    }

    fn delete_collection(&mut self, place: &Place<'_>, id: &str) -> Operation {
        let responses = self.responses(&["200"], STATUS, &MEDIA_TYPES);
        let mut operation = self.operation(place, "delete", id, "deletecollection", responses);
        operation.parameters.extend(query(&DELETE_PARAMETERS));
        let of_lists = LIST_PARAMETERS.iter().filter(|(name, _)| !matches!(*name, "allowWatchBookmarks" | "watch"));
        operation.parameters.extend(of_lists.map(|(name, ty)| parameter(name, "query", ty)));
        operation.body["requestBody"] = json!({"content": self.content(DELETE_OPTIONS, &["*/*"])});
        operation
    }

    fn text_response(media_types: &[&str]) -> Value {
        json!({"200": answer("200", text_content(media_types)), "401": answer("401", Value::Null)})
    }

    /// The query parameters an options kind stands for.
    fn options(&self, kind: &GroupVersionKind) -> Vec<Value> {
        let Some(id) = self.catalog.type_of(kind) else { return Vec::new() };
        // Upstream's documents leave out parameters that are no plain values (`sinceTime`).
        let is_shown = |f: &&Field| !matches!(f.name.as_str(), "kind" | "apiVersion") && f.shape != Shape::Time;
        let fields = self.catalog.get(id).fields.iter().filter(is_shown);
        fields
            .map(|field| {
                let item = if let Shape::List(item) = &field.shape { item } else { &field.shape };
                let ty = match item {
                    Shape::Bool => "boolean",
                    Shape::Int32 | Shape::Int64 => "integer",
                    _ => "string",
                };
                parameter(&field.name, "query", ty)
            })
            .collect()
    }

    fn log(&mut self, place: &Place<'_>, id: &str) -> Operation {
        let media_types = [&["text/plain"], &MEDIA_TYPES[..]].concat();
        let mut operation = self.operation(place, "get", &format!("read{}{id}", place.prefix), "get", Self::text_response(&media_types));
        let options = GroupVersionKind::new("", "v1", "PodLogOptions");
        operation.parameters.extend(self.options(&options));
        operation
    }

    /// Streams and proxies: every method goes through, nothing is known of the bodies.
    fn connect(&mut self, place: &Place<'_>, subresource: &Subresource, path: &str, id: &str, paths: &mut Map<String, Value>) {
        let is_proxy = subresource.name == "proxy";
        let methods: &[&'static str] =
            if is_proxy { &["get", "put", "post", "delete", "options", "head", "patch"] } else { &["get", "post"] };
        let targets = [(path.to_owned(), ""), (format!("{path}/{{path}}"), "WithPath")];
        for (path, suffix) in targets.into_iter().take(if is_proxy { 2 } else { 1 }) {
            let operations = methods
                .iter()
                .map(|method| {
                    let id = format!("connect{}{}{id}{suffix}", place.prefix, capital(method));
                    let mut operation = self.operation(place, method, &id, "connect", Self::text_response(&["*/*"]));
                    operation.parameters = self.options(&place.kind);
                    operation
                })
                .collect();
            add_path(paths, &path, operations);
        }
    }
}

/// Puts operations under their path; parameters that all of them take are named once for the path.
fn add_path(paths: &mut Map<String, Value>, path: &str, operations: Vec<Operation>) {
    if operations.is_empty() {
        return;
    }
    let is_shared = |parameter: &Value| operations.iter().all(|o| o.parameters.contains(parameter));
    let mut shared: Vec<Value> = operations[0].parameters.iter().filter(|p| is_shared(p)).cloned().collect();
    let variables = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    shared.extend(variables.map(|name| parameter(name, "path", "string")));
    let mut item = Map::new();
    for operation in operations.iter() {
        let mut own: Vec<Value> = operation.parameters.iter().filter(|p| !shared.contains(p)).cloned().collect();
        sort_parameters(&mut own);
        let mut body = operation.body.clone();
        if !own.is_empty() {
            body["parameters"] = Value::Array(own);
        }
        item.insert(operation.method.to_owned(), body);
    }
    sort_parameters(&mut shared);
    item.insert("parameters".to_owned(), Value::Array(shared));
    paths.insert(path.to_owned(), Value::Object(item));
}

fn sort_parameters(parameters: &mut [Value]) {
    parameters.sort_by(|a, b| (a["name"].as_str(), a["in"].as_str()).cmp(&(b["name"].as_str(), b["in"].as_str())));
}
