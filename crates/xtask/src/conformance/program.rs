//! The suite, its runner and kubectl: built once from the module in `tests/conformance`, kept outside the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::FOLDER;

const VERSION: &str = "1.37.1";
const CACHE_VARIABLE: &str = "CORACLE_CONFORMANCE_CACHE";

pub(crate) struct Programs {
    pub(crate) suite: PathBuf,
    pub(crate) ginkgo: PathBuf,
    pub(crate) kubectl: PathBuf,
}

/// A folder for this version of the suite.
pub(crate) fn cache() -> Result<PathBuf, String> {
    let root = std::env::var_os(CACHE_VARIABLE)
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/coracle-conformance")))
        .ok_or_else(|| format!("no home directory to keep the suite in; set {CACHE_VARIABLE}"))?;
    Ok(root.join(VERSION))
}

impl Programs {
    fn at(cache: &Path) -> Result<Self, String> {
        let suite = cache.join(format!("e2e-{}.test", sources()?));
        Ok(Programs { suite, ginkgo: cache.join("ginkgo"), kubectl: cache.join("kubectl") })
    }

    pub(crate) fn are_cached(cache: &Path) -> Result<bool, String> {
        let Programs { suite, ginkgo, kubectl } = Programs::at(cache)?;
        Ok([suite, ginkgo, kubectl].iter().all(|program| program.exists()))
    }

    /// Builds what is missing; from nothing about a quarter of an hour on two cores.
    pub(crate) fn build(cache: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(cache).map_err(|e| format!("{}: {e}", cache.display()))?;
        let programs = Programs::at(cache)?;
        // Specs and kubectl read their own version.
        let numbers: Vec<&str> = VERSION.split('.').collect();
        let base = "k8s.io/component-base/version";
        let flags =
            format!("-ldflags=-s -w -X {base}.gitVersion=v{VERSION} -X {base}.gitMajor={} -X {base}.gitMinor={}", numbers[0], numbers[1]);
        make(&programs.suite, &["test", "-vet=off", "-c", &flags], ".")?;
        make(&programs.ginkgo, &["build", "-ldflags=-s -w"], "github.com/onsi/ginkgo/v2/ginkgo")?;
        make(&programs.kubectl, &["build", &flags], "k8s.io/kubernetes/cmd/kubectl")?;
        Ok(programs)
    }
}

/// A name for what the suite is built of, so that a changed suite is another program.
fn sources() -> Result<String, String> {
    let folder = std::fs::read_dir(FOLDER).map_err(|e| format!("{FOLDER}: {e}"))?;
    let mut files: Vec<PathBuf> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| ["go", "mod", "sum"].iter().any(|e| end == *e)));
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?);
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}

fn make(target: &Path, arguments: &[&str], package: &str) -> Result<(), String> {
    if target.exists() {
        return Ok(());
    }
    println!("building {} …", target.display());
    // Under another name until it is whole: an interrupted build must not look like a program.
    let partial = target.with_extension("partial");
    let status = Command::new("go").args(["-C", FOLDER]).args(arguments).arg("-o").arg(&partial).arg(package).status();
    match status {
        Ok(status) if status.success() => std::fs::rename(&partial, target).map_err(|e| format!("{}: {e}", target.display())),
        Ok(status) => Err(format!("go {} {package} ended with {status}", arguments[0])),
        Err(error) => Err(format!("go cannot be run: {error}; the suite is built with Go 1.26")),
    }
}
