//! Finding and becoming the container's command, with errors in runc's words, for clients match them.

use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::sys;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

/// What every environment has, unless the pod says otherwise.
pub(super) struct Defaults<'a> {
    pub(super) home: &'a str,
    pub(super) hostname: &'a str,
    pub(super) has_terminal: bool,
}

impl Program {
    /// Looks the command up inside the container, as the container's user would.
    pub(super) fn find(args: &[String], env: &[(String, String)], defaults: &Defaults<'_>) -> Result<Program, String> {
        let env = environment(env, defaults);
        let name = args.first().map(String::as_str).unwrap_or_default();
        let search = env.iter().find(|pair| pair.0 == "PATH").map_or("", |pair| pair.1.as_str());
        let path = look_up(name, search)?;
        let c_string = |text: String| CString::new(text).map_err(|_| "an argument or environment variable holds a zero byte".to_string());
        Ok(Program {
            path: c_string(path)?,
            args: args.iter().cloned().map(c_string).collect::<Result<_, _>>()?,
            env: env.into_iter().map(|(name, value)| c_string(format!("{name}={value}"))).collect::<Result<_, _>>()?,
        })
    }

    /// Returns only with the reason why it could not.
    pub(super) fn run(&self) -> String {
        let error = sys::execve(&self.path, &self.args, &self.env);
        format!("exec {}: {}", self.path.to_string_lossy(), words(&error))
    }
}

fn environment(env: &[(String, String)], defaults: &Defaults<'_>) -> Vec<(String, String)> {
    // The last of several values counts, as with upstream's runtimes.
    let mut all: Vec<(String, String)> = Vec::with_capacity(env.len() + 4);
    for (name, value) in env {
        match all.iter_mut().find(|pair| pair.0 == *name) {
            Some(pair) => pair.1 = value.clone(),
            None => all.push((name.clone(), value.clone())),
        }
    }
    let terminal = defaults.has_terminal.then_some(("TERM", "xterm"));
    let more = [("PATH", DEFAULT_PATH), ("HOSTNAME", defaults.hostname), ("HOME", defaults.home)];
    for (name, value) in more.into_iter().chain(terminal) {
        if !all.iter().any(|pair| pair.0 == name) {
            all.push((name.to_string(), value.to_string()));
        }
    }
    all
}

fn look_up(name: &str, search: &str) -> Result<String, String> {
    if name.contains('/') {
        return match fs::metadata(name) {
            Err(error) => Err(format!("exec: \"{name}\": stat {name}: {}", words(&error))),
            Ok(found) if found.is_dir() => Err(format!("exec: \"{name}\": is a directory")),
            Ok(found) if !may_run(&found) => Err(format!("exec: \"{name}\": permission denied")),
            Ok(_) => Ok(name.to_string()),
        };
    }
    let candidates = search.split(':').map(|dir| if dir.is_empty() { "." } else { dir }).map(|dir| Path::new(dir).join(name));
    for candidate in candidates.filter(|_| !name.is_empty()) {
        if fs::metadata(&candidate).is_ok_and(|found| found.is_file() && may_run(&found)) {
            return Ok(candidate.to_string_lossy().into_owned());
        }
    }
    Err(format!("exec: \"{name}\": executable file not found in $PATH"))
}

fn may_run(found: &fs::Metadata) -> bool {
    found.permissions().mode() & 0o111 != 0
}

/// As Go prints them, without the number.
pub(super) fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_string(),
        ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => match error.raw_os_error() {
            Some(libc::ENOEXEC) => "exec format error".to_string(),
            Some(libc::E2BIG) => "argument list too long".to_string(),
            Some(libc::ENOTDIR) => "not a directory".to_string(),
            _ => error.to_string(),
        },
    }
}
