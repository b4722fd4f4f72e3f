//! The merged files of a stage, to copy from and to look names up in: an overlay mount, or the one layer there is.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::Error;

const LINKS_MAX: usize = 40;

pub(crate) struct View {
    root: PathBuf,
    is_mount: bool,
}

impl View {
    /// `layers` are folders, the lowest first; `scratch` is a folder of the build's own.
    pub(crate) fn open(layers: &[PathBuf], scratch: &Path) -> Result<Self, Error> {
        let root = scratch.join("view");
        fs::create_dir_all(&root).map_err(|e| Error::File("create", root.clone(), e))?;
        match layers {
            [] => return Ok(View { root, is_mount: false }),
            [only] => return Ok(View { root: only.clone(), is_mount: false }),
            _ => {}
        }
        let open = |layer: &PathBuf| {
            openat(CWD, layer, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|e| Error::File("open", layer.clone(), e.into()))
        };
        let folders: Vec<OwnedFd> = layers.iter().rev().map(open).collect::<Result<_, _>>()?;
        // By descriptor, for mount(2) takes only a page of options.
        let names: Vec<String> = folders.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd())).collect();
        let options = std::ffi::CString::new(format!("lowerdir={}", names.join(":"))).expect("no zero bytes in it");
        mount("overlay", &root, "overlay", MountFlags::RDONLY, Some(options.as_c_str()))
            .map_err(|e| Error::File("mount the layers at", root.clone(), e.into()))?;
        Ok(View { root, is_mount: true })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where `path` really lies in the image, its links followed inside the image; parts that do not exist stay as they are.
    pub(crate) fn resolve(&self, path: &str) -> String {
        let mut pending: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            let here = self.root.join(done.join("/"));
            if let Ok(target) = fs::read_link(&here) {
                links += 1;
                if links > LINKS_MAX {
                    break;
                }
                done.pop();
                let target = target.to_string_lossy().into_owned();
                if target.starts_with('/') {
                    done.clear();
                }
                pending.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        done.join("/")
    }

    /// Where a file of that path is put: links on the way are followed, one of its own name is replaced.
    pub(crate) fn entry(&self, path: &str) -> String {
        let (folder, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        let folder = self.resolve(folder);
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    }

    pub(crate) fn is_folder(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok_and(|m| m.is_dir())
    }

    /// The numbers behind `user[:group]`, by the image's own files.
    pub(crate) fn owner(&self, text: &str) -> Result<(u32, u32), String> {
        let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
        let look_up = |file: &str, name: &str, column: usize| -> Result<u32, String> {
            if let Ok(number) = name.parse() {
                return Ok(number);
            }
            let table = fs::read_to_string(self.root.join(self.resolve(file))).unwrap_or_default();
            let row = table.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|row| row.first() == Some(&name));
            row.and_then(|row| row.get(column)?.parse().ok()).ok_or_else(|| format!("`{name}` is not in the image's {file}"))
        };
        let uid = look_up("/etc/passwd", user, 2)?;
        let gid = match group {
            Some(group) => look_up("/etc/group", group, 2)?,
            // Docker: a user alone, by number, owns with the same number as group.
            None => look_up("/etc/passwd", user, 3).unwrap_or(uid),
        };
        Ok((uid, gid))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.is_mount {
            let _ = unmount(&self.root, UnmountFlags::DETACH);
        }
    }
}
