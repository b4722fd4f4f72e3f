//! JSON text to messages in one pass. The text must be in Go's form; what is missing is written as Go writes its zero.
//!
//! Members stand in the order of their names and messages in that of their tags: each member is encoded where the reader meets
//! it, behind what is written so far, and at the end of its struct all are put in order.
//!
//! ```text
//! out   … key │ room │ members as read │ members in order        the last part moves down, its length before it
//! ```

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinds::{Catalog, Field, SchemaAlternative, Shape, Type, TypeId, Wire};
use object::duration;

use super::template::{Leaf, LeafKind, Templates};
use super::text::Text;
use super::wire::{close_message, open_message, put_bytes, put_double, put_int, put_message, put_time};

/// Structs within structs, as far as serde_json reads them.
const DEPTH_MAX: usize = 128;

/// What one object leaves for the next.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Where the members of the structs that are being read lie in `out`, by the position of their field: the outermost first.
    found: Vec<Range<usize>>,
    templates: Templates,
    leaves: Vec<Leaf>,
}

/// `None` for what is no JSON; `out` has then an unfinished end.
pub(super) fn message(catalog: &Catalog, ty: TypeId, json: &[u8], room: &mut Room, out: &mut Vec<u8>) -> Option<()> {
    if room.templates.fill(ty, json, out) {
        return Some(());
    }
    let is_template = room.templates.is_wanted(json);
    room.found.clear();
    room.leaves.clear();
    let start = out.len();
    let mut encoder = Encoder { catalog, text: Text::new(json), room, out, depth: 0, is_template };
    let from = encoder.message(ty)?;
    encoder.move_leaves(from, 0);
    let (is_over, is_template) = (encoder.text.is_over(), encoder.is_template);
    let len = out.len() - from;
    out.copy_within(from.., start);
    out.truncate(start + len);
    if is_over && is_template {
        room.templates.keep(ty, json, &out[start..], &room.leaves);
    }
    is_over.then_some(())
}

struct Encoder<'a> {
    catalog: &'a Catalog,
    text: Text<'a>,
    room: &'a mut Room,
    out: &'a mut Vec<u8>,
    depth: usize,
    /// Whether leaves are noted.
    is_template: bool,
}

