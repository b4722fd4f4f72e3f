//! The tree of rules into the tree of expressions, also where it is not whole: cel-go tells what is wrong in the rest too.

use std::rc::Rc;

use super::grammar::Rule;
use super::literal;
use super::macros::{self, Macros};
use super::token::{Kind as Word, Token};
use super::tree::{Child, NodeId, Tree};
use crate::source::{Faults, Offset, Source};
use crate::tree::{Entry, Expr, Field, Fold, Item, Kind, Literal};

/// Upstream's.
const DEPTH_MAX: u32 = 250;
/// Macros copy what they are applied to, which may double what stands there with each.
const EXPRS_MAX: u32 = 300_000;

const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Nothing more is read; why is among the faults.
pub(super) struct Halt;

type Built<T> = Result<T, Halt>;

pub(super) struct Builder<'a> {
    source: &'a Source,
    tree: &'a Tree,
    macros: Macros,
    pub(super) faults: &'a mut Faults,
    n_exprs: u32,
    depth: u32,
}

/// The expression and how many there are in it.
pub(super) fn build(source: &Source, tree: &Tree, root: NodeId, macros: Macros, faults: &mut Faults) -> Option<(Expr, u32)> {
    let mut builder = Builder { source, tree, macros, faults, n_exprs: 0, depth: 0 };
    let root = builder.first(root, Rule::Expr);
    let expr = builder.visit(root).ok()?;
    Some((expr, builder.n_exprs))
}

