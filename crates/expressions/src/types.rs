//! CEL's types and how they are shown: in faults as cel-go's checker does, elsewhere as its types name themselves.

use std::fmt;
use std::sync::Arc;

/// Types of types grow with each expression around them, and by names for values much faster.
pub(crate) const PARTS_MAX: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything; asked for only when evaluated.
    Dyn,
    Any,
    /// Of what is faulty; it fits everywhere, so that nothing is told twice.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    /// A primitive or null.
    Wrapper(Primitive),
    /// With fields, which the environment knows.
    Object(Arc<str>),
    /// To be found out.
    Variable(u32),
    Applied(Arc<Applied>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    List,
    Map,
    /// The type of a type.
    Type,
    /// Known by its name only, such as an address or what may be absent.
    Opaque(Arc<str>),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    pub head: Head,
    pub parameters: Vec<Type>,
    n_parts: u32,
}

impl Type {
    pub fn applied(head: Head, parameters: Vec<Type>) -> Self {
        let n_parts = parameters.iter().fold(1, |n, parameter| parameter.n_parts().saturating_add(n));
        Type::Applied(Arc::new(Applied { head, parameters, n_parts }))
    }

    pub fn list(of: Type) -> Self {
        Self::applied(Head::List, vec![of])
    }

    pub fn map(key: Type, value: Type) -> Self {
        Self::applied(Head::Map, vec![key, value])
    }

    pub fn optional(of: Type) -> Self {
        Self::applied(Head::Opaque("optional_type".into()), vec![of])
    }

    pub(crate) fn type_of(of: Type) -> Self {
        Self::applied(Head::Type, vec![of])
    }

    pub(crate) fn n_parts(&self) -> u32 {
        match self {
            Type::Applied(applied) => applied.n_parts,
            _ => 1,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Any)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Type::Error
    }

    /// What may be absent, when it is that.
    pub(crate) fn inside_optional(&self) -> Option<&Type> {
        match self {
            Type::Applied(applied) if matches!(&applied.head, Head::Opaque(name) if &**name == "optional_type") => {
                applied.parameters.first()
            }
            _ => None,
        }
    }

    /// The same but for whether it may be null.
    pub(crate) fn is_exactly(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Applied(one), Type::Applied(two)) => {
                Arc::ptr_eq(one, two)
                    || (one.head == two.head
                        && one.parameters.len() == two.parameters.len()
                        && one.parameters.iter().zip(&two.parameters).all(|(one, two)| one.is_exactly(two)))
            }
            _ => self.unwrapped() == other.unwrapped(),
        }
    }

    fn unwrapped(&self) -> Type {
        match self {
            Type::Wrapper(primitive) => primitive.plain(),
            _ => self.clone(),
        }
    }

    fn name(&self) -> String {
        match self {
            Type::Dyn => "dyn".into(),
            Type::Any => "google.protobuf.Any".into(),
            Type::Error => "*error*".into(),
            Type::Null => "null_type".into(),
            Type::Bool => "bool".into(),
            Type::Int => "int".into(),
            Type::Uint => "uint".into(),
            Type::Double => "double".into(),
            Type::Text => "string".into(),
            Type::Bytes => "bytes".into(),
            Type::Duration => "google.protobuf.Duration".into(),
            Type::Timestamp => "google.protobuf.Timestamp".into(),
            Type::Wrapper(primitive) => format!("wrapper({})", primitive.plain().name()),
            Type::Object(name) => name.to_string(),
            Type::Variable(id) => format!("_var{id}"),
            Type::Applied(applied) => match &applied.head {
                Head::List => "list".into(),
                Head::Map => "map".into(),
                Head::Type => "type".into(),
                Head::Opaque(name) => name.to_string(),
            },
        }
    }

    fn parameters(&self) -> &[Type] {
        match self {
            Type::Applied(applied) => &applied.parameters,
            _ => &[],
        }
    }

    fn show(&self, name: &impl Fn(&Type) -> String) -> String {
        let parameters: Vec<_> = self.parameters().iter().map(|parameter| parameter.show(name)).collect();
        if parameters.is_empty() { name(self) } else { format!("{}({})", name(self), parameters.join(", ")) }
    }

    /// As faults of the checker show it.
    pub(crate) fn shown(&self) -> String {
        self.show(&|part| match part {
            Type::Any => "any".into(),
            Type::Error => "!error!".into(),
            Type::Null => "null".into(),
            Type::Duration => "duration".into(),
            Type::Timestamp => "timestamp".into(),
            _ => part.name(),
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show(&Type::name))
    }
}

impl Primitive {
    fn plain(self) -> Type {
        match self {
            Primitive::Bool => Type::Bool,
            Primitive::Int => Type::Int,
            Primitive::Uint => Type::Uint,
            Primitive::Double => Type::Double,
            Primitive::Text => Type::Text,
            Primitive::Bytes => Type::Bytes,
        }
    }
}

/// A type as tables of facts write it; `<A>` is the variable that stands at its place in `variables`.
pub(crate) fn read<'a>(text: &'a str, variables: &mut Vec<&'a str>) -> Type {
    let (name, inner) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').expect("what is opened is closed")),
        None => (text, ""),
    };
    let parameters: Vec<Type> = split(inner).into_iter().map(|part| read(part, variables)).collect();
    match (name, &parameters[..]) {
        ("dyn", _) => Type::Dyn,
        ("google.protobuf.Any", _) => Type::Any,
        ("null_type", _) => Type::Null,
        ("bool", _) => Type::Bool,
        ("int", _) => Type::Int,
        ("uint", _) => Type::Uint,
        ("double", _) => Type::Double,
        ("string", _) => Type::Text,
        ("bytes", _) => Type::Bytes,
        ("google.protobuf.Duration", _) => Type::Duration,
        ("google.protobuf.Timestamp", _) => Type::Timestamp,
        ("wrapper", [of]) => Type::Wrapper(match of {
            Type::Bool => Primitive::Bool,
            Type::Int => Primitive::Int,
            Type::Uint => Primitive::Uint,
            Type::Double => Primitive::Double,
            Type::Text => Primitive::Text,
            _ => Primitive::Bytes,
        }),
        ("list", _) => Type::applied(Head::List, parameters),
        ("map", _) => Type::applied(Head::Map, parameters),
        ("type", _) => Type::applied(Head::Type, parameters),
        ("optional_type" | "net.IP" | "net.CIDR", _) => Type::applied(Head::Opaque(name.into()), parameters),
        (_, []) if name.starts_with('<') => {
            let at = variables.iter().position(|known| *known == name).unwrap_or_else(|| {
                variables.push(name);
                variables.len() - 1
            });
            Type::Variable(at as u32)
        }
        _ => Type::Object(name.into()),
    }
}

/// At the commas that stand in no brackets.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}
