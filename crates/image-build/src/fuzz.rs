//! Bent Dockerfiles, `.dockerignore` files and patterns.

use crate::{context, dockerfile, expand, glob};

/// A target whose inputs are text.
fn run(seeds: &[&str], words: &[&str], exercise: impl Fn(&str) -> bool) {
    ::fuzz::run(seeds, words, |bytes| std::str::from_utf8(bytes).is_ok_and(&exercise));
}

#[test]
fn dockerfiles() {
    let seeds = [
        "# syntax=x\n# escape=`\nARG A=1\nFROM scratch AS a\nCOPY --from=a --chown=1:2 [\"a b\", \"/c/\"]\nFROM a\nRUN <<E\nx\nE\nRUN [\"x\"]\n",
        "FROM a\nENV A=b \"C=d e\" F='g'\nLABEL x=\"y\"\nEXPOSE 80/tcp\nCMD x \\\n  # c\n  y\nUSER 1\nVOLUME [\"/v\"]\nADD --chmod=755 a.tar /\nSHELL [\"sh\"]\n",
    ];
    let words =
        ["FROM ", "COPY ", "RUN ", "<<E\n", "<<-\"E\"\n", "--from=", "[\"", "\\\n", "ONBUILD ", "HEALTHCHECK CMD ", "$A", "${A:-b}", "#"];
    run(&seeds, &words, |text| dockerfile::parse(text).is_ok());
}

#[test]
fn variables_and_words() {
    let seeds = ["$A ${B} ${C:-d$E} ${F:+${G}} \\$x 'y' \"z w\"", "a=b \"c d\"=e\\ f"];
    run(&seeds, &["${", "}", ":-", ":+", "$", "\\", "'", "\""], |text| {
        drop(expand::words(text));
        expand::expand(text, &|name| Some(name.to_owned())).is_ok()
    });
}

#[test]
fn dockerignore_files() {
    let seeds = [
        "# c\n*.log\n!keep.log\n**/node_modules\nd/\n/x/../y\n[a-c]?\\*\n",
        "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\n",
        "**/a/**/a/**/a/**/a/**/a/**/a/**/b",
    ];
    let long = "a".repeat(60);
    let deep = "a/".repeat(40) + "c";
    run(&seeds, &["*", "**/", "?", "[a-", "[^", "]", "\\", "!", "/../", "*a"], |text| {
        let rules = context::rules(text);
        let hits = ["a.log", "d/node_modules/x", &long, &deep].map(|path| context::is_ignored(path, &rules));
        glob::matches(text, &long) || hits.contains(&true)
    });
}
