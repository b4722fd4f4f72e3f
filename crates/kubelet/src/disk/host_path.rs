//! hostPath volumes: what must be there, or is made.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

pub(super) fn check(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    if path.components().any(|c| c == std::path::Component::ParentDir) {
        return Err(format!("invalid path {:?}: may not contain '..'", source.path));
    }
    let kind = source.type_.as_deref().unwrap_or_default();
    let failed = |text: String| format!("hostPath type check failed: {text}");
    match kind {
        "DirectoryOrCreate" if !path.exists() => return make_folder(path).map_err(|e| failed(e.to_string())),
        "FileOrCreate" if !path.exists() => return make_file(path).map_err(|e| failed(e.to_string())),
        _ => {}
    }
    let found = fs::metadata(path).map(|m| m.file_type()).ok();
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(test);
    let (is_right, what) = match kind {
        "" => return Ok(()),
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "file"),
        "Socket" => (is(FileTypeExt::is_socket), "socket file"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "block device"),
        other => return Err(failed(format!("{other} is an invalid volume type"))),
    };
    if is_right { Ok(()) } else { Err(failed(format!("{} is not a {what}", source.path))) }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn make_file(path: &Path) -> std::io::Result<()> {
    fs::File::create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}
