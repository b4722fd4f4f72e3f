//! Label and field selectors: parsing their query form, their object form, and matching.
//!
//! Upstream: `apimachinery/pkg/labels`, `apimachinery/pkg/fields`.

use std::fmt;

use serde_json::{Map, Value};

use crate::names;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// As `In` of one value, but written `=`.
    Equals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    /// Sorted, so that equal selectors print equally.
    pub values: Vec<String>,
}

/// All requirements must hold; no requirement matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    pub requirements: Vec<Requirement>,
    /// Upstream: a null `LabelSelector` object selects nothing.
    nothing: bool,
}

impl LabelSelector {
    pub fn everything() -> Self {
        LabelSelector::default()
    }
    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Equality with every pair, as `spec.selector` of a Service means it.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirements = pairs
            .into_iter()
            .map(|(k, v)| Requirement { key: k.to_owned(), operator: Operator::Equals, values: vec![v.to_owned()] })
            .collect();
        LabelSelector { requirements, nothing: false }
    }

    /// The object form: `matchLabels` and `matchExpressions`. Null selects nothing, `{}` everything.
    pub fn from_object(selector: &Value) -> Result<Self, String> {
        if selector.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.as_str().unwrap_or("").to_owned()])?);
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or("") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("\"{other}\" is not a valid label selector operator")),
            };
            let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(expression["key"].as_str().unwrap_or(""), operator, values)?);
        }
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// The query form: `a=b,c!=d,e in (f,g),h,!i,j>1`. The error is upstream's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text);
        let mut at = 0;
        let mut requirements = Vec::new();
        while let Some(token) = tokens.get(at) {
            if !matches!(token, Token::Word(_) | Token::Not) {
                return Err(format!("found '{token}', expected: !, identifier, or 'end of string'"));
            }
            requirements.push(requirement(&tokens, &mut at).map_err(|e| format!("unable to parse requirement: {e}"))?);
            match tokens.get(at) {
                None => break,
                Some(Token::Comma) => {
                    at += 1;
                    if !matches!(tokens.get(at), Some(Token::Word(_) | Token::Not)) {
                        let found = tokens.get(at).map_or_else(String::new, ToString::to_string);
                        return Err(format!("found '{found}', expected: identifier after ','"));
                    }
                }
                Some(other) => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements, nothing: false })
    }

    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.matches_with(&|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    }

    /// For labels that are not JSON trees (typed views).
    pub fn matches_with<'a>(&self, get: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(get(&r.key)))
    }
}

impl Requirement {
    fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        if let Some(fault) = names::qualified_name_faults(key).into_iter().next() {
            // Upstream: a query has no path that the key could stand at.
            return Err(format!("<nil>: Invalid value: {key:?}: {fault}"));
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".to_owned());
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err("values: Invalid value: values set must be empty for exists and does not exist".to_owned());
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 || values[0].parse::<i64>().is_err() => {
                let value = values.first().map_or("", String::as_str);
                return Err(format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"));
            }
            _ => {}
        }
        for value in &values {
            if let Some(fault) = names::label_value_faults(value).into_iter().next() {
                return Err(format!("values[0][{key}]: Invalid value: {value:?}: {fault}"));
            }
        }
        values.sort();
        values.dedup();
        Ok(Requirement { key: key.to_owned(), operator, values })
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|w| w == v);
        let number = |text: &str| text.parse::<i64>().ok();
        match self.operator {
            Operator::Equals | Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => value.and_then(number) > number(&self.values[0]),
            Operator::LessThan => value.and_then(number).is_some_and(|v| Some(v) < number(&self.values[0])),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let (comma, key, values) = (if i == 0 { "" } else { "," }, &r.key, r.values.join(","));
            match r.operator {
                Operator::Equals => write!(f, "{comma}{key}={values}")?,
                Operator::NotIn if r.values.len() == 1 => write!(f, "{comma}{key}!={values}")?,
                Operator::In => write!(f, "{comma}{key} in ({values})")?,
                Operator::NotIn => write!(f, "{comma}{key} notin ({values})")?,
                Operator::Exists => write!(f, "{comma}{key}")?,
                Operator::DoesNotExist => write!(f, "{comma}!{key}")?,
                Operator::GreaterThan => write!(f, "{comma}{key}>{values}")?,
                Operator::LessThan => write!(f, "{comma}{key}<{values}")?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Comma,
    Open,
    Close,
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Token::Word(word) => word,
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Not => "!",
            Token::Equals => "=",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
        })
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut then_equals = |yes: Token, no: Token| if chars.next_if_eq(&'=').is_some() { yes } else { no };
        tokens.push(match c {
            c if c.is_whitespace() => continue,
            ',' => Token::Comma,
            '(' => Token::Open,
            ')' => Token::Close,
            '>' => Token::Greater,
            '<' => Token::Less,
            '!' => then_equals(Token::NotEquals, Token::Not),
            '=' => then_equals(Token::Equals, Token::Equals),
            first => {
                let mut word = first.to_string();
                while let Some(more) = chars.next_if(|c| !c.is_whitespace() && !",()!=<>".contains(*c)) {
                    word.push(more);
                }
                Token::Word(word)
            }
        });
    }
    tokens
}

