//! The values of a JSON text one after the other, in a buffer that serves text after text: what encoding needs of a tree,
//! without making one and without an allocation for each value.
//!
//! ```text
//! {"a":[1,"x"]}   Object(ends 6) String a  Array(ends 6) Number 1  String x
//! ```
//!
//! It reads what `stored::encode` wrote: JSON without spaces. Of other text it takes more than JSON allows, refuses the rest and
//! never panics.

use std::borrow::Cow;

use super::source::Source;

/// serde_json has the same limit.
const DEPTH_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    /// A string with backslashes in it.
    Escaped,
    Array,
    Object,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Where in the text it lies; a string without its quotes.
    from: u32,
    to: u32,
    /// The node behind it and all that is in it.
    end: u32,
}

/// Room for one text's values after the other's.
#[derive(Debug, Default)]
pub(super) struct Nodes(Vec<Node>);

pub(super) struct Tape<'a> {
    text: &'a [u8],
    /// The first one is the null that stands for what is absent.
    nodes: &'a [Node],
}

impl<'a> Tape<'a> {
    /// `None` for what is no JSON.
    pub(super) fn read(text: &'a [u8], Nodes(nodes): &'a mut Nodes) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        nodes.clear();
        nodes.push(Node { kind: Kind::Null, from: 0, to: 0, end: 1 });
        let mut reader = Reader { text, at: 0, nodes };
        reader.value(0)?;
        (reader.at == text.len()).then_some(Tape { text, nodes })
    }

    pub(super) fn root(&self) -> At<'_> {
        At { tape: self, at: 1 }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.text.get(self.at)? {
            b'{' => self.inside(Kind::Object, b'}', |reader| {
                reader.string()?;
                if *reader.text.get(reader.at)? != b':' {
                    return None;
                }
                reader.at += 1;
                if reader.is_behind_fields() { reader.unread_object() } else { reader.value(depth + 1) }
            }),
            b'[' => self.inside(Kind::Array, b']', |reader| reader.value(depth + 1)),
            b'"' => self.string(),
            b'n' => self.word(Kind::Null, b"null"),
            b't' => self.word(Kind::True, b"true"),
            b'f' => self.word(Kind::False, b"false"),
            b'-' | b'0'..=b'9' => {
                let from = self.at;
                let is_of_number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                self.at += self.text[from..].iter().take_while(is_of_number).count();
                self.push(Kind::Number, from, self.at);
                Some(())
            }
            _ => None,
        }
    }

    /// An array or object up to its closing byte.
    fn inside(&mut self, kind: Kind, close: u8, mut part: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let (me, from) = (self.nodes.len(), self.at);
        self.push(kind, from, from);
        self.at += 1;
        if self.text.get(self.at) == Some(&close) {
            self.at += 1;
        } else {
            loop {
                part(self)?;
                let byte = *self.text.get(self.at)?;
                self.at += 1;
                if byte == close {
                    break;
                } else if byte != b',' {
                    return None;
                }
            }
        }
        let end = self.nodes.len() as u32;
        let node = &mut self.nodes[me];
        (node.to, node.end) = (self.at as u32, end);
        Some(())
    }

    /// Of the sets in `managedFields`, often half of an object, only the text is asked for.
    fn is_behind_fields(&self) -> bool {
        let name = self.nodes.last().map(|node| &self.text[node.from as usize..node.to as usize]);
        name.and_then(|name| <[u8; 8]>::try_from(name).ok()) == Some(*b"fieldsV1") && self.text.get(self.at) == Some(&b'{')
    }

    /// An object as one value, whatever is in it.
    fn unread_object(&mut self) -> Option<()> {
        let (from, mut depth) = (self.at, 0);
        loop {
            match self.text.get(self.at)? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                self.push(Kind::Object, from, self.at);
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        let from = self.at + 1;
        let kind = self.skip_string()?;
        self.push(kind, from, self.at - 1);
        Some(())
    }

    fn skip_string(&mut self) -> Option<Kind> {
        if *self.text.get(self.at)? != b'"' {
            return None;
        }
        self.at += 1;
        let mut kind = Kind::String;
        loop {
            self.at = end_of_plain(self.text, self.at)?;
            if self.text[self.at] == b'"' {
                self.at += 1;
                return Some(kind);
            }
            kind = Kind::Escaped;
            self.at += 2;
            if self.at > self.text.len() {
                return None;
            }
        }
    }

    fn word(&mut self, kind: Kind, word: &[u8]) -> Option<()> {
        let from = self.at;
        self.expect(word)?;
        self.push(kind, from, self.at);
        Some(())
    }

    fn expect(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn push(&mut self, kind: Kind, from: usize, to: usize) {
        let end = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, from: from as u32, to: to as u32, end });
    }
}

/// Where the next quote or backslash stands: eight bytes at a time.
fn end_of_plain(text: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    // The lowest byte with its high bit set is the first that is equal; those above it may be wrong.
    let equal_to = |word: u64, byte: u8| {
        let zero_where_equal = word ^ (ONES * u64::from(byte));
        zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & (ONES << 7)
    };
    while let Some(eight) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().ok()?);
        let found = equal_to(word, b'"') | equal_to(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|n| at + n)
}

