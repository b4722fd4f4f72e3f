//! What was measured, beside upstream's figure, as a Markdown table.

pub(crate) struct Row {
    measure: String,
    upstream: String,
    bar: String,
    ours: String,
    ratio: String,
    load: String,
}

impl Row {
    /// `upstream` is `None` where no figure is known.
    pub(crate) fn less_is_better(measure: &str, unit: &str, upstream: Option<f64>, bar: &str, ours: f64) -> Self {
        let ratio = upstream.map(|upstream| upstream / ours.max(f64::MIN_POSITIVE));
        Row::compared(measure, unit, upstream, bar, ours, ratio, "less")
    }

    pub(crate) fn more_is_better(measure: &str, unit: &str, upstream: Option<f64>, bar: &str, ours: f64) -> Self {
        let ratio = upstream.map(|upstream| ours / upstream);
        Row::compared(measure, unit, upstream, bar, ours, ratio, "more")
    }

    pub(crate) fn failed(measure: &str, error: &str) -> Self {
        let first = error.lines().next().unwrap_or("").replace('|', "/");
        Row { ours: format!("failed: {first}"), ..Row::compared(measure, "", None, "", 0.0, None, "") }
    }

    fn compared(measure: &str, unit: &str, upstream: Option<f64>, bar: &str, ours: f64, ratio: Option<f64>, word: &str) -> Self {
        let unknown = || "-".to_owned();
        Row {
            measure: measure.to_owned(),
            upstream: upstream.map_or_else(unknown, |upstream| quantity(upstream, unit)),
            bar: bar.to_owned(),
            ours: quantity(ours, unit),
            ratio: ratio.map_or_else(unknown, |ratio| format!("{}x {word}", digits(ratio))),
            load: load_average(),
        }
    }
}

pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = "| measure | upstream | bar | ours | ratio | load |\n|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        text += &format!("| {} | {} | {} | {} | {} | {} |\n", row.measure, row.upstream, row.bar, row.ours, row.ratio, row.load);
    }
    text
}

fn quantity(value: f64, unit: &str) -> String {
    format!("{} {unit}", digits(value)).trim_end().to_owned()
}

/// Three digits that mean something.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.places$}")
}

/// Of the last minute, when the row was made.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("").to_owned()
}

/// The value below which the given share of all values lies.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let idx = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(idx).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_percentiles_are_values() {
        assert_eq!([digits(123.4), digits(12.34), digits(1.234), digits(0.1234)], ["123", "12.3", "1.23", "0.123"]);
        let values = [3.0, 1.0, 2.0];
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (2.0, 3.0));
    }
}
