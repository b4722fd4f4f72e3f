//! Container log files: removing them with their rotated parts.

use std::path::Path;

/// The log and what rotation made of it: `0.log`, `0.log.20260101-000000`, `….gz`.
pub(crate) fn remove(log: &Path) {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else { return };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|n| n == name || n.strip_prefix(name).is_some_and(|r| r.starts_with('.')));
        if is_ours && let Err(e) = std::fs::remove_file(entry.path()) {
            tracing::debug!(path = %entry.path().display(), error = %e, "cannot remove a log");
        }
    }
}
