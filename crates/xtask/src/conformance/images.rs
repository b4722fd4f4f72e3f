//! The test images: made from package registries alone by the recipes in `tests/conformance/images`, kept in an image store of
//! their own in the cache, from which every run serves them.
//!
//! A recipe is a Dockerfile and the small files beside it; what a Dockerfile cannot make is put there first: programs of Go
//! modules, and programs of Debian packages with their libraries. An image is made again when its recipe or its base changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian::Tree;
use super::{FOLDER, busybox};
use crate::run::output;

struct Recipe {
    /// The suite's name for it, in upstream's `test/utils/image/manifest.go`; and what its pods are given, from there too.
    name: &'static str,
    reference: &'static str,
    /// In `tests/conformance/images`.
    folder: &'static str,
    /// What goes beside the Dockerfile.
    parts: &'static [Part],
}

enum Part {
    /// A program of the module that builds the suite: file, package, version it tells.
    Suite(&'static str, &'static str, &'static str),
    /// A program of a module of its own, with its own versions of everything: file, module, version.
    Module(&'static str, &'static str, &'static str),
    /// `pause`, which is C.
    Pause,
    /// A file of the suite's module.
    File(&'static str),
    /// `root/`: busybox under all its names, and the folders every system has.
    Root,
    /// `tools/`: files of Debian packages.
    Tools(&'static [&'static str]),
}

/// In an order in which each finds its base.
const RECIPES: &[Recipe] = &[
    Recipe { name: "Pause", reference: "registry.k8s.io/pause:3.10.2", folder: "pause", parts: &[Part::Pause] },
    Recipe { name: "BusyBox", reference: "registry.k8s.io/e2e-test-images/busybox:1.37.0-2", folder: "busybox", parts: &[Part::Root] },
    Recipe {
        name: "Agnhost",
        reference: "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
        folder: "agnhost",
        parts: &[
            Part::Suite("agnhost", "k8s.io/kubernetes/test/images/agnhost", "2.66.1"),
            Part::File("test/images/agnhost/porter/localhost.crt"),
            Part::File("test/images/agnhost/porter/localhost.key"),
            Part::Tools(&[
                "usr/bin/dig",
                "usr/bin/host",
                "usr/bin/nslookup",
                "usr/bin/curl",
                "usr/bin/iperf",
                "usr/bin/socat",
                "usr/bin/bash",
                "usr/bin/getent",
                "usr/bin/nc.openbsd",
                "usr/bin/ss",
                "usr/bin/ip",
                "usr/bin/ipcs",
                "etc/services",
                "etc/protocols",
            ]),
        ],
    },
    Recipe { name: "AgnhostPrev", reference: "registry.k8s.io/e2e-test-images/agnhost:2.55", folder: "agnhost-prev", parts: &[] },
    Recipe { name: "AgnhostPrivate", reference: "gcr.io/k8s-authenticated-test/agnhost:2.6", folder: "agnhost-private", parts: &[] },
    Recipe { name: "Nautilus", reference: "registry.k8s.io/e2e-test-images/nautilus:1.8", folder: "nautilus", parts: &[] },
    Recipe { name: "Kitten", reference: "registry.k8s.io/e2e-test-images/kitten:1.8", folder: "kitten", parts: &[] },
    Recipe {
        name: "Nginx",
        reference: "registry.k8s.io/e2e-test-images/nginx:1.27.0-2",
        folder: "nginx",
        parts: &[Part::Tools(&["usr/sbin/nginx", "etc/nginx/mime.types"])],
    },
    Recipe {
        name: "GlibcDnsTesting",
        reference: "registry.k8s.io/e2e-test-images/glibc-dns-testing:2.1.1",
        folder: "glibc-dns-testing",
        parts: &[Part::Tools(&[
            "usr/bin/dash",
            "usr/bin/bash",
            "usr/bin/seq",
            "usr/bin/test",
            "usr/bin/sleep",
            "usr/bin/cat",
            "usr/bin/ls",
            "usr/bin/echo",
            "usr/bin/hostname",
            "usr/bin/dig",
            "usr/bin/getent",
            "etc/services",
            "etc/protocols",
        ])],
    },
    Recipe {
        name: "Nonewprivs",
        reference: "registry.k8s.io/e2e-test-images/nonewprivs:1.4",
        folder: "nonewprivs",
        parts: &[Part::Suite("nnp", "k8s.io/kubernetes/test/images/nonewprivs", "")],
    },
    Recipe {
        name: "APIServer",
        reference: "registry.k8s.io/e2e-test-images/sample-apiserver:1.29.2",
        folder: "sample-apiserver",
        parts: &[Part::Module("sample-apiserver", "k8s.io/sample-apiserver", "v0.29.2")],
    },
    Recipe {
        name: "Etcd",
        reference: "registry.k8s.io/etcd:3.7.0-0",
        folder: "etcd",
        parts: &[Part::Module("etcd", "go.etcd.io/etcd/server/v3", "v3.7.0")],
    },
];

/// A data folder of coracle's that holds nothing but images.
pub(crate) fn store(cache: &Path) -> PathBuf {
    cache.join("images")
}

/// What is in the store, by the suite's names.
pub(crate) fn cached(coracle: &Path, cache: &Path) -> Result<BTreeSet<&'static str>, String> {
    let list = output(Command::new(coracle).args(["image", "ls"]).env("CORACLE_DATA_DIR", store(cache)))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let is_there = |reference: &str| list.lines().any(|line| line.split_whitespace().next() == Some(reference));
    Ok(RECIPES.iter().filter(|recipe| is_there(recipe.reference)).map(|recipe| recipe.name).collect())
}

/// Makes what is missing or out of date; from nothing about a quarter of an hour on two cores, most of it for three Go programs.
pub(crate) fn build(coracle: &Path, cache: &Path) -> Result<(), String> {
    let kitchen = Kitchen { coracle, store: store(cache), work: cache.join("images-work") };
    make_dir(&kitchen.work)?;
    let cached = cached(coracle, cache)?;
    // Bases stand before what builds on them. Programs are made again only when their own recipe changed.
    let mut changed = BTreeSet::new();
    for recipe in RECIPES {
        let stamp = kitchen.work.join(format!("{}.recipe", recipe.folder));
        let text = recipe.text()?;
        let is_prepared = fs::read_to_string(&stamp).is_ok_and(|made| made == text);
        let has_new_base = changed.iter().any(|base| text.contains(&format!("\nFROM {base}\n")));
        if is_prepared && !has_new_base && cached.contains(recipe.name) {
            continue;
        }
        println!("building the image {} …", recipe.reference);
        if !is_prepared {
            kitchen.prepare(recipe)?;
        }
        kitchen.make(recipe)?;
        fs::write(&stamp, &text).map_err(|e| format!("{}: {e}", stamp.display()))?;
        changed.insert(recipe.reference);
    }
    Ok(())
}

impl Recipe {
    fn folder(&self) -> PathBuf {
        Path::new(FOLDER).join("images").join(self.folder)
    }

