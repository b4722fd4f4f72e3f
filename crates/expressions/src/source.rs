//! The text of an expression, places in it, and faults as cel-go shows them: a line, the text and an arrow below.

use std::fmt;

/// More are counted only.
const FAULTS_MAX: usize = 100;
/// A longer line is not shown.
const SHOWN_LINE_MAX: usize = 16384;

/// Where in the text, in code points; `None` is what stands nowhere.
pub(crate) type Offset = Option<u32>;

pub(crate) struct Source {
    pub(crate) text: Vec<char>,
    /// Where each line but the first begins.
    lines: Vec<u32>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        let lines = (1..).zip(&text).filter(|(_, c)| **c == '\n').map(|(after, _)| after).collect();
        Self { text, lines }
    }

    /// The line from one, the column from zero.
    fn place(&self, offset: Offset) -> (i64, i64) {
        // Upstream: an empty text ends before its beginning.
        let Some(offset) = offset else { return (-1, -1) };
        if self.text.is_empty() {
            return (1, -1);
        }
        let n_before = self.lines.partition_point(|start| *start <= offset);
        let start = if n_before == 0 { 0 } else { self.lines[n_before - 1] };
        (n_before as i64 + 1, i64::from(offset - start))
    }

    fn line(&self, number: i64) -> Option<&[char]> {
        let number = usize::try_from(number).ok().filter(|number| *number > 0 && !self.text.is_empty())?;
        let start = if number == 1 { 0 } else { *self.lines.get(number - 2)? as usize };
        let end = self.lines.get(number - 1).map_or(self.text.len(), |next| *next as usize - 1);
        Some(&self.text[start..end])
    }
}

/// What is wrong with an expression.
pub(crate) struct Faults {
    shown: Vec<(Offset, String)>,
    n_faults: usize,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self { shown: Vec::new(), n_faults: 0 }
    }

    pub(crate) fn add(&mut self, at: Offset, message: impl Into<String>) {
        self.n_faults += 1;
        if self.n_faults <= FAULTS_MAX {
            self.shown.push((at, message.into()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_faults == 0
    }

    /// As clients see them.
    pub(crate) fn shown(&self, source: &Source) -> Invalid {
        let mut placed: Vec<_> = self.shown.iter().map(|(at, message)| (source.place(*at), message)).collect();
        placed.sort_by_key(|(place, _)| *place);
        let mut lines: Vec<String> = placed.into_iter().map(|(place, message)| show(source, place, message)).collect();
        if self.n_faults > FAULTS_MAX {
            lines.push(format!("{} more errors were truncated", self.n_faults - FAULTS_MAX));
        }
        Invalid(lines.join("\n"))
    }
}

fn show(source: &Source, (line, column): (i64, i64), message: &str) -> String {
    let mut shown = format!("ERROR: <input>:{line}:{}: {message}", column + 1);
    let Some(text) = source.line(line).filter(|text| text.iter().map(|c| c.len_utf8()).sum::<usize>() <= SHOWN_LINE_MAX) else {
        return shown;
    };
    shown.push_str("\n | ");
    shown.extend(text.iter().map(|c| if *c == '\t' { ' ' } else { *c }));
    shown.push_str("\n | ");
    let column = usize::try_from(column).unwrap_or(0);
    shown.extend(text.iter().take(column).map(|c| if c.is_ascii() { '.' } else { '\u{ff0e}' }));
    shown.push(if text.get(column).is_none_or(char::is_ascii) { '^' } else { '\u{ff3e}' });
    shown
}

/// All that is wrong with an expression, in cel-go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
