//! Walks the grammar's network over the tokens, and gets over faults as ANTLR's parsers do: a token too many is left out, a missing
//! one put in, and else tokens are passed over until something fits what called the rule. It does not call itself: however deep a
//! text nests, the stack is a list.

use super::grammar::{Edge, N_RULES, NETWORK, Role, Rule, StateId};
use super::predict::{goes_on, predict};
use super::token::{self, Kind, Read, Set, Token};
use super::tree::{Child, NodeId, Tree};
use crate::source::{Faults, Source};

/// Upstream's, as are the three below.
const DEPTH_MAX: u32 = 250;
const RECOVERIES_MAX: u32 = 30;
const PASSED_OVER_MAX: usize = 256;
const SYNTAX_FAULTS_MAX: usize = 100;

struct Frame {
    rule: Rule,
    /// The state that called, and where to go on.
    caller: Option<(StateId, StateId)>,
    binding: u8,
    node: NodeId,
}

/// The parser gives up; why is among the faults.
struct Halt;

enum Failure {
    Mismatch(usize),
    NoWay { start: usize, at: usize },
}

pub(super) struct Recognizer<'a> {
    source: &'a Source,
    faults: &'a mut Faults,
    n_syntax_faults: usize,
    /// As far as was looked, blanks left out; each with where the text before it began.
    tokens: Vec<Token>,
    read_to: u32,
    at: usize,
    state: StateId,
    frames: Vec<Frame>,
    depths: [u32; N_RULES],
    tree: Tree,
    is_recovering: bool,
    failed_at: Option<usize>,
    failed_in: Vec<StateId>,
    n_recoveries: u32,
    /// A lexer's fault was one too many.
    is_full: bool,
}

/// The tree and its root; nothing when the parser gave up.
pub(super) fn recognize(source: &Source, faults: &mut Faults) -> Option<(Tree, NodeId)> {
    let mut recognizer = Recognizer {
        source,
        faults,
        n_syntax_faults: 0,
        tokens: Vec::new(),
        read_to: 0,
        at: 0,
        state: NETWORK.starts[0],
        frames: Vec::new(),
        depths: [0; N_RULES],
        tree: Tree::default(),
        is_recovering: false,
        failed_at: None,
        failed_in: Vec::new(),
        n_recoveries: 0,
        is_full: false,
    };
    recognizer.run().ok()?;
    Some((recognizer.tree, 0))
}

