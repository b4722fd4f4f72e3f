//! One input into another: as bytes, and as a tree where it is JSON.

use serde_json::{Value, json};

use crate::dice::Dice;

/// What decoders trip over.
const MORSELS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"-",
    b"1e999",
    b"9223372036854775808",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"\n",
    b"../",
    b"%2f",
    b"&a",
    b"*a",
    b"<<: ",
    b"- ",
    b"? ",
    b"---\n",
    b"%",
    b"2001-99-99T99:99:99Z",
    b"1Gi",
    b"1e-400",
];

pub(crate) fn bend(dice: &mut Dice, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
    let tree = serde_json::from_slice::<Value>(input).ok().filter(|tree| tree.is_object() || tree.is_array());
    match tree.filter(|_| dice.below(2) == 0) {
        Some(mut tree) => {
            let other = dice.one_of(pool).and_then(|other| serde_json::from_slice(other).ok());
            for _ in 0..=dice.below(3) {
                bend_tree(dice, &mut tree, other.as_ref(), words);
            }
            *input = tree.to_string().into_bytes();
        }
        None => {
            for _ in 0..=dice.below(4) {
                bend_bytes(dice, input, pool, words);
            }
        }
    }
}

fn bend_bytes(dice: &mut Dice, bytes: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
    let at = dice.below(bytes.len() + 1);
    let end = |dice: &mut Dice, n: usize| (at + dice.below(n)).min(bytes.len());
    match dice.below(8) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        2 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
        3 => {
            let piece = bytes[at..end(dice, 40)].to_vec();
            insert(bytes, at, &piece);
        }
        4 => drop(bytes.drain(at..end(dice, 12))),
        5 => {
            // The end of another input.
            let other = dice.one_of(pool).map_or(&[][..], |other| &other[dice.below(other.len() + 1)..]);
            bytes.truncate(at);
            bytes.extend_from_slice(other);
        }
        6 => {
            let many = 1 + dice.below(200);
            let repeated = morsel(dice, words).repeat(many);
            insert(bytes, at, &repeated);
        }
        _ => insert(bytes, at, morsel(dice, words)),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied()).for_each(drop);
}

fn morsel<'a>(dice: &mut Dice, words: &[&'a str]) -> &'a [u8] {
    match dice.below(2) {
        0 => dice.one_of(words).map(|word| word.as_bytes()),
        _ => None,
    }
    .unwrap_or_else(|| MORSELS[dice.below(MORSELS.len())])
}

/// Walks down to a random place and changes what is there.
fn bend_tree(dice: &mut Dice, tree: &mut Value, other: Option<&Value>, words: &[&str]) {
    let goes_on = dice.below(5) > 0;
    match tree {
        Value::Object(fields) if goes_on && !fields.is_empty() => {
            let name = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
            match dice.below(10) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(dice.one_of(words).map_or("", |word| word).to_owned(), leaf(dice, words))),
                2 => {
                    let moved = fields.remove(&name).unwrap_or_default();
                    fields.insert(dice.one_of(words).map_or("", |word| word).to_owned(), moved);
                }
                _ => bend_tree(dice, &mut fields[&name], other, words),
            }
        }
        Value::Array(items) if goes_on && !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(8) {
                0 => drop(items.remove(at)),
                1 => items.insert(at, leaf(dice, words)),
                2 => items.push(items[at].clone()),
                _ => bend_tree(dice, &mut items[at], other, words),
            }
        }
        _ if dice.below(3) == 0 => *tree = other.map_or(Value::Null, |other| piece_of(dice, other).clone()),
        _ => *tree = leaf(dice, words),
    }
}

fn piece_of<'a>(dice: &mut Dice, tree: &'a Value) -> &'a Value {
    let inner = match tree {
        Value::Object(fields) => fields.values().nth(dice.below(fields.len())),
        Value::Array(items) => dice.one_of(items),
        _ => None,
    };
    match inner {
        Some(inner) if dice.below(4) > 0 => piece_of(dice, inner),
        _ => tree,
    }
}

fn leaf(dice: &mut Dice, words: &[&str]) -> Value {
    match dice.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(i64::MAX),
        4 => json!(1.5e300),
        5 => json!(""),
        6 => json!([]),
        7 => json!({}),
        8 => json!([[{}]]),
        9 => json!("é\u{0}\u{10ffff}"),
        _ => json!(dice.one_of(words).map_or("a", |word| word)),
    }
}
