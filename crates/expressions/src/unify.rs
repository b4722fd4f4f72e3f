//! What fits what, and what unknown types become by it.

use crate::types::{Head, PARTS_MAX, Type};

/// Parts of types that one expression's check may put together.
const SUBSTITUTIONS_MAX: u32 = 2_000_000;

/// What is known of unknown types. A try that fails leaves nothing behind.
#[derive(Default)]
pub(crate) struct Unifier {
    known: Vec<Option<Type>>,
    /// What was known before each change of the try that runs.
    changes: Vec<(u32, Option<Type>)>,
    n_substituted: u32,
    /// Types grew beyond all use.
    pub(crate) is_overgrown: bool,
}

impl Unifier {
    pub(crate) fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Variable(self.known.len() as u32 - 1)
    }

    /// A type of a declaration, with variables of its own from `first` on.
    pub(crate) fn instantiate(declared: &Type, first: u32) -> Type {
        match declared {
            Type::Variable(id) => Type::Variable(first + id),
            Type::Applied(applied) => {
                let parameters = applied.parameters.iter().map(|parameter| Self::instantiate(parameter, first)).collect();
                Type::applied(applied.head.clone(), parameters)
            }
            _ => declared.clone(),
        }
    }

    /// A type put together of others, unless it is beyond all use.
    pub(crate) fn applied(&mut self, head: Head, parameters: Vec<Type>) -> Type {
        let applied = Type::applied(head, parameters);
        if applied.n_parts() <= PARTS_MAX {
            return applied;
        }
        self.is_overgrown = true;
        Type::Error
    }

    pub(crate) fn fits(&mut self, one: &Type, two: &Type) -> bool {
        self.attempt(|this| this.assign(one, two))
    }

    pub(crate) fn all_fit(&mut self, ones: &[Type], twos: &[Type]) -> bool {
        self.attempt(|this| this.assign_all(ones, twos))
    }

    fn attempt(&mut self, assign: impl FnOnce(&mut Self) -> bool) -> bool {
        self.changes.clear();
        let fits = assign(self);
        if !fits {
            while let Some((id, before)) = self.changes.pop() {
                self.known[id as usize] = before;
            }
        }
        fits
    }

    fn learn(&mut self, id: u32, what: Type) {
        let before = self.known[id as usize].replace(what);
        self.changes.push((id, before));
    }

    fn assign_all(&mut self, ones: &[Type], twos: &[Type]) -> bool {
        ones.len() == twos.len() && ones.iter().zip(twos).all(|(one, two)| self.assign(one, two))
    }

    fn assign(&mut self, one: &Type, two: &Type) -> bool {
        if let Type::Variable(id) = two {
            let (fits, is_known) = self.stand_for(one, *id);
            if fits || is_known {
                return fits;
            }
        }
        if let Type::Variable(id) = one {
            return self.stand_for(two, *id).0;
        }
        if one.is_dyn_or_error() || two.is_dyn_or_error() {
            return true;
        }
        match (one, two) {
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Applied(first), Type::Applied(second)) => match (&first.head, &second.head) {
                (Head::Type, Head::Type) => true,
                (head, other) => head == other && self.assign_all(&first.parameters, &second.parameters),
            },
            _ => one.is_exactly(two),
        }
    }

    /// Whether the variable may be that, and whether something was known of it.
    fn stand_for(&mut self, other: &Type, id: u32) -> (bool, bool) {
        if *other == Type::Variable(id) {
            return (true, true);
        }
        let Some(known) = self.known[id as usize].clone() else {
            let is_free = !self.has(id, other);
            if is_free {
                self.learn(id, other.clone());
            }
            return (is_free, false);
        };
        if other.is_exactly(&known) {
            return (true, true);
        }
        if !self.assign(other, &known) {
            return (false, true);
        }
        let general = most_general(other, &known).clone();
        if !self.has(id, &general) {
            self.learn(id, general);
        }
        (true, true)
    }

    /// Whether the variable stands inside of the type.
    fn has(&self, id: u32, within: &Type) -> bool {
        let mut within = within;
        while let Type::Variable(other) = within {
            if *other == id {
                return true;
            }
            let Some(known) = &self.known[*other as usize] else { return false };
            within = known;
        }
        match within {
            Type::Applied(applied) => applied.parameters.iter().any(|parameter| self.has(id, parameter)),
            _ => false,
        }
    }

    /// With what is known put in; with `is_last` what is still unknown is anything.
    pub(crate) fn resolve(&mut self, of: &Type, is_last: bool) -> Type {
        let mut of = of.clone();
        while let Type::Variable(id) = of {
            match &self.known[id as usize] {
                Some(known) => of = known.clone(),
                None => return if is_last { Type::Dyn } else { of },
            }
        }
        let Type::Applied(applied) = &of else { return of };
        if self.n_substituted > SUBSTITUTIONS_MAX {
            self.is_overgrown = true;
            return Type::Error;
        }
        self.n_substituted += 1;
        let parameters: Vec<Type> = applied.parameters.iter().map(|parameter| self.resolve(parameter, is_last)).collect();
        self.applied(applied.head.clone(), parameters)
    }
}

fn is_nullable(of: &Type) -> bool {
    match of {
        Type::Null | Type::Wrapper(_) | Type::Object(_) | Type::Duration | Type::Timestamp => true,
        Type::Applied(applied) => matches!(applied.head, Head::Opaque(_)),
        _ => false,
    }
}

pub(crate) fn most_general<'a>(one: &'a Type, two: &'a Type) -> &'a Type {
    if is_no_more_specific(one, two) { one } else { two }
}

fn is_no_more_specific(one: &Type, two: &Type) -> bool {
    let is_open = |of: &Type| of.is_dyn() || matches!(of, Type::Variable(_));
    if is_open(one) || is_open(two) {
        return is_open(one);
    }
    match (one, two) {
        (Type::Applied(first), Type::Applied(second)) => match (&first.head, &second.head) {
            (Head::Type, Head::Type) => true,
            (head, other) => {
                head == other
                    && first.parameters.len() == second.parameters.len()
                    && first.parameters.iter().zip(&second.parameters).all(|(one, two)| is_no_more_specific(one, two))
            }
        },
        _ => one.is_exactly(two),
    }
}
