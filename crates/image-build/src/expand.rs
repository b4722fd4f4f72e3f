//! Variables in Dockerfile words: `$a`, `${a}`, `${a:-default}`, `${a:+alternative}`; quotes and escapes as a shell's.

/// Replaces variables; an unknown one is empty. Quotes are taken off.
pub(crate) fn expand(text: &str, get: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match c {
            '\'' if quote == Some('\'') => quote = None,
            _ if quote == Some('\'') => out.push(c),
            '"' if quote == Some('"') => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            '\\' => match chars.next() {
                // Inside double quotes a backslash only escapes what is special there.
                Some(next) if quote.is_none() || "$\"\\".contains(next) => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            '$' if chars.peek() == Some(&'{') => {
                chars.next();
                let mut inner = String::new();
                let mut depth = 1;
                for c in chars.by_ref() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if depth == 0 {
                        break;
                    }
                    inner.push(c);
                }
                if depth != 0 {
                    return Err(format!("unterminated `${{{inner}`"));
                }
                out.push_str(&braced(&inner, get)?);
            }
            '$' => {
                let mut name = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                if name.is_empty() { out.push('$') } else { out.push_str(&get(&name).unwrap_or_default()) }
            }
            _ => out.push(c),
        }
    }
    if quote.is_some() { Err(format!("unterminated quote in `{text}`")) } else { Ok(out) }
}

fn braced(inner: &str, get: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
    let (name, modifier) = inner.split_at(end);
    let value = get(name);
    let full = value.as_deref().is_some_and(|v| !v.is_empty());
    match modifier {
        "" => Ok(value.unwrap_or_default()),
        m if m.starts_with(":-") => {
            if full {
                Ok(value.unwrap_or_default())
            } else {
                expand(&m[2..], get)
            }
        }
        m if m.starts_with(":+") => {
            if full {
                expand(&m[2..], get)
            } else {
                Ok(String::new())
            }
        }
        m if m.starts_with('-') => value.map_or_else(|| expand(&m[1..], get), Ok),
        m if m.starts_with('+') => {
            if value.is_some() {
                expand(&m[1..], get)
            } else {
                Ok(String::new())
            }
        }
        _ => Err(format!("unsupported modifier in `${{{inner}}}`")),
    }
}

/// Splits `a=b "c d"=e` into words, keeping quotes for `expand` to take off.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ if Some(c) == quote => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            c if c.is_whitespace() && quote.is_none() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
