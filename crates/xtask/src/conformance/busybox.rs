//! BusyBox, of its own default configuration. Debian's program is configured otherwise: its shell runs applets in place of programs
//! of the same name and loses variables that are no names, and specs notice both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian::{apt_get, prepare};
use crate::run::output;

/// The Debian suite whose source is of upstream's version.
pub(crate) const SUITE: &str = "trixie";

/// In an empty folder that holds the source archive. Left out is what needs old kernel headers or a new assembler.
const MAKE: &str = r#"
mkdir source
tar -xf busybox_*.orig.tar.* -C source --strip-components=1
cd source
export KCONFIG_NOTIMESTAMP=1
make defconfig
for option in TC SHA1_HWACCEL SHA256_HWACCEL; do sed -i "s/^CONFIG_$option=y/# CONFIG_$option is not set/" .config; done
sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' .config
make oldconfig </dev/null
make -j "$(nproc)" busybox
"#;

/// Fetches and compiles, once: minutes.
pub(crate) fn program(work: &Path) -> Result<PathBuf, String> {
    let folder = work.join(format!("busybox-{SUITE}"));
    let program = folder.join("source/busybox");
    if program.exists() {
        return Ok(program);
    }
    println!("compiling BusyBox …");
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let _ = fs::remove_dir_all(&folder);
    let apt = folder.join("apt");
    prepare(&apt)?;
    // The archive that this host's own apt uses.
    output(apt_get(&apt).arg("update"))?;
    let known = output(apt_get(&apt).args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]))?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    let archive = known.lines().next().ok_or("apt's sources name no archive of Debian, from which BusyBox would come")?;
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let list = apt.join("sources.list");
    fs::write(&list, format!("deb-src [signed-by={key}] {archive} {SUITE} main\n")).map_err(failed)?;
    let apt_get = || {
        let mut command = apt_get(&apt);
        command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", list.display())).args(["-o", "Dir::Etc::sourceparts=/dev/null"]);
        command
    };
    output(apt_get().arg("update"))?;
    output(apt_get().args(["source", "--download-only", "busybox"]).current_dir(&folder))?;
    output(Command::new("sh").args(["-ec", MAKE]).current_dir(&folder))?;
    Ok(program)
}
