//! Texts into tokens, the longest that fits. What fits nothing is told and left out.

use crate::source::Source;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    End,
    Equals,
    NotEquals,
    In,
    Less,
    LessEquals,
    GreaterEquals,
    Greater,
    And,
    Or,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    Dot,
    Comma,
    Minus,
    Not,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    True,
    False,
    Null,
    Float,
    Int,
    Uint,
    Text,
    Bytes,
    Name,
    QuotedName,
}

/// In the order of `Kind`, which is that in which what was expected is listed.
const SHOWN: [&str; 36] = [
    "<EOF>",
    "'=='",
    "'!='",
    "'in'",
    "'<'",
    "'<='",
    "'>='",
    "'>'",
    "'&&'",
    "'||'",
    "'['",
    "']'",
    "'{'",
    "'}'",
    "'('",
    "')'",
    "'.'",
    "','",
    "'-'",
    "'!'",
    "'?'",
    "':'",
    "'+'",
    "'*'",
    "'/'",
    "'%'",
    "'true'",
    "'false'",
    "'null'",
    "NUM_FLOAT",
    "NUM_INT",
    "NUM_UINT",
    "STRING",
    "BYTES",
    "IDENTIFIER",
    "ESC_IDENTIFIER",
];

impl Kind {
    pub(crate) fn shown(self) -> &'static str {
        SHOWN[self as usize]
    }
}

/// Kinds of tokens; `RULE_END` among them says that the rule may end here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Set(u64);

impl Set {
    pub(crate) const RULE_END: Set = Set(1 << 63);

