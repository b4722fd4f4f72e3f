//! `coracle build`: a Dockerfile into the host's image store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image_build::{Build, RunRequest, Runner};
use object::time::Clock;
use oci_image::{Image, ImageStore, Reference, Registries};

use crate::cli::BuildFlags;
use crate::commands::image;
use crate::failure::Failure;
use crate::options::Place;
use crate::registries;
use crate::run_in_container;
use crate::say;

pub(crate) fn run(flags: &BuildFlags) -> Result<(), Failure> {
    let place = Place::of(&flags.which)?;
    let store = image::open(&place)?;
    let registries = registries::load(&place)?;
    let mut tags = Vec::new();
    for tag in &flags.tags {
        tags.push(Reference::parse(tag).map_err(|e| Failure::usage(format!("--tag: {e}")))?);
    }
    let args = flags.build_args.iter().map(|arg| pair(arg)).collect::<Result<BTreeMap<_, _>, _>>()?;
    let scratch = Scratch::new(&place)?;
    let dockerfile = flags.file.clone().unwrap_or_else(|| flags.context.join("Dockerfile"));
    let request = Build {
        context: &flags.context,
        dockerfile: &dockerfile,
        tags,
        args,
        target: flags.target.clone(),
        scratch: &scratch.0,
        now: Clock::system().now(),
    };
    let mut runner = HostRunner { place: place.clone(), store: store.clone(), registries: registries.clone() };
    let built = image_build::build(&store, &request, &mut runner).map_err(|e| Failure::new(e.to_string()))?;
    say!("{}", built.id);
    for tag in flags.tags.iter().filter(|_| flags.push) {
        crate::block_on(store.push(tag, &registries, &[], &image::progress()))?
            .map_err(|e| Failure::new(format!("built, but not pushed: {e}")).hint(format!("coracle image push {tag}")))?;
        eprintln!("pushed {tag}");
    }
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => std::env::var(text)
            .map(|value| (text.to_owned(), value))
            .map_err(|_| Failure::usage(format!("--build-arg `{text}`: no value, and no such variable"))),
    }
}

/// A folder that goes when the build ends, however it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(place: &Place) -> Result<Self, Failure> {
        let path = place.images_dir().join(format!("build-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| Failure::caused(format!("cannot create `{}`", path.display()), &e))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct HostRunner {
    place: Place,
    store: ImageStore,
    registries: Registries,
}

impl Runner for HostRunner {
    fn image(&mut self, name: &str) -> Result<Arc<Image>, oci_image::Error> {
        if let Some(image) = self.store.find(name) {
            return Ok(image);
        }
        crate::block_on(self.store.pull(name, &self.registries, &[], &image::progress()))
            .map_err(|e| oci_image::Error::NotFound(e.to_string()))?
    }

    fn run(&mut self, request: &RunRequest<'_>, keep: &mut dyn FnMut(&Path)) -> Result<i32, String> {
        crate::block_on(run_in_container::run(&self.place, request, keep)).map_err(|e| e.to_string())?
    }

    fn step(&mut self, number: usize, count: usize, text: &str, cached: bool) {
        eprintln!("[{number}/{count}] {text}{}", if cached { "  (unchanged)" } else { "" });
    }
}
