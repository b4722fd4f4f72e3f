//! `get`: the server's own table, laid out as kubectl does, with what differs from run to run masked.

use client::{Client, Error};
use object::key::GroupVersionResource;
use serde_json::Value;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// What names are made unique with.
const SUFFIX_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Options: `-n NAMESPACE`, `-o wide`, `-l SELECTOR`; a word that begins with no dash and stands first is a name.
pub(crate) async fn get(client: &Client, resource: &GroupVersionResource, options: &[&str]) -> Result<String, Error> {
    let value_of = |name: &str| options.iter().position(|o| *o == name).and_then(|i| options.get(i + 1)).copied();
    let is_namespaced = kinds::builtin().resource(&resource.group, &resource.version, &resource.resource).is_some_and(|r| r.namespaced);
    let namespace = if is_namespaced { value_of("-n").unwrap_or("default") } else { "" };
    let name = options.first().filter(|word| !word.starts_with('-')).map(|name| format!("?fieldSelector=metadata.name%3D{name}"));
    let labels = value_of("-l").map(|selector| format!("?labelSelector={}", selector.replace('=', "%3D").replace('/', "%2F")));
    let query = name.or(labels).unwrap_or_default();
    let table: Value = client.get_as(&format!("{}{query}", resource.collection_path(namespace)), TABLE).await?;
    Ok(render(&table, value_of("-o") == Some("wide")))
}

/// The messages of all events of one reason, each once, whatever pod they are about.
pub(crate) async fn events(client: &Client, reason: &str) -> Result<String, Error> {
    let events: Value = client.get("/api/v1/events").await?;
    let of_reason = events["items"].as_array().into_iter().flatten().filter(|event| event["reason"] == reason);
    let line = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&event["involvedObject"]["name"]);
        let about = format!("{}/{}", text(&event["involvedObject"]["kind"]).to_lowercase(), masked(&name));
        format!("{}   {about}   {}\n", text(&event["type"]), quoted_masked(&text(&event["message"]).replace(&name, &masked(&name))))
    };
    let lines: std::collections::BTreeSet<String> = of_reason.map(line).collect();
    Ok(if lines.is_empty() { "No resources found\n".to_owned() } else { lines.into_iter().collect() })
}

fn render(table: &Value, is_wide: bool) -> String {
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let shown: Vec<usize> = (0..columns.len()).filter(|i| is_wide || columns[*i]["priority"] == 0).collect();
    let head = shown.iter().map(|i| columns[*i]["name"].as_str().expect("a name").to_uppercase()).collect();
    let cell = |column: usize, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match columns[column]["name"].as_str() {
            Some("Age") => "-".to_owned(),
            Some("Restarts") => text.split(' ').next().unwrap_or_default().to_owned(),
            Some("Name") => masked(&text),
            _ => text,
        }
    };
    let rows = table["rows"].as_array().into_iter().flatten();
    let mut lines: Vec<Vec<String>> = rows.map(|row| shown.iter().map(|i| cell(*i, &row["cells"][*i])).collect()).collect();
    if lines.is_empty() {
        return "No resources found\n".to_owned();
    }
    lines.sort();
    lines.insert(0, head);
    let width = |i: usize| lines.iter().map(|line| line[i].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded: String = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   ")).collect();
        format!("{}\n", padded.trim_end())
    };
    lines.iter().map(line).collect()
}

/// Each name that stands in quotes.
fn quoted_masked(text: &str) -> String {
    text.split('"').map(masked).collect::<Vec<_>>().join("\"")
}

/// `web-5d4f8c7b9-x2x4z` → `web-5d4f8c7b9-*`.
fn masked(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((stem, end)) if end.len() == 5 && end.chars().all(|c| SUFFIX_LETTERS.contains(c)) => format!("{stem}-*"),
        _ => name.to_owned(),
    }
}