impl Recognizer<'_> {
    fn run(&mut self) -> Result<(), Halt> {
        self.enter(Rule::Start, None, 0)?;
        let mut at = NETWORK.starts[Rule::Start as usize];
        loop {
            let state = &NETWORK.states[at as usize];
            if state.role == Role::RuleStop {
                let frame = self.frames.pop().expect("a rule that ends was begun");
                self.depths[frame.rule as usize] -= 1;
                let Some((caller, then)) = frame.caller else { return Ok(()) };
                let parent = self.frames.last().expect("a rule that was called has a caller").node;
                self.tree.node_mut(parent).children.push(Child::Node(frame.node));
                self.state = caller;
                at = then;
                continue;
            }
            at = match self.step(at)? {
                Ok(next) => next,
                Err(failure) => {
                    self.report(&failure)?;
                    self.recover()?;
                    NETWORK.stops[state.rule as usize]
                }
            };
            if self.is_full {
                return Err(Halt);
            }
        }
    }

    fn enter(&mut self, rule: Rule, caller: Option<(StateId, StateId)>, binding: u8) -> Result<(), Halt> {
        let start = self.token(0).start;
        let node = self.tree.add(rule, 0, start);
        self.frames.push(Frame { rule, caller, binding, node });
        self.depths[rule as usize] += 1;
        if self.depths[rule as usize] > DEPTH_MAX {
            self.faults.add(None, format!("expression recursion limit exceeded: {DEPTH_MAX}"));
            return Err(Halt);
        }
        Ok(())
    }

    fn frame(&self) -> &Frame {
        self.frames.last().expect("inside of a rule")
    }

    fn step(&mut self, at: StateId) -> Result<Result<StateId, Failure>, Halt> {
        let state = &NETWORK.states[at as usize];
        let target = |way| state.target(way);
        match state.role {
            Role::StarBack => {
                self.state = at;
                if let Err(failure) = self.sync()? {
                    return Ok(Err(failure));
                }
                let entry = target(0);
                return Ok(self.choose_in_loop(entry).map(|way| NETWORK.states[entry as usize].target(way)));
            }
            Role::PlusBlock => {
                self.state = at;
                return Ok(self.sync()?.map(|()| target(0)));
            }
            Role::StarEntry | Role::PlusBack => {
                self.state = at;
                if let Err(failure) = self.sync()? {
                    return Ok(Err(failure));
                }
                return Ok(self.choose_in_loop(at).map(target));
            }
            Role::Choice | Role::Optional | Role::Body => {
                if state.edges.len() > 1 {
                    self.state = at;
                    if let Err(failure) = self.sync()? {
                        return Ok(Err(failure));
                    }
                }
                let way = match self.choose(at) {
                    Ok(way) => way,
                    Err(failure) => return Ok(Err(failure)),
                };
                let frame = self.frames.last_mut().expect("inside of a rule");
                if state.role == Role::Choice {
                    self.tree.node_mut(frame.node).way = way as u8 + 1;
                } else if state.role == Role::Body && matches!(state.rule, Rule::Relation | Rule::Calc | Rule::Member) {
                    let (before, start) = (frame.node, self.tree.node(frame.node).start);
                    frame.node = self.tree.add(state.rule, way as u8 + 1, start);
                    self.tree.node_mut(frame.node).children.push(Child::Node(before));
                }
                return Ok(Ok(target(way)));
            }
            Role::Plain | Role::BlockEnd | Role::RuleStop => {}
        }
        match &state.edges[0] {
            Edge::Free(to) | Edge::Binds(to) => Ok(Ok(*to)),
            Edge::Call { rule, binding, then } => {
                self.state = at;
                self.enter(*rule, Some((at, *then)), *binding)?;
                Ok(Ok(NETWORK.starts[*rule as usize]))
            }
            Edge::Tokens(set, to) => {
                self.state = at;
                let child = match self.take(*set, *to)? {
                    Ok(child) => child,
                    Err(failure) => return Ok(Err(failure)),
                };
                let node = self.frame().node;
                self.tree.node_mut(node).children.push(child);
                Ok(Ok(*to))
            }
        }
    }

    fn choose(&mut self, at: StateId) -> Result<usize, Failure> {
        let state = &NETWORK.states[at as usize];
        if state.edges.len() == 1 {
            return Ok(0);
        }
        let next = self.token(0).kind;
        if state.is_plain_choice {
            return match state.first.iter().position(|set| set.has(next)) {
                Some(way) => Ok(way),
                None if state.role == Role::Optional => Ok(1),
                None => Err(Failure::NoWay { start: self.at, at: self.at }),
            };
        }
        let callers: Vec<StateId> = self.frames.iter().filter_map(|frame| frame.caller).map(|(_, then)| then).collect();
        let start = self.at;
        predict(at, &callers, |ahead| self.token(ahead).kind).map_err(|ahead| Failure::NoWay { start, at: start + ahead })
    }

    fn choose_in_loop(&mut self, at: StateId) -> Result<usize, Failure> {
        let state = &NETWORK.states[at as usize];
        let next = self.token(0).kind;
        if !state.suffixes.is_empty() {
            return Ok(usize::from(!goes_on(&state.suffixes, self.frame().binding, next)));
        }
        if state.is_plain_choice {
            return Ok(usize::from(!state.first[0].has(next)));
        }
        self.choose(at)
    }

    fn token(&mut self, ahead: usize) -> Token {
        while self.tokens.len() <= self.at + ahead {
            if let Some(last) = self.tokens.last().filter(|last| last.kind == Kind::End) {
                return *last;
            }
            match token::read(self.source, self.read_to) {
                Read::Blank(end) => self.read_to = end,
                Read::Token(token) => {
                    self.read_to = token.end;
                    self.tokens.push(token);
                }
                Read::Unknown { start, end } => {
                    self.read_to = end;
                    let text: String = self.source.text[start as usize..end as usize].iter().collect();
                    self.syntax_fault(Some(start), format!("token recognition error at: '{text}'"));
                }
            }
        }
        self.tokens[self.at + ahead]
    }

    fn consume(&mut self) {
        if self.token(0).kind != Kind::End {
            self.at += 1;
        }
    }

    fn syntax_fault(&mut self, at: Option<u32>, message: String) {
        if self.is_full {
            return;
        }
        self.n_syntax_faults += 1;
        if self.n_syntax_faults <= SYNTAX_FAULTS_MAX {
            self.faults.add(at, format!("Syntax error: {message}"));
        } else {
            self.faults.add(at, format!("Syntax error: More than {SYNTAX_FAULTS_MAX} syntax errors"));
            self.is_full = true;
        }
    }

    fn shown(&mut self, token: Token) -> String {
        let text = if token.kind == Kind::End { "<EOF>".to_owned() } else { self.text(token.start, token.end) };
        quote(&text)
    }

    fn text(&self, start: u32, end: u32) -> String {
        self.source.text[start as usize..end as usize].iter().collect()
    }

    fn take(&mut self, set: Set, then: StateId) -> Result<Result<Child, Failure>, Halt> {
        let next = self.token(0);
        if set.has(next.kind) {
            self.end_recovery();
            self.consume();
            return Ok(Ok(Child::Token(next)));
        }
        self.count_recovery()?;
        if let Some(token) = self.leave_one_out() {
            self.consume();
            return Ok(Ok(Child::Token(token)));
        }
        if self.next_in_context(then).has(next.kind) {
            self.report_missing();
            return Ok(Ok(Child::Missing));
        }
        Ok(Err(Failure::Mismatch(self.at)))
    }

    fn end_recovery(&mut self) {
        self.is_recovering = false;
        self.failed_at = None;
        self.failed_in.clear();
    }

    fn count_recovery(&mut self) -> Result<(), Halt> {
        if self.n_recoveries == RECOVERIES_MAX {
            let at = self.token(0).start;
            self.syntax_fault(Some(at), format!("error recovery attempt limit exceeded: {RECOVERIES_MAX}"));
            return Err(Halt);
        }
        self.n_recoveries += 1;
        Ok(())
    }

    fn sync(&mut self) -> Result<Result<(), Failure>, Halt> {
        if self.is_recovering {
            return Ok(Ok(()));
        }
        let next = NETWORK.states[self.state as usize].next;
        if next.may_end() || next.has(self.token(0).kind) {
            return Ok(Ok(()));
        }
        match NETWORK.states[self.state as usize].role {
            Role::StarBack | Role::PlusBack => {
                self.report_unwanted();
                let fitting = self.expected().and(self.recovery_set());
                while self.token(0).kind != Kind::End && !fitting.has(self.token(0).kind) {
                    self.consume();
                }
                Ok(Ok(()))
            }
            _ if self.leave_one_out().is_some() => Ok(Ok(())),
            _ => Ok(Err(Failure::Mismatch(self.at))),
        }
    }

    /// Leaves the next token out if the one after it is what is wanted.
    fn leave_one_out(&mut self) -> Option<Token> {
        let after = self.token(1).kind;
        if !self.expected().has(after) {
            return None;
        }
        self.report_unwanted();
        self.consume();
        let token = self.token(0);
        self.end_recovery();
        Some(token)
    }

    fn report_unwanted(&mut self) {
        if std::mem::replace(&mut self.is_recovering, true) {
            return;
        }
        let token = self.token(0);
        let message = format!("extraneous input {} expecting {}", self.shown(token), self.expected().shown());
        self.syntax_fault(Some(token.start), message);
    }

    fn report_missing(&mut self) {
        if std::mem::replace(&mut self.is_recovering, true) {
            return;
        }
        let token = self.token(0);
        let message = format!("missing {} at {}", self.expected().shown(), self.shown(token));
        self.syntax_fault(Some(token.start), message);
    }

    fn report(&mut self, failure: &Failure) -> Result<(), Halt> {
        if std::mem::replace(&mut self.is_recovering, true) {
            return Ok(());
        }
        let (message, at) = match *failure {
            Failure::Mismatch(at) => {
                let token = self.token(0);
                (format!("mismatched input {} expecting {}", self.shown(token), self.expected().shown()), at)
            }
            Failure::NoWay { start, at } => {
                let (first, last) = (self.token(start - self.at), self.token(at - self.at));
                let text = self.between(first, last);
                // Upstream: a word that is no field's name is told as what it is.
                let word = match text.char_indices().nth(1) {
                    Some((rest, _)) if ["true", "false", "null"].contains(&&text[rest..]) => Some(text[rest..].to_owned()),
                    _ => None,
                };
                match word {
                    Some(word) => (format!("mismatched input '{word}' expecting IDENTIFIER"), at),
                    None => (format!("no viable alternative at input {}", quote(&text)), at),
                }
            }
        };
        let start = self.token(at - self.at).start;
        self.syntax_fault(Some(start), message);
        if self.is_full { Err(Halt) } else { Ok(()) }
    }

    /// The texts from one token to another, with the blanks between them but not what is no token.
    fn between(&self, first: Token, last: Token) -> String {
        if first.kind == Kind::End {
            return "<EOF>".to_owned();
        }
        let (mut text, mut at) = (String::new(), first.start);
        while at < last.end {
            at = match token::read(self.source, at) {
                Read::Token(token) => {
                    text.push_str(&self.text(token.start, token.end));
                    token.end
                }
                Read::Blank(end) => {
                    text.push_str(&self.text(at, end));
                    end
                }
                Read::Unknown { end, .. } => end,
            };
        }
        text
    }

    fn recover(&mut self) -> Result<(), Halt> {
        self.count_recovery()?;
        let mut n_passed = 0;
        let mut pass = |this: &mut Self| {
            if n_passed >= PASSED_OVER_MAX {
                this.faults.add(None, format!("error recovery token lookahead limit exceeded: {PASSED_OVER_MAX}"));
                return Err(Halt);
            }
            n_passed += 1;
            this.consume();
            Ok(())
        };
        if self.failed_at == Some(self.at) && self.failed_in.contains(&self.state) {
            pass(self)?;
        }
        self.failed_at = Some(self.at);
        self.failed_in.push(self.state);
        let fitting = self.recovery_set();
        while self.token(0).kind != Kind::End && !fitting.has(self.token(0).kind) {
            pass(self)?;
        }
        Ok(())
    }

    /// What follows any of the calls that are open.
    fn recovery_set(&self) -> Set {
        let calls = self.frames.iter().filter_map(|frame| frame.caller);
        calls.fold(Set::default(), |found, (_, then)| found.and(NETWORK.states[then as usize].next)).without_end()
    }

    fn expected(&self) -> Set {
        self.next_in_context(self.state)
    }

    fn next_in_context(&self, state: StateId) -> Set {
        let mut found = NETWORK.states[state as usize].next;
        for (_, then) in self.frames.iter().rev().filter_map(|frame| frame.caller) {
            if !found.may_end() {
                return found;
            }
            found = found.without_end().and(NETWORK.states[then as usize].next);
        }
        if found.may_end() { found.without_end().and(Set::of(&[Kind::End])) } else { found }
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"))
}