impl Encoder<'_> {
    /// Reads a struct, and leaves its message at the end of `out`; answers where it begins.
    fn message(&mut self, id: TypeId) -> Option<usize> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let ty = self.catalog.get(id);
        let base = self.room.found.len();
        self.room.found.resize(base + ty.fields.len(), 0..0);
        if self.text.is_at(b'{') {
            let mut place = kinds::Place::default();
            let mut goes_on = self.text.enter(b'}')?;
            while goes_on {
                let name = self.text.name()?;
                let at = ty.position(&name, &mut place);
                let from = self.out.len();
                match at {
                    Some(at) if ty.fields[at].tag > 0 && !self.text.is_at(b'n') => self.member(&ty.fields[at])?,
                    _ => drop(self.text.raw()?),
                }
                if let Some(at) = at {
                    let before = std::mem::replace(&mut self.room.found[base + at], from..self.out.len());
                    // The last of two counts, and the leaves of the first are nowhere.
                    self.is_template &= before.is_empty();
                }
                goes_on = self.text.goes_on(b'}')?;
            }
        } else {
            self.text.raw()?;
        }
        let from = self.out.len();
        self.put_in_order(ty, &ty.wire, base)?;
        self.room.found.truncate(base);
        self.depth -= 1;
        Some(from)
    }

    fn put_in_order(&mut self, ty: &Type, wire: &[Wire], base: usize) -> Option<()> {
        for part in wire {
            match part {
                Wire::Inline { tag, parts } => {
                    self.nested(*tag, |me| me.put_in_order(ty, parts, base))?;
                }
                Wire::Field { field, .. } => {
                    let bytes = self.room.found[base + usize::from(*field)].clone();
                    if !bytes.is_empty() {
                        self.move_leaves_of(bytes.clone(), self.out.len());
                        self.out.extend_from_within(bytes);
                    } else {
                        self.absent(&ty.fields[usize::from(*field)])?;
                    }
                }
            }
        }
        Some(())
    }

    /// Pointers and collections may be absent; all else has a zero that Go writes, which is what null becomes.
    fn absent(&mut self, field: &Field) -> Option<()> {
        if field.pointer {
            return Some(());
        }
        match &field.shape {
            Shape::Bytes | Shape::List(_) | Shape::Map(_) => {}
            Shape::String => put_bytes(self.out, field.tag, b""),
            shape => {
                let text = std::mem::replace(&mut self.text, Text::new(b"null"));
                self.single(shape, field.tag)?;
                self.text = text;
            }
        }
        Some(())
    }

    fn member(&mut self, field: &Field) -> Option<()> {
        match &field.shape {
            Shape::List(item) if field.is_message_list() => {
                if self.text.is_at(b'[') {
                    self.nested(field.tag, |me| me.items(item, 1))
                } else {
                    self.text.raw().map(drop)
                }
            }
            Shape::List(item) => self.items(item, field.tag),
            Shape::Map(item) => self.entries(item, field.tag),
            shape => self.single(shape, field.tag),
        }
    }

    fn nested(&mut self, tag: u32, write: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        let start = open_message(self.out, tag);
        write(self)?;
        self.close(start, start + 1);
        Some(())
    }

    /// Ends a message that lies from `from` on.
    fn close(&mut self, start: usize, from: usize) {
        let to = close_message(self.out, start, from);
        self.move_leaves(from, to);
    }

    /// Notes a value that has been read, whose bytes are the last `len` of `out`.
    fn leaf(&mut self, kind: LeafKind, from: usize, to: usize, len: usize) {
        if self.is_template {
            self.room.leaves.push(Leaf { kind, from, to, at: self.out.len() - len });
        }
    }

    /// What lay from `from` on lies from `to` on now.
    fn move_leaves(&mut self, from: usize, to: usize) {
        self.move_leaves_of(from..usize::MAX, to);
    }

    fn move_leaves_of(&mut self, bytes: Range<usize>, to: usize) {
        if self.is_template && bytes.start != to {
            for leaf in self.room.leaves.iter_mut().filter(|leaf| bytes.contains(&leaf.at)) {
                leaf.at = leaf.at - bytes.start + to;
            }
        }
    }

    fn items(&mut self, item: &Shape, tag: u32) -> Option<()> {
        if !self.text.is_at(b'[') {
            return self.text.raw().map(drop);
        }
        let mut goes_on = self.text.enter(b']')?;
        while goes_on {
            self.single(item, tag)?;
            goes_on = self.text.goes_on(b']')?;
        }
        Some(())
    }

    fn entries(&mut self, item: &Shape, tag: u32) -> Option<()> {
        if !self.text.is_at(b'{') {
            return self.text.raw().map(drop);
        }
        let mut goes_on = self.text.enter(b'}')?;
        while goes_on {
            self.nested(tag, |me| {
                put_bytes(me.out, 1, &me.text.name()?);
                if let Shape::List(inner) = item { me.nested(2, |me| me.items(inner, 1)) } else { me.single(item, 2) }
            })?;
            goes_on = self.text.goes_on(b'}')?;
        }
        Some(())
    }

    fn single(&mut self, shape: &Shape, tag: u32) -> Option<()> {
        match shape {
            Shape::Bool => put_int(self.out, tag, i64::from(self.text.bool()?)),
            Shape::Int32 | Shape::Int64 => put_int(self.out, tag, self.text.int()?),
            Shape::Double => put_double(self.out, tag, self.text.double()?),
            Shape::String => {
                let from = self.text.at;
                let text = self.text.string_or_empty()?;
                put_bytes(self.out, tag, &text);
                if let Cow::Borrowed(text) = text
                    && !text.is_empty()
                {
                    self.leaf(LeafKind::String, from + 1, from + 1 + text.len(), text.len());
                }
            }
            Shape::Bytes => put_bytes(self.out, tag, &BASE64.decode(self.text.string_or_empty()?).unwrap_or_default()),
            Shape::Struct(id) => {
                let start = open_message(self.out, tag);
                let from = self.message(*id)?;
                self.close(start, from);
            }
            Shape::Quantity => {
                let is_string = self.text.is_at(b'"');
                let text = self.text.string_or_empty()?;
                put_message(self.out, tag, |out| put_bytes(out, 1, if is_string { &text } else { b"0" }));
            }
            Shape::Time | Shape::MicroTime => {
                let from = self.text.at;
                let text = self.text.string_or_empty()?;
                let start = open_message(self.out, tag);
                put_time(&text, self.out);
                let len = self.out.len() - start - 1;
                close_message(self.out, start, start + 1);
                if len > 0 {
                    self.leaf(LeafKind::Time { len }, from + 1, self.text.at - 1, len);
                }
            }
            Shape::Duration => {
                let text = self.text.string_or_empty()?;
                let nanos = std::str::from_utf8(&text).ok().and_then(|text| duration::parse(text).ok()).unwrap_or(0);
                put_message(self.out, tag, |out| put_int(out, 1, nanos));
            }
            Shape::IntOrString => {
                let is_string = self.text.is_at(b'"');
                let (n, text) = if is_string { (0, self.text.string_or_empty()?) } else { (self.text.int()?, b"".as_slice().into()) };
                put_message(self.out, tag, |out| {
                    put_int(out, 1, i64::from(is_string));
                    put_int(out, 2, n);
                    put_bytes(out, 3, &text);
                });
            }
            Shape::Any | Shape::FieldsV1 => {
                let json = self.text.raw()?;
                put_message(self.out, tag, |out| {
                    if json != b"null" {
                        put_bytes(out, 1, json);
                    }
                });
                if json.starts_with(b"{") {
                    self.leaf(LeafKind::Json, self.text.at - json.len(), self.text.at, json.len());
                }
            }
            Shape::SchemaOr(id, other) => {
                self.nested(tag, |me| me.schema_or(*id, *other))?;
            }
            Shape::List(_) | Shape::Map(_) => drop(self.text.raw()?),
        }
        Some(())
    }

    fn schema_or(&mut self, schema: TypeId, other: SchemaAlternative) -> Option<()> {
        let shape = Shape::Struct(schema);
        let is_schema = self.text.is_at(b'{');
        match other {
            SchemaAlternative::Bool if is_schema => {
                put_int(self.out, 1, 1);
                self.single(&shape, 2)
            }
            SchemaAlternative::Bool => {
                put_int(self.out, 1, i64::from(self.text.bool()?));
                Some(())
            }
            _ if is_schema => self.single(&shape, 1),
            SchemaAlternative::Schemas => self.items(&shape, 2),
            SchemaAlternative::Strings => self.items(&Shape::String, 2),
        }
    }
}
