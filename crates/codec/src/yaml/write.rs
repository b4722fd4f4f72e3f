//! Writing YAML in kubectl's style, byte for byte: keys in natural order, lists not indented below their key, strings quoted only
//! where reading them back would mistake them, long lines folded at 80 columns, several lines as a literal block.
//!
//! Upstream: the emitter of go-yaml v2 (libyaml's design): each write looks at whether it stands after blanks, and in the
//! indentation of its line; those two flags and the column decide where lines break.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::plain::is_ambiguous;

const WIDTH: usize = 80;
const INDENT: usize = 2;
/// Longer keys are written with a question mark.
const SIMPLE_KEY_LEN_MAX: usize = 128;

/// The document with a line break at its end.
pub fn write(value: &Value) -> String {
    let mut writer = Writer { out: String::new(), column: 0, after_blank: true, in_indention: true, indent: None };
    writer.node(value, Place::Root);
    if writer.column > 0 || writer.out.is_empty() {
        writer.line_break();
    }
    writer.out
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    Value,
    /// A key that fits before its colon.
    SimpleKey,
    /// A key after a question mark.
    Key,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

struct Writer {
    out: String,
    column: usize,
    after_blank: bool,
    in_indention: bool,
    /// None outside of the document.
    indent: Option<usize>,
}

impl Writer {
    fn node(&mut self, value: &Value, place: Place) {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map),
            Value::Array(items) if !items.is_empty() => self.sequence(items, place),
            Value::Object(_) => self.empty("{}"),
            Value::Array(_) => self.empty("[]"),
            Value::Null => self.scalar("null", Style::Plain, place),
            Value::Bool(b) => self.scalar(if *b { "true" } else { "false" }, Style::Plain, place),
            Value::Number(n) => self.scalar(&number(n), Style::Plain, place),
            Value::String(text) => self.scalar(text, wanted_style(text), place),
        }
    }

    fn indented(&mut self, indent: usize, inner: impl FnOnce(&mut Self)) {
        let before = self.indent.replace(indent);
        inner(self);
        self.indent = before;
    }

    fn deeper(&self) -> usize {
        self.indent.map_or(0, |indent| indent + INDENT)
    }

    fn mapping(&mut self, map: &Map<String, Value>) {
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort_by(|a, b| natural_order(a, b));
        self.indented(self.deeper(), |w| {
            for key in keys {
                w.indent_line();
                if key.len() <= SIMPLE_KEY_LEN_MAX && !key.contains(is_break) {
                    w.scalar(key, wanted_style(key), Place::SimpleKey);
                    w.indicator(":", false, false);
                } else {
                    w.indicator("?", true, true);
                    w.scalar(key, wanted_style(key), Place::Key);
                    w.indent_line();
                    w.indicator(":", true, true);
                }
                w.node(&map[key], Place::Value);
            }
        });
    }

    fn sequence(&mut self, items: &[Value], place: Place) {
        let is_below_key = place == Place::Value && !self.in_indention;
        let indent = if is_below_key { self.indent.unwrap_or(0) } else { self.deeper() };
        self.indented(indent, |w| {
            for item in items {
                w.indent_line();
                w.indicator("-", true, true);
                w.node(item, Place::Item);
            }
        });
    }

    fn empty(&mut self, text: &str) {
        self.indicator(text, true, false);
    }

    fn scalar(&mut self, text: &str, wanted: Style, place: Place) {
        let style = allowed_style(text, wanted, place);
        let indent = self.indent.map_or(INDENT, |indent| indent + INDENT);
        let can_fold = place != Place::SimpleKey;
        self.indented(indent, |w| match style {
            Style::Plain => w.plain(text, can_fold),
            Style::SingleQuoted => w.single_quoted(text, can_fold),
            Style::DoubleQuoted => w.double_quoted(text, can_fold),
            Style::Literal => w.literal(text),
        });
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn indicator(&mut self, text: &str, needs_blank: bool, keeps_indention: bool) {
        if needs_blank && !self.after_blank {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.after_blank = false;
        self.in_indention = self.in_indention && keeps_indention;
    }

    /// Goes to the indentation: on this line if nothing stands on it, else on a new one.
    fn indent_line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.in_indention || self.column > indent || (self.column == indent && !self.after_blank) {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.after_blank = true;
        self.in_indention = true;
    }

    fn plain(&mut self, text: &str, can_fold: bool) {
        if !self.after_blank {
            self.put(' ');
        }
        self.folded(text, can_fold, &|i, rest| i > 0 || !rest.is_empty(), &|w, c| w.put(c));
        self.after_blank = false;
        self.in_indention = false;
    }

    fn single_quoted(&mut self, text: &str, can_fold: bool) {
        self.indicator("'", true, false);
        self.folded(text, can_fold, &|i, rest| i > 0 && !rest.is_empty(), &|w, c| {
            if c == '\'' {
                w.put('\'');
            }
            w.put(c);
        });
        self.indicator("'", false, false);
        self.after_blank = false;
        self.in_indention = false;
    }

    /// Writes text that may be folded at single blanks; its own line breaks are doubled, as reading joins lines.
    fn folded(&mut self, text: &str, can_fold: bool, may_fold_at: &dyn Fn(usize, &str) -> bool, put: &dyn Fn(&mut Self, char)) {
        let (mut after_space, mut after_break) = (false, false);
        for (i, c) in text.char_indices() {
            let rest = &text[i + c.len_utf8()..];
            if c == ' ' {
                if can_fold && !after_space && self.column > WIDTH && may_fold_at(i, rest) && !rest.starts_with(' ') {
                    self.indent_line();
                } else {
                    self.put(' ');
                }
                after_space = true;
            } else if is_break(c) {
                if !after_break && c == '\n' {
                    self.line_break();
                }
                self.own_break(c);
                after_break = true;
            } else {
                if after_break {
                    self.indent_line();
                }
                put(self, c);
                self.in_indention = false;
                (after_space, after_break) = (false, false);
            }
        }
    }

    fn own_break(&mut self, c: char) {
        if c == '\n' {
            self.line_break();
        } else {
            self.out.push(c);
            self.column = 0;
        }
        self.in_indention = true;
    }

    fn double_quoted(&mut self, text: &str, can_fold: bool) {
        self.indicator("\"", true, false);
        let mut after_space = false;
        for (i, c) in text.char_indices() {
            let rest = &text[i + c.len_utf8()..];
            if c == ' ' {
                if can_fold && !after_space && self.column > WIDTH && i > 0 && !rest.is_empty() {
                    self.indent_line();
                    if rest.starts_with(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                after_space = true;
            } else {
                if !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                    escape(c).chars().for_each(|c| self.put(c));
                } else {
                    self.put(c);
                }
                after_space = false;
            }
        }
        self.indicator("\"", false, false);
        self.after_blank = false;
        self.in_indention = false;
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false);
        if text.starts_with([' ', '\n']) || text.starts_with(is_break) {
            self.indicator("2", false, false);
        }
        let mut from_end = text.chars().rev();
        match (from_end.next(), from_end.next()) {
            (Some(last), _) if !is_break(last) => self.indicator("-", false, false),
            (Some(_), None) => self.indicator("+", false, false),
            (Some(_), Some(before)) if is_break(before) => self.indicator("+", false, false),
            _ => {}
        }
        self.line_break();
        self.in_indention = true;
        self.after_blank = true;
        let mut after_break = true;
        for c in text.chars() {
            if is_break(c) {
                self.own_break(c);
                after_break = true;
            } else {
                if after_break {
                    self.indent_line();
                }
                self.put(c);
                self.in_indention = false;
                after_break = false;
            }
        }
    }
}

fn escape(c: char) -> String {
    match c {
        '\0' => "\\0".to_owned(),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\x1b' => "\\e".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        '\u{a0}' => "\\_".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        c if (c as u32) <= 0xff => format!("\\x{:02X}", c as u32),
        c if (c as u32) <= 0xffff => format!("\\u{:04X}", c as u32),
        c => format!("\\U{:08X}", c as u32),
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Upstream: nothing above the basic plane is printable.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn wanted_style(text: &str) -> Style {
    if text.contains('\n') {
        Style::Literal
    } else if is_ambiguous(text) {
        Style::DoubleQuoted
    } else {
        Style::Plain
    }
}

fn allowed_style(text: &str, wanted: Style, place: Place) -> Style {
    let limits = Limits::of(text);
    let mut style = wanted;
    if place == Place::SimpleKey && text.contains(is_break) {
        style = Style::DoubleQuoted;
    }
    if style == Style::Plain && (!limits.plain || (text.is_empty() && place == Place::SimpleKey)) {
        style = Style::SingleQuoted;
    }
    if style == Style::SingleQuoted && !limits.single_quoted {
        style = Style::DoubleQuoted;
    }
    if style == Style::Literal && (!limits.literal || place == Place::SimpleKey) {
        style = Style::DoubleQuoted;
    }
    style
}

/// Which styles can hold a text.
struct Limits {
    plain: bool,
    single_quoted: bool,
    literal: bool,
}

impl Limits {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Limits { plain: true, single_quoted: true, literal: false };
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let has_break = text.contains(is_break);
        let pairs = || text.chars().zip(text.chars().skip(1));
        let space_after_break = pairs().any(|(a, b)| is_break(a) && b == ' ');
        let is_special = pairs().any(|(a, b)| a == ' ' && is_break(b)) || !text.chars().all(is_printable);
        let at_edge = edge(text.chars().next()) || edge(text.chars().next_back());
        Limits {
            plain: !has_break && !at_edge && !is_special && !has_indicator(text),
            single_quoted: !space_after_break && !is_special,
            literal: !text.ends_with(' ') && !is_special,
        }
    }
}

/// Characters that mean something to YAML where they stand.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        let rest = &text[i + c.len_utf8()..];
        let before_blank = rest.is_empty() || rest.starts_with([' ', '\t']);
        let after_blank = matches!(before, ' ' | '\t' | '\0') || is_break(before);
        let means_something = match c {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => i == 0,
            '?' | '-' => i == 0 && before_blank,
            ':' => before_blank,
            '#' => after_blank,
            _ => false,
        };
        if means_something {
            return true;
        }
        before = c;
    }
    false
}

/// Go's `%g` with the fewest digits: an exponent from a million on.
fn number(n: &Number) -> String {
    let Some(value) = n.as_f64().filter(|_| n.is_f64()) else { return n.to_string() };
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        format!("{value}")
    } else {
        format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

/// Letters after everything else, runs of digits by their value. Upstream: `keyList.Less` of go-yaml v2.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    match (a[i].is_alphabetic(), b[i].is_alphabetic()) {
        (true, true) => return a[i].cmp(&b[i]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero inside a number counts as a digit of it, not as its start.
    let is_inside_number = (a[i] == '0' || b[i] == '0') && a[..i].iter().rev().take_while(|c| c.is_numeric()).any(|c| *c != '0');
    let start = i64::from(is_inside_number);
    let run = |text: &[char]| {
        let digits = text[i..].iter().take_while(|c| c.is_ascii_digit());
        let value = digits.clone().fold(start, |n, c| n.wrapping_mul(10).wrapping_add(i64::from(*c as u32 - '0' as u32)));
        (value, digits.count())
    };
    run(&a).cmp(&run(&b)).then(a[i].cmp(&b[i]))
}
