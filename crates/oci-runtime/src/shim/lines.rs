//! Output in the CRI's log format: `<time> <stream> <F|P> <text>`, where P is a part of a line that goes on.

/// Upstream: longer lines are split; readers put the parts together.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// The unfinished line of one stream.
#[derive(Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Appends what has become whole to `out`.
    pub(super) fn push(&mut self, stream: &str, time: &str, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = LINE_BYTES_MAX - self.partial.len();
            let end = rest.iter().take(room + 1).position(|byte| *byte == b'\n');
            let (n_text, n_used, tag) = match end {
                Some(end) => (end, end + 1, "F"),
                None if rest.len() > room => (room, room, "P"),
                None => {
                    self.partial.extend_from_slice(rest);
                    return;
                }
            };
            entry(stream, time, tag, &[&self.partial, &rest[..n_text]], out);
            // Not cleared but dropped: a buffer for each stream of each container would be most of a shim's memory.
            self.partial = Vec::new();
            rest = &rest[n_used..];
        }
    }

    /// The stream has ended, perhaps in the middle of a line.
    pub(super) fn finish(&mut self, stream: &str, time: &str, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            entry(stream, time, "P", &[&std::mem::take(&mut self.partial)], out);
        }
    }
}

fn entry(stream: &str, time: &str, tag: &str, text: &[&[u8]], out: &mut Vec<u8>) {
    for part in [time, " ", stream, " ", tag, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    text.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'\n');
}

/// RFC 3339 in UTC with nanoseconds. Own arithmetic: a time crate would be the largest part of the shim.
pub(super) fn timestamp(unix_ns: i64) -> String {
    let (seconds, nanos) = (unix_ns.div_euclid(1_000_000_000), unix_ns.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March put the leap day last (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunks: &[&str], expected: &[&str]) {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        chunks.iter().for_each(|chunk| lines.push("stdout", "T", chunk.as_bytes(), &mut out));
        lines.finish("stdout", "T", &mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lines_are_put_together_and_split() {
        check(&["one\ntwo\n"], &["T stdout F one", "T stdout F two"]);
        check(&["o", "ne", "\n", "\n"], &["T stdout F one", "T stdout F "]);
        check(&["no end"], &["T stdout P no end"]);
        let long = "x".repeat(LINE_BYTES_MAX);
        let (part, full) = (format!("T stdout P {long}"), format!("T stdout F {long}"));
        check(&[&long, "\n"], &[&full]);
        check(&[&long, "y\n"], &[&part, "T stdout F y"]);
        check(&[&format!("{long}{long}z\n")], &[&part, &part, "T stdout F z"]);
    }

    #[test]
    fn times_are_written_as_clients_read_them() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(timestamp(1_709_164_799_000_000_001), "2024-02-28T23:59:59.000000001Z");
        assert_eq!(timestamp(1_709_164_800_500_000_000), "2024-02-29T00:00:00.500000000Z");
        assert_eq!(timestamp(4_102_444_800_000_000_000), "2100-01-01T00:00:00.000000000Z");
    }
}
