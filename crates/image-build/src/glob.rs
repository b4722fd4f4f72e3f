//! Patterns of `.dockerignore` and of COPY sources: Go's `filepath.Match`, with `**` for any number of folders.

/// Does `pattern` match the whole of `path`? Both use `/` and neither begins with one.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    let step = |pattern: &[&str], name: &&str| part(pattern[0].as_bytes(), name.as_bytes()).then_some(1);
    with_stars(&pattern, &path, &"**", &step)
}

fn part(pattern: &[u8], name: &[u8]) -> bool {
    with_stars(pattern, name, &b'*', &|pattern, letter| match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => class(rest, *letter).filter(|(hit, _)| *hit).map(|(_, after)| pattern.len() - after.len()),
        [b'\\', escaped, ..] => (escaped == letter).then_some(2),
        [literal, ..] => (literal == letter).then_some(1),
        [] => None,
    })
}

/// Matches item by item, a `star` being any number of them. `step` says how much of the pattern one item takes, if it fits.
///
/// Only the last star is ever given more: what stands before it fits already, and no other way of fitting it leaves more room. So many
/// stars cost no more than their number times the length.
fn with_stars<T: PartialEq>(pattern: &[T], items: &[T], star: &T, step: &dyn Fn(&[T], &T) -> Option<usize>) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    let mut last_star = None;
    while at < items.len() || !rest.is_empty() {
        if rest.first() == Some(star) {
            rest = &rest[1..];
            last_star = Some((rest, at));
        } else if let Some(taken) = items.get(at).filter(|_| !rest.is_empty()).and_then(|item| step(rest, item)) {
            rest = &rest[taken..];
            at += 1;
        } else {
            match &mut last_star {
                Some((after, from)) if *from < items.len() => {
                    *from += 1;
                    (rest, at) = (*after, *from);
                }
                _ => return false,
            }
        }
    }
    true
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
            ("a/**/**/b", "a/b", true),
            ("**/a/**/b", "a/c/a/d/b", true),
            ("*a*b", "xaybzab", true),
            ("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("a*[", "ab", false),
            ("a\\", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
