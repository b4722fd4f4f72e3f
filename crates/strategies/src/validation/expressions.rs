//! Expressions in objects: what each may name, and what it must evaluate to.

use expressions::{Applied, Environment, Head, Type, check};

use crate::check::{At, Faults};

/// Where a policy keeps what its variables are.
const VARIABLES: &str = "kubernetes.variables";

/// What the expressions of one policy, or of one webhook, may name.
pub(super) struct Scope {
    has_params: bool,
    /// Of policies whose expressions see variables: those that were looked at so far.
    variables: Option<Vec<(String, Type)>>,
}

impl Scope {
    pub(super) fn new(has_params: bool, has_variables: bool) -> Self {
        Scope { has_params, variables: has_variables.then(Vec::new) }
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::admission();
        if self.has_params {
            environment = environment.with_params();
        }
        if let Some(variables) = &self.variables {
            environment.add_object(VARIABLES);
            environment.add_variable("variables", Type::Object(VARIABLES.into()));
            for (name, of) in variables {
                environment.add_field(VARIABLES, name, of.clone());
            }
        }
        environment
    }

    /// Whether a match condition is one: it sees no variables, and blanks around it are cut off.
    pub(super) fn validate_condition(&self, at: &At<'_>, faults: &mut Faults) {
        let environment = Scope::new(self.has_params, false).environment().with_authorizer();
        compile(at, at.text().trim(), at.text().trim(), &environment, &[Type::Bool], faults);
    }

    pub(super) fn validate_rule(&self, at: &At<'_>, faults: &mut Faults) {
        compile(at, at.text(), at.text(), &self.environment().with_authorizer(), &[Type::Bool], faults);
    }

    pub(super) fn validate_message(&self, at: &At<'_>, faults: &mut Faults) {
        compile(at, at.text(), at.text(), &self.environment(), &[Type::Text], faults);
    }

    pub(super) fn validate_annotation(&self, at: &At<'_>, faults: &mut Faults) {
        compile(at, at.text().trim(), at.text(), &self.environment().with_authorizer(), &[Type::Text, Type::Null], faults);
    }

    pub(super) fn validate_json_patch(&self, at: &At<'_>, faults: &mut Faults) {
        self.validate_patch(at, Type::list(Type::Object("JSONPatch".into())), faults);
    }

    pub(super) fn validate_apply_configuration(&self, at: &At<'_>, faults: &mut Faults) {
        self.validate_patch(at, Type::Object("Object".into()), faults);
    }

    fn validate_patch(&self, at: &At<'_>, wanted: Type, faults: &mut Faults) {
        let environment = self.environment().with_authorizer().with_patches();
        compile(at, at.text().trim(), at.text().trim(), &environment, &[wanted], faults);
    }

    /// A variable is there for all expressions after it, whether it compiles or not.
    pub(super) fn add_variable(&mut self, name: &str, at: &At<'_>, faults: &mut Faults) {
        let environment = self.environment().with_authorizer();
        let of = compile(at, at.text(), at.text(), &environment, &[], faults).map_or(Type::Dyn, |of| declared(&of));
        self.variables.get_or_insert_default().push((name.to_owned(), of));
    }
}

/// Upstream: what a variable evaluates to is known to others only where it is plain.
fn declared(of: &Type) -> Type {
    match of {
        Type::Object(_) | Type::Wrapper(_) => Type::Dyn,
        Type::Applied(applied) => match &**applied {
            Applied { head: Head::List, parameters, .. } => Type::list(declared(&parameters[0])),
            Applied { head: Head::Map, parameters, .. } => Type::map(declared(&parameters[0]), declared(&parameters[1])),
            _ => Type::Dyn,
        },
        _ => of.clone(),
    }
}

/// What selects devices.
pub(super) fn validate_selector(at: &At<'_>, faults: &mut Faults) {
    const LEN_MAX: usize = 10 << 10;
    if at.text().len() > LEN_MAX {
        return faults.too_long(at, LEN_MAX);
    }
    let Some(of) = compile(at, at.text(), at.text(), &Environment::device(), &[], faults) else { return };
    if !matches!(of, Type::Bool | Type::Any) {
        faults.invalid_text(at, format!("must evaluate to bool or the unknown type, not {of}"));
    }
}

/// What the expression evaluates to, if it is good and that is among what is wanted; nothing wanted is anything.
fn compile(at: &At<'_>, text: &str, shown: &str, environment: &Environment, wanted: &[Type], faults: &mut Faults) -> Option<Type> {
    let checked = match check(text, environment) {
        Ok(checked) => checked,
        Err(invalid) => {
            faults.invalid_as(at, shown, format!("compilation failed: {invalid}"));
            return None;
        }
    };
    let of = checked.result();
    if wanted.is_empty() || wanted.contains(of) {
        return Some(of.clone());
    }
    let wanted: Vec<_> = wanted.iter().map(Type::to_string).collect();
    let wanted = match &wanted[..] {
        [one] => one.clone(),
        _ => format!("one of [{}]", wanted.join(" ")),
    };
    faults.invalid_as(at, shown, format!("must evaluate to {wanted} but got {of}"));
    None
}
