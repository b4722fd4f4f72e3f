//! What was read, rule by rule, as far as it went.

use super::grammar::Rule;
use super::token::{Kind, Token};

pub(super) type NodeId = u32;

#[derive(Clone, Copy)]
pub(super) enum Child {
    Token(Token),
    /// What the parser put in where a token was missing.
    Missing,
    Node(NodeId),
}

pub(super) struct Node {
    pub(super) rule: Rule,
    /// Which of the rule's alternatives, from one; none when none was found.
    pub(super) way: u8,
    pub(super) start: u32,
    pub(super) children: Vec<Child>,
}

#[derive(Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn add(&mut self, rule: Rule, way: u8, start: u32) -> NodeId {
        self.nodes.push(Node { rule, way, start, children: Vec::new() });
        (self.nodes.len() - 1) as NodeId
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn nodes(&self, id: NodeId, rule: Rule) -> impl Iterator<Item = NodeId> {
        let nodes = self.node(id).children.iter().filter_map(|child| if let Child::Node(id) = child { Some(*id) } else { None });
        nodes.filter(move |id| self.node(*id).rule == rule)
    }

    pub(super) fn tokens(&self, id: NodeId, kind: Kind) -> impl Iterator<Item = Token> {
        self.node(id).children.iter().filter_map(move |child| match child {
            Child::Token(token) if token.kind == kind => Some(*token),
            _ => None,
        })
    }
}
