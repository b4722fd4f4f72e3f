//! Files that change all at once, as upstream's `AtomicWriter` does it:
//!
//! ```text
//!   ..2026_01_02_15_04_05.123456789/   the files of one time
//!   ..data -> ..2026_…                 switched by a rename
//!   tls.crt -> ..data/tls.crt          what pods open; one link for each first part of a path
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use pod_plan::volume_files::Files;

use super::ownership::{self, Access};

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// Does nothing when the files are as they should be.
pub(super) fn write(folder: &Path, files: &Files, fs_group: Option<u32>, now: Timestamp) -> Result<(), String> {
    if let Some(bad) = files.keys().find(|path| !is_plain(path)) {
        return Err(format!("invalid path {bad:?}: must be relative and may not contain '..'"));
    }
    let said = |e: io::Error| format!("write {}: {e}", folder.display());
    let old = fs::read_link(folder.join(DATA)).ok();
    if let Some(old) = &old
        && is_current(&folder.join(old), files)
    {
        return link_all(folder, files).map_err(said);
    }
    let name = now.strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    let fresh = folder.join(&name);
    write_files(&fresh, files).map_err(said)?;
    if let Some(group) = fs_group {
        ownership::give_to_group(&fresh, group, Access::ReadOnly)?;
        ownership::give_root_to_group(folder, group)?;
    }
    let next = folder.join(DATA_NEXT);
    match fs::remove_file(&next) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(said(e)),
        _ => {}
    }
    symlink(&name, &next).map_err(said)?;
    fs::rename(&next, folder.join(DATA)).map_err(said)?;
    link_all(folder, files).map_err(said)?;
    unlink_stale(folder, files, &name).map_err(said)
}

fn is_plain(path: &str) -> bool {
    !path.is_empty() && !path.starts_with("..") && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

fn is_current(folder: &Path, files: &Files) -> bool {
    let is_same =
        |(path, file): (&String, &pod_plan::volume_files::File)| fs::read(folder.join(path)).is_ok_and(|content| content == file.content);
    count_files(folder).is_ok_and(|n| n == files.len()) && files.iter().all(is_same)
}

fn count_files(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

fn write_files(folder: &Path, files: &Files) -> io::Result<()> {
    const FOLDER_MODE: u32 = 0o755;
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))?;
    for (path, file) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
            for made in parent.ancestors().take_while(|p| *p != folder) {
                fs::set_permissions(made, fs::Permissions::from_mode(FOLDER_MODE))?;
            }
        }
        fs::write(&path, &file.content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

fn first_parts(files: &Files) -> BTreeSet<PathBuf> {
    files.keys().filter_map(|path| Path::new(path).components().next().map(|c| PathBuf::from(c.as_os_str()))).collect()
}

fn link_all(folder: &Path, files: &Files) -> io::Result<()> {
    for part in first_parts(files) {
        let link = folder.join(&part);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(&part), &link)?;
        }
    }
    Ok(())
}

fn unlink_stale(folder: &Path, files: &Files, current: &str) -> io::Result<()> {
    let wanted = first_parts(files);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        let is_old_data = entry.file_name().to_string_lossy().starts_with("..") && entry.file_type()?.is_dir();
        if is_old_data && name != Path::new(current) {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_type()?.is_symlink() && name != Path::new(DATA) && !wanted.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
