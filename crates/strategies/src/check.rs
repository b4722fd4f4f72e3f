//! How validation walks a tree: a place in it, and the faults found there.
//!
//! A place knows its way from the root but writes it out only when something is wrong, so that checking a good object makes no text.

use std::rc::Rc;

use object::field::{self, Error, Path};
use serde_json::Value;

use crate::row::NameRule;
use crate::{go_json, metadata};

enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

struct Way<'a> {
    up: Option<Rc<Way<'a>>>,
    step: Step<'a>,
}

impl Way<'_> {
    fn path(&self) -> Path {
        let above = self.up.as_ref().map_or_else(Path::default, |up| up.path());
        match self.step {
            Step::Field(name) => above.child(name),
            Step::Index(index) => above.index(index),
            Step::Key(key) => above.key(key),
        }
    }
}

/// A value, null when there is none, and the way to it.
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub(crate) value: &'a Value,
    way: Option<Rc<Way<'a>>>,
}

impl<'a> At<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        At { value, way: None }
    }

    fn step(&self, value: &'a Value, step: Step<'a>) -> Self {
        At { value, way: Some(Rc::new(Way { up: self.way.clone(), step })) }
    }

    pub(crate) fn get(&self, name: &'a str) -> Self {
        self.step(&self.value[name], Step::Field(name))
    }

    /// The place of one thing with the value of another: upstream's paths do not always lead to what they speak of.
    pub(crate) fn with(&self, value: &'a Value) -> Self {
        At { value, way: self.way.clone() }
    }

    /// Another name for a place: upstream's paths do not always follow the fields.
    pub(crate) fn named(&self, name: &'a str) -> Self {
        self.step(self.value, Step::Field(name))
    }

    /// The same value under another last name.
    pub(crate) fn renamed(&self, name: &'a str) -> Self {
        let up = self.way.as_ref().and_then(|way| way.up.clone());
        At { value: self.value, way: Some(Rc::new(Way { up, step: Step::Field(name) })) }
    }

    pub(crate) fn key(&self, key: &'a str) -> Self {
        self.step(&self.value[key], Step::Key(key))
    }

    pub(crate) fn at(&self, index: usize) -> Self {
        self.step(&self.value[index], Step::Index(index))
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> impl Iterator<Item = At<'a>> + use<'a> {
        let way = self.clone();
        self.list().iter().enumerate().map(move |(i, item)| way.step(item, Step::Index(i)))
    }

    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, At<'a>)> + use<'a> {
        let way = self.clone();
        self.value.as_object().into_iter().flatten().map(move |(key, value)| (key.as_str(), way.step(value, Step::Key(key))))
    }

    pub(crate) fn list(&self) -> &'a [Value] {
        self.value.as_array().map_or(&[], Vec::as_slice)
    }
    pub(crate) fn len(&self) -> usize {
        self.value.as_object().map_or_else(|| self.list().len(), serde_json::Map::len)
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }
    pub(crate) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or("")
    }
    pub(crate) fn has_text(&self) -> bool {
        !self.text().is_empty()
    }
    pub(crate) fn int(&self) -> i64 {
        self.value.as_i64().unwrap_or(0)
    }
    pub(crate) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }
    pub(crate) fn is_false(&self) -> bool {
        self.value == &Value::Bool(false)
    }
    pub(crate) fn path(&self) -> Path {
        self.way.as_ref().map_or_else(Path::default, |way| way.path())
    }
}

impl PartialEq<str> for At<'_> {
    fn eq(&self, other: &str) -> bool {
        self.text() == other
    }
}

impl PartialEq<&str> for At<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.text() == *other
    }
}

pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// The faults found so far, in order, and what is to be known of them in the end.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<Error>, Notes);

/// Upstream's generated rules stand beside written ones, which say the same and give way to them.
#[derive(Default)]
struct Notes {
    /// What generated rules found, which comes after all others.
    found: Vec<Error>,
    /// Faults of written rules that go when a generated one found the like at the same place.
    covered: Vec<Error>,
    /// Below a field that may not change but did, nothing generated is asked.
    is_off: bool,
    tolerable: Vec<Tolerable>,
}

/// A fault that passes when the stored object has one of the same name already, and what is said instead, if anything.
struct Tolerable {
    fault: Error,
    name: String,
    instead: Vec<Error>,
}

