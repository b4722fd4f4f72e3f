//! Which controllers run, said as kube-controller-manager's `--controllers` says it.

/// All there are; a test holds the list against the rows.
pub const NAMES: &[&str] = &[
