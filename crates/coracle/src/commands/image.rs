//! `coracle image`: the host's image store from the command line, with or without a running server.

use std::io::IsTerminal;
use std::net::SocketAddr;

use oci_image::{ImageStore, Reference};

use crate::cli::{ImageAction, ImageFlags};
use crate::failure::Failure;
use crate::options::Place;
use crate::say;
use crate::{registries, signals};

pub(crate) fn run(flags: &ImageFlags) -> Result<(), Failure> {
    let place = Place::of(&flags.which)?;
    let store = open(&place)?;
    match &flags.action {
        ImageAction::Ls => list(&store),
        ImageAction::Pull { image } => {
            let pulled =
                crate::block_on(store.pull(image, &registries::load(&place)?, &[], &progress()))?.map_err(|e| failed(image, &e))?;
            say!("{}", pulled.id);
        }
        ImageAction::Push { image } => {
            let digest =
                crate::block_on(store.push(image, &registries::load(&place)?, &[], &progress()))?.map_err(|e| failed(image, &e))?;
            say!("{digest}");
        }
        ImageAction::Import { path } => {
            let names = store.import(path).map_err(|e| failed(&path.display().to_string(), &e))?;
            names.iter().for_each(|name| say!("{name}"));
        }
        ImageAction::Serve { listen, login } => crate::block_on(serve(store, *listen, login.as_deref()))??,
        ImageAction::Rm { images } => {
            for image in images {
                let reference = Reference::parse(image).map_err(|e| Failure::usage(e.to_string()))?;
                if !store.untag(&reference).map_err(|e| failed(image, &e))? {
                    return Err(Failure::new(format!("no image `{reference}` here")).hint("coracle image ls"));
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn open(place: &Place) -> Result<ImageStore, Failure> {
    ImageStore::open(&place.images_dir()).map_err(|e| Failure::new(e.to_string()).hint("run as root, or choose a folder with --data-dir"))
}

/// Until told to stop.
async fn serve(store: ImageStore, listen: SocketAddr, login: Option<&str>) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|e| Failure::caused(format!("cannot listen on {listen}"), &e))?;
    say!("serving images on {listen}");
    tokio::select! {
        ended = image_registry::Registry::mirror(store, login).serve(listener) => ended.map_err(|e| Failure::caused("the mirror ended", &e)),
        () = signals::wait_for_end() => Ok(()),
    }
}

fn failed(what: &str, error: &oci_image::Error) -> Failure {
    Failure::new(format!("`{what}`: {error}"))
}

/// One line that is written over, on a terminal only.
pub(crate) fn progress() -> impl Fn(&str, u64, u64) + Send + Sync {
    let is_terminal = std::io::stderr().is_terminal();
    move |what, done, all| {
        if is_terminal {
            let short = what.trim_start_matches("sha256:").get(..12).unwrap_or(what);
            eprint!("\r\x1b[K{short}  {} of {}", megabytes(done), megabytes(all));
            if done == all {
                eprint!("\r\x1b[K");
            }
        }
    }
}

fn list(store: &ImageStore) {
    say!("{:<56} {:<14} SIZE", "IMAGE", "ID");
    for image in store.list() {
        for name in &image.names {
            say!("{name:<56} {:<14} {}", &image.id.hex()[..12], megabytes(image.size));
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
