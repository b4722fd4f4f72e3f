//! Programs of Debian packages with the libraries they need, without installing anything: the packages that the host's own apt
//! sources offer are unpacked into one tree, from which files are picked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::output;

/// Whatever any image takes a file from; apt adds what these depend on.
const PACKAGES: &[&str] = &[
    "netbase",
    "libc-bin",
    "dash",
    "bash",
    "coreutils",
    "hostname",
    "util-linux",
    "bind9-dnsutils",
    "bind9-host",
    "curl",
    "netcat-openbsd",
    "iproute2",
    "iperf",
    "socat",
    "nginx",
];

pub(crate) struct Tree(PathBuf);

impl Tree {
    /// Fetches and unpacks, once.
    pub(crate) fn open(work: &Path) -> Result<Self, String> {
        let tree = Tree(work.join("debian"));
        if tree.0.exists() {
            return Ok(tree);
        }
        println!("fetching Debian packages …");
        let apt = work.join("apt");
        prepare(&apt)?;
        output(apt_get(&apt).arg("update"))?;
        output(apt_get(&apt).args(["install", "-y", "--download-only"]).args(PACKAGES))?;
        let partial = work.join("debian.partial");
        let _ = fs::remove_dir_all(&partial);
        // Programs, libraries and their links in one place each, as merged Debian systems have it.
        for folder in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(partial.join("usr").join(folder)).map_err(|e| format!("{}: {e}", partial.display()))?;
            std::os::unix::fs::symlink(format!("usr/{folder}"), partial.join(folder)).map_err(|e| format!("{}: {e}", partial.display()))?;
        }
        for package in fs::read_dir(apt.join("archives")).map_err(|e| format!("{}: {e}", apt.display()))?.flatten() {
            if package.path().extension().is_some_and(|e| e == "deb") {
                let unpack = r#"dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --keep-directory-symlink --no-same-owner"#;
                output(Command::new("sh").args(["-ec", unpack]).arg(package.path()).arg(&partial))?;
            }
        }
        fs::rename(&partial, &tree.0).map_err(|e| format!("{}: {e}", tree.0.display()))?;
        Ok(tree)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Copies files and the libraries their loader finds for them.
    pub(crate) fn pick(&self, files: &[&str], root: &Path) -> Result<(), String> {
        let loader = "usr/lib64/ld-linux-x86-64.so.2";
        for file in files {
            self.copy(file, root)?;
            // The loader refuses scripts and static programs, which have no libraries.
            let listed = Command::new(self.path(loader))
                .arg("--library-path")
                .arg(self.path("usr/lib/x86_64-linux-gnu"))
                .arg("--list")
                .arg(self.path(file))
                .output()
                .map_err(|e| format!("{loader}: {e}"))?;
            for library in libraries(&String::from_utf8_lossy(&listed.stdout), &self.0)? {
                self.copy(&library, root)?;
            }
        }
        self.copy(loader, root)
    }

    fn copy(&self, file: &str, root: &Path) -> Result<(), String> {
        let target = root.join(file);
        let folder = target.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        fs::copy(self.path(file), &target).map(drop).map_err(|e| format!("{file} of the Debian packages: {e}"))
    }
}

/// Folders of apt's own. An empty status: nothing counts as installed, so that whole closures are fetched, also what the host has.
pub(crate) fn prepare(apt: &Path) -> Result<(), String> {
    for folder in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(apt.join(folder)).map_err(|e| format!("{}: {e}", apt.display()))?;
    }
    fs::write(apt.join("status"), "").map_err(|e| format!("{}: {e}", apt.display()))
}

pub(crate) fn apt_get(apt: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let folder = |option: &str, name: &str| format!("{option}={}", apt.join(name).display());
    command.args(["-q", "-o", "APT::Install-Recommends=0", "-o", "Debug::NoLocking=1", "-o", "Acquire::Languages=none"]);
    command.args(["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root"]);
    for (option, name) in [("Dir::State::lists", "lists"), ("Dir::State::status", "status"), ("Dir::Cache::archives", "archives")] {
        command.args(["-o", &folder(option, name)]);
    }
    command
}

/// Paths below the tree, of the lines `name => path (address)`.
fn libraries(listed: &str, tree: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for line in listed.lines() {
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        let path = rest.split(' ').next().unwrap_or("");
        if path == "not" {
            return Err(format!("library {name} is in none of the Debian packages"));
        }
        let below = Path::new(path).strip_prefix(tree).unwrap_or(Path::new(path.trim_start_matches('/')));
        if !below.to_string_lossy().contains("ld-linux") {
            found.push(below.display().to_string());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listed: &str, expected: Result<&[&str], &str>) {
        let expected = expected.map(|files| files.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>()).map_err(str::to_owned);
        assert_eq!(libraries(listed, Path::new("/tree")), expected);
    }

    #[test]
    fn libraries_are_read_from_the_loader() {
        let listed = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /tree/usr/lib/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 => /tree/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        check(listed, Ok(&["usr/lib/libc.so.6"]));
        check("\tlibx.so => not found\n", Err("library libx.so is in none of the Debian packages"));
        check("", Ok(&[]));
    }
}
