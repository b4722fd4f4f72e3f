//! One boot of the guest, watched line by line on its serial console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::image::Image;

pub(super) struct Machine {
    pub(super) image: Image,
}

#[derive(Clone, Copy)]
pub(super) struct Boot<'a> {
    /// A script in `tests/guest`.
    pub(super) story: &'a str,
    /// More for the kernel's command line.
    pub(super) options: &'a str,
    /// What outlives the guest, mounted at `/data`.
    pub(super) disk: &'a Path,
    pub(super) time_max: Duration,
}

/// What to do after a line.
#[derive(PartialEq, Eq)]
pub(super) enum Watched {
    GoOn,
    CutThePower,
}

/// Goes with whoever started it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    /// Runs until the guest powers itself off or is cut off; answers everything it said.
    pub(super) fn boot(&self, boot: &Boot<'_>, mut watch: impl FnMut(&str) -> Watched) -> Result<Vec<String>, String> {
        let mut guest = Running(self.command(boot).spawn().map_err(|e| format!("qemu-system-x86_64: {e}"))?);
        let console = guest.0.stdout.take().ok_or("qemu has no console")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // Bytes that are no text come from firmware.
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let deadline = Instant::now() + boot.time_max;
        let mut lines = Vec::new();
        loop {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let next = watch(&line);
                    lines.push(line);
                    if next == Watched::CutThePower {
                        drop(guest);
                        lines.extend(receiver.iter());
                        // The last line may have been cut off in its middle; it ends like a whole one only if it is whole.
                        return Ok(lines);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(lines),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!("not done after {:?}; the console ends:\n{}", boot.time_max, super::end_of(&lines)));
                }
            }
        }
    }

    fn command(&self, boot: &Boot<'_>) -> Command {
        let drive = |path: &Path, mode: &str| format!("file={},if=virtio,format=raw,{mode}", path.display());
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1536", "-smp", "2"]);
        command.arg("-kernel").arg(&self.image.kernel).arg("-initrd").arg(&self.image.initrd);
        // On a busy machine the emulated timer may be too late for the kernel's check of it.
        command.args(["-append", &format!("console=ttyS0 quiet loglevel=3 panic=-1 no_timer_check story={} {}", boot.story, boot.options)]);
        // The root is the same for every boot; what a guest writes there is gone with it.
        command.args(["-drive", &drive(&self.image.root, "snapshot=on")]);
        command.args(["-drive", &drive(boot.disk, "cache=writeback")]);
        command.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}
