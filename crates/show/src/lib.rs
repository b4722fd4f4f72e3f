//! Server-side tables: the columns and cells that `kubectl get` prints, as upstream's printers make them.
//!
//! Columns are facts (`facts/columns.txt`); cells are functions of one object and the time. A kind without cells of its own shows
//! its name and when it was created.
//! Not here: the `Table` document around the rows (`apiserver`), and anything kubectl adds itself (labels, namespaces).
//! Pure: the time is a parameter.

mod age;
mod cells;
mod columns;
mod custom;
mod json_path;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

pub use age::human_duration;
pub use columns::{Column, column_definitions, columns, table_name, tables};
pub use custom::{custom_cells, custom_columns};

/// One line of a table.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// Which of the objects it shows: a few kinds are shown in an order of their own.
    pub object_idx: usize,
    pub cells: Vec<Value>,
    /// `TableRowCondition`s; null for most.
    pub conditions: Value,
}

/// Whether a list's rows can only be made all at once, for they depend on each other.
pub fn is_whole(group: &str, plural: &str) -> bool {
    cells::look_at_siblings(group, plural)
}

/// The rows of a list or, with one object, of a single one. `is_list` matters to kinds whose cells look at their siblings.
pub fn rows(group: &str, plural: &str, objects: &[&Value], is_list: bool, now: Timestamp) -> Vec<Row> {
    let order = if is_list { cells::list_order(group, plural, objects) } else { (0..objects.len()).collect() };
    let default_class = if is_list { cells::default_storage_class(group, plural, objects) } else { None };
    let row = |object_idx: usize| {
        let object = objects[object_idx];
        let mut cells = cells::cells(group, plural, object, now);
        if default_class.is_some_and(|name| name == object["metadata"]["name"]) {
            cells[0] = Value::from(format!("{} (default)", cells::text(&object["metadata"]["name"])));
        }
        Row { object_idx, cells, conditions: cells::conditions(group, plural, object) }
    };
    order.into_iter().map(row).collect()
}
