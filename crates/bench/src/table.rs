//! What was measured, beside the bar and upstream's figure, as a Markdown table.

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// At most upstream's figure divided by this.
    Share(f64),
    /// At least this times upstream's figure.
    Times(f64),
    /// No bar was set; less is better.
    Less,
    /// No bar was set; more is better.
    More,
}

pub(crate) struct Row {
    measure: String,
    unit: &'static str,
    /// `None` where no figure is known.
    upstream: Option<f64>,
    bar: Bar,
    ours: Result<f64, String>,
    /// Of the last minute, when the row was made.
    load: String,
}

impl Row {
    pub(crate) fn new(measure: impl Into<String>, unit: &'static str, upstream: Option<f64>, bar: Bar, ours: f64) -> Self {
        Row { measure: measure.into(), unit, upstream, bar, ours: Ok(ours), load: load_average() }
    }

    pub(crate) fn failed(measure: &str, error: &str) -> Self {
        let first = error.lines().next().unwrap_or("").replace('|', "/");
        Row { ours: Err(first), ..Row::new(measure, "", None, Bar::Less, 0.0) }
    }

    /// The figure to reach, where there is one.
    fn goal(&self) -> Option<f64> {
        match self.bar {
            Bar::AtMost(goal) | Bar::AtLeast(goal) => Some(goal),
            Bar::Share(n) => self.upstream.map(|upstream| upstream / n),
            Bar::Times(n) => self.upstream.map(|upstream| upstream * n),
            Bar::Less | Bar::More => None,
        }
    }

    fn less_is_better(&self) -> bool {
        matches!(self.bar, Bar::AtMost(_) | Bar::Share(_) | Bar::Less)
    }

    pub(crate) fn is_missed(&self) -> bool {
        match (&self.ours, self.goal()) {
            (Err(_), _) => true,
            (_, None) => false,
            (Ok(ours), Some(goal)) => !(if self.less_is_better() { *ours <= goal } else { *ours >= goal }),
        }
    }

    fn cells(&self) -> [String; 7] {
        let unknown = || "-".to_owned();
        let quantity = |value: f64| format!("{} {}", digits(value), self.unit).trim_end().to_owned();
        let sign = if self.less_is_better() { "≤" } else { "≥" };
        let share = match self.bar {
            Bar::Share(n) => format!(" (1/{n})"),
            Bar::Times(n) => format!(" ({n}x)"),
            _ => String::new(),
        };
        let ratio = match (&self.ours, self.upstream) {
            (Ok(ours), Some(upstream)) if self.less_is_better() => format!("{}x less", digits(upstream / ours.max(1e-9))),
            (Ok(ours), Some(upstream)) => format!("{}x more", digits(ours / upstream)),
            _ => unknown(),
        };
        let verdict = match self.goal() {
            _ if self.is_missed() => "**missed**",
            Some(_) => "ok",
            None => "-",
        };
        [
            self.measure.clone(),
            self.upstream.map_or_else(unknown, quantity),
            self.goal().map_or_else(unknown, |goal| format!("{sign} {}{share}", quantity(goal))),
            self.ours.as_ref().map_or_else(|error| format!("failed: {error}"), |ours| quantity(*ours)),
            ratio,
            verdict.to_owned(),
            self.load.clone(),
        ]
    }
}

pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = "| measure | upstream | bar | ours | ratio | | load |\n|---|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        text += &format!("| {} |\n", row.cells().join(" | "));
    }
    text
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

    #[test]
    fn bars_are_reached_or_missed() {
        let is_missed = |upstream, bar, ours| Row::new("m", "s", upstream, bar, ours).is_missed();
        for (upstream, bar, good, bad) in [
            (None, Bar::AtMost(2.0), 2.0, 2.1),
            (None, Bar::AtLeast(2.0), 2.0, 1.9),
            (Some(8.0), Bar::Share(4.0), 2.0, 2.1),
            (Some(8.0), Bar::Times(4.0), 32.0, 31.0),
        ] {
            assert!(!is_missed(upstream, bar, good) && is_missed(upstream, bar, bad));
        }
        assert!(!is_missed(Some(1.0), Bar::Less, 5.0) && Row::failed("m", "no").is_missed());
    }
}
