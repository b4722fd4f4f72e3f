//! Patterns of `.dockerignore` and of COPY sources: Go's `filepath.Match`, with `**` for any number of folders.

/// Does `pattern` match the whole of `path`? Both use `/` and neither begins with one.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    parts(&pattern, &path)
}

fn parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| parts(rest, &path[skip..])),
        (Some((first, rest)), Some((name, below))) => part(first.as_bytes(), name.as_bytes()) && parts(rest, below),
        _ => false,
    }
}

fn part(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| part(rest, &name[skip..])),
        (Some((b'?', rest)), Some((_, below))) => part(rest, below),
        (Some((b'[', rest)), Some((letter, below))) => match class(rest, *letter) {
            Some((hit, after)) => hit && part(after, below),
            None => false,
        },
        (Some((b'\\', rest)), Some((letter, below))) => rest.first() == Some(letter) && part(&rest[1..], below),
        (Some((literal, rest)), Some((letter, below))) => literal == letter && part(rest, below),
        _ => false,
    }
}

/// Whether `letter` is in the class that begins after `[`, and what follows its `]`.
fn class(pattern: &[u8], letter: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match pattern.first()? {
        b'^' | b'!' => (true, &pattern[1..]),
        _ => (false, pattern),
    };
    let mut hit = false;
    let mut is_first = true;
    while rest.first()? != &b']' || is_first {
        is_first = false;
        let low = *rest.first()?;
        if rest.get(1) == Some(&b'-') && rest.get(2).is_some_and(|c| *c != b']') {
            hit |= (low..=rest[2]).contains(&letter);
            rest = &rest[3..];
        } else {
            hit |= low == letter;
            rest = &rest[1..];
        }
    }
    Some((hit != negated, &rest[1..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_gos() {
        for (pattern, path, expected) in [
            ("*.rs", "a.rs", true),
            ("*.rs", "d/a.rs", false),
            ("**/*.rs", "d/e/a.rs", true),
            ("**", "a/b", true),
            ("a?c", "abc", true),
            ("a[b-d]c", "acc", true),
            ("a[^b]c", "abc", false),
            ("d/**/x", "d/x", true),
            ("\\*", "*", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