    /// All that decides what comes of it.
    fn text(&self) -> Result<String, String> {
        let mut text = format!("{}\n", self.reference);
        for part in self.parts {
            text.push_str(&match part {
                Part::Suite(file, package, version) => format!("{file} {package} {version}\n"),
                Part::Module(file, module, version) => format!("{file} {module} {version}\n"),
                Part::Pause => "pause.c\n".to_owned(),
                Part::File(path) => format!("{path}\n"),
                Part::Root => format!("root {}\n", busybox::SUITE),
                Part::Tools(files) => format!("{}\n", files.join(" ")),
            });
        }
        for file in files_below(&self.folder())? {
            let content = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            text.push_str(&format!("== {}\n{content}", file.display()));
        }
        Ok(text)
    }
}

/// Where images are made.
struct Kitchen<'a> {
    coracle: &'a Path,
    store: PathBuf,
    work: PathBuf,
}

impl Kitchen<'_> {
    fn make(&self, recipe: &Recipe) -> Result<(), String> {
        let context = self.work.join(recipe.folder);
        output(Command::new(self.coracle).args(["build", "-t", recipe.reference]).arg(&context).env("CORACLE_DATA_DIR", &self.store))
            .map(drop)
    }

    /// Everything that the Dockerfile copies.
    fn prepare(&self, recipe: &Recipe) -> Result<(), String> {
        let context = self.work.join(recipe.folder);
        let _ = fs::remove_dir_all(&context);
        output(Command::new("cp").arg("-r").arg(recipe.folder()).arg(&context))?;
        for part in recipe.parts {
            self.put(part, &context)?;
        }
        Ok(())
    }

    fn put(&self, part: &Part, context: &Path) -> Result<(), String> {
        match part {
            Part::Suite(file, package, version) => {
                let flags = format!("-ldflags=-s -w -X main.Version={version}");
                output(go(Path::new(FOLDER)).args(["build", &flags, "-o"]).arg(context.join(file)).arg(package)).map(drop)
            }
            Part::Module(file, module, version) => {
                // Replacements in a module's own go.mod keep `go install` from it.
                let own = self.work.join(format!("module-{file}"));
                make_dir(&own)?;
                if !own.join("go.mod").exists() {
                    output(go(&own).args(["mod", "init", "coracle.dev/image"]))?;
                }
                output(go(&own).args(["get", &format!("{module}@{version}")]))?;
                output(go(&own).args(["build", "-mod=mod", "-ldflags=-s -w", "-o"]).arg(context.join(file)).arg(module)).map(drop)
            }
            Part::Pause => {
                let source = suite_module()?.join("build/pause/linux/pause.c");
                output(Command::new("cc").args(["-Os", "-static", "-s", "-o"]).arg(context.join("pause")).arg(source)).map(drop)
            }
            Part::File(path) => {
                let source = suite_module()?.join(path);
                let target = context.join(source.file_name().expect("a file has a name"));
                fs::copy(&source, target).map(drop).map_err(|e| format!("{}: {e}", source.display()))
            }
            Part::Root => make_root(&busybox::program(&self.work)?, &context.join("root")),
            Part::Tools(files) => {
                let root = context.join("tools");
                Tree::open(&self.work)?.pick(files, &root)?;
                let nc = root.join("usr/bin/nc.openbsd");
                if nc.exists() { link("nc.openbsd", &root.join("usr/bin/nc")) } else { Ok(()) }
            }
        }
    }
}

