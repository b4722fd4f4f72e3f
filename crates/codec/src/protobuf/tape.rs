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
                reader.expect(b":")?;
                reader.value(depth + 1)
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

    fn string(&mut self) -> Option<()> {
        self.expect(b"\"")?;
        let from = self.at;
        let mut kind = Kind::String;
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if self.text[self.at] == b'"' {
                self.push(kind, from, self.at);
                self.at += 1;
                return Some(());
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
}
