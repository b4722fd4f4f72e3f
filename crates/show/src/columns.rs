//! Which columns a resource's table has.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Value, json};

/// One column; the wide ones have a priority above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Cow<'static, str>,
    pub ty: Cow<'static, str>,
    pub format: Cow<'static, str>,
    pub description: String,
    pub priority: i32,
}

/// The columns of a built-in resource; those of any kind where it has none of its own.
pub fn columns(group: &str, version: &str, plural: &str) -> &'static [Column] {
    let (tables, default) = tables();
    tables.get(format!("{group}/{version}/{plural}").as_str()).unwrap_or(default)
}

type Tables = (HashMap<&'static str, Vec<Column>>, Vec<Column>);

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES
        .get_or_init(|| (include_str!("../facts/columns.txt").lines().map(line).collect(), words("Name:string:name:0 Created_At:date::0")))
}

/// `apps/v1/deployments Name:string:name:0 ...`
fn line(line: &'static str) -> (&'static str, Vec<Column>) {
    let (resource, columns) = line.split_once(' ').expect("a resource has columns");
    (resource, words(columns))
}

fn words(columns: &'static str) -> Vec<Column> {
    columns.split(' ').map(column).collect()
}

fn column(word: &'static str) -> Column {
    let mut parts = word.splitn(4, ':');
    let mut next = || parts.next().expect("a column has four parts");
    let (name, ty, format, priority) = (next(), next(), next(), next());
    let name = if name.contains('_') { Cow::Owned(name.replace('_', " ")) } else { Cow::Borrowed(name) };
    let priority = priority.parse().expect("a priority is a number");
    Column { name, ty: Cow::Borrowed(ty), format: Cow::Borrowed(format), description: String::new(), priority }
}

/// The `columnDefinitions` of a `Table`.
pub fn column_definitions(columns: &[Column]) -> Value {
    let definition =
        |c: &Column| json!({"name": c.name, "type": c.ty, "format": c.format, "description": c.description, "priority": c.priority});
    columns.iter().map(definition).collect()
}
