//! What Go's YAML reader says about text that is no YAML. Only for messages: the text has been refused already, and is read again
//! here, for our reader sees what Go's sees but says it in other words.

use granit_parser::{ErrorKind, Parser, ScanError};

/// The first fault; `None` when the text is refused for something else than its form.
pub(super) fn find(text: &str) -> Option<String> {
    if let Some(line) = leading_tab(text) {
        return Some(at_line(if line > 1 { line } else { 0 }, START));
    }
    let error = Parser::new_from_str(text).find_map(Result::err)?;
    if *error.kind() == ErrorKind::UnknownAnchor {
        return Some(format!("unknown anchor '{}' referenced", anchor_at(text, error.marker().index())));
    }
    let fault = Fault::of(&error, text)?;
    Some(at_line(fault.line(&error, text), fault.text()))
}

/// The line of a tab that the text begins with: our reader takes it for space, Go's does not.
pub(super) fn leading_tab(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches([' ', '\n', '\r']);
    rest.starts_with('\t').then(|| text[..text.len() - rest.len()].matches('\n').count() + 1)
}

const START: &str = "found character that cannot start any token";
const CONTENT: &str = "did not find expected node content";
const KEY: &str = "did not find expected key";
const ITEM: &str = "did not find expected ',' or ']'";
const MEMBER: &str = "did not find expected ',' or '}'";

fn at_line(line: usize, text: &str) -> String {
    if line == 0 { text.to_owned() } else { format!("line {line}: {text}") }
}

fn anchor_at(text: &str, idx: usize) -> String {
    let name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    text.chars().skip(idx).skip_while(|c| *c == '*').take_while(name).collect()
}

