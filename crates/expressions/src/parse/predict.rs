//! Which way the parser goes where several are open: ANTLR's prediction. It walks all ways at once, token by token, first as if any
//! rule had called this one, then, when two ways come to the same place, with the callers there really are.

use std::collections::HashMap;
use std::collections::HashSet;

use super::grammar::{Edge, NETWORK, Role, StateId};
use super::token::{Kind, Set};

/// A stack of states to go on at; shared from the bottom up, so that equal ones have equal numbers.
#[derive(Default)]
struct Stacks {
    cells: Vec<(StateId, StackId)>,
    known: HashMap<(StateId, StackId), StackId>,
}

type StackId = u32;
const EMPTY: StackId = 0;

impl Stacks {
    fn push(&mut self, below: StackId, then: StateId) -> StackId {
        let next = self.cells.len() as StackId + 1;
        *self.known.entry((then, below)).or_insert_with(|| {
            self.cells.push((then, below));
            next
        })
    }

    fn pop(&self, stack: StackId) -> (StateId, StackId) {
        self.cells[stack as usize - 1]
    }
}

/// One of the ways at one place. `is_outside` once it left the rule in which the ways part.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Spot {
    state: StateId,
    way: u8,
    stack: StackId,
    is_outside: bool,
}

struct Walk {
    stacks: Stacks,
    /// Whether stacks are the true callers; else an empty one may go on anywhere the rule is called.
    is_full: bool,
}

/// The way by its number, or how many tokens were looked at until no way went on. `callers` are the states to go on at, the innermost
/// last.
pub(super) fn predict(at: StateId, callers: &[StateId], mut look: impl FnMut(usize) -> Kind) -> Result<usize, usize> {
    let state = &NETWORK.states[at as usize];
    let mut fitting = (0..state.first.len()).filter(|way| state.first[*way].has(look(0)));
    if let (Some(way), None) = (fitting.next(), fitting.next()) {
        return Ok(way);
    }
    let walk = |is_full| Walk { stacks: Stacks::default(), is_full };
    match walk(false).run(at, &[], &mut look) {
        Some(result) => result,
        None => walk(true).run(at, callers, &mut look).expect("with all callers there is an answer"),
    }
}

impl Walk {
    /// Nothing where only the true callers can tell.
    fn run(mut self, at: StateId, callers: &[StateId], look: &mut impl FnMut(usize) -> Kind) -> Option<Result<usize, usize>> {
        let mut stack = EMPTY;
        for then in callers {
            stack = self.stacks.push(stack, *then);
        }
        let parting = &NETWORK.states[at as usize];
        let begin = |way| Spot { state: parting.target(way), way: way as u8, stack, is_outside: false };
        let begun = (0..parting.edges.len()).map(begin).collect();
        let mut spots = self.spread(begun, false);
        for n_seen in 0.. {
            let kind = look(n_seen);
            let reached = self.step(&spots, kind);
            if reached.is_empty() {
                return Some(finished(&spots).ok_or(n_seen));
            }
            spots = reached;
            let first = spots[0].way;
            if spots.iter().all(|spot| spot.way == first) {
                return Some(Ok(first.into()));
            }
            let places = ways_by(&spots, |spot| (spot.state, spot.stack));
            if self.is_full {
                let first = places[0].0;
                if places.iter().all(|(way, _)| *way == first) {
                    return Some(Ok(first.into()));
                }
            } else if spots.iter().all(|spot| NETWORK.states[spot.state as usize].role == Role::RuleStop)
                || (places.iter().any(|(_, is_shared)| *is_shared)
                    && ways_by(&spots, |spot| (spot.state, EMPTY)).iter().all(|(_, is_shared)| *is_shared))
            {
                return None;
            }
            if kind == Kind::End {
                return Some(Ok(spots.iter().map(|spot| spot.way).min().unwrap_or_default().into()));
            }
        }
        None
    }

    fn step(&mut self, spots: &[Spot], kind: Kind) -> Vec<Spot> {
        let (mut moved, mut stopped) = (Vec::new(), Vec::new());
        for spot in spots {
            let state = &NETWORK.states[spot.state as usize];
            if state.role == Role::RuleStop && (self.is_full || kind == Kind::End) {
                stopped.push(*spot);
            }
            moved.extend(state.edges.iter().filter_map(|edge| match edge {
                Edge::Tokens(set, to) if set.has(kind) => Some(Spot { state: *to, ..*spot }),
                _ => None,
            }));
        }
        let is_end = kind == Kind::End;
        let mut reached = self.spread(moved, is_end);
        if is_end {
            reached.retain(|spot| NETWORK.states[spot.state as usize].role == Role::RuleStop);
        }
        if !self.is_full || reached.iter().all(|spot| NETWORK.states[spot.state as usize].role != Role::RuleStop) {
            reached.extend(stopped);
        }
        reached
    }

    /// All places that are reached without a token.
    fn spread(&mut self, mut waiting: Vec<Spot>, is_end_free: bool) -> Vec<Spot> {
        let (mut seen, mut found) = (HashSet::with_capacity(256), Vec::new());
        while let Some(spot) = waiting.pop() {
            if !seen.insert(spot) {
                continue;
            }
            let state = &NETWORK.states[spot.state as usize];
            if state.role == Role::RuleStop {
                if spot.stack != EMPTY {
                    let (then, below) = self.stacks.pop(spot.stack);
                    waiting.push(Spot { state: then, stack: below, ..spot });
                    continue;
                }
                let follows = &NETWORK.follows[state.rule as usize];
                if self.is_full || follows.is_empty() {
                    found.push(spot);
                } else {
                    waiting.extend(follows.iter().map(|then| Spot { state: *then, is_outside: true, ..spot }));
                }
                continue;
            }
            if state.edges.iter().any(|edge| matches!(edge, Edge::Tokens(..))) {
                found.push(spot);
            }
            for edge in &state.edges {
                match edge {
                    Edge::Free(to) | Edge::Binds(to) => waiting.push(Spot { state: *to, ..spot }),
                    Edge::Call { rule, then, .. } => {
                        let stack = self.stacks.push(spot.stack, *then);
                        waiting.push(Spot { state: NETWORK.starts[*rule as usize], stack, ..spot });
                    }
                    Edge::Tokens(set, to) => {
                        if is_end_free && set.has(Kind::End) {
                            waiting.push(Spot { state: *to, ..spot });
                        }
                    }
                }
            }
        }
        found
    }
}

/// For each place the first of the ways that are there, and whether there are others.
fn ways_by(spots: &[Spot], place: impl Fn(&Spot) -> (StateId, StackId)) -> Vec<(u8, bool)> {
    let mut placed: Vec<_> = spots.iter().map(|spot| (place(spot), spot.way)).collect();
    placed.sort_unstable();
    placed.chunk_by(|one, two| one.0 == two.0).map(|same| (same[0].1, same[0].1 != same[same.len() - 1].1)).collect()
}

/// Upstream: a way that came out of its rule was good until here, so it is taken, and the fault is found later.
fn finished(spots: &[Spot]) -> Option<usize> {
    let is_done = |spot: &&Spot| spot.is_outside || NETWORK.states[spot.state as usize].role == Role::RuleStop;
    spots.iter().filter(is_done).map(|spot| spot.way.into()).min()
}

/// For a loop over suffixes: whether the next token begins one that binds tightly enough.
pub(super) fn goes_on(suffixes: &[(Set, u8)], binding: u8, next: Kind) -> bool {
    suffixes.iter().any(|(set, binds)| *binds >= binding && set.has(next))
}
