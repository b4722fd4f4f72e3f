//! What an expression may name: functions, types with their fields, variables. Facts stand in tables, written by asking upstream's
//! own environments (`facts/`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::parse::macros::Macros;
use crate::types::{Type, read, split};

pub(crate) struct Overload {
    pub(crate) is_member: bool,
    pub(crate) parameters: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) n_variables: u32,
}

/// What all of Kubernetes' environments have.
struct Library {
    functions: HashMap<&'static str, Vec<Overload>>,
    /// Names that are types.
    types: HashMap<&'static str, Type>,
    objects: HashMap<Arc<str>, Object>,
}

/// What a name makes, and its fields.
#[derive(Debug, Clone)]
struct Object {
    made: Type,
    fields: HashMap<Arc<str>, Type>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut library = Library { functions: HashMap::new(), types: HashMap::new(), objects: HashMap::new() };
    for line in include_str!("../facts/functions.txt").lines() {
        let mut columns = line.split('\t');
        let mut next = || columns.next().expect("a function has four columns");
        let (name, style, parameters, result) = (next(), next(), next(), next());
        let mut variables = Vec::new();
        let parameters = split(parameters).into_iter().map(|parameter| read(parameter, &mut variables)).collect();
        let result = read(result, &mut variables);
        let overload = Overload { is_member: style == "m", parameters, result, n_variables: variables.len() as u32 };
        library.functions.entry(name).or_default().push(overload);
    }
    for line in include_str!("../facts/types.txt").lines() {
        let (name, made) = line.split_once('\t').expect("a type has two columns");
        library.types.insert(name, read(made, &mut Vec::new()));
    }
    read_objects(include_str!("../facts/messages.txt"), &mut library.objects);
    library
});

/// A line a type, `name: field type, …`; `name = what it makes: …` where that is not the object itself.
fn read_objects(text: &str, objects: &mut HashMap<Arc<str>, Object>) {
    for line in text.lines() {
        let (head, fields) = line.split_once(':').expect("a type has fields");
        let (name, made) =
            head.split_once(" = ").map_or((head, Type::Object(head.into())), |(name, made)| (name, read(made, &mut Vec::new())));
        let fields = split(fields.trim()).into_iter().map(|field| {
            let (name, of) = field.split_once(' ').expect("a field has a type");
            (name.into(), read(of, &mut Vec::new()))
        });
        objects.insert(name.into(), Object { made, fields: fields.collect() });
    }
}

/// The variables and types that an expression may use, beside the library.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: HashMap<Arc<str>, Type>,
    objects: HashMap<Arc<str>, Object>,
    pub(crate) macros: Macros,
    /// Whether parts of objects and JSON patches can be made.
    makes_patches: bool,
}

impl Environment {
    /// What selects a device: `device`.
    pub fn device() -> Self {
        let mut environment = Self::default();
        environment.macros.has_bind = true;
        environment.declare(include_str!("../facts/device.txt"));
        environment
    }

    /// What admission looks at: `object`, `oldObject`, `request`, `namespaceObject`.
    pub fn admission() -> Self {
        let mut environment = Self::default();
        environment.declare(include_str!("../facts/admission.txt"));
        environment
    }

    /// Beside it what may be asked of authorization.
    #[must_use]
    pub fn with_authorizer(mut self) -> Self {
        self.add_variable("authorizer", Type::Object("kubernetes.authorization.Authorizer".into()));
        self.add_variable("authorizer.requestResource", Type::Object("kubernetes.authorization.ResourceCheck".into()));
        self
    }

    /// Beside it what the policy's binding hands over: `params`.
    #[must_use]
    pub fn with_params(mut self) -> Self {
        self.add_variable("params", Type::Dyn);
        self
    }

    /// Beside it the types that mutations are made of.
    #[must_use]
    pub fn with_patches(self) -> Self {
        Self { makes_patches: true, ..self }
    }

    pub fn add_variable(&mut self, name: &str, of: Type) {
        self.variables.insert(name.into(), of);
    }

    pub fn add_object(&mut self, name: &str) {
        self.objects.insert(name.into(), Object { made: Type::Object(name.into()), fields: HashMap::new() });
    }

    /// One field more of a type that was added.
    pub fn add_field(&mut self, object: &str, name: &str, of: Type) {
        let object = self.objects.get_mut(object).expect("the type was added");
        object.fields.insert(name.into(), of);
    }

    /// Types with their fields, an empty line, variables.
    fn declare(&mut self, facts: &str) {
        let (objects, variables) = facts.split_once("\n\n").expect("types come before variables");
        read_objects(objects, &mut self.objects);
        for line in variables.lines() {
            let (name, of) = line.split_once(' ').expect("a variable has a type");
            self.add_variable(name, read(of, &mut Vec::new()));
        }
    }

    pub(crate) fn function(&self, name: &str) -> Option<&'static [Overload]> {
        let name = name.strip_prefix('.').unwrap_or(name);
        static PATCH: LazyLock<[Overload; 1]> =
            LazyLock::new(|| [Overload { is_member: false, parameters: vec![Type::Text], result: Type::Text, n_variables: 0 }]);
        if self.makes_patches && name == "jsonpatch.escapeKey" {
            return Some(&*PATCH);
        }
        LIBRARY.functions.get(name).map(Vec::as_slice)
    }

    /// What a name outside of all loops is.
    pub(crate) fn global(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        let constant = || (name == "google.protobuf.NullValue.NULL_VALUE").then_some(Type::Int);
        self.variables.get(name).cloned().or_else(|| self.type_named(name).map(Type::type_of)).or_else(constant)
    }

    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        LIBRARY.types.get(name).cloned().or_else(|| self.made(name))
    }

    fn is_patch_type(&self, name: &str) -> bool {
        self.makes_patches && (matches!(name, "JSONPatch" | "Object") || name.starts_with("Object."))
    }

    /// What the fields of a type by that name make.
    pub(crate) fn made(&self, name: &str) -> Option<Type> {
        if self.is_patch_type(name) {
            return Some(Type::Object(name.into()));
        }
        self.objects.get(name).or_else(|| LIBRARY.objects.get(name)).map(|object| object.made.clone())
    }

    pub(crate) fn field(&self, object: &str, name: &str) -> Option<Type> {
        if self.is_patch_type(object) {
            return Some(match (object, name) {
                ("JSONPatch", "op" | "path" | "from") => Type::Text,
                _ => Type::Dyn,
            });
        }
        let object = self.objects.get(object).or_else(|| LIBRARY.objects.get(object))?;
        object.fields.get(name).cloned()
    }
}
