//! Upstream beside coracle: the same requests to both, and what is not the same in the answers.
//!
//! Stories of requests are made from the fact table of all kinds (`cases`). Their answers by a real kube-apiserver are recorded in
//! `golden/`; an ordinary test asks coracle's API server the same and compares, so that no Go is needed. What is known to differ
//! stands with its reason in `facts/known.txt`, which may only shrink.
//! `cargo xtask differential --reference KUBECONFIG` asks a reference; with `--record` its answers are kept.
//! Start with `story`, then `cases`; `ask` sends, `mask` makes answers comparable.

pub mod ask;
pub mod cases;
pub mod difference;
pub mod document;
pub mod golden;
pub mod known;
mod mask;
mod seeds;
pub mod servers;
pub mod story;

use crate::ask::ask;
use crate::golden::Golden;
use crate::known::Known;
use crate::story::Story;

/// One case after both sides were asked.
#[derive(Debug)]
pub struct Outcome {
    /// `story:request`.
    pub case: String,
    /// Method and path.
    pub request: String,
    /// What differs; empty when nothing does.
    pub lines: Vec<String>,
}

#[derive(Debug)]
pub struct Found {
    pub outcomes: Vec<Outcome>,
}

impl Found {
    pub fn n_differing(&self) -> usize {
        self.outcomes.iter().filter(|o| !o.lines.is_empty()).count()
    }

    pub fn n_known(&self, known: &Known) -> usize {
        self.outcomes.iter().filter(|o| !o.lines.is_empty() && known.contains_key(&o.case)).count()
    }

    /// Drops from the list what no longer differs, and enters what newly does when there is a reason.
    pub fn settle(&self, known: &mut Known, reason: Option<&str>) {
        for outcome in &self.outcomes {
            if outcome.lines.is_empty() {
                known.remove(&outcome.case);
            } else if let Some(reason) = reason {
                known.entry(outcome.case.clone()).or_insert_with(|| reason.to_owned());
            }
        }
    }
}

/// Asks a fresh coracle all stories and compares with the reference's answers. Every request must have been recorded.
pub fn compare(golden: &Golden, stories: &[&Story]) -> Result<Found, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let coracle = servers::coracle().await?;
        let mut outcomes = Vec::new();
        for story in stories {
            for (request, ours) in story.requests.iter().zip(ask(story, &coracle, false).await) {
                let case = format!("{}:{}", story.name, request.name);
                let lines = match golden.answer(&story.name, &request.name, &request.digest()) {
                    Some(reference) => difference::lines(reference, &ours),
                    None => vec!["not recorded: run `cargo xtask differential --reference KUBECONFIG --record`".to_owned()],
                };
                outcomes.push(Outcome { case, request: format!("{} {}", request.method, request.path), lines });
            }
        }
        Ok(Found { outcomes })
    })
}
