//! Rotation: a log that has grown too large is moved aside and a new one begun; only the newest few are kept.
//!
//! Upstream: `containerLogMaxSize` 10Mi, `containerLogMaxFiles` 5. Upstream also packs old parts; here they stay plain, for they
//! are small and packing costs more than it saves.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use oci_runtime::runtime::Runtime;
use oci_runtime::status::{ContainerState, ContainerStatus};

const LOG_BYTES_MAX: u64 = 10 << 20;
/// With the one being written.
const FILES_MAX: usize = 5;
/// Upstream looks as often.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// One look at all running containers' logs.
pub(crate) async fn rotate_all(runtime: &dyn Runtime, now: Timestamp) {
    for status in runtime.list_containers() {
        let is_running = matches!(status.state, ContainerState::Running { .. });
        if is_running
            && is_too_large(&status.log_path)
            && let Err(e) = rotate(runtime, &status, now).await
        {
            tracing::warn!(path = %status.log_path.display(), error = e, "cannot rotate a log");
        }
    }
}

fn is_too_large(log: &Path) -> bool {
    std::fs::metadata(log).is_ok_and(|m| m.len() > LOG_BYTES_MAX)
}

async fn rotate(runtime: &dyn Runtime, status: &ContainerStatus, now: Timestamp) -> Result<(), String> {
    let log = &status.log_path;
    let parts = super::parts(log);
    let rotated = parts.iter().filter(|p| *p != log);
    let n_rotated = rotated.clone().count();
    for old in rotated.take(n_rotated.saturating_sub(FILES_MAX - 2)) {
        std::fs::remove_file(old).map_err(|e| e.to_string())?;
    }
    let mut aside = log.as_os_str().to_owned();
    aside.push(now.strftime(".%Y%m%d-%H%M%S").to_string());
    std::fs::rename(log, &aside).map_err(|e| e.to_string())?;
    if let Err(e) = runtime.reopen_container_log(&status.id).await {
        // Put back, so that readers find what is still being written.
        let _ = std::fs::rename(&aside, log);
        return Err(e.to_string());
    }
    Ok(())
}
