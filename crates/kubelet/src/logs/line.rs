//! One line of a log.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Cut out of the file's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line<'a> {
    /// As it is written, with nanoseconds.
    pub(crate) time: &'a str,
    pub(crate) stream: Stream,
    is_partial: bool,
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// `bytes` ends with a newline. `None` for what no runtime wrote.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut words = bytes.splitn(4, |b| *b == b' ');
        let time = std::str::from_utf8(words.next()?).ok()?;
        let stream = match words.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let is_partial = words.next()?.starts_with(b"P");
        Some(Line { time, stream, is_partial, rest: words.next()? })
    }

    /// With its newline, unless the line goes on.
    pub(crate) fn text(&self) -> &'a [u8] {
        match self.rest.split_last() {
            Some((b'\n', text)) if self.is_partial => text,
            _ => self.rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        let line = Line::parse(b"2026-01-02T15:04:05.000000001Z stdout F a b \n").unwrap();
        assert_eq!((line.time, line.stream, line.text()), ("2026-01-02T15:04:05.000000001Z", Stream::Stdout, &b"a b \n"[..]));
        let line = Line::parse(b"2026-01-02T15:04:05.000000001Z stderr P half\n").unwrap();
        assert_eq!((line.stream, line.text()), (Stream::Stderr, &b"half"[..]));
        assert_eq!(Line::parse(b"2026-01-02T15:04:05Z stdout F \n").unwrap().text(), b"\n");
        assert_eq!(Line::parse(b"nonsense\n"), None);
    }
}
