//! Bent expressions: no panic, no hang, whatever the text.

use crate::{Environment, check};

#[test]
fn expressions() {
    let seeds = [
        r#"device.attributes["dra.example.com"].model.matches('^a+$') && device.capacity["x"].?memory.orValue(quantity("1Gi")).isGreaterThan(quantity("10"))"#,
        "cel.bind(a, [1, 2u, -3.0e5], a.map(x, x > 1, {x: [x]}).exists(y, y != null))",
        "[1].transformMapEntry(i, v, {v: i}).optMap(q, q.?w).orValue({}) ? r'\\d' : b'\\x00' + \"\"\"a\n\"\"\"",
        "a{b: c, ?d: .e.f}.`g-h`[?0] || !(-1 in [ 2 ]) // what",
    ];
    let words =
        ["cel.bind(", ".optMap(x,", ".map(x,", "[-", "((", "{x:", "?", "&&", "||", "'", "\"\"\"", "\\", "\u{e9}", "0x", ".sortBy(x,"];
    let environment = Environment::device();
    fuzz::run(&seeds, &words, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return false };
        check(text, &environment).is_ok()
    });
}