/// One value on a tape.
#[derive(Clone, Copy)]
pub(super) struct At<'t> {
    tape: &'t Tape<'t>,
    at: u32,
}

impl<'t> At<'t> {
    fn node(self) -> Node {
        self.tape.nodes[self.at as usize]
    }

    fn raw(self) -> &'t [u8] {
        let node = self.node();
        &self.tape.text[node.from as usize..node.to as usize]
    }

    fn to(self, at: u32) -> Self {
        At { at, ..self }
    }

    fn quoted(self) -> &'t [u8] {
        let node = self.node();
        &self.tape.text[node.from as usize - 1..=node.to as usize]
    }
}

impl<'t> Source<'t> for At<'t> {
    fn null(self) -> Self {
        self.to(0)
    }
    fn is_null(self) -> bool {
        self.node().kind == Kind::Null
    }
    fn is_string(self) -> bool {
        matches!(self.node().kind, Kind::String | Kind::Escaped)
    }
    fn is_array(self) -> bool {
        self.node().kind == Kind::Array
    }
    fn is_object(self) -> bool {
        self.node().kind == Kind::Object
    }
    fn bool(self) -> bool {
        self.node().kind == Kind::True
    }
    fn int(self) -> i64 {
        if self.node().kind != Kind::Number {
            return 0;
        }
        std::str::from_utf8(self.raw()).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
    /// Read as a tree's numbers are read: the two ways must not differ in the last bit.
    fn double(self) -> f64 {
        if self.node().kind != Kind::Number {
            return 0.0;
        }
        serde_json::from_slice(self.raw()).unwrap_or(0.0)
    }
    fn text(self) -> Cow<'t, [u8]> {
        match self.node().kind {
            Kind::String => Cow::Borrowed(self.raw()),
            Kind::Escaped => Cow::Owned(serde_json::from_slice::<String>(self.quoted()).unwrap_or_default().into_bytes()),
            _ => Cow::Borrowed(b""),
        }
    }
    fn json(self) -> Cow<'t, [u8]> {
        Cow::Borrowed(if self.is_string() { self.quoted() } else { self.raw() })
    }
    fn each_item(self, mut visit: impl FnMut(Self)) {
        let node = self.node();
        if node.kind != Kind::Array {
            return;
        }
        let mut at = self.at + 1;
        while at < node.end {
            visit(self.to(at));
            at = self.tape.nodes[at as usize].end;
        }
    }
    fn each_member(self, mut visit: impl FnMut(&[u8], Self)) {
        let node = self.node();
        if node.kind != Kind::Object {
            return;
        }
        let mut at = self.at + 1;
        while at < node.end {
            let value = at + 1;
            visit(&self.to(at).text(), self.to(value));
            at = self.tape.nodes[value as usize].end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_refused_without_harm() {
        let good = r#"{"a":[1,-2.5e3,"x\"\\",{}],"b":null,"c":true,"d":"é","e":[]}"#.as_bytes();
        let mut nodes = Nodes::default();
        let mut is_read = |text: &[u8]| Tape::read(text, &mut nodes).is_some();
        assert!(is_read(good));
        for len in 0..good.len() {
            assert!(!is_read(&good[..len]), "{}", String::from_utf8_lossy(&good[..len]));
        }
        for bad in ["{} ", "{\"a\" :1}", "[1 2]", "{\"a\"}", "\"\\", "nul", "[,]", "{1:2}"] {
            assert!(!is_read(bad.as_bytes()), "{bad}");
        }
        assert!(!is_read("[".repeat(100_000).as_bytes()));
    }

    #[test]
    fn sets_of_fields_are_one_value() {
        let text = br#"{"fieldsV1":{"f:a":{"}\"":{}}},"name":"fieldsV1","x":{"y":1}}"#;
        let mut nodes = Nodes::default();
        let tape = Tape::read(text, &mut nodes).expect("it is JSON");
        let mut members = Vec::new();
        tape.root().each_member(|name, value| members.push((name.to_vec(), value.json().into_owned())));
        let members: Vec<_> = members.iter().map(|(name, json)| (str(name), str(json))).collect();
        assert_eq!(members, [("fieldsV1", r#"{"f:a":{"}\"":{}}}"#), ("name", "\"fieldsV1\""), ("x", r#"{"y":1}"#)]);
        assert_eq!(tape.nodes.len(), 10, "what is in the set has no nodes");
        assert!(Tape::read(br#"{"fieldsV1":{"a":{}"#, &mut Nodes::default()).is_none());
        for ty in &kinds::builtin().types {
            let read = ty.fields.iter().filter(|f| f.name == "fieldsV1" && !matches!(f.shape, kinds::Shape::FieldsV1 | kinds::Shape::Any));
            assert_eq!(read.count(), 0, "{} would lose what is in its `fieldsV1`", ty.name);
        }
    }

    fn str(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }
}
