//! Content negotiation: which format a client sends, and which format and shape it wants back.

use object::status::Status;

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
    /// Upstream: asked for so, whatever the query says.
    pub(crate) is_pretty: bool,
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
        return Ok(Wanted { format: Format::Json, shape: Shape::AsIs, names_list: false, is_pretty: false });
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

/// YAML has no form in which events could follow each other.
pub(crate) fn no_stream() -> Status {
    Status::not_acceptable(format!("only the following media types are accepted: {}", STREAMS.trim_start_matches(", ")))
}

/// Upstream: `acceptMediaTypeOptions`, once for each format that the clause may mean.
fn serve(clause: &Clause<'_>, shapes: bool) -> Option<Wanted> {
    let is_meant = |name: &str| matches!(clause.media_type, "*/*") || clause.media_type == name;
    ALL.iter().filter(|(name, _)| is_meant(name)).find_map(|(_, format)| serve_as(clause, *format, shapes))
}

fn serve_as(clause: &Clause<'_>, format: Format, shapes: bool) -> Option<Wanted> {
    let is_streamed = |schema: &str| schema == "watch" && format != Format::Yaml;
    if clause.param("stream").is_some_and(|schema| !schema.is_empty() && !is_streamed(schema)) {
        return None;
    }
    let is_turned = ["as", "g", "v"].iter().any(|name| clause.param(name).is_some());
    let shape = if is_turned { clause.shape(format).filter(|_| shapes)? } else { Shape::AsIs };
    let names_list = clause.param("as") == Some("PartialObjectMetadataList");
    Some(Wanted { format, shape, names_list, is_pretty: clause.param("pretty") == Some("1") })
}

impl Clause<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn shape(&self, format: Format) -> Option<Shape> {
        let version = match (self.param("g")?, self.param("v")?) {
            ("meta.k8s.io", "v1") => "v1",
            ("meta.k8s.io", "v1beta1") => "v1beta1",
            _ => return None,
        };
        match self.param("as")? {
            // Upstream: tables have no protobuf form.
            "Table" if format != Format::Protobuf => Some(Shape::Table(Style { version, include: Include::default() })),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Shape::Metadata(version)),
            _ => None,
        }
    }
}

/// The format of an aggregated discovery document, when that is asked for anywhere: no other clause is looked at for it.
/// Upstream: its older version, `v2beta1`, is passed over.
pub(crate) fn wants_aggregated(accept: Option<&str>) -> Option<Format> {
    clauses(accept.unwrap_or("")).iter().find_map(|clause| {
        let asked = [clause.param("g"), clause.param("v"), clause.param("as")];
        let is_aggregated = asked == [Some("apidiscovery.k8s.io"), Some("v2"), Some("APIGroupDiscoveryList")];
        // As protobuf it is not there: the catalog knows no message for it.
        match clause.media_type {
            JSON | "*/*" | "application/*" if is_aggregated => Some(Format::Json),
            YAML if is_aggregated => Some(Format::Yaml),
            _ => None,
        }
    })
}

/// The format of a body; upstream takes JSON when the header is missing.
pub(crate) fn sent(content_type: Option<&str>) -> Result<Format, Status> {
    if content_type.unwrap_or("").is_empty() {
        return Ok(Format::Json);
    }
    let (media_type, params) = content_type.unwrap_or("").split_once(';').unwrap_or((content_type.unwrap_or(""), ""));
    // Upstream: a parameter without a value spoils the whole.
    let is_whole = params.split(';').all(|param| param.trim().is_empty() || param.contains('='));
    ALL.iter().find(|(name, _)| is_whole && name.eq_ignore_ascii_case(media_type.trim())).map(|(_, format)| *format).ok_or_else(|| {
        Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
    })
}

/// Without parameters.
pub(crate) fn media_type(content_type: Option<&str>) -> &str {
    content_type.unwrap_or("").split(';').next().unwrap_or("").trim()
}

/// What stands beside a row's cells (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::Nothing),
            "Object" => Ok(Include::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// The version of `meta.k8s.io` that the table is in, and what its rows hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) version: &'static str,
    pub(crate) include: Include,
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
            Some(Format::Json)
        );
        assert_eq!(wants_aggregated(Some("application/json")), None);
    }
}
