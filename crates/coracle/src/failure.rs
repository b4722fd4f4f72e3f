//! What a command says when it could not do its job: what, why, and the next thing to type.

use std::fmt::Write as _;

/// A person reads it: a text, the chain of causes, a hint. Exit code 2 for wrong use, 1 for everything else.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    hint: Option<String>,
    is_usage: bool,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Failure { text: text.into(), hint: None, is_usage: false }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Failure { text: text.into(), hint: None, is_usage: true }
    }

    /// `what`, followed by every cause of `error`.
    pub(crate) fn caused(what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut text = what.into();
        let mut cause = Some(error);
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        Failure::new(text)
    }

    /// The next command to type.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn exit_code(&self) -> u8 {
        if self.is_usage { 2 } else { 1 }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.text)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
