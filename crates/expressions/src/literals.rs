//! What only shows in literals: times, patterns, forms of texts, and lists and maps whose elements have several types.

mod format;
mod pattern;
mod times;

use crate::source::{Faults, Offset};
use crate::tree::{Expr, Kind, Literal};
use crate::types::Type;

pub(crate) fn check(expr: &Expr, types: &[Type], faults: &mut Faults) {
    let mut walk = Walk { types, faults, n_formats: 0 };
    walk.visit(expr);
}

struct Walk<'a> {
    types: &'a [Type],
    faults: &'a mut Faults,
    /// How many calls of `format` there are around.
    n_formats: u32,
}

impl Walk<'_> {
    fn visit(&mut self, expr: &Expr) {
        let mut is_format = false;
        match &expr.kind {
            Kind::List(items) if self.n_formats == 0 => {
                let elements = items.iter().map(|item| (item.value.at, self.held(&item.value, item.is_optional)));
                let found = differing(elements).next();
                if let Some((at, first, other)) = found {
                    self.mismatch(at, &first, &other);
                }
            }
            Kind::Map(entries) if self.n_formats == 0 => {
                let keys = entries.iter().map(|entry| (entry.key.at, self.held(&entry.key, false)));
                let values = entries.iter().map(|entry| (entry.value.at, self.held(&entry.value, entry.is_optional)));
                let found: Vec<_> = differing(keys).chain(differing(values)).collect();
                for (at, first, other) in found {
                    self.mismatch(at, &first, &other);
                }
            }
            Kind::Call { function, target, arguments } => {
                self.check_argument(function, arguments);
                is_format = &**function == "format";
                if let (true, Some(Expr { kind: Kind::Literal(Literal::Text(text)), .. }), [Expr { kind: Kind::List(items), .. }]) =
                    (is_format, target.as_deref(), &arguments[..])
                {
                    let arguments: Vec<_> = items.iter().map(|item| &item.value).collect();
                    if let Err((at, message)) = format::check(text, &arguments, self.types) {
                        self.faults.add(at.unwrap_or(expr.at), message);
                    }
                }
            }
            _ => {}
        }
        self.n_formats += u32::from(is_format);
        expr.children().into_iter().for_each(|child| self.visit(child));
        self.n_formats -= u32::from(is_format);
    }

    fn held(&self, value: &Expr, is_optional: bool) -> Type {
        let of = &self.types[value.id as usize];
        of.inside_optional().filter(|_| is_optional).unwrap_or(of).clone()
    }

    fn mismatch(&mut self, at: Offset, first: &Type, other: &Type) {
        self.faults.add(at, format!("expected type '{}' but found '{}'", first.shown(), other.shown()));
    }

    fn check_argument(&mut self, function: &str, arguments: &[Expr]) {
        let Some(Expr { kind: Kind::Literal(literal), at, .. }) = arguments.first() else { return };
        let is_valid = match (function, literal) {
            ("duration", Literal::Text(text)) => times::is_duration(text),
            ("timestamp", Literal::Text(text)) => times::is_timestamp(text),
            ("timestamp", Literal::Int(seconds)) => times::is_in_range(*seconds),
            ("matches", Literal::Text(text)) => pattern::is_pattern(text),
            _ => true,
        };
        if !is_valid {
            self.faults.add(*at, format!("invalid {function} argument"));
        }
    }
}

/// Those that have another type than the first.
fn differing(mut elements: impl Iterator<Item = (Offset, Type)>) -> impl Iterator<Item = (Offset, Type, Type)> {
    let first = elements.next();
    elements.filter_map(move |(at, of)| {
        let (_, first) = first.as_ref()?;
        (!first.is_exactly(&of)).then(|| (at, first.clone(), of))
    })
}
