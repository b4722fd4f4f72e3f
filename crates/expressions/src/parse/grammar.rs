//! CEL's grammar as data, and the network of states that is made of it: what ANTLR, which made cel-go's parser, works on. What is
//! expected where, and with it every word of a syntax fault, follows from the network.

use std::sync::LazyLock;

use super::token::Kind::{self, *};
use super::token::Set;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Rule {
    Start,
    Expr,
    ConditionalOr,
    ConditionalAnd,
    Relation,
    Calc,
    Unary,
    Member,
    Primary,
    Arguments,
    Items,
    Fields,
    Field,
    Entries,
    FieldName,
    Item,
    Literal,
}

pub(crate) const N_RULES: usize = Rule::Literal as usize + 1;

enum Piece {
    One(Kind),
    AnyOf(&'static [Kind]),
    /// Another rule; operators that bind less than the number are left to the caller.
    Call(Rule, u8),
    Seq(&'static [Piece]),
    Choice(&'static [Piece]),
    Optional(&'static Piece),
    ManyOrNone(&'static Piece),
    OneOrMore(&'static Piece),
    /// What may follow the rule's own beginning again and again: how tight each binds, and how it goes on.
    Suffixes(&'static [(u8, Piece)]),
}

use Piece::*;

const fn rule(rule: Rule) -> Piece {
    Call(rule, 0)
}

/// In the order of `Rule`.
const RULES: [Piece; N_RULES] = [
    Seq(&[rule(Rule::Expr), One(End)]),
    Seq(&[rule(Rule::ConditionalOr), Optional(&Seq(&[One(Question), rule(Rule::ConditionalOr), One(Colon), rule(Rule::Expr)]))]),
    Seq(&[rule(Rule::ConditionalAnd), ManyOrNone(&Seq(&[One(Or), rule(Rule::ConditionalAnd)]))]),
    Seq(&[rule(Rule::Relation), ManyOrNone(&Seq(&[One(And), rule(Rule::Relation)]))]),
    Seq(&[
        rule(Rule::Calc),
        Suffixes(&[(1, Seq(&[AnyOf(&[Less, LessEquals, GreaterEquals, Greater, Equals, NotEquals, In]), Call(Rule::Relation, 2)]))]),
    ]),
    Seq(&[
        rule(Rule::Unary),
        Suffixes(&[
            (2, Seq(&[AnyOf(&[Star, Slash, Percent]), Call(Rule::Calc, 3)])),
            (1, Seq(&[AnyOf(&[Plus, Minus]), Call(Rule::Calc, 2)])),
        ]),
    ]),
    Choice(&[rule(Rule::Member), Seq(&[OneOrMore(&One(Not)), rule(Rule::Member)]), Seq(&[OneOrMore(&One(Minus)), rule(Rule::Member)])]),
    Seq(&[
        rule(Rule::Primary),
        Suffixes(&[
            (3, Seq(&[One(Dot), Optional(&One(Question)), rule(Rule::FieldName)])),
            (2, Seq(&[One(Dot), One(Name), One(OpenParen), Optional(&rule(Rule::Arguments)), One(CloseParen)])),
            (1, Seq(&[One(OpenBracket), Optional(&One(Question)), rule(Rule::Expr), One(CloseBracket)])),
        ]),
    ]),
    Choice(&[
        Seq(&[Optional(&One(Dot)), One(Name)]),
        Seq(&[Optional(&One(Dot)), One(Name), One(OpenParen), Optional(&rule(Rule::Arguments)), One(CloseParen)]),
        Seq(&[One(OpenParen), rule(Rule::Expr), One(CloseParen)]),
        Seq(&[One(OpenBracket), Optional(&rule(Rule::Items)), Optional(&One(Comma)), One(CloseBracket)]),
        Seq(&[One(OpenBrace), Optional(&rule(Rule::Entries)), Optional(&One(Comma)), One(CloseBrace)]),
        Seq(&[
            Optional(&One(Dot)),
            One(Name),
            ManyOrNone(&Seq(&[One(Dot), One(Name)])),
            One(OpenBrace),
            Optional(&rule(Rule::Fields)),
            Optional(&One(Comma)),
            One(CloseBrace),
        ]),
        rule(Rule::Literal),
    ]),
    Seq(&[rule(Rule::Expr), ManyOrNone(&Seq(&[One(Comma), rule(Rule::Expr)]))]),
    Seq(&[rule(Rule::Item), ManyOrNone(&Seq(&[One(Comma), rule(Rule::Item)]))]),
    Seq(&[
        Seq(&[rule(Rule::Field), One(Colon), rule(Rule::Expr)]),
        ManyOrNone(&Seq(&[One(Comma), rule(Rule::Field), One(Colon), rule(Rule::Expr)])),
    ]),
    Seq(&[Optional(&One(Question)), rule(Rule::FieldName)]),
    Seq(&[
        Seq(&[rule(Rule::Item), One(Colon), rule(Rule::Expr)]),
        ManyOrNone(&Seq(&[One(Comma), rule(Rule::Item), One(Colon), rule(Rule::Expr)])),
    ]),
    Choice(&[One(Name), One(QuotedName)]),
    Seq(&[Optional(&One(Question)), rule(Rule::Expr)]),
    Choice(&[
        Seq(&[Optional(&One(Minus)), One(Int)]),
        One(Uint),
        Seq(&[Optional(&One(Minus)), One(Float)]),
        One(Text),
        One(Bytes),
        One(True),
        One(False),
        One(Null),
    ]),
];

pub(crate) type StateId = u16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Plain,
    RuleStop,
    Choice,
    Optional,
    /// What a loop repeats.
    Body,
    BlockEnd,
    StarEntry,
    StarBack,
    PlusBlock,
    PlusBack,
}

#[derive(Clone, Debug)]
pub(crate) enum Edge {
    Free(StateId),
    Tokens(Set, StateId),
    Call {
        rule: Rule,
        binding: u8,
        then: StateId,
    },
    /// Begins a suffix.
    Binds(StateId),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rule: Rule,
    pub(crate) role: Role,
    pub(crate) edges: Vec<Edge>,
    /// Of a loop over suffixes: with each token that begins one, how tight it binds.
    pub(crate) suffixes: Vec<(Set, u8)>,
    /// Of a state where ways part: the tokens each may begin with, whatever the callers.
    pub(crate) first: Vec<Set>,
    /// Whether the next token alone decides.
    pub(crate) is_plain_choice: bool,
    /// What may come next from here, to the end of the rule.
    pub(crate) next: Set,
}

impl State {
    /// Where one of the ways that part here leads.
    pub(crate) fn target(&self, way: usize) -> StateId {
        match self.edges[way] {
            Edge::Free(to) => to,
            _ => unreachable!("ways begin without a token"),
        }
    }
}

pub(crate) struct Network {
    pub(crate) states: Vec<State>,
    pub(crate) starts: [StateId; N_RULES],
    pub(crate) stops: [StateId; N_RULES],
    /// Where each rule's callers go on.
    pub(crate) follows: [Vec<StateId>; N_RULES],
}

pub(crate) static NETWORK: LazyLock<Network> = LazyLock::new(Network::new);

impl Network {
    fn new() -> Self {
        let mut network =
            Self { states: Vec::new(), starts: [0; N_RULES], stops: [0; N_RULES], follows: std::array::from_fn(|_| Vec::new()) };
        const IN_ORDER: [Rule; N_RULES] = [
            Rule::Start,
            Rule::Expr,
            Rule::ConditionalOr,
            Rule::ConditionalAnd,
            Rule::Relation,
            Rule::Calc,
            Rule::Unary,
            Rule::Member,
            Rule::Primary,
            Rule::Arguments,
            Rule::Items,
            Rule::Fields,
            Rule::Field,
            Rule::Entries,
            Rule::FieldName,
            Rule::Item,
            Rule::Literal,
        ];
        for (rule, piece) in IN_ORDER.into_iter().zip(&RULES) {
            let start = network.add(rule, Role::Plain);
            let (first, last) = network.build(rule, piece);
            let stop = network.add(rule, Role::RuleStop);
            network.join(start, first);
            network.join(last, stop);
            network.starts[rule as usize] = start;
            network.stops[rule as usize] = stop;
        }
        network.shorten();
        network.find_choices();
        network
    }

    fn add(&mut self, rule: Rule, role: Role) -> StateId {
        self.states.push(State {
            rule,
            role,
            edges: Vec::new(),
            suffixes: Vec::new(),
            first: Vec::new(),
            is_plain_choice: false,
            next: Set::default(),
        });
        (self.states.len() - 1) as StateId
    }

    fn join(&mut self, from: StateId, to: StateId) {
        self.states[from as usize].edges.push(Edge::Free(to));
    }

    /// The states of a piece: where it begins and where it is over.
    fn build(&mut self, rule: Rule, piece: &'static Piece) -> (StateId, StateId) {
        match piece {
            One(kind) => self.tokens(rule, Set::of(&[*kind])),
            AnyOf(kinds) => self.tokens(rule, Set::of(kinds)),
            Call(called, binding) => {
                let (from, then) = (self.add(rule, Role::Plain), self.add(rule, Role::Plain));
                self.states[from as usize].edges.push(Edge::Call { rule: *called, binding: *binding, then });
                (from, then)
            }
            Seq(pieces) => {
                let built: Vec<_> = pieces.iter().map(|piece| self.build(rule, piece)).collect();
                for pair in built.windows(2) {
                    self.join(pair[0].1, pair[1].0);
                }
                (built[0].0, built[built.len() - 1].1)
            }
            Choice(pieces) => {
                let (from, to) = (self.add(rule, Role::Choice), self.add(rule, Role::BlockEnd));
                for piece in *pieces {
                    self.way(from, rule, piece, to);
                }
                (from, to)
            }
            Optional(piece) => {
                let (from, to) = (self.add(rule, Role::Optional), self.add(rule, Role::BlockEnd));
                self.way(from, rule, piece, to);
                self.join(from, to);
                (from, to)
            }
            ManyOrNone(piece) => {
                let (entry, body, back) = self.star(rule);
                self.way(body, rule, piece, back);
                self.leave(entry)
            }
            OneOrMore(piece) => {
                let (block, back, to) = (self.add(rule, Role::PlusBlock), self.add(rule, Role::PlusBack), self.add(rule, Role::Plain));
                self.way(block, rule, piece, back);
                self.join(back, block);
                self.join(back, to);
                (block, to)
            }
            Suffixes(suffixes) => {
                let (entry, body, back) = self.star(rule);
                for (binding, piece) in *suffixes {
                    let (first, last) = self.build(rule, piece);
                    let guard = self.add(rule, Role::Plain);
                    self.join(body, guard);
                    self.states[guard as usize].edges.push(Edge::Binds(first));
                    self.join(last, back);
                    let begun = self.look(first, false);
                    self.states[entry as usize].suffixes.push((begun, *binding));
                }
                self.leave(entry)
            }
        }
    }

    fn tokens(&mut self, rule: Rule, set: Set) -> (StateId, StateId) {
        let (from, to) = (self.add(rule, Role::Plain), self.add(rule, Role::Plain));
        self.states[from as usize].edges.push(Edge::Tokens(set, to));
        (from, to)
    }

    fn way(&mut self, from: StateId, rule: Rule, piece: &'static Piece, to: StateId) {
        let (first, last) = self.build(rule, piece);
        self.join(from, first);
        self.join(last, to);
    }

    fn star(&mut self, rule: Rule) -> (StateId, StateId, StateId) {
        let entry = self.add(rule, Role::StarEntry);
        let (body, back) = (self.add(rule, Role::Body), self.add(rule, Role::StarBack));
        self.join(entry, body);
        self.join(back, entry);
        (entry, body, back)
    }

    fn leave(&mut self, entry: StateId) -> (StateId, StateId) {
        let to = self.add(self.states[entry as usize].rule, Role::Plain);
        self.join(entry, to);
        (entry, to)
    }

    /// Upstream: what ends a way leads straight to where the ways meet, so that callers in both are the same.
    fn shorten(&mut self) {
        for id in 0..self.states.len() {
            let meeting = |after: StateId| match self.states[after as usize].edges[..] {
                [Edge::Free(to)] if self.states[after as usize].role == Role::Plain => {
                    Some(to).filter(|to| matches!(self.states[*to as usize].role, Role::BlockEnd | Role::StarBack | Role::PlusBack))
                }
                _ => None,
            };
            let shortened = match self.states[id].edges[..] {
                [Edge::Call { rule, binding, then }] => meeting(then).map(|then| Edge::Call { rule, binding, then }),
                [Edge::Tokens(set, then)] => meeting(then).map(|then| Edge::Tokens(set, then)),
                _ => None,
            };
            if let Some(edge) = shortened {
                self.states[id].edges = vec![edge];
            }
            if let [Edge::Call { rule, then, .. }] = self.states[id].edges[..] {
                self.follows[rule as usize].push(then);
            }
        }
    }

    fn find_choices(&mut self) {
        for id in 0..self.states.len() {
            self.states[id].next = self.look(id as StateId, false);
            if self.states[id].edges.len() < 2 {
                continue;
            }
            let state = &self.states[id];
            let first: Vec<Set> = (0..state.edges.len()).map(|way| self.look(state.target(way), true).without_end()).collect();
            let is_split = (1..first.len()).all(|i| !first[..i].iter().any(|set| set.meets(first[i])));
            let is_guarded = !self.states[id].suffixes.is_empty() || self.has_guards(id);
            self.states[id].is_plain_choice = is_split && !is_guarded;
            self.states[id].first = first;
        }
    }

    fn has_guards(&self, id: usize) -> bool {
        let state = &self.states[id];
        (0..state.edges.len()).any(|way| matches!(self.states[state.target(way) as usize].edges[..], [Edge::Binds(..)]))
    }

    /// No rule is empty, so only that of `from` can end before a token comes.
    fn look(&self, from: StateId, is_beyond_rule: bool) -> Set {
        let (mut found, mut seen, mut waiting) = (Set::default(), vec![false; self.states.len()], vec![from]);
        while let Some(id) = waiting.pop() {
            if std::mem::replace(&mut seen[id as usize], true) {
                continue;
            }
            let state = &self.states[id as usize];
            if state.role == Role::RuleStop {
                found = found.and(Set::RULE_END);
                if is_beyond_rule {
                    waiting.extend(&self.follows[state.rule as usize]);
                }
            }
            for edge in &state.edges {
                match edge {
                    Edge::Free(to) | Edge::Binds(to) => waiting.push(*to),
                    Edge::Tokens(set, _) => found = found.and(*set),
                    Edge::Call { rule, .. } => waiting.push(self.starts[*rule as usize]),
                }
            }
        }
        found
    }
}
