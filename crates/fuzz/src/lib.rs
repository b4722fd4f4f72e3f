//! Bent input for whatever reads what others wrote: no decoder may panic, take long, or grow without bound.
//!
//! A target is a test named for its decoder in a module `fuzz` of the crate that has it: good inputs to begin with, the words the
//! decoder trips over, and what to do with an input. Inputs are bent as bytes and, where they are JSON, as trees; what is accepted
//! nevertheless is bent further, so a run goes deeper the longer it lasts. A fault prints its input (an overflown stack leaves it
//! in the temporary folder), which then belongs among the target's seeds. A run is the same each time, unless `FUZZ_SECONDS` says
//! how long each target takes, with other dice (`cargo xtask fuzz`).
//!
//! Not here: the compiler's coverage, which stable Rust does not give, and which libraries that bend inputs are built on.

mod bend;
mod cost;
mod dice;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bend::bend;
use cost::Cost;
use dice::Dice;

/// As many as fit a few seconds of an unoptimised build.
const ROUNDS: u32 = 2_000;
/// Cost that grows faster than the input shows at this size too.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Longer than the busiest machine lets one input wait.
const HANG: Duration = Duration::from_secs(120);
/// Accepted inputs that are kept; then they take one another's place.
const ACCEPTED_MAX: usize = 500;

/// `exercise` decodes, uses what came of it, checks what must hold, and says whether the input was accepted. `seeds` are good inputs,
/// and those that once did harm; `words` what this decoder trips over, beside what all do.
pub fn run(seeds: &[impl AsRef<[u8]>], words: &[&str], mut exercise: impl FnMut(&[u8]) -> bool) {
    let last = LastInput::of_this_test();
    let mut pool: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_ref().to_vec()).collect();
    for seed in &pool {
        try_one(&last, seed, &mut exercise);
    }
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().expect("FUZZ_SECONDS is a number"));
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut dice = Dice::new(if end.is_some() { u64::from(std::process::id()) } else { 7 });
    let (mut n_rounds, mut n_accepted) = (0, 0);
    while end.map_or(n_rounds < ROUNDS, |end| Instant::now() < end) {
        let mut input = dice.one_of(&pool).cloned().unwrap_or_default();
        bend(&mut dice, &mut input, &pool, words);
        input.truncate(INPUT_BYTES_MAX);
        n_rounds += 1;
        if !try_one(&last, &input, &mut exercise) {
            continue;
        }
        n_accepted += 1;
        if pool.len() < seeds.len() + ACCEPTED_MAX {
            pool.push(input);
        } else {
            pool[seeds.len() + dice.below(ACCEPTED_MAX)] = input;
        }
    }
    println!("{n_rounds} inputs, {n_accepted} accepted");
}

fn try_one(last: &LastInput, input: &[u8], exercise: &mut impl FnMut(&[u8]) -> bool) -> bool {
    last.is(input);
    let before = Cost::so_far();
    let accepted = catch_unwind(AssertUnwindSafe(|| exercise(input))).unwrap_or_else(|panic| {
        eprintln!("on b\"{}\"", input.escape_ascii());
        resume_unwind(panic)
    });
    if let Some(excess) = Cost::so_far().excess_over(&before) {
        panic!("{excess} on b\"{}\"", input.escape_ascii());
    }
    accepted
}

/// An empty folder, in memory where the host has such: what syncs each file would wait for the disk all the time.
pub struct Folder(pub PathBuf);

impl Folder {
    #[expect(clippy::new_without_default, reason = "it makes something")]
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("coracle-fuzz-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file with the input that is being tried. A stack that overflows leaves it behind, and so does an input without end.
struct LastInput {
    path: PathBuf,
    n_tried: Arc<AtomicU64>,
}

impl LastInput {
    fn of_this_test() -> Self {
        let name = std::thread::current().name().unwrap_or("main").replace("::", "-");
        let path = std::env::temp_dir().join(format!("fuzz-{name}-{}", std::process::id()));
        let n_tried = Arc::new(AtomicU64::new(0));
        let watched = (path.clone(), Arc::downgrade(&n_tried));
        std::thread::spawn(move || {
            let mut before = None;
            while let Some(n_tried) = watched.1.upgrade().map(|n| n.load(Ordering::Relaxed)) {
                if before.replace(n_tried) == Some(n_tried) {
                    eprintln!("no end in {HANG:?} on what is in {}", watched.0.display());
                    std::process::abort();
                }
                std::thread::sleep(HANG);
            }
        });
        LastInput { path, n_tried }
    }

    fn is(&self, input: &[u8]) {
        std::fs::write(&self.path, input).expect("the temporary folder is writable");
        self.n_tried.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for LastInput {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
