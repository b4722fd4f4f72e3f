//! What people write in queries and fields, bent.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::cidr::Cidr;
use crate::quantity::Quantity;
use crate::schedule::Schedule;
use crate::selector::{FieldSelector, LabelSelector};
use crate::{duration, names, time, zone};

/// A target whose inputs are text.
fn run(seeds: &[&str], words: &[&str], exercise: impl Fn(&str) -> bool) {
    ::fuzz::run(seeds, words, |bytes| std::str::from_utf8(bytes).is_ok_and(&exercise));
}

#[test]
fn label_selector() {
    let seeds = ["a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2", "example.com/x in (,)"];
    run(&seeds, &[" in (", " notin ", ")", "==", "!", ">", ","], |text| {
        let Ok(selector) = LabelSelector::parse(text) else { return false };
        assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector.clone()), "what we write we read");
        let labels = serde_json::json!({"a": "b", "l": "7"});
        selector.matches(labels.as_object());
        true
    });
}

#[test]
fn label_selector_object() {
    let seeds = [r#"{"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]}"#];
    ::fuzz::run(&seeds, &["matchLabels", "matchExpressions", "key", "operator", "values", "NotIn", "Exists"], |bytes| {
        let Ok(tree) = serde_json::from_slice(bytes) else { return false };
        LabelSelector::from_object(&tree).is_ok_and(|selector| selector.matches(None) || true)
    });
}

#[test]
fn field_selector() {
    run(&[r"metadata.name=a,spec.nodeName!=b\,c,d==e\\"], &["=", "!=", "\\", ","], |text| {
        FieldSelector::parse(text).is_ok_and(|selector| selector.matches_with(&|_| "b,c".into()) || true)
    });
}

#[test]
fn quantity() {
    let seeds = ["1.5Gi", "100m", "1e3", "-0.1k", "12E", "3Ei", "9223372036854775807", "1e-9"];
    run(&seeds, &["e", "E", "Ki", "n", "u", ".", "+", "0000000000"], |text| {
        let Ok(quantity) = Quantity::parse(text) else { return false };
        assert_eq!(Quantity::parse(&quantity.to_string()).map(Quantity::value), Ok(quantity.value()), "what we write we read");
        let _ = (quantity.milli_value(), quantity.plus(quantity), quantity.minus(quantity), quantity.is_zero());
        true
    });
}

#[test]
fn schedule() {
    let seeds = ["*/5 0-12/3 1,15 * MON-FRI", "@daily", "@every 1h30m", "0 0 29 2 *", "TZ=Europe/Berlin 30 2 * 3 SUN", "0 0 31 2 ?"];
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
    run(&seeds, &["*", "/", "-", ",", "JAN", "SUN", "@every ", "CRON_TZ=", "60", "?"], |text| {
        let Ok(schedule) = Schedule::parse(text) else { return false };
        assert!(schedule.next(now).is_none_or(|next| next > now), "the next time is later");
        true
    });
}

#[test]
fn duration_text() {
    run(&["1h30m0.5s", "-1.5h", "2us3ns", "100µs"], &["h", "ms", "-", ".", "9223372036"], |text| {
        let Ok(nanos) = duration::parse(text) else { return false };
        assert_eq!(duration::parse(&duration::text(nanos)), Ok(nanos), "what we write we read");
        true
    });
}

#[test]
fn address_range() {
    run(&["10.0.0.0/8", "fd00::/112", "::ffff:1.2.3.4/128", "0.0.0.0/0", "::/0"], &["/", "::", "128", "."], |text| {
        let Ok(range) = text.parse::<Cidr>() else { return false };
        assert_eq!(range.to_string().parse(), Ok(range), "what we write we read");
        let _ = (range.size(), range.last(), range.nth(u128::MAX), range.index_of(IpAddr::from([10, 1, 2, 3])), range.overlaps(&range));
        true
    });
}

#[test]
fn name_rules() {
    run(&["a.b-c", "example.com/Name", "x--y", "1"], &["-", ".", "/", "_", "xn--"], |text| {
        let rules = [names::subdomain_faults, names::label_faults, names::dns1035_faults, names::path_segment_faults];
        let more = [names::qualified_name_faults, names::label_value_faults];
        let _ = (names::generated(text, 7), names::safe_encode(text), time::parse(text), zone::named(text).is_ok());
        rules.iter().chain(&more).any(|rule| rule(text).is_empty())
    });
}
