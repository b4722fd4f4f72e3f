//! Content negotiation: which format a client sends, and which format and shape it wants back.

use object::status::Status;

use crate::table::{Include, Style};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// What an object or a list is turned into before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    AsIs,
    Table(Style),
    /// `PartialObjectMetadata` or its list.
    Metadata(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) format: Format,
    pub(crate) shape: Shape,
    /// `PartialObjectMetadataList` was asked for by its name.
    pub(crate) names_list: bool,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const ALL: [(&str, Format); 3] = [(JSON, Format::Json), (YAML, Format::Yaml), (PROTOBUF, Format::Protobuf)];

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Json => JSON,
            Format::Yaml => YAML,
            Format::Protobuf => PROTOBUF,
        }
    }
}

/// One clause of an `Accept` header.
#[derive(Clone, Debug)]
struct Clause<'a> {
    media_type: &'a str,
    params: Vec<(&'a str, &'a str)>,
    quality: f32,
}

fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = accept
        .split(',')
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or("");
            let params: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
            let quality = params.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
            Clause { media_type, params, quality }
        })
        .filter(|clause| !clause.media_type.is_empty())
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

/// Picks the first clause that can be served. `shapes` says whether tables and partial objects make sense here.
pub(crate) fn wanted(accept: Option<&str>, shapes: bool) -> Result<Wanted, Status> {
    let accept = accept.unwrap_or("").trim();
    if accept.is_empty() {
        return Ok(Wanted { format: Format::Json, shape: Shape::AsIs, names_list: false });
    }
    clauses(accept).iter().find_map(|clause| serve(clause, shapes)).ok_or_else(|| {
        let is_known = clauses(accept).iter().any(|clause| ALL.iter().any(|(name, _)| *name == clause.media_type));
        if is_known {
            return unacceptable();
        }
        // Upstream: its router says so, before any handler.
        let text = format!("406: Not Acceptable\n\nAvailable representations: {KNOWN}");
        Status { details: serde_json::json!({}), ..Status::not_acceptable(text) }
    })
}

/// What upstream's router has besides where there is something to watch.
pub(crate) const STREAMS: &str = ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
const KNOWN: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

pub(crate) fn unacceptable() -> Status {
    Status::not_acceptable(format!("only the following media types are accepted: {KNOWN}"))
}

fn serve(clause: &Clause<'_>, shapes: bool) -> Option<Wanted> {
    let format = match clause.media_type {
        "*/*" => Format::Json,
        other => ALL.iter().find(|(name, _)| *name == other)?.1,
    };
    let param = |name: &str| clause.params.iter().find(|(k, _)| *k == name).map(|(_, v)| *v);
    let version = match param("v") {
        Some("v1") | None => "v1",
        Some("v1beta1") => "v1beta1",
        Some(_) => "",
    };
    let shape = match param("as") {
        None => Shape::AsIs,
        Some(_) if !shapes || param("g") != Some("meta.k8s.io") || version.is_empty() => return None,
        // Upstream: tables have no protobuf form.
        Some("Table") if format == Format::Protobuf => return None,
        Some("Table") => Shape::Table(Style { version, include: Include::default() }),
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Shape::Metadata(version),
        Some(_) => return None,
    };
    Some(Wanted { format, shape, names_list: param("as") == Some("PartialObjectMetadataList") })
}

/// `apidiscovery.k8s.io` version of an aggregated discovery document, when that is asked for first.
pub(crate) fn wants_aggregated(accept: Option<&str>) -> Option<&'static str> {
    for clause in clauses(accept.unwrap_or("")) {
        let param = |name: &str| clause.params.iter().find(|(k, _)| *k == name).map(|(_, v)| *v);
        let is_aggregated = param("g") == Some("apidiscovery.k8s.io") && param("as") == Some("APIGroupDiscoveryList");
        match (clause.media_type, is_aggregated, param("v")) {
            (JSON, true, Some("v2")) => return Some("v2"),
            (JSON | "*/*" | PROTOBUF, false, _) => return None,
            _ => {}
        }
    }
    None
}

/// The format of a body; upstream takes JSON when the header is missing.
pub(crate) fn sent(content_type: Option<&str>) -> Result<Format, Status> {
    let media_type = media_type(content_type);
    if media_type.is_empty() {
        return Ok(Format::Json);
    }
    ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type)).map(|(_, format)| *format).ok_or_else(|| {
        Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
    })
}

/// Without parameters.
pub(crate) fn media_type(content_type: Option<&str>) -> &str {
    content_type.unwrap_or("").split(';').next().unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<(Format, Shape)>) {
        let found = wanted(Some(accept), true).ok().map(|w| (w.format, w.shape));
        assert_eq!(found, expected, "{accept}");
    }

    #[test]
    fn accept_headers_of_real_clients() {
        check("", Some((Format::Json, Shape::AsIs)));
        check("*/*", Some((Format::Json, Shape::AsIs)));
        check("application/vnd.kubernetes.protobuf,application/json", Some((Format::Protobuf, Shape::AsIs)));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some((Format::Json, Shape::Table(Style { version: "v1", include: Include::Metadata }))),
        );
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;q=0.9",
            Some((Format::Json, Shape::Metadata("v1"))),
        );
        check("application/json;as=Nothing;g=meta.k8s.io;v=v1,application/yaml", Some((Format::Yaml, Shape::AsIs)));
        check("text/html", None);
        assert_eq!(
            wants_aggregated(Some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")),
            Some("v2")
        );
        assert_eq!(wants_aggregated(Some("application/json")), None);
    }
}
