//! How two trees differ, as upstream shows it in a refusal: a unified diff of indented JSON.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use serde_json::Value;

use crate::go_json;

const CONTEXT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Both,
    Old,
    New,
}

/// Upstream: of two long texts, lines that stand more than this often in every hundred of the new one start no block.
const COMMON_PER_HUNDRED_MAX: usize = 1;
const LONG: usize = 200;
/// Looking for blocks takes the square of the lines; a pod of a hundred containers has some thousand.
const LINES_MAX: usize = 10_000;

/// Blocks of like lines, found as upstream's differ finds them: the longest one, of several the first, then those before and behind it.
struct Matcher<'a> {
    old: &'a [String],
    new: &'a [String],
    /// Where each line of `new` stands that may start a block.
    places: HashMap<&'a str, Vec<usize>>,
    /// Begins in both, and length, in order.
    blocks: Vec<(usize, usize, usize)>,
}

impl<'a> Matcher<'a> {
    fn blocks(old: &'a [String], new: &'a [String]) -> Vec<(usize, usize, usize)> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, line) in new.iter().enumerate() {
            places.entry(line).or_default().push(i);
        }
        if new.len() >= LONG {
            places.retain(|_, at| at.len() <= new.len() / 100 * COMMON_PER_HUNDRED_MAX + 1);
        }
        let mut matcher = Matcher { old, new, places, blocks: Vec::new() };
        if old.len().max(new.len()) <= LINES_MAX {
            matcher.find(0..old.len(), 0..new.len());
        } else {
            matcher.ends();
        }
        matcher.blocks
    }

    /// Each step down is for a shorter block than the one above, so there are few.
    fn find(&mut self, mut old: Range<usize>, mut new: Range<usize>) {
        loop {
            let (i, j, len) = self.longest(&old, &new);
            if len == 0 {
                return;
            }
            self.find(old.start..i, new.start..j);
            self.blocks.push((i, j, len));
            (old.start, new.start) = (i + len, j + len);
        }
    }

    /// Only what is alike at the begin and at the end.
    fn ends(&mut self) {
        let begin = self.old.iter().zip(self.new).take_while(|(a, b)| a == b).count();
        let end = self.old[begin..].iter().rev().zip(self.new[begin..].iter().rev()).take_while(|(a, b)| a == b).count();
        self.blocks.extend([(0, 0, begin), (self.old.len() - end, self.new.len() - end, end)]);
    }

    fn longest(&self, old: &Range<usize>, new: &Range<usize>) -> (usize, usize, usize) {
        let (mut i, mut j, mut len) = (old.start, new.start, 0);
        // By the line of `new` where it ends, the length of the block that ends at the line of `old`.
        let mut ending: HashMap<usize, usize> = HashMap::new();
        for at in old.clone() {
            let mut next = HashMap::new();
            for place in self.places.get(self.old[at].as_str()).into_iter().flatten().copied().filter(|place| new.contains(place)) {
                let here = place.checked_sub(1).and_then(|before| ending.get(&before)).unwrap_or(&0) + 1;
                next.insert(place, here);
                if here > len {
                    (i, j, len) = (at + 1 - here, place + 1 - here, here);
                }
            }
            ending = next;
        }
        while i > old.start && j > new.start && self.old[i - 1] == self.new[j - 1] {
            (i, j, len) = (i - 1, j - 1, len + 1);
        }
        while i + len < old.end && j + len < new.end && self.old[i + len] == self.new[j + len] {
            len += 1;
        }
        (i, j, len)
    }
}

fn marked<'a>(old: &'a [String], new: &'a [String]) -> Vec<(Mark, &'a str)> {
    let mut blocks = Matcher::blocks(old, new);
    blocks.push((old.len(), new.len(), 0));
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::with_capacity(old.len() + new.len());
    for (old_start, new_start, len) in blocks {
        out.extend(old[i..old_start].iter().map(|line| (Mark::Old, line.as_str())));
        out.extend(new[j..new_start].iter().map(|line| (Mark::New, line.as_str())));
        (i, j) = (old_start + len, new_start + len);
        out.extend(old[old_start..i].iter().map(|line| (Mark::Both, line.as_str())));
    }
    out
}

/// Hunks `@@ -1,4 +1,5 @@` with three lines around each change.
pub(crate) fn unified(type_name: &str, old: &Value, new: &Value) -> String {
    let (old, new) = (go_json::lines(type_name, old), go_json::lines(type_name, new));
    let marked = marked(&old, &new);
    let changes: Vec<usize> = marked.iter().enumerate().filter(|(_, (mark, _))| *mark != Mark::Both).map(|(i, _)| i).collect();
    let mut out = String::new();
    let mut next = 0;
    while next < changes.len() {
        let start = changes[next].saturating_sub(CONTEXT);
        let mut last = changes[next];
        while next < changes.len() && changes[next] <= last + 2 * CONTEXT + 1 {
            last = changes[next];
            next += 1;
        }
        let end = (last + CONTEXT + 1).min(marked.len());
        write_hunk(&mut out, &marked, start, end);
    }
    out
}

fn write_hunk(out: &mut String, marked: &[(Mark, &str)], start: usize, end: usize) {
    let count = |part: &[(Mark, &str)], not: Mark| part.iter().filter(|(mark, _)| *mark != not).count();
    let range = |not: Mark| {
        let (before, len) = (count(&marked[..start], not), count(&marked[start..end], not));
        match len {
            0 => format!("{before},0"),
            1 => (before + 1).to_string(),
            _ => format!("{},{len}", before + 1),
        }
    };
    let _ = writeln!(out, "@@ -{} +{} @@", range(Mark::New), range(Mark::Old));
    for (mark, line) in &marked[start..end] {
        let sign = match mark {
            Mark::Both => ' ',
            Mark::Old => '-',
            Mark::New => '+',
        };
        let _ = writeln!(out, "{sign}{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_line_stands_among_its_neighbours() {
        let (old, new) = (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}));
        expect_test::expect![[r#"
            @@ -1,4 +1,4 @@
             {
              "a": 1,
            - "b": 2
            + "b": 3
             }
        "#]]
        .assert_eq(&unified("", &old, &new));
    }
}
