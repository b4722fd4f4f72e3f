//! Texts into trees.
//!
//! The parser is ours since no library fits: cel-go's words for what is wrong are those of ANTLR, which makes them out of the grammar,
//! its state and its way of getting over faults. The crates there are (`cel`, `cel-parser`, `cel-interpreter`) take another way, and
//! either have words of their own or bring ANTLR's whole runtime. Here the grammar is a table (`grammar`), `recognize` walks it, `predict` decides
//! where the table is open, and `build` makes expressions of what was read.

mod build;
mod grammar;
mod literal;
pub(crate) mod macros;
mod predict;
mod recognize;
mod token;
mod tree;

use crate::source::{Faults, Source};
use crate::tree::Expr;
use macros::Macros;

/// Upstream's.
const CODE_POINTS_MAX: usize = 100_000;

/// The expression and how many there are in it; nothing when there are faults.
pub(crate) fn parse(source: &Source, macros: Macros, faults: &mut Faults) -> Option<(Expr, u32)> {
    if source.text.len() > CODE_POINTS_MAX {
        faults.add(None, format!("expression code point size exceeds limit: size: {}, limit {CODE_POINTS_MAX}", source.text.len()));
        return None;
    }
    let (tree, root) = recognize::recognize(source, faults)?;
    let built = build::build(source, &tree, root, macros, faults);
    built.filter(|_| faults.is_empty())
}
