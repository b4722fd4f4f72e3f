//! Which script shows which controller, as its line `# Controllers: …` says: each has one that can be played on another server too.
//!
//! `UPDATE_EXPECT=1` writes the table into `docs/SWAP.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use control_plane::Selection;
use simulation::Simulation;

use crate::scripts::{play, scripts};
use crate::swap;

/// Controllers that no short story can show.
const UNTOLD: &[(&str, &str)] = &[
    ("podcertificaterequest-cleaner", "it looks a quarter of an hour after the request was made"),
    ("resource-discovery", "it follows kinds that come and go, and there are no custom resources yet"),
];

const DOCUMENT: &str = "../../docs/SWAP.md";
const HEAD: &str = "| controller | story |\n|---|---|\n";

/// The short stories of each controller.
fn told() -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in scripts() {
        let script = fs::read_to_string(&file).expect("a script is text");
        let names = script.lines().find_map(|line| line.strip_prefix("# Controllers: ")).unwrap_or_default();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for controller in names.split(", ").filter(|name| !name.is_empty()) {
            assert!(swap::is_short(&script), "{name} is too long for another server");
            told.entry(controller.to_owned()).or_default().push(name.clone());
        }
    }
    told
}

#[test]
fn each_controller_has_a_story() {
    let told = told();
    let mut controllers = Simulation::run(async || Simulation::start(0).await.controllers());
    controllers.sort_unstable();
    let mut table = HEAD.to_owned();
    for controller in &controllers {
        let story = match (told.get(*controller), UNTOLD.iter().find(|(name, _)| name == controller)) {
            (Some(stories), None) => stories.join(", "),
            (None, Some((_, why))) => format!("none: {why}"),
            _ => panic!("{controller} has no story, or one and a reason why not"),
        };
        table += &format!("| {controller} | {story} |\n");
    }
    assert!(told.keys().all(|name| controllers.contains(&name.as_str())), "a story names what is no controller: {told:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = fs::read_to_string(&path).expect("a document");
    let (before, rest) = document.split_once(HEAD).expect("a table");
    let after = rest.find("\n\n").map_or("", |end| &rest[end + 1..]);
    let wanted = format!("{before}{table}{after}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, wanted).expect("writes the document");
    } else {
        assert!(document == wanted, "UPDATE_EXPECT=1 writes the table of {DOCUMENT}");
    }
}

#[test]
fn without_its_controller_a_story_goes_otherwise() {
    for (controller, stories) in told() {
        for story in stories {
            let file = scripts().into_iter().find(|file| file.file_stem().is_some_and(|stem| *stem == *story)).expect("just seen");
            let script = fs::read_to_string(&file).expect("a script is text");
            let others = Selection::parse(&format!("*,-{controller}"));
            let found =
                Simulation::run(async || play(&script, async |n_nodes| Simulation::start_with(n_nodes, others.clone()).await).await);
            assert!(found != script, "{story} needs no {controller}");
        }
    }
}