/// Go counts lines from zero, leaves the number out when it is zero, and adds one only where its scanner found the fault.
enum Fault {
    /// Before anything is scanned; without a line.
    Reader(&'static str),
    Scanner(&'static str),
    /// Our reader names the place where the scalar begins, Go's the first line below that this is true of.
    ScannerBelow(&'static str, fn(&str) -> bool),
    /// A line that had to be a key; Go sees that at the next token.
    KeyWithoutValue,
    /// Seen by the scanner when the text was at its end.
    ScannerAtEnd(&'static str),
    Parser(&'static str),
    ParserAtEnd(&'static str),
}

impl Fault {
    fn of(error: &ScanError, text: &str) -> Option<Self> {
        use ErrorKind::*;
        let (before, after) = split(text, error.marker().index());
        Some(match error.kind() {
            MappingValueNotAllowed => Fault::Scanner("mapping values are not allowed in this context"),
            MappingKeyNotAllowed => Fault::Scanner("mapping keys are not allowed in this context"),
            BlockSequenceEntryNotAllowed => Fault::Scanner("block sequence entries are not allowed in this context"),
            UnexpectedCharacter { character } if character.is_control() => Fault::Reader("control characters are not allowed"),
            UnexpectedCharacter { .. } | TabNotAllowed | TabInBlockIndentation => Fault::Scanner(START),
            TabInPlainScalar => Fault::ScannerBelow("found a tab character that violates indentation", |line| line.starts_with('\t')),
            TabAtBlockScalarStart => Fault::ScannerBelow("found a tab character where an indentation space is expected", |line| {
                line.trim_start_matches(' ').starts_with('\t')
            }),
            DocumentIndicatorInQuotedScalar => {
                Fault::ScannerBelow("found unexpected document indicator", |line| line.starts_with("---") || line.starts_with("..."))
            }
            SimpleKeyExpected => Fault::KeyWithoutValue,
            MissingDirectiveName => Fault::Scanner("could not find expected directive name"),
            InvalidDirectiveName => Fault::Scanner("found unexpected non-alphabetical character"),
            MissingYamlVersion => Fault::Scanner("did not find expected version number"),
            MissingYamlVersionSeparator => Fault::Scanner("did not find expected digit or '.' character"),
            YamlVersionTooLong => Fault::Scanner("found extremely long version number"),
            InvalidDirectiveTerminator | InvalidBlockScalarHeader => Fault::Scanner("did not find expected comment or line break"),
            MissingAnchorOrAliasName => Fault::Scanner("did not find expected alphabetic or numeric character"),
            UnclosedVerbatimTag => Fault::Scanner("did not find the expected '>'"),
            ZeroBlockScalarIndent => Fault::Scanner("found an indentation indicator equal to 0"),
            UnclosedQuotedScalar => Fault::ScannerAtEnd("found unexpected end of stream"),
            UnknownQuotedScalarEscape => Fault::Scanner("found unknown escape character"),
            InvalidQuotedScalarHexEscape | InvalidLowSurrogateHexEscape => Fault::Scanner("did not find expected hexdecimal number"),
            InvalidLowSurrogate | MissingLowSurrogate | UnpairedLowSurrogate | InvalidUnicodeEscape => {
                Fault::Scanner("found invalid Unicode character escape code")
            }
            UnclosedFlowCollection { open } => Fault::ParserAtEnd(unclosed(*open, text)),
            MisplacedFlowCollectionEnd => Fault::Parser(if wants_node(before) { CONTENT } else { KEY }),
            MismatchedFlowCollectionEnd { close, .. } if after.trim_start_matches(['[', '{']).trim_start().starts_with(*close) => {
                Fault::Parser(CONTENT)
            }
            MismatchedFlowCollectionEnd { open: '{', .. } | ExpectedFlowMappingSeparator => Fault::Parser(MEMBER),
            MismatchedFlowCollectionEnd { .. } | ExpectedFlowSequenceSeparator | InvalidColonPlacement => Fault::Parser(ITEM),
            ExpectedNodeContent | BlockEntryInFlowCollection | UnexpectedEofImplicitFlowMapping => Fault::Parser(CONTENT),
            ExpectedBlockMappingKey | InvalidTrailingSingleQuotedScalar | InvalidTrailingDoubleQuotedScalar => Fault::Parser(KEY),
            ExpectedBlockSequenceEntry => Fault::Parser("did not find expected '-' indicator"),
            UndeclaredTagHandle => Fault::Parser("found undefined tag handle"),
            ExpectedDocumentStart => Fault::Parser("did not find expected <document start>"),
            DuplicateVersionDirective => Fault::Parser("found duplicate %YAML directive"),
            DuplicateTagDirective => Fault::Parser("found duplicate %TAG directive"),
            UnsupportedYamlMajorVersion => Fault::Parser("found incompatible YAML document"),
            _ => return None,
        })
    }

    fn text(&self) -> &'static str {
        match self {
            Fault::KeyWithoutValue => "could not find expected ':'",
            Fault::Reader(text) | Fault::Scanner(text) | Fault::ScannerBelow(text, _) | Fault::ScannerAtEnd(text) => text,
            Fault::Parser(text) | Fault::ParserAtEnd(text) => text,
        }
    }

    fn line(&self, error: &ScanError, text: &str) -> usize {
        // Our reader counts from one.
        let (line, column) = (error.marker().line(), error.marker().col());
        // Go sees the end on a line of its own.
        let end = text.lines().count();
        let below = |is_it: &dyn Fn(&str) -> bool| text.lines().skip(line).position(is_it).map_or(end + 1, |n| line + n + 1);
        match self {
            Fault::Scanner(_) if line > 1 => line,
            Fault::ScannerBelow(_, is_it) => below(is_it),
            Fault::KeyWithoutValue => below(&|line| {
                let content = line.trim_start_matches(' ');
                !content.is_empty() && !content.starts_with('#') && line.len() - content.len() <= column
            }),
            Fault::ScannerAtEnd(_) if text.contains('\n') => text.matches('\n').count() + 1,
            Fault::Parser(_) => line.saturating_sub(1),
            Fault::ParserAtEnd(_) => end,
            Fault::Reader(_) | Fault::Scanner(_) | Fault::ScannerAtEnd(_) => 0,
        }
    }
}

fn split(text: &str, idx: usize) -> (&str, &str) {
    text.split_at(text.char_indices().nth(idx).map_or(text.len(), |(at, _)| at))
}

fn wants_node(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with([':', '-', '?', ','])
}

/// What is missing of a list or map that the end cuts off.
fn unclosed(open: char, text: &str) -> &'static str {
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("");
    let content = last.split(" #").next().unwrap_or("").trim_end();
    match open {
        _ if content.ends_with(['[', '{', ',', ':', '?']) => CONTENT,
        '[' => ITEM,
        _ => MEMBER,
    }
}
