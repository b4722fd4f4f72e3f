//! `cargo xtask differential`: asks a reference and coracle the same, shows what differs, records answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use differential::ask::{Answer, ask};
use differential::golden::Golden;
use differential::story::Story;
use differential::{cases, known, servers};

const USAGE: &str = "usage: cargo xtask differential [--reference KUBECONFIG [--record]] [--focus TEXT] [--known] [--accept REASON]
  --reference  ask a fresh kube-apiserver; without it the recorded answers are compared
  --record     keep its answers
  --focus      only stories whose name has this in it, or only one case: STORY:REQUEST
  --known      show known differences too
  --accept     enter what differs into the list of known differences, and drop from it what no longer does";

#[derive(Default)]
struct Options {
    reference: Option<PathBuf>,
    is_recording: bool,
    focus: String,
    shows_known: bool,
    accept: Option<String>,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(n) => {
            eprintln!("{n} cases differ");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value\n{USAGE}"));
        match word.as_str() {
            "--reference" => options.reference = Some(value()?.into()),
            "--record" => options.is_recording = true,
            "--focus" => options.focus = value()?,
            "--known" => options.shows_known = true,
            "--accept" => options.accept = Some(value()?),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

/// How many differences there are that are not known.
fn run(options: &Options) -> Result<usize, String> {
    let all = cases::all();
    let (focus, case) = options.focus.split_once(':').unwrap_or((&options.focus, ""));
    let stories: Vec<&Story> = all.iter().filter(|s| s.name.contains(focus)).collect();
    let mut golden = Golden::read().unwrap_or_default();
    if let Some(kubeconfig) = &options.reference {
        let answers = asked_of_reference(kubeconfig, &stories)?;
        stories.iter().zip(&answers).for_each(|(story, answers)| golden.put(story, answers));
        if options.is_recording {
            golden.write(&all)?;
        }
    }
    let found = differential::compare(&golden, &stories)?;
    let mut known = known::read();
    let mut shown: BTreeMap<String, &[String]> = BTreeMap::new();
    for outcome in &found.outcomes {
        if !outcome.case.ends_with(case) {
            continue;
        }
        if !outcome.lines.is_empty() && (options.shows_known || !known.contains_key(&outcome.case)) {
            shown.insert(outcome.case.clone(), &outcome.lines);
            println!("== {}\n   {}", outcome.case, outcome.request);
            outcome.lines.iter().for_each(|line| println!("{line}"));
        }
    }
    eprintln!("{} cases, {} differ, {} of them known", found.outcomes.len(), found.n_differing(), found.n_known(&known));
    if let Some(reason) = &options.accept {
        found.settle(&mut known, Some(reason));
        known::write(&known).map_err(|e| format!("cannot write the list: {e}"))?;
    }
    Ok(shown.len())
}

fn asked_of_reference(kubeconfig: &std::path::Path, stories: &[&Story]) -> Result<Vec<Vec<Answer>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let reference = servers::reference(kubeconfig)?;
        let mut answers = Vec::new();
        for story in stories {
            answers.push(ask(story, &reference, true).await);
        }
        Ok(answers)
    })
}
