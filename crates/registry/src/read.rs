//! Get and list: shared bytes straight from the store.

use std::sync::Arc;

use kinds::Resource;
use object::status::Status;
use store::{At, Record, Revision};

use crate::continue_token::ContinueToken;
use crate::form::Stored;
use crate::options::{ListOptions, VersionMatch};
use crate::selection::Selection;
use crate::{Registry, address, faults};

/// How many records are read from the store at once while a selection with a limit looks for enough matches.
const SCAN_LEN: usize = 1_000;

#[derive(Clone, Debug)]
pub struct List {
    pub records: Vec<Arc<Record>>,
    pub revision: Revision,
    /// Empty on the last page.
    pub continue_token: String,
    /// Known only when nothing is selected out.
    pub remaining: Option<usize>,
}

impl Registry {
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str, resource_version: &str) -> Result<Stored, Status> {
        parse_bare_version(resource_version)?;
        self.check_not_future(resource_version)?;
        let record = self.record(resource, namespace, name)?;
        Ok(Stored::from(&*record))
    }

    pub(crate) fn record(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Arc<Record>, Status> {
        self.store.get(&address::key(resource, namespace, name)).ok_or_else(|| Status::not_found(&resource.group_resource(), name))
    }

    /// An empty namespace means all of them.
    pub fn list(&self, resource: &Resource, namespace: &str, options: &ListOptions) -> Result<List, Status> {
        options.check(false)?;
        let selection = Selection::new(resource, &options.labels, &options.fields)?;
        let prefix = address::prefix(resource, namespace);
        if let Some(list) = self.list_of_one(resource, namespace, &selection, options)? {
            return Ok(list);
        }
        let (at, mut after, is_exact_rv) = self.list_start(&prefix, options)?;
        let limit = options.limit();
        let mut records = Vec::new();
        let mut at = at;
        loop {
            let wanted = match limit {
                0 => 0,
                limit if selection.is_everything() => limit - records.len(),
                _ => SCAN_LEN,
            };
            let page = self
                .store
                .range(&prefix, after.as_deref(), at, wanted)
                .map_err(|e| list_fault(&e, options, &prefix, after.as_deref(), is_exact_rv))?;
            at = At::Exact(page.revision);
            let is_last = page.remaining == 0;
            let mut n_left_out = page.remaining;
            after = page.records.last().map(|r| r.key.to_string());
            let n_scanned = page.records.len();
            for (i, record) in page.records.into_iter().enumerate() {
                let (ns, name) = address::parts(resource, &record.key);
                if !selection.matches(ns, name, &record.value) {
                    continue;
                }
                let key = Arc::clone(&record.key);
                records.push(record);
                if limit > 0 && records.len() == limit {
                    n_left_out += n_scanned - i - 1;
                    after = Some(key.to_string());
                    break;
                }
            }
            let is_full = limit > 0 && records.len() == limit;
            if is_full && n_left_out > 0 {
                let after = after.unwrap_or_default();
                let token = ContinueToken { revision: page.revision.0 as i64, after: after[prefix.len()..].to_owned() };
                let remaining = selection.is_everything().then_some(n_left_out);
                return Ok(List { records, revision: page.revision, continue_token: token.encode(), remaining });
            }
            if is_full || is_last {
                return Ok(List { records, revision: page.revision, continue_token: String::new(), remaining: None });
            }
        }
    }

    /// A selection by name is a look at one key. `None` when it is something else, or asks for the past.
    fn list_of_one(
        &self,
        resource: &Resource,
        namespace: &str,
        selection: &Selection,
        options: &ListOptions,
    ) -> Result<Option<List>, Status> {
        let is_placed = !resource.namespaced || !namespace.is_empty();
        let is_plain = options.continue_token.is_empty() && matches!(options.resource_version.as_str(), "" | "0");
        let Some(name) = selection.required_value("metadata.name").filter(|name| is_placed && is_plain && !name.is_empty()) else {
            return Ok(None);
        };
        // Read first, so that the list is never said to be newer than it is.
        let revision = self.store.revision();
        let found = self.store.get(&address::key(resource, namespace, name));
        let records: Vec<_> = found.into_iter().filter(|r| selection.matches(namespace, name, &r.value)).collect();
        let revision = records.iter().map(|r| r.modified).fold(revision, Revision::max);
        Ok(Some(List { records, revision, continue_token: String::new(), remaining: None }))
    }

    /// Which revision to read, and behind which key. The flag tells a revision the client named from one in a token.
    fn list_start(&self, prefix: &str, options: &ListOptions) -> Result<(At, Option<String>, bool), Status> {
        if !options.continue_token.is_empty() {
            if !matches!(options.resource_version.as_str(), "" | "0") {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let token = ContinueToken::decode(&options.continue_token)?;
            let at = u64::try_from(token.revision).map_or(At::Latest, |r| At::Exact(Revision(r)));
            return Ok((at, Some(format!("{prefix}{}", token.after)), false));
        }
        let asked = parse_version(&options.resource_version)?;
        // Upstream: a limit with a revision and no match rule means exactly that revision, except for 0.
        let legacy_exact = options.limit() > 0 && options.version_match == VersionMatch::Unset;
        if asked > 0 && (options.version_match == VersionMatch::Exact || legacy_exact) {
            self.check_not_future(&options.resource_version)?;
            return Ok((At::Exact(Revision(asked)), None, true));
        }
        self.check_not_future(&options.resource_version)?;
        Ok((At::Latest, None, false))
    }

    pub(crate) fn check_not_future(&self, resource_version: &str) -> Result<(), Status> {
        let asked = parse_version(resource_version)?;
        let current = self.store.revision().0;
        if asked > current { Err(faults::version_too_large(asked, current)) } else { Ok(()) }
    }
}

/// The revision of a read or a watch. Upstream: what is no number shows as an error of its own without a reason.
pub(crate) fn parse_bare_version(text: &str) -> Result<u64, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| Status::new(500, "", format!("resourceVersion: Invalid value: {text:?}: {}", not_a_number(text))))
}

pub(crate) fn not_a_number(text: &str) -> String {
    format!("strconv.ParseUint: parsing {text:?}: invalid syntax")
}

/// Empty and `0` both read as 0.
pub(crate) fn parse_version(text: &str) -> Result<u64, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let path = object::field::Path::new("resourceVersion");
        let fault = object::field::Error::invalid(&path, text, not_a_number(text));
        Status::bad_request(format!("invalid resource version: {fault}"))
    })
}

/// Upstream: an expired token answers another token that goes on at the latest revision.
fn list_fault(error: &store::Error, options: &ListOptions, prefix: &str, after: Option<&str>, is_exact: bool) -> Status {
    if !matches!(error, store::Error::Compacted { .. }) || is_exact || options.continue_token.is_empty() {
        return faults::from_store(error);
    }
    let after = after.unwrap_or(prefix)[prefix.len()..].to_owned();
    let token = ContinueToken { revision: -1, after }.encode();
    Status { continue_token: token, ..Status::expired(INCONSISTENT_TEXT) }
}

const INCONSISTENT_TEXT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
