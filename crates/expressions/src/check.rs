//! Which type each part of an expression has, and what fits nowhere, in cel-go's words.

use std::collections::HashMap;
use std::rc::Rc;

use crate::environment::{Environment, Overload};
use crate::source::{Faults, Offset};
use crate::tree::{Entry, Expr, Field, Fold, Item, Kind, Literal};
use crate::types::{Head, Primitive, Type};
use crate::unify::{Unifier, most_general};

/// The type of each expression, by its number.
pub(crate) fn check(expr: &Expr, n_exprs: u32, environment: &Environment, faults: &mut Faults) -> Vec<Type> {
    let types = vec![Type::Dyn; n_exprs as usize];
    let mut checker = Checker { environment, faults, types, locals: HashMap::new(), unifier: Unifier::default() };
    checker.check(expr);
    let mut types = std::mem::take(&mut checker.types);
    for of in &mut types {
        *of = checker.unifier.resolve(of, true);
    }
    if checker.unifier.is_overgrown {
        faults.add(expr.at, "types are too large");
    }
    types
}

struct Checker<'a> {
    environment: &'a Environment,
    faults: &'a mut Faults,
    types: Vec<Type>,
    /// The variables of loops, the innermost of a name last.
    locals: HashMap<Rc<str>, Vec<Type>>,
    unifier: Unifier,
}

