//! What was encoded before, as a template: the objects of a list are mostly alike but for their names, identifiers and times.
//!
//! Two texts of one length that differ in the content of such leaves only are read alike, so their messages differ there only: the
//! earlier message is copied and the leaves are put in. All else is read anew.

use kinds::TypeId;

use super::text::Text;
use super::wire::put_time;

/// Templates known at once, by the length of their text.
const N_TEMPLATES: usize = 32;
/// With the number above, what a list may take for them: half a megabyte at most.
const TEXT_LEN_MAX: usize = 8 * 1024;
/// Where objects are unlike again and again, templates are made only now and then.
const N_MISSES_MAX: u8 = 4;
const KEPT_EVERY: u8 = 16;

/// A value that may differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) kind: LeafKind,
    /// Its place in the text, a string's without the quotes.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where its bytes begin in the message.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LeafKind {
    /// A string without escapes: its bytes are its text.
    String,
    /// Any value, kept as text.
    Json,
    /// A time whose message has this length.
    Time { len: usize },
}

#[derive(Debug, Default)]
pub(super) struct Templates {
    /// None before the second object: one alone has nobody to be like.
    slots: Vec<Slot>,
    n_objects: usize,
}

#[derive(Debug, Default)]
struct Slot {
    ty: Option<TypeId>,
    n_misses: u8,
    text: Vec<u8>,
    message: Vec<u8>,
    /// In the order of the text.
    leaves: Vec<Leaf>,
}

impl Templates {
    /// Puts the message behind what `out` has, if an earlier object was like this one.
    pub(super) fn fill(&mut self, ty: TypeId, text: &[u8], out: &mut Vec<u8>) -> bool {
        self.n_objects += 1;
        if self.n_objects == 2 {
            self.slots.resize_with(N_TEMPLATES, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(text.len() % N_TEMPLATES) else { return false };
        if slot.ty != Some(ty) || slot.text.len() != text.len() {
            return false;
        }
        let start = out.len();
        out.extend_from_slice(&slot.message);
        if slot.put_leaves(text, &mut out[start..]).is_some() {
            slot.n_misses = 0;
            return true;
        }
        out.truncate(start);
        false
    }

    /// Whether this text shall be the template for others of its length: asked once after it was not filled in.
    pub(super) fn is_wanted(&mut self, text: &[u8]) -> bool {
        let Some(slot) = self.slots.get_mut(text.len() % N_TEMPLATES) else { return false };
        slot.n_misses = slot.n_misses.wrapping_add(1);
        text.len() <= TEXT_LEN_MAX && (slot.n_misses <= N_MISSES_MAX || slot.n_misses.is_multiple_of(KEPT_EVERY))
    }

    /// Leaves come in any order; their places are those in `message`.
    pub(super) fn keep(&mut self, ty: TypeId, text: &[u8], message: &[u8], leaves: &[Leaf]) {
        let Some(slot) = self.slots.get_mut(text.len() % N_TEMPLATES) else { return };
        slot.ty = Some(ty);
        for (kept, new) in [(&mut slot.text, text), (&mut slot.message, message)] {
            kept.clear();
            kept.extend_from_slice(new);
        }
        slot.leaves.clear();
        slot.leaves.extend_from_slice(leaves);
        slot.leaves.sort_unstable_by_key(|leaf| leaf.from);
    }
}

impl Slot {
    /// `None` where the texts differ in more than leaves.
    fn put_leaves(&self, text: &[u8], message: &mut [u8]) -> Option<()> {
        let mut leaves = self.leaves.iter();
        let mut done = 0;
        while let Some(at) = first_difference(&self.text, text, done) {
            let leaf = leaves.find(|leaf| leaf.to > at).filter(|leaf| leaf.from <= at)?;
            leaf.put(text, message)?;
            done = leaf.to;
        }
        Some(())
    }
}

impl Leaf {
    fn put(&self, text: &[u8], message: &mut [u8]) -> Option<()> {
        let new = &text[self.from..self.to];
        let mut made = Vec::new();
        let bytes = match self.kind {
            LeafKind::String => (!new.iter().any(|byte| matches!(byte, b'"' | b'\\'))).then_some(new)?,
            LeafKind::Json => Text::new(new).raw().filter(|raw| raw.len() == new.len())?,
            LeafKind::Time { len } => {
                put_time(new, &mut made);
                (made.len() == len).then_some(made.as_slice())?
            }
        };
        message[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        Some(())
    }
}

/// Two texts of one length, from a place where they are equal up to there.
fn first_difference(a: &[u8], b: &[u8], from: usize) -> Option<usize> {
    const STEP: usize = 64;
    let (a, b) = (&a[from..], &b[from..]);
    let n_equal = a.chunks(STEP).zip(b.chunks(STEP)).take_while(|(a, b)| a == b).count();
    let at = n_equal * STEP;
    let rest = a.get(at..)?.iter().zip(&b[at..]);
    rest.take(STEP).position(|(a, b)| a != b).map(|n| from + at + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_wherever_it_lies() {
        for len in [0, 1, 63, 64, 65, 200] {
            let a = vec![7; len];
            assert_eq!(first_difference(&a, &a, 0), None);
            for at in 0..len {
                let mut b = a.clone();
                b[at] = 8;
                assert_eq!(first_difference(&a, &b, 0), Some(at));
                assert_eq!(first_difference(&a, &b, at), Some(at));
                assert_eq!(first_difference(&a, &b, at + 1), None);
            }
        }
    }
}
