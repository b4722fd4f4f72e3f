//! `maxSurge` and `maxUnavailable`: counts or percentages, rounded each its own way.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    Up,
    Down,
}

/// A percentage that cannot be read counts as nothing: validation keeps it out.
pub(crate) fn scaled(value: Option<&IntOrString>, total: i32, round: Round) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(count)) => *count,
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.strip_suffix('%').and_then(|p| p.parse().ok()).unwrap_or(0);
            let hundredths = percent * i64::from(total);
            let whole = match round {
                Round::Up => (hundredths + 99).div_euclid(100),
                Round::Down => hundredths.div_euclid(100),
            };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}

/// Surge rounds up, unavailable rounds down; both nothing would never move, so one may be unavailable then.
pub(crate) fn fenceposts(surge: Option<&IntOrString>, unavailable: Option<&IntOrString>, replicas: i32) -> (i32, i32) {
    let surge = scaled(surge, replicas, Round::Up);
    let unavailable = scaled(unavailable, replicas, Round::Down);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fenceposts_round_as_upstream() {
        let percent = |p: &str| Some(IntOrString::String(p.to_owned()));
        for (surge, unavailable, replicas, expected) in [
            (percent("25%"), percent("25%"), 10, (3, 2)),
            (percent("25%"), percent("25%"), 1, (1, 0)),
            (percent("0%"), percent("10%"), 5, (0, 1)),
            (Some(IntOrString::Int(0)), Some(IntOrString::Int(0)), 5, (0, 1)),
            (percent("100%"), Some(IntOrString::Int(3)), 7, (7, 3)),
        ] {
            assert_eq!(fenceposts(surge.as_ref(), unavailable.as_ref(), replicas), expected);
        }
    }
}