impl Checker<'_> {
    fn fault(&mut self, at: Offset, message: impl Into<String>) {
        self.faults.add(at, message);
    }

    fn undeclared(&mut self, at: Offset, name: &str) -> Type {
        self.fault(at, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn mismatch(&mut self, at: Offset, expected: &Type, found: &Type) {
        self.fault(at, format!("expected type '{}' but found '{}'", expected.shown(), found.shown()));
    }

    fn check(&mut self, expr: &Expr) -> Type {
        let of = match &expr.kind {
            Kind::Literal(literal) => match literal {
                Literal::Null => Type::Null,
                Literal::Bool(_) => Type::Bool,
                Literal::Int(_) => Type::Int,
                Literal::Uint(_) => Type::Uint,
                Literal::Double(_) => Type::Double,
                Literal::Text(_) => Type::Text,
                Literal::Bytes(_) => Type::Bytes,
            },
            Kind::Ident(name) => self.named(name).unwrap_or_else(|| self.undeclared(expr.at, name)),
            Kind::Select { operand, field, is_test } => self.select(expr, operand, field, *is_test),
            Kind::Call { function, target: None, arguments } if &**function == "_?._" => self.select_optional(expr.at, arguments),
            Kind::Call { function, target, arguments } => self.call(expr.at, function, target.as_deref(), arguments),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.structure(expr.at, name, fields),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Unread => Type::Error,
        };
        self.types[expr.id as usize] = of.clone();
        of
    }

    fn local(&self, name: &str) -> Option<&Type> {
        self.locals.get(name).and_then(|of| of.last())
    }

    fn named(&self, name: &str) -> Option<Type> {
        self.local(name).cloned().or_else(|| self.environment.global(name))
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, is_test: bool) -> Type {
        if !is_test
            && let Some((name, root)) = qualified(expr)
            && self.local(root).is_none()
            && let Some(of) = self.environment.global(&name)
        {
            return of;
        }
        let of = self.field(expr.at, operand, field, false);
        if is_test { Type::Bool } else { self.unifier.resolve(&of, false) }
    }

    fn select_optional(&mut self, at: Offset, arguments: &[Expr]) -> Type {
        let [operand, Expr { kind: Kind::Literal(Literal::Text(field)), id, .. }] = arguments else {
            return Type::Error;
        };
        self.types[*id as usize] = Type::Text;
        let of = self.field(at, operand, field, true);
        self.unifier.resolve(&of, false)
    }

    fn field(&mut self, at: Offset, operand: &Expr, field: &str, is_optional: bool) -> Type {
        let of = self.check(operand);
        let of = self.unifier.resolve(&of, false);
        let inside = of.inside_optional();
        let target = inside.unwrap_or(&of);
        let found = match target {
            Type::Applied(applied) if applied.head == Head::Map => applied.parameters[1].clone(),
            Type::Object(name) => self.field_of(at, name, field).unwrap_or(Type::Error),
            Type::Variable(_) => {
                self.unifier.fits(&Type::Dyn, target);
                Type::Dyn
            }
            _ => {
                if !target.is_dyn_or_error() {
                    self.fault(at, format!("type '{}' does not support field selection", target.shown()));
                }
                Type::Dyn
            }
        };
        if inside.is_some() || is_optional { self.unifier.applied(Head::Opaque("optional_type".into()), vec![found]) } else { found }
    }

    fn field_of(&mut self, at: Offset, object: &str, field: &str) -> Option<Type> {
        if self.environment.made(object).is_none() {
            self.fault(at, format!("unexpected failed resolution of '{object}'"));
            return None;
        }
        let found = self.environment.field(object, field);
        if found.is_none() {
            self.fault(at, format!("undefined field '{field}'"));
        }
        found
    }

    fn call(&mut self, at: Offset, function: &str, target: Option<&Expr>, arguments: &[Expr]) -> Type {
        for argument in arguments {
            self.check(argument);
        }
        let environment = self.environment;
        let Some(target) = target else {
            return match environment.function(function) {
                Some(overloads) => self.resolve(at, function.trim_start_matches('.'), overloads, None, arguments),
                None => self.undeclared(at, function),
            };
        };
        // A function's name may have dots.
        let whole = qualified(target).map(|(name, _)| format!("{name}.{function}"));
        if let Some(whole) = whole
            && let Some(overloads) = environment.function(&whole)
        {
            return self.resolve(at, whole.trim_start_matches('.'), overloads, None, arguments);
        }
        self.check(target);
        match environment.function(function) {
            Some(overloads) => self.resolve(at, function, overloads, Some(target), arguments),
            None => self.undeclared(at, function),
        }
    }

    fn resolve(&mut self, at: Offset, name: &str, overloads: &[Overload], target: Option<&Expr>, arguments: &[Expr]) -> Type {
        let passed = target.into_iter().chain(arguments);
        let passed: Vec<Type> = passed.map(|expr| self.types[expr.id as usize].clone()).collect();
        if matches!(name, "_&&_" | "_||_") {
            let n_before = passed.iter().zip(arguments).filter(|(of, argument)| !self.is_bool(of, argument)).count();
            return if n_before > 0 { Type::Error } else { Type::Bool };
        }
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|overload| overload.is_member == target.is_some()) {
            let first = self.fresh(overload.n_variables);
            let wanted: Vec<_> = overload.parameters.iter().map(|parameter| Unifier::instantiate(parameter, first)).collect();
            if !self.unifier.all_fit(&passed, &wanted) {
                continue;
            }
            let found = self.unifier.resolve(&Unifier::instantiate(&overload.result, first), false);
            result = Some(match result {
                Some(before) if !before.is_dyn() && !found.is_exactly(&before) => Type::Dyn,
                Some(before) => before,
                None => found,
            });
        }
        result.unwrap_or_else(|| {
            let shown: Vec<_> = passed.iter().map(|of| self.unifier.resolve(of, true).shown()).collect();
            let signature = match target {
                Some(_) => format!("{}.({})", shown[0], shown[1..].join(", ")),
                None => format!("({})", shown.join(", ")),
            };
            self.fault(at, format!("found no matching overload for '{name}' applied to '{signature}'"));
            Type::Error
        })
    }

    fn is_bool(&mut self, of: &Type, argument: &Expr) -> bool {
        let fits = self.unifier.fits(of, &Type::Bool);
        if !fits {
            self.mismatch(argument.at, &Type::Bool, of);
        }
        fits
    }

    /// That many unknown types; the number of the first.
    fn fresh(&mut self, n: u32) -> u32 {
        let mut first = 0;
        for i in 0..n {
            if let (0, Type::Variable(id)) = (i, self.unifier.fresh()) {
                first = id;
            }
        }
        first
    }

    /// What an optional element holds.
    fn unwrapped(&mut self, at: Offset, of: Type, is_optional: bool) -> Type {
        if !is_optional {
            return of;
        }
        if let Some(inside) = of.inside_optional() {
            return inside.clone();
        }
        if !of.is_dyn() {
            self.mismatch(at, &Type::optional(of.clone()), &of);
        }
        of
    }

    /// Of several types anything is made; literals of them are told later.
    fn joined(&mut self, before: Option<Type>, of: Type) -> Type {
        let Some(before) = before else { return of };
        if self.unifier.fits(&before, &of) { most_general(&before, &of).clone() } else { Type::Dyn }
    }

    fn list(&mut self, items: &[Item]) -> Type {
        let mut element = None;
        for item in items {
            let of = self.check(&item.value);
            let of = self.unwrapped(item.value.at, of, item.is_optional);
            element = Some(self.joined(element, of));
        }
        let element = element.unwrap_or_else(|| self.unifier.fresh());
        self.unifier.applied(Head::List, vec![element])
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut key, mut value) = (None, None);
        for entry in entries {
            let of = self.check(&entry.key);
            key = Some(self.joined(key, of));
            let of = self.check(&entry.value);
            let of = self.unwrapped(entry.value.at, of, entry.is_optional);
            value = Some(self.joined(value, of));
        }
        let key = key.unwrap_or_else(|| self.unifier.fresh());
        let value = value.unwrap_or_else(|| self.unifier.fresh());
        self.unifier.applied(Head::Map, vec![key, value])
    }

    fn structure(&mut self, at: Offset, name: &str, fields: &[Field]) -> Type {
        let Some(mut made) = self.environment.type_named(name) else {
            return self.undeclared(at, name);
        };
        let name = name.strip_prefix('.').unwrap_or(name);
        if !is_message(&made) {
            self.fault(at, format!("'{made}' is not a message type"));
            made = Type::Error;
        }
        self.types_of_fields(&message_name(&made, name), fields);
        made
    }

    fn types_of_fields(&mut self, object: &str, fields: &[Field]) {
        for field in fields {
            let of = self.check(&field.value);
            let wanted = self.field_of(field.at, object, &field.name).unwrap_or(Type::Error);
            let of = self.unwrapped(field.value.at, of, field.is_optional);
            if !self.unifier.fits(&wanted, &of) {
                let (wanted, of) = (wanted.shown(), of.shown());
                self.fault(field.at, format!("expected type of field '{}' is '{wanted}' but provided type is '{of}'", field.name));
            }
        }
    }

    fn fold(&mut self, fold: &Fold) -> Type {
        let range = self.check(&fold.range);
        let accumulated = self.check(&fold.init);
        let range = self.unifier.resolve(&range, false);
        let (first, second) = match &range {
            Type::Applied(applied) if applied.head == Head::List => match fold.second_variable {
                Some(_) => (Type::Int, applied.parameters[0].clone()),
                None => (applied.parameters[0].clone(), Type::Dyn),
            },
            Type::Applied(applied) if applied.head == Head::Map => (applied.parameters[0].clone(), applied.parameters[1].clone()),
            Type::Dyn | Type::Error | Type::Variable(_) => {
                self.unifier.fits(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let shown = range.shown();
                let message = format!("expression of type '{shown}' cannot be range of a comprehension (must be list, map, or dynamic)");
                self.fault(fold.range.at, message);
                (Type::Error, Type::Error)
            }
        };
        self.enter(&fold.accumulator, accumulated.clone());
        self.enter(&fold.variable, first);
        if let Some(name) = &fold.second_variable {
            self.enter(name, second);
        }
        self.check_as(&fold.condition, &Type::Bool);
        self.check_as(&fold.step, &accumulated);
        self.leave(&fold.variable);
        fold.second_variable.iter().for_each(|name| self.leave(name));
        let result = self.check(&fold.result);
        self.leave(&fold.accumulator);
        self.unifier.resolve(&result, false)
    }

    fn enter(&mut self, name: &Rc<str>, of: Type) {
        self.locals.entry(name.clone()).or_default().push(of);
    }

    fn leave(&mut self, name: &str) {
        self.locals.get_mut(name).and_then(Vec::pop).expect("what is left was entered");
    }

    fn check_as(&mut self, expr: &Expr, wanted: &Type) {
        let of = self.check(expr);
        if !self.unifier.fits(wanted, &of) {
            self.mismatch(expr.at, wanted, &of);
        }
    }
}

