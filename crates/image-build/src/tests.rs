use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use oci_image::{Image, ImageStore, Reference};

use crate::{Build, Error, RunRequest, Runner, build};

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static N: AtomicUsize = AtomicUsize::new(0);
        let path = std::env::temp_dir().join(format!("coracle-build-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(path.join("context/sub")).unwrap();
        fs::create_dir_all(path.join("scratch")).unwrap();
        Scratch(path)
    }
    fn file(&self, name: &str, content: &str) {
        fs::write(self.0.join("context").join(name), content).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Plays the runtime: a RUN writes its arguments into a file.
struct Fake {
    store: ImageStore,
    steps: Vec<(String, bool)>,
    upper: PathBuf,
}

impl Runner for Fake {
    fn image(&mut self, name: &str) -> Result<Arc<Image>, oci_image::Error> {
        self.store.find(name).ok_or_else(|| oci_image::Error::NotFound(name.to_owned()))
    }
    fn run(&mut self, request: &RunRequest<'_>, keep: &mut dyn FnMut(&Path)) -> Result<i32, String> {
        fs::create_dir_all(&self.upper).map_err(|e| e.to_string())?;
        fs::write(self.upper.join("ran"), request.args.join("|")).map_err(|e| e.to_string())?;
        keep(&self.upper);
        Ok(i32::from(request.args.last().is_some_and(|a| a == "false")))
    }
    fn step(&mut self, _: usize, _: usize, text: &str, cached: bool) {
        self.steps.push((text.to_owned(), cached));
    }
}

fn run(scratch: &Scratch, dockerfile: &str, args: &[(&str, &str)]) -> (Result<Arc<Image>, Error>, Vec<(String, bool)>) {
    scratch.file("Dockerfile", dockerfile);
    let store = ImageStore::open(&scratch.0.join("store")).unwrap();
    let mut runner = Fake { store: store.clone(), steps: Vec::new(), upper: scratch.0.join("upper") };
    let (context, work) = (scratch.0.join("context"), scratch.0.join("scratch"));
    let request = Build {
        context: &context,
        dockerfile: &context.join("Dockerfile"),
        tags: vec![Reference::parse("out:1").unwrap()],
        args: args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        target: None,
        scratch: &work,
        now: Timestamp::UNIX_EPOCH,
    };
    let built = build(&store, &request, &mut runner);
    (built.map(|_| store.find("out:1").unwrap()), runner.steps)
}

fn read(image: &Image, path: &str) -> Option<String> {
    image.layers.iter().rev().find_map(|layer| fs::read_to_string(layer.join(path)).ok())
}

#[test]
fn a_whole_dockerfile_is_carried_out() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let scratch = Scratch::new();
    for (name, content) in [("app", "app"), ("sub/a.txt", "a"), ("sub/b.log", "b"), (".dockerignore", "*.log\n**/*.log\nDockerfile\n")] {
        scratch.file(name, content);
    }
    let dockerfile = "ARG BASE=scratch\nFROM scratch AS build\nCOPY sub /out/\nRUN [\"make\", \"it\"]\n\nFROM $BASE\nARG V=1\nENV A=x B=\"y $V\"\nWORKDIR /srv\nCOPY app .\nCOPY --from=build --chown=7:8 /out/ /data\nCOPY --from=build ran /ran\nLABEL k=v\nEXPOSE 80 53/udp\nUSER 5\nENTRYPOINT [\"/srv/app\"]\nCMD -x ${A}\n";
    let (image, _) = run(&scratch, dockerfile, &[("V", "2")]);
    let image = image.unwrap();
    assert_eq!(read(&image, "srv/app").as_deref(), Some("app"));
    assert_eq!((read(&image, "data/a.txt").as_deref(), read(&image, "data/b.log")), (Some("a"), None));
    assert_eq!(read(&image, "ran").as_deref(), Some("make|it"));
    let config = &image.config;
    assert_eq!(config.env.as_ref().unwrap().join(" "), "A=x B=y 2");
    assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "5"));
    assert_eq!(config.cmd.as_ref().unwrap().join(" "), "/bin/sh -c -x ${A}");
    assert_eq!(config.exposed_ports.as_ref().unwrap().keys().cloned().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);

    // Again: every layer is found; after a change only what follows it is made anew.
    let (_, steps) = run(&scratch, dockerfile, &[("V", "2")]);
    assert!(steps.iter().filter(|(t, _)| t.starts_with("COPY") || t.starts_with("RUN")).all(|(_, cached)| *cached), "{steps:?}");
    scratch.file("app", "app2");
    let (image, steps) = run(&scratch, dockerfile, &[("V", "2")]);
    assert_eq!(read(&image.unwrap(), "srv/app").as_deref(), Some("app2"));
    assert!(steps.iter().any(|(t, cached)| t.starts_with("COPY sub") && *cached));
}

/// As Docker does it: links to folders are followed, a link of the file's own name is replaced.
#[test]
fn a_copied_file_replaces_a_link() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let scratch = Scratch::new();
    scratch.file("app", "app");
    scratch.file("sub/a.txt", "a");
    for (link, target) in [("sub/link", "a.txt"), ("sub/folder", ".")] {
        std::os::unix::fs::symlink(target, scratch.0.join("context").join(link)).unwrap();
    }
    let (image, _) = run(&scratch, "FROM scratch\nCOPY sub /d/\nCOPY app /d/link\nCOPY app /d/folder/b\n", &[]);
    let image = image.unwrap();
    let shown = ["d/link", "d/a.txt", "d/b"].map(|path| read(&image, path).unwrap_or_default());
    assert_eq!(shown, ["app", "a", "app"]);
}

#[test]
fn faults_name_their_line() {
    let scratch = Scratch::new();
    for (dockerfile, fault) in [
        ("FROM scratch\nHEALTHCHECK NONE\n", "Dockerfile:2: HEALTHCHECK is not supported"),
        ("FROM scratch\nRUN --mount=type=cache,target=/x true\n", "Dockerfile:2: RUN --mount is not supported"),
        (
            "FROM scratch\n\nADD https://example.com/x /\n",
            "Dockerfile:3: ADD of `https://example.com/x`: only local files is not supported",
        ),
        ("FROM scratch\nCOPY nothing /\n", "Dockerfile:2: `nothing`: not found in the build context"),
        ("FROM scratch\nRUN false\n", "Dockerfile:2: `RUN false` ended with exit code 1"),
        ("FROM nobody/has-this:1\n", "nobody/has-this:1: not found"),
    ] {
        let (result, _) = run(&scratch, dockerfile, &[]);
        assert_eq!(result.err().map(|e| e.to_string()).as_deref(), Some(fault));
    }
}
