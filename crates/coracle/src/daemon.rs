//! One server a data folder: the lock that says so, and the words it sends when it is ready.
//!
//! The lock is a `flock` on `run/server.lock` whose content is the process id; it ends with the process, however it ends.
//! Readiness goes over `NOTIFY_SOCKET` in systemd's form, to a service manager and to `coracle up` alike.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;
use crate::options::Place;

/// A killed process is gone at once, but on a machine that has no time for it.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Held by the server for as long as it runs.
pub(crate) struct ServerLock(#[expect(dead_code, reason = "the lock ends when the file is closed")] File);

impl ServerLock {
    pub(crate) fn take(place: &Place) -> Result<Self, Failure> {
        let path = lock_path(place);
        let failed = |e: &std::io::Error| Failure::caused(format!("cannot lock `{}`", path.display()), e);
        fs::create_dir_all(place.run_dir()).map_err(|e| failed(&e).hint("run as root, or choose a folder with --data-dir"))?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(|e| failed(&e))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let pid = server_pid(place).map_or_else(|| "another process".to_owned(), |p| format!("process {}", p.as_raw_nonzero()));
            return Err(Failure::new(format!("cluster `{}` is already served by {pid}", place.name))
                .hint(format!("coracle status --name {}", place.name)));
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(|e| failed(&e))?;
        Ok(ServerLock(file))
    }
}

fn lock_path(place: &Place) -> PathBuf {
    place.run_dir().join("server.lock")
}

/// The process that serves this cluster now.
pub(crate) fn server_pid(place: &Place) -> Option<Pid> {
    let mut file = File::open(lock_path(place)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

/// Ends the server and waits until it is gone. True when there was one.
pub(crate) fn stop_server(place: &Place, patience: Duration) -> Result<bool, Failure> {
    let Some(pid) = server_pid(place) else { return Ok(false) };
    for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, KILL_PATIENCE)] {
        let _ = kill_process(pid, signal);
        let step = Duration::from_millis(20);
        for _ in 0..patience.as_millis() / step.as_millis() {
            if server_pid(place).is_none() {
                return Ok(true);
            }
            std::thread::sleep(step);
        }
    }
    Err(Failure::new(format!("process {} does not end", pid.as_raw_nonzero())).hint(format!("kill -9 {}", pid.as_raw_nonzero())))
}

/// Tells whoever started us how far we are; nobody listening is fine.
pub(crate) fn notify(message: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.send_to(message.as_bytes(), path);
    }
}

/// A server started in the background, and the socket on which it says how far it is.
pub(crate) struct Starting {
    child: Child,
    socket: UnixDatagram,
    socket_path: PathBuf,
}

/// Starts `coracle server` with the flags of this `up`, apart from the terminal, its output to the log file.
pub(crate) fn start_server(place: &Place, arguments: &[String]) -> Result<Starting, Failure> {
    let failed = |what: &str, e: &std::io::Error| Failure::caused(format!("cannot start the server: {what}"), e);
    fs::create_dir_all(place.run_dir())
        .map_err(|e| failed(&place.run_dir().display().to_string(), &e).hint("run as root, or choose a folder with --data-dir"))?;
    let log_path = place.log_file();
    let log = OpenOptions::new().create(true).append(true).open(&log_path).map_err(|e| failed(&log_path.display().to_string(), &e))?;
    let log_too = log.try_clone().map_err(|e| failed("log file", &e))?;
    let socket_path = place.run_dir().join(format!("up-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket_path);
    let socket = UnixDatagram::bind(&socket_path).map_err(|e| failed(&socket_path.display().to_string(), &e))?;
    let own = std::env::current_exe().map_err(|e| failed("own program", &e))?;
    let child = Command::new(own)
        .arg("server")
        .args(arguments)
        .env("NOTIFY_SOCKET", &socket_path)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map_err(|e| failed("process", &e))?;
    Ok(Starting { child, socket, socket_path })
}

impl Starting {
    /// Waits until the server says it is ready; `progress` gets each status line.
    pub(crate) fn wait_ready(mut self, place: &Place, patience: Duration, progress: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let step = Duration::from_millis(100);
        let _ = self.socket.set_read_timeout(Some(step));
        let mut last = "starting".to_owned();
        let mut buffer = [0u8; 4096];
        let mut steps_left = patience.as_millis() / step.as_millis();
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(n) => {
                    for line in String::from_utf8_lossy(&buffer[..n]).lines() {
                        if line == "READY=1" {
                            return Ok(());
                        }
                        if let Some(status) = line.strip_prefix("STATUS=") {
                            status.clone_into(&mut last);
                            progress(status);
                        }
                    }
                }
                Err(_) => steps_left = steps_left.saturating_sub(1),
            }
            let log = place.log_file();
            if let Ok(Some(exit)) = self.child.try_wait() {
                let (why, hint) = last_words(&log);
                let why = why.unwrap_or_else(|| exit.to_string());
                let hint = hint.unwrap_or_else(|| format!("less {}", log.display()));
                return Err(Failure::new(format!("the server ended while {last}: {why}")).hint(hint));
            }
            if steps_left == 0 {
                return Err(
                    Failure::new(format!("not ready after {} s, still {last}", patience.as_secs())).hint(format!("less {}", log.display()))
                );
            }
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket_path);
    }
}

/// Why the server ended, and what it advised, as `Failure` is written.
fn last_words(log: &std::path::Path) -> (Option<String>, Option<String>) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty()).peekable();
    let hint = lines.next_if(|line| line.starts_with("hint: ")).map(|line| line.trim_start_matches("hint: ").to_owned());
    (lines.next().map(|line| line.trim_start_matches("error: ").to_owned()), hint)
}
