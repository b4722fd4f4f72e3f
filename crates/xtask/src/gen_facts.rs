//! Writes the fact tables: types from Go's own structs (`crates/xtask/go/facts`, pinned by its go.mod), resources and table
//! columns from what a real server answered. The tables are text, one fact a line, so that a new minor version is a readable diff.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Upstream: resources that are served by two groups and stored once, by the group named last (`AddCohabitatingResources`).
const COHABITING: [(&str, &str, &str); 1] = [("events.k8s.io", "events", "/v1")];

pub(crate) fn run(discovery: &Path, openapi: &Path, tables: &Path) -> Result<(), String> {
    write("crates/kinds/facts/types.txt", &types()?)?;
    write("crates/kinds/facts/resources.txt", &resources(&read_json(discovery)?, &read_gzipped_json(openapi)?)?)?;
    write("crates/show/facts/columns.txt", &columns(&read_json(tables)?)?)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn write(path: &str, text: &str) -> Result<(), String> {
    let path = workspace().join(path);
    fs::create_dir_all(path.parent().expect("facts lie in a folder")).map_err(|e| format!("make the folder of {}: {e}", path.display()))?;
    fs::write(&path, text).map_err(|e| format!("write {}: {e}", path.display()))
}

fn read_json(path: &Path) -> Result<Value, String> {
    let text = fs::read(path).map_err(|e| format!("read {}: {e}", path.display()))?;
    serde_json::from_slice(&text).map_err(|e| format!("parse {}: {e}", path.display()))
}

fn read_gzipped_json(path: &Path) -> Result<Value, String> {
    let file = fs::File::open(path).map_err(|e| format!("open {}: {e}", path.display()))?;
    serde_json::from_reader(flate2::read::GzDecoder::new(file)).map_err(|e| format!("parse {}: {e}", path.display()))
}

fn types() -> Result<String, String> {
    let folder = workspace().join("crates/xtask/go/facts");
    let output = Command::new("go").args(["run", "."]).current_dir(folder).output().map_err(|e| format!("run go: {e}"))?;
    if !output.status.success() {
        return Err(format!("go run: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("go run: {e}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn joined(value: &Value) -> String {
    list(value).map(text).collect::<Vec<_>>().join(",")
}

fn resources(discovery: &Value, openapi: &Value) -> Result<String, String> {
    let mut out = String::new();
    for group in list(&discovery["api"]["items"]).chain(list(&discovery["apis"]["items"])) {
        let group_name = text(&group["metadata"]["name"]);
        let mut stored_by: Vec<(&str, &str)> = Vec::new();
        for version in list(&group["versions"]) {
            let version_name = text(&version["version"]);
            let api = format!("{group_name}/{version_name}");
            writeln!(out, "version {api}").map_err(|e| e.to_string())?;
            for resource in list(&version["resources"]) {
                let plural = text(&resource["resource"]);
                let first = stored_by.iter().find(|(name, _)| *name == plural).map(|(_, version)| *version);
                stored_by.push((plural, first.unwrap_or(version_name)));
                let stored = first.map(|v| format!("{group_name}/{v}")).or_else(|| cohabiting(group_name, plural));
                let returns_deleted = returns_deleted(openapi, group_name, version_name, resource);
                write_resource(&mut out, &api, resource, stored, returns_deleted);
            }
        }
    }
    Ok(out)
}

fn cohabiting(group: &str, plural: &str) -> Option<String> {
    COHABITING.iter().find(|(g, p, _)| *g == group && *p == plural).map(|(_, _, stored)| (*stored).to_owned())
}

/// Upstream: `ReturnDeletedObject` of the resource's store; shows in the schema of DELETE's answer.
fn returns_deleted(openapi: &Value, group: &str, version: &str, resource: &Value) -> bool {
    let document = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    let scope = if text(&resource["scope"]) == "Namespaced" { "/namespaces/{namespace}" } else { "" };
    let path = format!("/{document}{scope}/{}/{{name}}", text(&resource["resource"]));
    let answer = &openapi[&document]["paths"][&path]["delete"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
    answer.as_str().is_some_and(|name| !name.ends_with(".meta.v1.Status"))
}

fn write_resource(out: &mut String, api: &str, resource: &Value, stored: Option<String>, returns_deleted: bool) {
    let (plural, singular, kind) =
        (text(&resource["resource"]), text(&resource["singularResource"]), text(&resource["responseKind"]["kind"]));
    out.push_str(&format!(" {plural} {singular} {kind} {} {}", text(&resource["scope"]).to_lowercase(), joined(&resource["verbs"])));
    for (mark, values) in [("short", joined(&resource["shortNames"])), ("categories", joined(&resource["categories"]))] {
        if !values.is_empty() {
            out.push_str(&format!(" {mark}={values}"));
        }
    }
    if let Some(stored) = stored {
        out.push_str(&format!(" stored={stored}"));
    }
    if returns_deleted {
        out.push_str(" returns-deleted");
    }
    out.push('\n');
    for subresource in list(&resource["subresources"]) {
        let kind = &subresource["responseKind"];
        // Discovery leaves group and version empty when they are the resource's own.
        let own = match (text(&kind["group"]), text(&kind["version"])) {
            ("", "") => api.to_owned(),
            (group, version) => format!("{group}/{version}"),
        };
        out.push_str(&format!("  {} {own}/{} {}\n", text(&subresource["subresource"]), text(&kind["kind"]), joined(&subresource["verbs"])));
    }
}

/// One line a resource: `apps/v1/deployments Name:string:name:0 ...`; blanks inside a name are written as underscores.
fn columns(tables: &Value) -> Result<String, String> {
    let mut out = String::new();
    for (resource, columns) in tables.as_object().ok_or("the table file is not an object")? {
        let resource = resource.strip_prefix("v1/").map_or(resource.clone(), |core| format!("/v1/{core}"));
        out.push_str(&resource);
        for column in list(columns) {
            let name = text(&column["name"]).replace(' ', "_");
            out.push_str(&format!(" {name}:{}:{}:{}", text(&column["type"]), text(&column["format"]), column["priority"]));
        }
        out.push('\n');
    }
    Ok(out)
}