/// `/bin` and its like are links, so that any path of a tool works.
fn make_root(busybox: &Path, root: &Path) -> Result<(), String> {
    for folder in [
        "dev",
        "proc",
        "sys",
        "etc",
        "run",
        "home",
        "root",
        "var/log",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "usr/local/bin",
        "tmp",
        "var/tmp",
    ] {
        make_dir(&root.join(folder))?;
    }
    for folder in ["tmp", "var/tmp"] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        fs::set_permissions(root.join(folder), open).map_err(|e| format!("{folder}: {e}"))?;
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        link(&format!("usr/{folder}"), &root.join(folder))?;
    }
    fs::copy(busybox, root.join("usr/bin/busybox")).map_err(|e| format!("{}: {e}", busybox.display()))?;
    let applets = output(Command::new(busybox).arg("--list"))?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|applet| *applet != "busybox") {
        link("busybox", &root.join("usr/bin").join(applet))?;
    }
    Ok(())
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.arg("-C").arg(folder).env("CGO_ENABLED", "0").env("GOFLAGS", "-trimpath -buildvcs=false");
    command
}

/// Where Go keeps the sources of the suite.
fn suite_module() -> Result<PathBuf, String> {
    let output = output(go(Path::new(FOLDER)).args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

fn make_dir(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn link(target: &str, path: &Path) -> Result<(), String> {
    std::os::unix::fs::symlink(target, path).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_a_spec_has_a_recipe() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
        let specs = super::super::reading::specs(&folder).expect("specs.tsv");
        for image in specs.iter().flat_map(|spec| &spec.images) {
            assert!(RECIPES.iter().any(|recipe| recipe.name == image), "{image}");
        }
        for recipe in RECIPES {
            let dockerfile = fs::read_to_string(folder.join("images").join(recipe.folder).join("Dockerfile")).expect(recipe.folder);
            let base = dockerfile.lines().find_map(|line| line.strip_prefix("FROM ")).expect("FROM");
            let before = RECIPES.iter().take_while(|r| r.name != recipe.name);
            assert!(base == "scratch" || before.map(|r| r.reference).any(|r| r == base), "{}: {base}", recipe.folder);
        }
    }
}