impl Builder<'_> {
    pub(super) fn expr(&mut self, at: Offset, kind: Kind) -> Built<Expr> {
        if self.n_exprs == EXPRS_MAX {
            self.faults.add(None, format!("expression has more than {EXPRS_MAX} parts"));
            return Err(Halt);
        }
        let id = self.n_exprs;
        self.n_exprs += 1;
        Ok(Expr { id, at, kind })
    }

    pub(super) fn call(&mut self, at: Offset, function: &str, arguments: Vec<Expr>) -> Built<Expr> {
        self.expr(at, Kind::Call { function: function.into(), target: None, arguments })
    }

    pub(super) fn member_call(&mut self, at: Offset, function: &str, target: Expr, arguments: Vec<Expr>) -> Built<Expr> {
        self.expr(at, Kind::Call { function: function.into(), target: Some(Box::new(target)), arguments })
    }

    pub(super) fn ident(&mut self, at: Offset, name: &str) -> Built<Expr> {
        self.expr(at, Kind::Ident(name.into()))
    }

    pub(super) fn literal(&mut self, at: Offset, literal: Literal) -> Built<Expr> {
        self.expr(at, Kind::Literal(literal))
    }

    pub(super) fn list(&mut self, at: Offset, values: Vec<Expr>) -> Built<Expr> {
        self.expr(at, Kind::List(values.into_iter().map(|value| Item { value, is_optional: false }).collect()))
    }

    /// The same once more, with numbers of its own.
    pub(super) fn copy(&mut self, expr: &Expr) -> Built<Expr> {
        let kind = match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Unread => expr.kind.clone(),
            Kind::Select { operand, field, is_test } => {
                Kind::Select { operand: Box::new(self.copy(operand)?), field: field.clone(), is_test: *is_test }
            }
            Kind::Call { function, target, arguments } => Kind::Call {
                function: function.clone(),
                target: target.as_ref().map(|target| self.copy(target)).transpose()?.map(Box::new),
                arguments: arguments.iter().map(|argument| self.copy(argument)).collect::<Built<_>>()?,
            },
            Kind::List(items) => {
                let copied = items.iter().map(|item| Ok(Item { value: self.copy(&item.value)?, is_optional: item.is_optional }));
                Kind::List(copied.collect::<Built<_>>()?)
            }
            Kind::Map(entries) => {
                let mut copied = Vec::with_capacity(entries.len());
                for entry in entries {
                    copied.push(Entry { key: self.copy(&entry.key)?, value: self.copy(&entry.value)?, is_optional: entry.is_optional });
                }
                Kind::Map(copied)
            }
            Kind::Struct { name, fields } => {
                let mut copied = Vec::with_capacity(fields.len());
                for field in fields {
                    copied.push(Field { value: self.copy(&field.value)?, name: field.name.clone(), ..*field });
                }
                Kind::Struct { name: name.clone(), fields: copied }
            }
            Kind::Fold(fold) => Kind::Fold(Box::new(Fold {
                range: self.copy(&fold.range)?,
                init: self.copy(&fold.init)?,
                condition: self.copy(&fold.condition)?,
                step: self.copy(&fold.step)?,
                result: self.copy(&fold.result)?,
                variable: fold.variable.clone(),
                second_variable: fold.second_variable.clone(),
                accumulator: fold.accumulator.clone(),
            })),
        };
        self.expr(expr.at, kind)
    }

    fn first(&self, node: NodeId, rule: Rule) -> Option<NodeId> {
        self.tree.nodes(node, rule).next()
    }

    fn token(&self, node: NodeId, kind: Word) -> Option<Token> {
        self.tree.tokens(node, kind).next()
    }

    fn text(&self, token: Token) -> String {
        self.source.text[token.start as usize..token.end as usize].iter().collect()
    }

    fn start(&self, node: NodeId) -> Offset {
        Some(self.tree.node(node).start)
    }

    fn fault(&mut self, at: Offset, message: impl Into<String>) -> Built<Expr> {
        self.faults.add(at, message);
        self.expr(at, Kind::Unread)
    }

    fn unread(&mut self) -> Built<Expr> {
        self.expr(None, Kind::Unread)
    }

    /// Down past rules that only pass on.
    fn unnest(&self, mut node: Option<NodeId>) -> Option<NodeId> {
        loop {
            let id = node?;
            let found = self.tree.node(id);
            let inner = match (found.rule, found.way) {
                (Rule::Expr, _) if self.token(id, Word::Question).is_none() => Rule::ConditionalOr,
                (Rule::ConditionalOr, _) if self.token(id, Word::Or).is_none() => Rule::ConditionalAnd,
                (Rule::ConditionalAnd, _) if self.token(id, Word::And).is_none() => Rule::Relation,
                (Rule::Relation, _) if self.operator(id).is_none() => Rule::Calc,
                (Rule::Calc, _) if self.operator(id).is_none() => Rule::Unary,
                (Rule::Unary, 1) => Rule::Member,
                (Rule::Member, 0) => Rule::Primary,
                (Rule::Primary, 3) => Rule::Expr,
                (Rule::Primary, 7) => Rule::Literal,
                _ => return node,
            };
            node = self.first(id, inner);
        }
    }

    fn operator(&self, node: NodeId) -> Option<Token> {
        self.tree.node(node).children.iter().find_map(|child| if let Child::Token(token) = child { Some(*token) } else { None })
    }

    fn visit(&mut self, node: Option<NodeId>) -> Built<Expr> {
        let Some(id) = self.unnest(node) else { return self.unread() };
        let (rule, way) = (self.tree.node(id).rule, self.tree.node(id).way);
        match (rule, way) {
            (Rule::Expr | Rule::Relation | Rule::Calc, _) | (Rule::Member, 1..=3) => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    self.faults.add(None, "max recursion depth exceeded");
                    return Err(Halt);
                }
                let built = match (rule, way) {
                    (Rule::Expr, _) => self.conditional(id),
                    (Rule::Member, 1) => self.select(id),
                    (Rule::Member, 2) => self.method(id),
                    (Rule::Member, _) => self.index(id),
                    _ => self.binary(id, rule),
                };
                self.depth -= 1;
                built
            }
            (Rule::ConditionalOr, _) => self.logic(id, Word::Or, Rule::ConditionalAnd, "_||_"),
            (Rule::ConditionalAnd, _) => self.logic(id, Word::And, Rule::Relation, "_&&_"),
            (Rule::Unary, 2) => self.unary(id, Word::Not, "!_"),
            (Rule::Unary, 3) => self.unary(id, Word::Minus, "-_"),
            (Rule::Primary, 1) => self.name(id),
            (Rule::Primary, 2) => self.function(id),
            (Rule::Primary, 4) => self.items(id),
            (Rule::Primary, 5) => self.entries(id),
            (Rule::Primary, 6) => self.structure(id),
            (Rule::Literal, 1..=8) => self.constant(id, way),
            _ => self.unread(),
        }
    }

    fn conditional(&mut self, id: NodeId) -> Built<Expr> {
        let branches: Vec<_> = self.tree.nodes(id, Rule::ConditionalOr).collect();
        let condition = self.visit(branches.first().copied())?;
        let at = self.token(id, Word::Question).map(|token| token.start);
        let then = self.visit(branches.get(1).copied())?;
        let other = self.first(id, Rule::Expr);
        let other = self.visit(other)?;
        self.call(at, "_?_:_", vec![condition, then, other])
    }

    /// Long chains become balanced trees.
    fn logic(&mut self, id: NodeId, word: Word, inner: Rule, function: &str) -> Built<Expr> {
        let parts: Vec<_> = self.tree.nodes(id, inner).collect();
        let operators: Vec<Offset> = self.tree.tokens(id, word).map(|token| Some(token.start)).collect();
        let mut terms = vec![Some(self.visit(parts.first().copied())?)];
        for i in 0..operators.len() {
            if i + 1 >= parts.len() {
                return self.fault(self.start(id), format!("unexpected character, wanted {}", word.shown()));
            }
            terms.push(Some(self.visit(Some(parts[i + 1]))?));
        }
        self.balanced(function, &operators, &mut terms)
    }

    fn balanced(&mut self, function: &str, operators: &[Offset], terms: &mut [Option<Expr>]) -> Built<Expr> {
        if operators.is_empty() {
            return Ok(terms[0].take().expect("each term is taken once"));
        }
        let middle = operators.len() / 2;
        let left = self.balanced(function, &operators[..middle], &mut terms[..=middle])?;
        let right = self.balanced(function, &operators[middle + 1..], &mut terms[middle + 1..])?;
        self.call(operators[middle], function, vec![left, right])
    }

    fn binary(&mut self, id: NodeId, rule: Rule) -> Built<Expr> {
        let operator = self.operator(id).expect("one without an operator was passed by");
        let sides: Vec<_> = self.tree.nodes(id, rule).collect();
        let left = self.visit(sides.first().copied())?;
        let right = self.visit(sides.get(1).copied())?;
        let function = match operator.kind {
            Word::In => "@in".to_owned(),
            _ => format!("_{}_", self.text(operator)),
        };
        self.call(Some(operator.start), &function, vec![left, right])
    }

    fn unary(&mut self, id: NodeId, word: Word, function: &str) -> Built<Expr> {
        let operators: Vec<_> = self.tree.tokens(id, word).collect();
        let member = self.first(id, Rule::Member);
        let operand = self.visit(member)?;
        if operators.len() % 2 == 0 {
            return Ok(operand);
        }
        self.call(Some(operators[0].start), function, vec![operand])
    }

    /// A field's name, or what is wrong with it.
    fn field_name(&self, id: NodeId) -> Result<String, &'static str> {
        if let Some(name) = self.token(id, Word::Name) {
            return Ok(self.text(name));
        }
        let quoted = self.token(id, Word::QuotedName).ok_or("unsupported ident kind")?;
        let text = self.text(quoted);
        Ok(text[1..text.len() - 1].to_owned())
    }

    fn select(&mut self, id: NodeId) -> Built<Expr> {
        let member = self.first(id, Rule::Member);
        let operand = self.visit(member)?;
        let (Some(dot), Some(name)) = (self.token(id, Word::Dot), self.first(id, Rule::FieldName)) else { return self.unread() };
        let at = Some(dot.start);
        let field = self.field_name(name).unwrap_or_else(|fault| {
            self.faults.add(self.start(name), fault);
            String::new()
        });
        if self.token(id, Word::Question).is_some() {
            let field = self.literal(self.start(name), Literal::Text(field.into()))?;
            return self.call(at, "_?._", vec![operand, field]);
        }
        self.expr(at, Kind::Select { operand: Box::new(operand), field: field.into(), is_test: false })
    }

    fn method(&mut self, id: NodeId) -> Built<Expr> {
        let member = self.first(id, Rule::Member);
        let target = self.visit(member)?;
        let Some(name) = self.token(id, Word::Name) else { return self.unread() };
        let at = self.token(id, Word::OpenParen).map(|token| token.start);
        let arguments = self.arguments(id)?;
        macros::expand(self, at, &self.text(name), Some(target), arguments)
    }

    fn arguments(&mut self, id: NodeId) -> Built<Vec<Expr>> {
        let Some(list) = self.first(id, Rule::Arguments) else { return Ok(Vec::new()) };
        let parts: Vec<_> = self.tree.nodes(list, Rule::Expr).collect();
        parts.into_iter().map(|part| self.visit(Some(part))).collect()
    }

    fn index(&mut self, id: NodeId) -> Built<Expr> {
        let member = self.first(id, Rule::Member);
        let target = self.visit(member)?;
        let Some(bracket) = self.token(id, Word::OpenBracket) else { return self.unread() };
        let index = self.first(id, Rule::Expr);
        let index = self.visit(index)?;
        let function = if self.token(id, Word::Question).is_some() { "_[?_]" } else { "_[_]" };
        self.call(Some(bracket.start), function, vec![target, index])
    }

    /// With the dot before it, which names what stands outside of all variables.
    fn plain_name(&self, id: NodeId) -> Option<(Token, Result<String, String>)> {
        let name = self.token(id, Word::Name)?;
        let text = self.text(name);
        if RESERVED.contains(&text.as_str()) {
            return Some((name, Err(format!("reserved identifier: {text}"))));
        }
        let dot = if self.token(id, Word::Dot).is_some() { "." } else { "" };
        Some((name, Ok(format!("{dot}{text}"))))
    }

    fn name(&mut self, id: NodeId) -> Built<Expr> {
        match self.plain_name(id) {
            None => self.unread(),
            Some((_, Err(fault))) => self.fault(self.start(id), fault),
            Some((token, Ok(name))) => self.ident(Some(token.start), &name),
        }
    }

    fn function(&mut self, id: NodeId) -> Built<Expr> {
        match self.plain_name(id) {
            None => self.unread(),
            Some((_, Err(fault))) => self.fault(self.start(id), fault),
            Some((_, Ok(name))) => {
                let at = self.token(id, Word::OpenParen).map(|token| token.start);
                let arguments = self.arguments(id)?;
                macros::expand(self, at, &name, None, arguments)
            }
        }
    }

    fn items(&mut self, id: NodeId) -> Built<Expr> {
        let at = self.token(id, Word::OpenBracket).map(|token| token.start);
        let mut items = Vec::new();
        if let Some(list) = self.first(id, Rule::Items) {
            let parts: Vec<_> = self.tree.nodes(list, Rule::Item).collect();
            for part in parts {
                let is_optional = self.token(part, Word::Question).is_some();
                let value = self.first(part, Rule::Expr);
                items.push(Item { value: self.visit(value)?, is_optional });
            }
        }
        self.expr(at, Kind::List(items))
    }

    /// Where the colons of a list are; one that was missing counts.
    fn n_colons(&self, id: NodeId) -> usize {
        let is_colon = |child: &&Child| match child {
            Child::Missing => true,
            Child::Token(token) => token.kind == Word::Colon,
            Child::Node(_) => false,
        };
        self.tree.node(id).children.iter().filter(is_colon).count()
    }

    fn entries(&mut self, id: NodeId) -> Built<Expr> {
        let at = self.token(id, Word::OpenBrace).map(|token| token.start);
        let mut entries = Vec::new();
        if let Some(list) = self.first(id, Rule::Entries) {
            let keys: Vec<_> = self.tree.nodes(list, Rule::Item).collect();
            let values: Vec<_> = self.tree.nodes(list, Rule::Expr).collect();
            for i in 0..self.n_colons(list) {
                let (Some(key), Some(value)) = (keys.get(i), values.get(i)) else {
                    entries.clear();
                    break;
                };
                let is_optional = self.token(*key, Word::Question).is_some();
                let key = self.first(*key, Rule::Expr);
                entries.push(Entry { key: self.visit(key)?, value: self.visit(Some(*value))?, is_optional });
            }
        }
        self.expr(at, Kind::Map(entries))
    }

    fn structure(&mut self, id: NodeId) -> Built<Expr> {
        let names: Vec<_> = self.tree.tokens(id, Word::Name).map(|name| self.text(name)).collect();
        let is_rooted = matches!(self.tree.node(id).children.first(), Some(Child::Token(token)) if token.kind == Word::Dot);
        let name: Rc<str> = format!("{}{}", if is_rooted { "." } else { "" }, names.join(".")).into();
        let at = self.token(id, Word::OpenBrace).map(|token| token.start);
        let mut fields = Vec::new();
        if let Some(list) = self.first(id, Rule::Fields) {
            let named: Vec<_> = self.tree.nodes(list, Rule::Field).collect();
            let values: Vec<_> = self.tree.nodes(list, Rule::Expr).collect();
            let colons: Vec<_> = self.tree.tokens(list, Word::Colon).map(|token| Some(token.start)).collect();
            for (i, field) in named.iter().enumerate() {
                if i >= self.n_colons(list) || i >= values.len() {
                    fields.clear();
                    break;
                }
                let is_optional = self.token(*field, Word::Question).is_some();
                let named = self.first(*field, Rule::FieldName).map_or(Err("unsupported ident kind"), |name| self.field_name(name));
                match named {
                    Err(fault) => self.faults.add(self.start(list), fault),
                    Ok(name) => {
                        let value = self.visit(Some(values[i]))?;
                        fields.push(Field { at: colons.get(i).copied().flatten(), name: name.into(), value, is_optional });
                    }
                }
            }
        }
        self.expr(at, Kind::Struct { name, fields })
    }

    fn constant(&mut self, id: NodeId, way: u8) -> Built<Expr> {
        let (at, is_negative) = (self.start(id), self.token(id, Word::Minus).is_some());
        let token =
            self.tree.node(id).children.iter().rev().find_map(|child| if let Child::Token(token) = child { Some(*token) } else { None });
        let Some(token) = token else { return self.unread() };
        let text = self.text(token);
        let literal = match way {
            1 => literal::int(&text, is_negative).ok_or("invalid int literal"),
            2 => literal::uint(&text).ok_or("invalid uint literal"),
            3 => literal::double(&text, is_negative).ok_or("invalid double literal"),
            4 => literal::unquoted(&text, false).map(|bytes| Literal::Text(String::from_utf8_lossy(&bytes).into())),
            5 => literal::unquoted(&text[1..], true).map(|bytes| Literal::Bytes(bytes.into())),
            6 => Ok(Literal::Bool(true)),
            7 => Ok(Literal::Bool(false)),
            _ => Ok(Literal::Null),
        };
        match literal {
            Ok(literal) => self.literal(at, literal),
            Err(fault) => self.fault(at, fault),
        }
    }

    /// Whether the environment has the macros beyond Kubernetes' own.
    pub(super) fn macros(&self) -> Macros {
        self.macros
    }
}