impl Faults {
    /// All of them. Upstream says each thing once, but for what its generated rules find again.
    pub(crate) fn into_list(self) -> Vec<Error> {
        let Notes { found, covered, .. } = self.1;
        let mut list: Vec<Error> = Vec::with_capacity(self.0.len() + found.len());
        for fault in self.0 {
            let is_change = |fault: &Error| fault.detail == IMMUTABLE;
            let is_found =
                |other: &Error| other.path == fault.path && other.reason() == fault.reason() && is_change(other) == is_change(&fault);
            let gives_way = covered.contains(&fault) && found.iter().any(is_found);
            if !gives_way && !list.contains(&fault) {
                list.push(fault);
            }
        }
        list.extend(found);
        list
    }
    /// Whether some would pass if they had been stored already.
    pub(crate) fn has_tolerable(&self) -> bool {
        !self.1.tolerable.is_empty() || !self.1.found.is_empty()
    }
    /// Without those that pass because the stored object, written as it is, has the like: `before` is what was found in it.
    /// Upstream: generated rules are not asked of what stays as it is.
    pub(crate) fn tolerating(mut self, before: &Faults, old: &Value, new: &Value) -> Self {
        let is_kept = |fault: &Error| {
            // A list, with all within, is looked at as a whole.
            let is_index = |i: usize| fault.path[i + 1..].starts_with(|c: char| c.is_ascii_digit());
            let list = fault.path.match_indices('[').find(|(i, _)| is_index(*i));
            let path = list.map_or(fault.path.as_str(), |(i, _)| &fault.path[..i]);
            before.1.found.contains(fault) && field::value_at(old, path) == field::value_at(new, path)
        };
        self.1.found.retain(|fault| !is_kept(fault));
        let (written, tolerable) = (std::mem::take(&mut self.0), std::mem::take(&mut self.1.tolerable));
        let is_known = |of: &Tolerable| before.1.tolerable.iter().any(|old| old.name == of.name);
        for fault in written {
            match tolerable.iter().find(|of| of.fault == fault).filter(|of| is_known(of)) {
                Some(of) => self.0.extend(of.instead.iter().cloned()),
                None => self.0.push(fault),
            }
        }
        self
    }
    /// Faults that an object keeps: an update may leave in it what was stored when the rule was another one. `name` is what they have
    /// in common with those that were there; it holds the value where only the same one will do.
    pub(crate) fn tolerable(&mut self, name: impl Into<String>, check: impl FnOnce(&mut Self)) {
        self.tolerable_but(name, check, |_| ());
    }
    /// The same of a rule with a milder one behind it, that holds for what is kept.
    pub(crate) fn tolerable_but(&mut self, name: impl Into<String>, check: impl FnOnce(&mut Self), milder: impl FnOnce(&mut Self)) {
        let (name, n_before) = (name.into(), self.0.len());
        check(self);
        if self.0.len() == n_before {
            return;
        }
        let mut instead = Faults::default();
        milder(&mut instead);
        for fault in self.0[n_before..].iter().cloned() {
            self.1.tolerable.push(Tolerable { fault, name: name.clone(), instead: std::mem::take(&mut instead.0) });
        }
    }
    /// The same of a rule that is not asked again of what stays as it is.
    pub(crate) fn unless_kept(&mut self, at: &At<'_>, check: impl FnOnce(&mut Self)) {
        let name = format!("{} {}", at.path(), at.value);
        self.tolerable(name, check);
    }
    /// What `check` finds comes after all that is found at once.
    pub(crate) fn later(&mut self, check: impl FnOnce(&mut Self)) {
        let mut found = Faults::default();
        check(&mut found);
        if !self.1.is_off {
            self.1.found.append(&mut found.0);
            self.1.found.append(&mut found.1.found);
        }
    }
    /// A written rule that gives way to a generated one.
    pub(crate) fn covered(&mut self, check: impl FnOnce(&mut Self)) {
        let before = self.0.len();
        check(self);
        let written = self.0[before..].to_vec();
        self.1.covered.extend(written);
    }
    /// A rule that is both written and generated.
    pub(crate) fn twice(&mut self, check: impl Fn(&mut Self)) {
        self.covered(&check);
        self.later(check);
    }
    /// Without the generated rules.
    pub(crate) fn only_written(&mut self, check: impl FnOnce(&mut Self)) {
        self.1.is_off = true;
        check(self);
        self.1.is_off = false;
    }
    /// Only the generated rules.
    pub(crate) fn only_generated(&mut self, check: impl FnOnce(&mut Self)) {
        let n_written = self.0.len();
        check(self);
        self.0.truncate(n_written);
    }
    /// A generated rule: what is not the same as before. Whether it is.
    pub(crate) fn immutable_later(&mut self, old: &At<'_>, new: &At<'_>) -> bool {
        let is_same = crate::equality::is_semantically_equal(old.value, new.value);
        if !is_same {
            self.1.found.push(Error::invalid(&new.path(), Value::Null, IMMUTABLE));
        }
        is_same
    }
    pub(crate) fn required(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::required(&at.path(), detail));
    }
    pub(crate) fn forbidden(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::forbidden(&at.path(), detail));
    }
    /// Shows the value as it is in the tree; an absent one as Go's zero must be shown with `invalid_as`.
    pub(crate) fn invalid(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), at.value.clone(), detail));
    }
    pub(crate) fn invalid_as(&mut self, at: &At<'_>, shown: impl Into<Value>, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), shown, detail));
    }
    /// Shows the value as one of a type of upstream's.
    pub(crate) fn invalid_go(&mut self, at: &At<'_>, type_name: &str, value: &Value, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), Value::Null, detail).showing(go_json::compact(type_name, value)));
    }
    /// Shows a list of values of a type of upstream's.
    pub(crate) fn invalid_go_list(&mut self, at: &At<'_>, type_name: &str, detail: impl Into<String>) {
        let items: Vec<String> = at.list().iter().map(|item| go_json::compact(type_name, item)).collect();
        let shown = if at.is_set() { format!("[{}]", items.join(",")) } else { "null".to_owned() };
        self.0.push(Error::invalid(&at.path(), Value::Null, detail).showing(shown));
    }
    /// Says nothing of the value.
    pub(crate) fn invalid_omitted(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), Value::Null, detail).omitting());
    }
    pub(crate) fn invalid_text(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), at.text(), detail));
    }
    pub(crate) fn invalid_int(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), at.int(), detail));
    }
    /// One fault for each thing wrong with a text.
    pub(crate) fn each(&mut self, at: &At<'_>, details: Vec<String>) {
        for detail in details {
            self.invalid_text(at, detail);
        }
    }
    pub(crate) fn each_as(&mut self, at: &At<'_>, shown: &str, details: Vec<String>) {
        for detail in details {
            self.invalid_as(at, shown, detail);
        }
    }
    pub(crate) fn not_supported(&mut self, at: &At<'_>, supported: &[&str]) {
        self.0.push(Error::not_supported(&at.path(), at.text(), supported));
    }
    pub(crate) fn not_found(&mut self, at: &At<'_>) {
        self.0.push(Error::not_found(&at.path(), at.text()));
    }
    pub(crate) fn duplicate(&mut self, at: &At<'_>) {
        self.0.push(Error::duplicate(&at.path(), at.value.clone()));
    }
    pub(crate) fn duplicate_as(&mut self, at: &At<'_>, shown: impl Into<Value>) {
        self.0.push(Error::duplicate(&at.path(), shown));
    }
    pub(crate) fn too_long(&mut self, at: &At<'_>, max_bytes: usize) {
        self.0.push(Error::too_long(&at.path(), max_bytes));
    }
    pub(crate) fn too_many(&mut self, at: &At<'_>, max: usize) {
        self.0.push(Error::too_many(&at.path(), at.len(), max));
    }

    // The checks that recur everywhere.

    /// Whether there is a text.
    pub(crate) fn need_text(&mut self, at: &At<'_>) -> bool {
        if !at.has_text() {
            self.required(at, "");
        }
        at.has_text()
    }
    /// The same where upstream generates the rule from the type.
    pub(crate) fn need_text_later(&mut self, at: &At<'_>) -> bool {
        self.twice(|faults| _ = faults.need_text(at));
        at.has_text()
    }
    /// A name that can stand in a path.
    pub(crate) fn segment(&mut self, at: &At<'_>) {
        self.each(at, object::names::path_segment_faults(at.text()));
    }
    pub(crate) fn need_segment(&mut self, at: &At<'_>) {
        if self.need_text(at) {
            self.segment(at);
        }
    }
    pub(crate) fn need_segment_later(&mut self, at: &At<'_>) {
        if self.need_text_later(at) {
            self.segment(at);
        }
    }
    pub(crate) fn subdomain_if_set(&mut self, at: &At<'_>) {
        if at.is_set() {
            self.subdomain(at);
        }
    }
    pub(crate) fn need_time(&mut self, at: &At<'_>) {
        self.need_text(at);
    }
    pub(crate) fn not_negative(&mut self, at: &At<'_>) {
        if at.int() < 0 {
            self.invalid_int(at, NOT_NEGATIVE);
        }
    }
    /// A text of the list, or nothing at all.
    pub(crate) fn one_of(&mut self, at: &At<'_>, supported: &[&str]) {
        if at.is_set() && !supported.contains(&at.text()) {
            self.not_supported(at, supported);
        }
    }
    /// A text of the list, required.
    pub(crate) fn need_one_of(&mut self, at: &At<'_>, supported: &[&str]) {
        if self.need_text(at) {
            self.one_of(at, supported);
        }
    }
    pub(crate) fn label(&mut self, at: &At<'_>) {
        self.each(at, object::names::label_faults(at.text()));
    }
    pub(crate) fn subdomain(&mut self, at: &At<'_>) {
        self.each(at, object::names::subdomain_faults(at.text()));
    }
    pub(crate) fn qualified_name(&mut self, at: &At<'_>) {
        self.each(at, object::names::qualified_name_faults(at.text()));
    }
    /// `metadata` of a whole object of one of upstream's own kinds, as on create.
    pub(crate) fn metadata(&mut self, object: &At<'_>, is_namespaced: bool, rule: NameRule) {
        let path = Path::new("metadata");
        self.0.extend(metadata::validate(object.value, is_namespaced, rule, &path));
        self.0.extend(metadata::validate_finalizer_domains(object.value, &path));
    }
    /// The same of a kind of the whole cluster whose finalizers may be called anything.
    pub(crate) fn metadata_free(&mut self, object: &At<'_>, rule: NameRule) {
        self.0.extend(metadata::validate(object.value, false, rule, &Path::new("metadata")));
    }
    /// The same where upstream looks at the whole object before it compares it with the old one.
    pub(crate) fn metadata_first(&mut self, object: &At<'_>, is_namespaced: bool, rule: NameRule) {
        let compared = std::mem::take(&mut self.0);
        self.metadata(object, is_namespaced, rule);
        self.0.extend(compared);
    }
    pub(crate) fn immutable(&mut self, old: &At<'_>, new: &At<'_>) {
        self.0.extend(metadata::validate_immutable(old.value, new.value, &new.path()));
    }
    /// The same of a text, shown also when there is none.
    pub(crate) fn immutable_text(&mut self, old: &At<'_>, new: &At<'_>) {
        if old.text() != new.text() {
            self.invalid_text(new, IMMUTABLE);
        }
    }
    /// The same, showing the value as one of a type of upstream's.
    pub(crate) fn immutable_go(&mut self, old: &At<'_>, new: &At<'_>, type_name: &str) {
        if crate::equality::is_semantically_equal(old.value, new.value) {
            return;
        }
        let shown = if new.is_set() { go_json::compact(type_name, new.value) } else { "null".to_owned() };
        self.0.push(Error::invalid(&new.path(), Value::Null, IMMUTABLE).showing(shown));
    }
    pub(crate) fn labels(&mut self, at: &At<'_>) {
        if !at.is_empty() {
            self.0.extend(metadata::validate_labels(at.value, &at.path()));
        }
    }
    pub(crate) fn annotations(&mut self, at: &At<'_>) {
        if !at.is_empty() {
            self.0.extend(metadata::validate_annotations(at.value, &at.path()));
        }
    }
    pub(crate) fn selector(&mut self, at: &At<'_>) {
        self.selector_by(at, true);
    }
    /// A selector that may keep values which no label can have. Upstream's word is for all selectors of an object.
    pub(crate) fn selector_tolerably(&mut self, at: &At<'_>) {
        self.tolerable_but("values in selectors", |faults| faults.selector_by(at, true), |faults| faults.selector_by(at, false));
    }
    fn selector_by(&mut self, at: &At<'_>, checks_values: bool) {
        if at.is_set() {
            self.0.extend(metadata::validate_label_selector(at.value, checks_values, &at.path()));
        }
    }
}
