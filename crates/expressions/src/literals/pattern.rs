//! Whether a text is a pattern to Go's `regexp`.

/// Upstream's, as is that for how often something may repeat.
const DEPTH_MAX: usize = 1000;
const REPEATS_MAX: u32 = 1000;

pub(super) fn is_pattern(text: &str) -> bool {
    Reader { rest: text }.pattern().is_some()
}

struct Reader<'a> {
    rest: &'a str,
}

/// What stands in one pair of parentheses so far: how often its parts repeat at most, and that of the last part.
#[derive(Default)]
struct Group {
    n_repeats: u32,
    last: Option<u32>,
    was_repeated: bool,
}

impl Group {
    fn push(&mut self, n_repeats: u32) {
        self.n_repeats = self.n_repeats.max(n_repeats);
        *self = Group { last: Some(n_repeats), was_repeated: false, ..*self };
    }
}

impl Reader<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take_if(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn until(&mut self, end: &str) -> Option<&str> {
        let (inside, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(inside)
    }

    fn pattern(&mut self) -> Option<()> {
        let mut groups = vec![Group::default()];
        while let Some(c) = self.take() {
            let group = groups.last_mut()?;
            match c {
                '(' => {
                    if !self.take_if("?") || self.is_group()? {
                        groups.push(Group::default());
                    }
                    if groups.len() > DEPTH_MAX {
                        return None;
                    }
                }
                ')' => {
                    let inner = groups.pop()?.n_repeats.max(1);
                    groups.last_mut()?.push(inner);
                }
                '|' => *group = Group { last: None, was_repeated: false, ..*group },
                '*' | '+' | '?' => self.repeat(group, 1)?,
                '{' => match self.counts() {
                    None => group.push(1),
                    Some((min, max)) => {
                        if min > REPEATS_MAX || max.is_some_and(|max| max > REPEATS_MAX || min > max) {
                            return None;
                        }
                        self.repeat(group, max.unwrap_or(min).max(1))?;
                    }
                },
                '[' => {
                    self.class()?;
                    group.push(1);
                }
                '\\' => {
                    if self.take_if("Q") {
                        let is_empty = match self.rest.split_once("\\E") {
                            Some((literal, rest)) => {
                                self.rest = rest;
                                literal.is_empty()
                            }
                            None => std::mem::take(&mut self.rest).is_empty(),
                        };
                        if !is_empty {
                            group.push(1);
                        }
                    } else {
                        let is_place = ["A", "b", "B", "z"].into_iter().any(|place| self.take_if(place));
                        if !is_place && !self.shared_class()? {
                            self.escape()?;
                        }
                        group.push(1);
                    }
                }
                _ => group.push(1),
            }
        }
        (groups.len() == 1).then_some(())
    }

    fn repeat(&mut self, group: &mut Group, n: u32) -> Option<()> {
        self.take_if("?");
        let n_repeats = group.last?.saturating_mul(n);
        if group.was_repeated || (n > 1 && n_repeats > REPEATS_MAX) {
            return None;
        }
        group.push(n_repeats);
        group.was_repeated = true;
        Some(())
    }

    /// What stands in braces; nothing where that is no count but a text.
    fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        let (inside, rest) = self.rest.split_once('}')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            is_number.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let counts = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        self.rest = rest;
        Some(counts)
    }

    /// After `(?`: whether a group begins, or only flags are set.
    fn is_group(&mut self) -> Option<bool> {
        if self.take_if("P<") || self.take_if("<") {
            let name = self.until(">")?;
            return (!name.is_empty() && name.bytes().all(|c| c == b'_' || c.is_ascii_alphanumeric())).then_some(true);
        }
        let (mut is_negated, mut has_flag) = (false, false);
        loop {
            match self.take()? {
                'i' | 'm' | 's' | 'U' => has_flag = true,
                '-' if !is_negated => (is_negated, has_flag) = (true, false),
                c @ (':' | ')') if has_flag || !is_negated => return Some(c == ':'),
                _ => return None,
            }
        }
    }

    /// After a backslash: `\d` and its like, and classes of Unicode.
    fn shared_class(&mut self) -> Option<bool> {
        if ["d", "D", "s", "S", "w", "W"].into_iter().any(|class| self.take_if(class)) {
            return Some(true);
        }
        if !self.take_if("p") && !self.take_if("P") {
            return Some(false);
        }
        let name = match self.take()? {
            '{' => self.until("}")?.to_owned(),
            c => c.to_string(),
        };
        let name = name.strip_prefix('^').unwrap_or(&name).to_lowercase().replace(['_', ' ', '-'], "");
        let mut known = include_str!("../../facts/unicode.txt").split_whitespace().chain(["Any", "ASCII", "Assigned", "Lc"]);
        known.any(|known| known.to_lowercase().replace('_', "") == name).then_some(true)
    }

    fn escape(&mut self) -> Option<char> {
        match self.take()? {
            first @ '0'..='7' => {
                let is_octal = |c: char| matches!(c, '0'..='7');
                if first != '0' && !self.rest.starts_with(is_octal) {
                    return None;
                }
                let mut value = first as u32 - '0' as u32;
                for _ in 0..2 {
                    if self.rest.starts_with(is_octal) {
                        value = value * 8 + self.take()?.to_digit(8)?;
                    }
                }
                char::from_u32(value)
            }
            'x' => match self.take()? {
                '{' => {
                    let digits = self.until("}")?;
                    let value = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
                    (value <= 0x10_ffff).then(|| char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER))
                }
                high => char::from_u32(high.to_digit(16)? * 16 + self.take()?.to_digit(16)?),
            },
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            c => (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some(c),
        }
    }

    /// After `[`.
    fn class(&mut self) -> Option<()> {
        const NAMED: [&str; 14] =
            ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];
        self.take_if("^");
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
                if !NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return None;
                }
                self.rest = rest;
                continue;
            }
            if self.rest.starts_with('\\') {
                let before = self.rest;
                self.take();
                if self.shared_class()? {
                    continue;
                }
                self.rest = before;
            }
            let low = self.class_char()?;
            if self.rest.starts_with('-') && self.rest.len() >= 2 && !self.rest.starts_with("-]") {
                self.take();
                if self.class_char()? < low {
                    return None;
                }
            }
        }
        self.take();
        Some(())
    }

    fn class_char(&mut self) -> Option<char> {
        match self.take()? {
            '\\' => self.escape(),
            c => Some(c),
        }
    }
}
