//! What a guest boots from: Debian's kernel with the modules that its root disk needs, and a root of busybox, coracle, kubectl and
//! the stories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::done;

const FOLDER: &str = "target/guest";
const STORIES: &str = "tests/guest";
/// A program and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] =
    &[("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("cpio", "cpio"), ("mke2fs", "e2fsprogs")];
/// Names Debian's kernel package of the day.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
/// What the root disk needs; what they need in turn is looked up.
const ROOT_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];
const DISK_SIZE: &str = "2G";

const INITRD_INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
until [ -b /dev/vda ] && [ -b /dev/vdb ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /init
";

pub(super) struct Image {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) root: PathBuf,
}

/// Why there can be no guest here. Installs what is missing where it may.
pub(super) fn lack() -> Option<String> {
    if std::env::consts::ARCH != "x86_64" || !Path::new("/usr/bin/apt-get").exists() {
        return Some("a guest needs Debian on x86-64, for its kernel package".to_owned());
    }
    let packages: Vec<&str> = PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return None;
    }
    let _ = Command::new("apt-get").args(["update", "-q"]).stdout(Stdio::null()).status();
    let installed = Command::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends"]).args(&packages).status();
    (!installed.is_ok_and(|status| status.success())).then(|| format!("a guest needs the packages {}", packages.join(", ")))
}

pub(super) fn find(program: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists())
}

pub(super) fn build(coracle: &Path) -> Result<Image, String> {
    let folder = std::path::absolute(FOLDER).map_err(|e| format!("{FOLDER}: {e}"))?;
    let unpacked = folder.join("kernel");
    if !unpacked.join("boot").exists() {
        fetch_kernel(&unpacked)?;
    }
    let kernel = entry(&unpacked.join("boot"), "vmlinuz-")?;
    let modules = entry(&unpacked.join("lib/modules"), "")?;
    let version = modules.file_name().unwrap_or_default().to_owned();
    if !modules.join("modules.dep").exists() {
        let busybox = busybox()?;
        done(Command::new(busybox).args(["depmod", "-b"]).arg(&unpacked).arg(&version))?;
    }
    let image = Image { kernel, initrd: folder.join("initrd"), root: folder.join("root.img") };
    build_initrd(&folder.join("initrd.d"), &modules, &image.initrd)?;
    build_root(&folder.join("root.d"), &unpacked, coracle, &image.root)?;
    Ok(image)
}

impl Image {
    /// A new disk for what shall outlive a guest.
    pub(super) fn disk(&self) -> Result<PathBuf, String> {
        let path = self.root.with_file_name("data.img");
        let _ = fs::remove_file(&path);
        done(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&path).arg(DISK_SIZE))?;
        Ok(path)
    }
}

fn fetch_kernel(unpacked: &Path) -> Result<(), String> {
    let depends = Command::new("apt-cache").args(["depends", KERNEL_PACKAGE]).output().map_err(|e| format!("apt-cache: {e}"))?;
    let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ").filter(|name| name.starts_with("linux-image")));
    let package = package.ok_or_else(|| format!("apt-cache does not know {KERNEL_PACKAGE}; `apt-get update` may help"))?;
    let downloads = anew(&unpacked.with_file_name("downloads"))?;
    done(Command::new("apt-get").args(["download", "-q", package]).current_dir(&downloads))?;
    let partial = anew(&unpacked.with_file_name("kernel.partial"))?;
    done(Command::new("dpkg").arg("-x").arg(entry(&downloads, "linux-image")?).arg(&partial))?;
    let _ = fs::remove_dir_all(unpacked);
    fs::rename(&partial, unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))
}

fn build_initrd(dir: &Path, modules: &Path, initrd: &Path) -> Result<(), String> {
    anew(dir)?;
    for folder in ["bin", "dev", "modules", "root"] {
        fs::create_dir(dir.join(folder)).map_err(|e| format!("{folder}: {e}"))?;
    }
    copy(&busybox()?, &dir.join("bin/busybox"))?;
    write_program(&dir.join("init"), INITRD_INIT)?;
    let dependencies = read(&modules.join("modules.dep"))?;
    let mut order = Vec::new();
    for module in ROOT_MODULES {
        for path in with_what_it_needs(&dependencies, module) {
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            if !order.contains(&name) {
                copy(&modules.join(path), &dir.join("modules").join(&name))?;
                order.push(name);
            }
        }
    }
    write(&dir.join("modules/order"), &order.join("\n"))?;
    let packed = fs::File::create(initrd).map_err(|e| format!("{}: {e}", initrd.display()))?;
    done(Command::new("sh").args(["-c", "find . | cpio --quiet -o -H newc"]).current_dir(dir).stdout(packed))
}

/// The lines are `module: what it needs`, the deepest need last. A module that is built in has no line.
fn with_what_it_needs<'a>(dependencies: &'a str, module: &str) -> Vec<&'a str> {
    let file = format!("/{module}.ko");
    let line = dependencies.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| path.ends_with(&file));
    let Some((path, needs)) = line else { return Vec::new() };
    needs.split_whitespace().rev().chain([path]).collect()
}

fn build_root(dir: &Path, unpacked: &Path, coracle: &Path, root: &Path) -> Result<(), String> {
    anew(dir)?;
    for folder in ["bin", "sbin", "usr/bin", "etc", "dev", "proc", "sys", "run", "tmp", "root", "var", "data", "box", "stories", "lib"] {
        fs::create_dir_all(dir.join(folder)).map_err(|e| format!("{folder}: {e}"))?;
    }
    let busybox = busybox()?;
    copy(&busybox, &dir.join("bin/busybox"))?;
    copy(&busybox, &dir.join("box/busybox"))?;
    write(
        &dir.join("box/Dockerfile"),
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n",
    )?;
    // With `-s` the links are made relative to nothing: they name the path in the guest.
    let applets = Command::new(&busybox).arg("--list-full").output().map_err(|e| format!("busybox: {e}"))?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        let link = dir.join(applet);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent).map_err(|e| format!("{applet}: {e}"))?;
        }
        if !link.exists() {
            std::os::unix::fs::symlink("/bin/busybox", &link).map_err(|e| format!("{applet}: {e}"))?;
        }
    }
    copy(coracle, &dir.join("bin/coracle"))?;
    copy(&Path::new(crate::clients::CLIENTS).join("kubectl"), &dir.join("bin/kubectl"))?;
    for story in fs::read_dir(STORIES).map_err(|e| format!("{STORIES}: {e}"))?.flatten() {
        copy(&story.path(), &dir.join("stories").join(story.file_name()))?;
    }
    write_program(&dir.join("init"), &read(&Path::new(STORIES).join("init"))?)?;
    write(&dir.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    write(&dir.join("etc/group"), "root:x:0:\n")?;
    write(&dir.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    done(Command::new("cp").arg("-a").arg(unpacked.join("lib/modules")).arg(dir.join("lib")))?;
    let _ = fs::remove_file(root);
    done(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(dir).arg(root).arg("1G"))
}

fn busybox() -> Result<PathBuf, String> {
    find("busybox").ok_or_else(|| "busybox is not installed".to_owned())
}

fn anew(dir: &Path) -> Result<PathBuf, String> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir.to_owned())
}

/// The first entry whose name begins so.
fn entry(dir: &Path, begin: &str) -> Result<PathBuf, String> {
    let mut entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?.flatten();
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(begin));
    found.map(|entry| entry.path()).ok_or_else(|| format!("{}: nothing begins with `{begin}`", dir.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn write_program(path: &Path, text: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|e| format!("{}: {e}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))
}