    pub(crate) const fn of(kinds: &[Kind]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u8;
            i += 1;
        }
        Set(bits)
    }

    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub(crate) fn may_end(self) -> bool {
        self.0 & Self::RULE_END.0 != 0
    }

    pub(crate) fn and(self, other: Set) -> Self {
        Set(self.0 | other.0)
    }

    pub(crate) fn without_end(self) -> Self {
        Set(self.0 & !Self::RULE_END.0)
    }

    pub(crate) fn meets(self, other: Set) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn shown(self) -> String {
        let names: Vec<_> = (0..SHOWN.len()).filter(|bit| self.0 & (1 << bit) != 0).map(|bit| SHOWN[bit]).collect();
        match names[..] {
            [one] => one.to_owned(),
            _ => format!("{{{}}}", names.join(", ")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One step of the reader: a token, what is passed over, or what no token begins with, told with one character more.
pub(crate) enum Read {
    Token(Token),
    Blank(u32),
    Unknown { start: u32, end: u32 },
}

pub(crate) fn read(source: &Source, start: u32) -> Read {
    let text = &source.text[start as usize..];
    let token = |kind, len: usize| Read::Token(Token { kind, start, end: start + len as u32 });
    let unknown = |len: usize| Read::Unknown { start, end: start + (len as u32 + 1).min(text.len() as u32) };
    let Some(first) = text.first().copied() else { return token(Kind::End, 0) };
    let second = text.get(1).copied();
    match first {
        '\t' | ' ' | '\r' | '\n' | '\u{c}' => Read::Blank(start + span(text, |c| matches!(c, '\t' | ' ' | '\r' | '\n' | '\u{c}')) as u32),
        '/' if second == Some('/') => Read::Blank(start + span(text, |c| c != '\n') as u32),
        '=' if second == Some('=') => token(Kind::Equals, 2),
        '&' if second == Some('&') => token(Kind::And, 2),
        '|' if second == Some('|') => token(Kind::Or, 2),
        '=' | '&' | '|' => unknown(1),
        '!' if second == Some('=') => token(Kind::NotEquals, 2),
        '<' if second == Some('=') => token(Kind::LessEquals, 2),
        '>' if second == Some('=') => token(Kind::GreaterEquals, 2),
        '!' => token(Kind::Not, 1),
        '<' => token(Kind::Less, 1),
        '>' => token(Kind::Greater, 1),
        '[' => token(Kind::OpenBracket, 1),
        ']' => token(Kind::CloseBracket, 1),
        '{' => token(Kind::OpenBrace, 1),
        '}' => token(Kind::CloseBrace, 1),
        '(' => token(Kind::OpenParen, 1),
        ')' => token(Kind::CloseParen, 1),
        ',' => token(Kind::Comma, 1),
        '-' => token(Kind::Minus, 1),
        '?' => token(Kind::Question, 1),
        ':' => token(Kind::Colon, 1),
        '+' => token(Kind::Plus, 1),
        '*' => token(Kind::Star, 1),
        '/' => token(Kind::Slash, 1),
        '%' => token(Kind::Percent, 1),
        '0'..='9' | '.' => {
            let (kind, len) = number(text);
            token(kind, len)
        }
        '`' => {
            let len = 1 + span(&text[1..], |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '));
            if len > 1 && text.get(len) == Some(&'`') { token(Kind::QuotedName, len + 1) } else { unknown(len) }
        }
        '"' | '\'' => match quoted(text, false) {
            Ok(len) => token(Kind::Text, len),
            Err(len) => unknown(len),
        },
        'a'..='z' | 'A'..='Z' | '_' => {
            let prefix: Vec<char> = text.iter().take(2).take_while(|c| c.is_ascii_alphabetic()).map(char::to_ascii_lowercase).collect();
            let (n_prefix, is_raw, kind) = match prefix[..] {
                ['b', 'r'] => (2, true, Kind::Bytes),
                ['b', ..] => (1, false, Kind::Bytes),
                ['r', ..] => (1, true, Kind::Text),
                _ => (0, false, Kind::Text),
            };
            if n_prefix > 0
                && matches!(text.get(n_prefix), Some('"' | '\''))
                && let Ok(len) = quoted(&text[n_prefix..], is_raw)
            {
                return token(kind, n_prefix + len);
            }
            let len = span(text, |c| c.is_ascii_alphanumeric() || c == '_');
            let word: String = text[..len].iter().collect();
            token(
                match word.as_str() {
                    "in" => Kind::In,
                    "true" => Kind::True,
                    "false" => Kind::False,
                    "null" => Kind::Null,
                    _ => Kind::Name,
                },
                len,
            )
        }
        _ => unknown(0),
    }
}

fn span(text: &[char], is_in: impl Fn(char) -> bool) -> usize {
    text.iter().take_while(|c| is_in(**c)).count()
}

fn number(text: &[char]) -> (Kind, usize) {
    let digits = |from: usize| span(&text[from..], |c| c.is_ascii_digit());
    let exponent = |from: usize| {
        if !matches!(text.get(from), Some('e' | 'E')) {
            return 0;
        }
        let n_sign = usize::from(matches!(text.get(from + 1), Some('+' | '-')));
        match digits(from + 1 + n_sign) {
            0 => 0,
            n_digits => 1 + n_sign + n_digits,
        }
    };
    let is_suffixed = |len: usize| matches!(text.get(len), Some('u' | 'U'));
    if text.starts_with(&['0', 'x']) {
        let len = 2 + span(&text[2..], |c| c.is_ascii_hexdigit());
        if len > 2 {
            return if is_suffixed(len) { (Kind::Uint, len + 1) } else { (Kind::Int, len) };
        }
    }
    let whole = digits(0);
    if text.get(whole) == Some(&'.') && digits(whole + 1) > 0 {
        let len = whole + 1 + digits(whole + 1);
        return (Kind::Float, len + exponent(len));
    }
    match (whole, exponent(whole)) {
        (0, _) => (Kind::Dot, 1),
        (_, 0) if is_suffixed(whole) => (Kind::Uint, whole + 1),
        (_, 0) => (Kind::Int, whole),
        (_, n) => (Kind::Float, whole + n),
    }
}

/// How long the quoted text is, or where it cannot go on.
fn quoted(text: &[char], is_raw: bool) -> Result<usize, usize> {
    let quote = text[0];
    let is_triple = text.starts_with(&[quote; 3]);
    let mut at = if is_triple { 3 } else { 1 };
    let failed = loop {
        let Some(c) = text.get(at).copied() else { break at };
        if c == '\\' && !is_raw {
            match escape(&text[at..]) {
                Ok(len) => at += len,
                Err(len) => break at + len,
            }
        } else if is_triple {
            if text[at..].starts_with(&[quote; 3]) {
                return Ok(at + 3);
            }
            at += 1;
        } else if c == quote {
            return Ok(at + 1);
        } else if matches!(c, '\n' | '\r') {
            break at;
        } else {
            at += 1;
        }
    };
    // Two quotes and a third that leads nowhere are an empty text.
    if is_triple { Ok(2) } else { Err(failed) }
}

fn escape(text: &[char]) -> Result<usize, usize> {
    let all = |n: usize, is_in: fn(&char) -> bool| {
        let fitting = text[2..].iter().take(n).take_while(|c| is_in(c)).count();
        if fitting == n { Ok(2 + n) } else { Err(2 + fitting) }
    };
    match text.get(1) {
        Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => Ok(2),
        Some('0'..='3') => all(2, |c| matches!(c, '0'..='7')),
        Some('x' | 'X') => all(2, char::is_ascii_hexdigit),
        Some('u') => all(4, char::is_ascii_hexdigit),
        Some('U') => all(8, char::is_ascii_hexdigit),
        _ => Err(1),
    }
}
