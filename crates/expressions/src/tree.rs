//! An expression as a tree, macros resolved: what the checker types and an evaluator would walk.

use std::rc::Rc;

use crate::source::Offset;

#[derive(Debug, Clone)]
pub struct Expr {
    /// Counted from zero without gaps, so that what is known of expressions fits a list.
    pub id: u32,
    pub(crate) at: Offset,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Rc<str>),
    Bytes(Rc<[u8]>),
}

#[derive(Debug, Clone)]
pub enum Kind {
    Literal(Literal),
    Ident(Rc<str>),
    /// A field; with `is_test` whether it is there.
    Select {
        operand: Box<Expr>,
        field: Rc<str>,
        is_test: bool,
    },
    Call {
        function: Rc<str>,
        target: Option<Box<Expr>>,
        arguments: Vec<Expr>,
    },
    List(Vec<Item>),
    Map(Vec<Entry>),
    Struct {
        name: Rc<str>,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
    /// What could not be read; its fault is told.
    Unread,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub value: Expr,
    pub is_optional: bool,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub is_optional: bool,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub(crate) at: Offset,
    pub name: Rc<str>,
    pub value: Expr,
    pub is_optional: bool,
}

/// The one loop there is. `accumulator` begins as `init`; for each of `range`, while `condition` holds, it becomes `step`; then `result`.
#[derive(Debug, Clone)]
pub struct Fold {
    pub range: Expr,
    pub variable: Rc<str>,
    /// Then `variable` is the index or the key, and this the element or the value.
    pub second_variable: Option<Rc<str>>,
    pub accumulator: Rc<str>,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Expr {
    /// What stands directly inside, in the order in which it is read.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Unread => Vec::new(),
            Kind::Select { operand, .. } => vec![operand],
            Kind::Call { target, arguments, .. } => target.as_deref().into_iter().chain(arguments).collect(),
            Kind::List(items) => items.iter().map(|item| &item.value).collect(),
            Kind::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
            Kind::Struct { fields, .. } => fields.iter().map(|field| &field.value).collect(),
            Kind::Fold(fold) => vec![&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result],
        }
    }
}