fn requirement(tokens: &[Token], at: &mut usize) -> Result<Requirement, String> {
    let mut next = || {
        let token = tokens.get(*at).cloned();
        *at += 1;
        token
    };
    let found = |token: Option<Token>| token.map_or_else(String::new, |t| t.to_string());
    let key = match next() {
        Some(Token::Not) => match next() {
            Some(Token::Word(key)) => return Requirement::new(&key, Operator::DoesNotExist, Vec::new()),
            other => return Err(format!("found '{}', expected: identifier", found(other))),
        },
        Some(Token::Word(key)) => key,
        other => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", found(other))),
    };
    let operator = match next() {
        None => return Requirement::new(&key, Operator::Exists, Vec::new()),
        Some(Token::Comma) => {
            *at -= 1;
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        Some(Token::Equals) => Operator::Equals,
        Some(Token::NotEquals) => Operator::NotIn,
        Some(Token::Greater) => Operator::GreaterThan,
        Some(Token::Less) => Operator::LessThan,
        Some(Token::Word(word)) if word == "in" || word == "notin" => {
            let operator = if word == "in" { Operator::In } else { Operator::NotIn };
            return Requirement::new(&key, operator, set(tokens, at)?);
        }
        other => return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", found(other))),
    };
    let value = match tokens.get(*at) {
        Some(Token::Word(word)) => {
            *at += 1;
            word.clone()
        }
        None | Some(Token::Comma) => String::new(),
        Some(other) => return Err(format!("found '{other}', expected: identifier")),
    };
    Requirement::new(&key, operator, vec![value])
}

fn set(tokens: &[Token], at: &mut usize) -> Result<Vec<String>, String> {
    let found = |i: usize| tokens.get(i).map_or_else(String::new, ToString::to_string);
    if tokens.get(*at) != Some(&Token::Open) {
        return Err(format!("found '{}' expected: '('", found(*at)));
    }
    let mut values = Vec::new();
    let mut wants_value = true;
    loop {
        *at += 1;
        match tokens.get(*at) {
            Some(Token::Word(word)) => {
                values.push(word.clone());
                wants_value = false;
            }
            Some(Token::Comma) => {
                if wants_value {
                    values.push(String::new());
                }
                wants_value = true;
            }
            Some(Token::Close) => {
                if wants_value {
                    values.push(String::new());
                }
                *at += 1;
                return Ok(values);
            }
            _ if wants_value => return Err(format!("found '{}', expected: ',', ')' or identifier", found(*at))),
            _ => return Err(format!("found '{}', expected: ',' or ')'", found(*at))),
        }
    }
}

/// `metadata.name=x,status.phase!=Running`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub terms: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub path: String,
    pub equal: bool,
    pub value: String,
}

impl FieldSelector {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split_unescaped(text, ',').into_iter().filter(|p| !p.is_empty()) {
            let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, true, value)
            } else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            terms.push(FieldTerm { path: path.to_owned(), equal, value: unescape(value)? });
        }
        Ok(FieldSelector { terms })
    }

    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn matches_with<'a>(&self, get: &dyn Fn(&str) -> std::borrow::Cow<'a, str>) -> bool {
        self.terms.iter().all(|t| (get(&t.path) == t.value.as_str()) == t.equal)
    }
}

fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(&text[start..i]);
            start = i + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: unterminated escape".to_owned()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_match_as_upstream() {
        let labels = json!({"app": "web", "tier": "front", "n": "5"});
        for (text, matches) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("none!=x", true),
            ("app in (web, db)", true),
            ("app notin (web)", false),
            ("n>4", true),
            ("n<5", false),
            ("app=web,tier=back", false),
            ("x in (,a)", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(labels.as_object()), matches, "{text}");
        }
        for bad in ["app=web,", "app in web", "a=b c", ",", "app in ()=", "=x"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_selectors_parse() {
        let selector = FieldSelector::parse("metadata.name=a,status.phase!=Running").unwrap();
        assert!(selector.matches_with(&|path| if path == "metadata.name" { "a".into() } else { "Pending".into() }));
        assert!(FieldSelector::parse("metadata.name").is_err());
    }
}
