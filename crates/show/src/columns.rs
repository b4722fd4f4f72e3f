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
    /// The type and field whose documentation describes it, without `io.k8s.`; empty for one with words of its own, or none.
    pub field: &'static str,
    pub priority: i32,
}

/// The table of resources that have none of their own.
const DEFAULT: &str = "/default/";

/// The columns of a built-in resource; those of any kind where it has none of its own.
pub fn columns(group: &str, version: &str, plural: &str) -> &'static [Column] {
    &tables()[table_name(group, version, plural)]
}

/// The table that shows a resource.
pub fn table_name(group: &str, version: &str, plural: &str) -> &'static str {
    tables().get_key_value(format!("{group}/{version}/{plural}").as_str()).map_or(DEFAULT, |(name, _)| name)
}

type Tables = HashMap<&'static str, Vec<Column>>;

/// All tables by their names.
pub fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| {
        let default = (DEFAULT, "Name:string:name:0 Created_At:date::0");
        let lines = include_str!("../facts/columns.txt").lines().map(|line| line.split_once(' ').expect("a resource has columns"));
        let mut tables: Tables = lines.chain([default]).map(|(name, columns)| (name, columns.split(' ').map(column).collect())).collect();
        for line in include_str!("../facts/fields.txt").lines() {
            let (name, fields) = line.split_once(' ').expect("a table with columns");
            let columns = tables.get_mut(name).expect("a table that there is");
            for (column, field) in fields.split(' ').filter_map(|word| word.split_once('=')) {
                let column = plain(column);
                columns.iter_mut().find(|c| c.name == column).expect("a column that there is").field = field;
            }
        }
        tables
    })
}

/// `Created_At:date::0`
fn column(word: &'static str) -> Column {
    let mut parts = word.splitn(4, ':');
    let mut next = || parts.next().expect("a column has four parts");
    let (name, ty, format, priority) = (next(), next(), next(), next());
    let priority = priority.parse().expect("a priority is a number");
    Column { name: plain(name), ty: Cow::Borrowed(ty), format: Cow::Borrowed(format), description: String::new(), field: "", priority }
}

fn plain(name: &'static str) -> Cow<'static, str> {
    if name.contains('_') { Cow::Owned(name.replace('_', " ")) } else { Cow::Borrowed(name) }
}

/// The `columnDefinitions` of a `Table`; `of_field` knows what types and fields are for.
pub fn column_definitions(columns: &[Column], of_field: &dyn Fn(&str, &str) -> Option<String>) -> Value {
    let description = |c: &Column| {
        let (ty, field) = c.field.rsplit_once('.')?;
        of_field(&format!("io.k8s.{ty}"), field)
    };
    let definition = |c: &Column| {
        let description = description(c).unwrap_or_else(|| c.description.clone());
        json!({"name": c.name, "type": c.ty, "format": c.format, "description": description, "priority": c.priority})
    };
    columns.iter().map(definition).collect()
}