/// The names with the dots between them, and the first of them.
fn qualified(expr: &Expr) -> Option<(String, &str)> {
    match &expr.kind {
        Kind::Ident(name) => Some((name.to_string(), name)),
        Kind::Select { operand, field, is_test: false } => {
            let (name, root) = qualified(operand)?;
            Some((format!("{name}.{field}"), root))
        }
        _ => None,
    }
}

/// What can be made by its name and fields.
fn is_message(made: &Type) -> bool {
    match made {
        Type::Object(_) | Type::Any | Type::Timestamp | Type::Duration | Type::Dyn | Type::Null | Type::Wrapper(_) => true,
        Type::Applied(applied) => match applied.head {
            Head::List => applied.parameters[0] == Type::Dyn,
            Head::Map => applied.parameters[0] == Type::Text && applied.parameters[1] == Type::Dyn,
            _ => false,
        },
        _ => false,
    }
}

fn message_name(made: &Type, name: &str) -> String {
    let known = match made {
        Type::Null => "NullValue",
        Type::Dyn => "Value",
        Type::Any => "Any",
        Type::Timestamp => "Timestamp",
        Type::Duration => "Duration",
        Type::Wrapper(Primitive::Bool) => "BoolValue",
        Type::Wrapper(Primitive::Bytes) => "BytesValue",
        Type::Wrapper(Primitive::Double) => "DoubleValue",
        Type::Wrapper(Primitive::Int) => "Int64Value",
        Type::Wrapper(Primitive::Text) => "StringValue",
        Type::Wrapper(Primitive::Uint) => "UInt64Value",
        Type::Applied(applied) if applied.head == Head::List => "ListValue",
        Type::Applied(applied) if applied.head == Head::Map => "Struct",
        _ => return name.to_owned(),
    };
    format!("google.protobuf.{known}")
}
