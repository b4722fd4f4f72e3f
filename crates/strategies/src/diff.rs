//! How two trees differ, as upstream shows it in a refusal: a unified diff of indented JSON.

use std::fmt::Write;

use serde_json::Value;

use crate::go_json;

const CONTEXT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Both,
    Old,
    New,
}

/// The longest common subsequence, walked from the back: of several like lines the last are the ones that stayed.
fn marked<'a>(old: &'a [String], new: &'a [String]) -> Vec<(Mark, &'a str)> {
    let mut longest = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in 0..old.len() {
        for j in 0..new.len() {
            longest[i + 1][j + 1] = if old[i] == new[j] { longest[i][j] + 1 } else { longest[i][j + 1].max(longest[i + 1][j]) };
        }
    }
    let (mut i, mut j) = (old.len(), new.len());
    let mut out = Vec::with_capacity(old.len() + new.len());
    while i > 0 || j > 0 {
        if i > 0 && j > 0 && old[i - 1] == new[j - 1] {
            out.push((Mark::Both, old[i - 1].as_str()));
            (i, j) = (i - 1, j - 1);
        } else if j > 0 && (i == 0 || longest[i][j - 1] >= longest[i - 1][j]) {
            out.push((Mark::New, new[j - 1].as_str()));
            j -= 1;
        } else {
            out.push((Mark::Old, old[i - 1].as_str()));
            i -= 1;
        }
    }
    out.reverse();
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
