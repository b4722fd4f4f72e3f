//! CEL, the language of expressions in Kubernetes' objects: selectors of devices, admission policies, match conditions, the rules of
//! custom kinds. A text is parsed and its types are checked in an `Environment`, which says what it may name; what is wrong is told
//! in cel-go's very words, since clients see them.
//!
//! ```text
//! source ─ parse ─▶ Expr (macros resolved) ─ check ─▶ a type for each part ─ literals ─▶ Checked
//! ```
//!
//! Not here: what an expression evaluates to, and what is asked of its result. Every input is bounded: its length, its
//! depth, what macros make of it, and the size of types.

mod check;
mod environment;
#[cfg(test)]
mod fuzz;
mod literals;
mod parse;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod unify;

pub use environment::Environment;
pub use source::Invalid;
pub use tree::{Entry, Expr, Field, Fold, Item, Kind, Literal};
pub use types::{Applied, Head, Primitive, Type};

/// An expression that compiles.
#[derive(Debug, Clone)]
pub struct Checked {
    pub expr: Expr,
    /// Of each part, by its number.
    pub types: Vec<Type>,
}

impl Checked {
    /// What the expression evaluates to.
    pub fn result(&self) -> &Type {
        &self.types[self.expr.id as usize]
    }
}

pub fn check(text: &str, environment: &Environment) -> Result<Checked, Invalid> {
    let source = source::Source::new(text);
    let mut faults = source::Faults::new();
    let Some((expr, n_exprs)) = parse::parse(&source, environment.macros, &mut faults) else {
        return Err(faults.shown(&source));
    };
    let types = check::check(&expr, n_exprs, environment, &mut faults);
    if faults.is_empty() {
        literals::check(&expr, &types, &mut faults);
    }
    if faults.is_empty() { Ok(Checked { expr, types }) } else { Err(faults.shown(&source)) }
}
