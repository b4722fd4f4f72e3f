//! Calls that stand for more than a call: loops, presence tests, names for values.

use std::rc::Rc;

use super::build::{Builder, Halt};
use crate::source::Offset;
use crate::tree::{Expr, Fold, Kind, Literal};

/// Those that are not everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Macros {
    /// `cel.bind`.
    pub(crate) has_bind: bool,
}

const ACCUMULATOR: &str = "@result";
const UNUSED: &str = "#unused";
const OVERWRITES: &str = "iteration variable overwrites accumulator variable";
const NO_SIMPLE_NAME: &str = "argument must be a simple name";

/// Why a macro cannot be applied.
enum Stop {
    Fault(Offset, String),
    Halt,
}

impl From<Halt> for Stop {
    fn from(Halt: Halt) -> Self {
        Stop::Halt
    }
}

type Expanded = Result<Expr, Stop>;

/// The call, or what it stands for.
pub(super) fn expand(
    builder: &mut Builder<'_>,
    at: Offset,
    function: &str,
    target: Option<Expr>,
    arguments: Vec<Expr>,
) -> Result<Expr, Halt> {
    let expanded = match (function, arguments.len(), target) {
        ("has", 1, None) => has(builder, at, one(arguments)),
        ("all" | "exists" | "exists_one", 2, Some(target)) | ("all" | "exists" | "exists_one" | "existsOne", 3, Some(target)) => {
            quantify(builder, at, function, target, arguments)
        }
        ("map", 2 | 3, Some(target)) => map(builder, at, target, arguments),
        ("filter", 2, Some(target)) => filter(builder, at, target, arguments),
        ("transformList" | "transformMap" | "transformMapEntry", 3 | 4, Some(target)) => {
            transform(builder, at, function, target, arguments)
        }
        ("optMap" | "optFlatMap", 2, Some(target)) => map_optional(builder, at, function, target, arguments),
        ("sortBy", 2, Some(target)) => sort_by(builder, at, target, arguments),
        ("bind", 3, Some(target)) if builder.macros().has_bind && matches!(&target.kind, Kind::Ident(name) if &**name == "cel") => {
            bind(builder, at, arguments)
        }
        (_, _, None) => return builder.call(at, function, arguments),
        (_, _, Some(target)) => return builder.member_call(at, function, target, arguments),
    };
    match expanded {
        Ok(expr) => Ok(expr),
        Err(Stop::Halt) => Err(Halt),
        Err(Stop::Fault(at, message)) => {
            builder.faults.add(at, message);
            builder.expr(at, Kind::Unread)
        }
    }
}

fn one(arguments: Vec<Expr>) -> Expr {
    arguments.into_iter().next().expect("the number of arguments was looked at")
}

fn fault<T>(expr: &Expr, message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fault(expr.at, message.into()))
}

fn name_or(expr: &Expr, message: &str) -> Result<Rc<str>, Stop> {
    match &expr.kind {
        Kind::Ident(name) => Ok(name.clone()),
        _ => fault(expr, message),
    }
}

fn variable(expr: &Expr, message: &str) -> Result<Rc<str>, Stop> {
    let name = name_or(expr, message)?;
    if is_accumulator(&name) { fault(expr, OVERWRITES) } else { Ok(name) }
}

fn is_accumulator(name: &str) -> bool {
    matches!(name, ACCUMULATOR | "__result__")
}

fn two_variables(first: &Expr, second: &Expr) -> Result<(Rc<str>, Rc<str>), Stop> {
    let (one, two) = (name_or(first, NO_SIMPLE_NAME)?, name_or(second, NO_SIMPLE_NAME)?);
    if one == two {
        return fault(second, format!("duplicate variable name: {one}"));
    }
    match (is_accumulator(&one), is_accumulator(&two)) {
        (true, _) => fault(first, OVERWRITES),
        (_, true) => fault(second, OVERWRITES),
        _ => Ok((one, two)),
    }
}

fn has(builder: &mut Builder<'_>, at: Offset, argument: Expr) -> Expanded {
    match argument.kind {
        Kind::Select { operand, field, .. } => Ok(builder.expr(at, Kind::Select { operand, field, is_test: true })?),
        _ => fault(&argument, "invalid argument to has() macro"),
    }
}

/// Builds what loops are made of, all at the place of the macro.
struct Maker<'a, 'b> {
    builder: &'a mut Builder<'b>,
    at: Offset,
}

impl Maker<'_, '_> {
    fn accumulated(&mut self) -> Expanded {
        Ok(self.builder.ident(self.at, ACCUMULATOR)?)
    }

    fn call(&mut self, function: &str, arguments: Vec<Expr>) -> Expanded {
        Ok(self.builder.call(self.at, function, arguments)?)
    }

    fn literal(&mut self, literal: Literal) -> Expanded {
        Ok(self.builder.literal(self.at, literal)?)
    }

    /// The step where the condition holds, else what there was.
    fn guarded(&mut self, condition: Option<Expr>, step: Expr) -> Expanded {
        let Some(condition) = condition else { return Ok(step) };
        let unchanged = self.accumulated()?;
        self.call("_?_:_", vec![condition, step, unchanged])
    }

    fn appended(&mut self, value: Expr) -> Expanded {
        let accumulated = self.accumulated()?;
        let list = self.builder.list(self.at, vec![value])?;
        self.call("_+_", vec![accumulated, list])
    }

    fn collected(&mut self, range: Expr, variables: (Rc<str>, Option<Rc<str>>), init: Expr, step: Expr) -> Expanded {
        let condition = self.literal(Literal::Bool(true))?;
        let result = self.accumulated()?;
        self.fold(range, variables, init, condition, step, result)
    }

    fn fold(
        &mut self,
        range: Expr,
        (variable, second_variable): (Rc<str>, Option<Rc<str>>),
        init: Expr,
        condition: Expr,
        step: Expr,
        result: Expr,
    ) -> Expanded {
        let fold = Fold { range, variable, second_variable, accumulator: ACCUMULATOR.into(), init, condition, step, result };
        Ok(self.builder.expr(self.at, Kind::Fold(Box::new(fold)))?)
    }

    /// A name for a value: a loop over nothing.
    fn named(&mut self, name: Rc<str>, value: Expr, result: Expr) -> Expanded {
        let range = self.builder.list(self.at, Vec::new())?;
        let condition = self.literal(Literal::Bool(false))?;
        let step = self.builder.ident(self.at, &name)?;
        let fold = Fold { range, variable: UNUSED.into(), second_variable: None, accumulator: name, init: value, condition, step, result };
        Ok(self.builder.expr(self.at, Kind::Fold(Box::new(fold)))?)
    }
}

fn quantify(builder: &mut Builder<'_>, at: Offset, function: &str, target: Expr, arguments: Vec<Expr>) -> Expanded {
    let variables = match &arguments[..] {
        [first, second, _] => two_variables(first, second).map(|(first, second)| (first, Some(second)))?,
        _ => (variable(&arguments[0], NO_SIMPLE_NAME)?, None),
    };
    let predicate = arguments.into_iter().next_back().expect("the number of arguments was looked at");
    let mut make = Maker { builder, at };
    let (init, condition, step, result) = match function {
        "all" => {
            let init = make.literal(Literal::Bool(true))?;
            let accumulated = make.accumulated()?;
            let condition = make.call("@not_strictly_false", vec![accumulated])?;
            let accumulated = make.accumulated()?;
            let step = make.call("_&&_", vec![accumulated, predicate])?;
            (init, condition, step, make.accumulated()?)
        }
        "exists" => {
            let init = make.literal(Literal::Bool(false))?;
            let accumulated = make.accumulated()?;
            let negated = make.call("!_", vec![accumulated])?;
            let condition = make.call("@not_strictly_false", vec![negated])?;
            let accumulated = make.accumulated()?;
            let step = make.call("_||_", vec![accumulated, predicate])?;
            (init, condition, step, make.accumulated()?)
        }
        _ => {
            let init = make.literal(Literal::Int(0))?;
            let condition = make.literal(Literal::Bool(true))?;
            let (accumulated, one) = (make.accumulated()?, make.literal(Literal::Int(1))?);
            let counted = make.call("_+_", vec![accumulated, one])?;
            let step = make.guarded(Some(predicate), counted)?;
            let (accumulated, one) = (make.accumulated()?, make.literal(Literal::Int(1))?);
            (init, condition, step, make.call("_==_", vec![accumulated, one])?)
        }
    };
    make.fold(target, variables, init, condition, step, result)
}

fn map(builder: &mut Builder<'_>, at: Offset, target: Expr, arguments: Vec<Expr>) -> Expanded {
    let variable = variable(&arguments[0], "argument is not an identifier")?;
    let mut rest = arguments.into_iter().skip(1);
    let (first, second) = (rest.next().expect("the number of arguments was looked at"), rest.next());
    let (condition, value) = match second {
        Some(value) => (Some(first), value),
        None => (None, first),
    };
    let mut make = Maker { builder, at };
    let init = make.builder.list(at, Vec::new())?;
    let appended = make.appended(value)?;
    let step = make.guarded(condition, appended)?;
    make.collected(target, (variable, None), init, step)
}

fn filter(builder: &mut Builder<'_>, at: Offset, target: Expr, arguments: Vec<Expr>) -> Expanded {
    let variable = variable(&arguments[0], "argument is not an identifier")?;
    let mut arguments = arguments.into_iter();
    let (element, condition) = (arguments.next().expect("the number of arguments was looked at"), arguments.next());
    let mut make = Maker { builder, at };
    let init = make.builder.list(at, Vec::new())?;
    let appended = make.appended(element)?;
    let step = make.guarded(condition, appended)?;
    make.collected(target, (variable, None), init, step)
}

fn transform(builder: &mut Builder<'_>, at: Offset, function: &str, target: Expr, arguments: Vec<Expr>) -> Expanded {
    let (key, value) = two_variables(&arguments[0], &arguments[1])?;
    let mut rest = arguments.into_iter().skip(2);
    let (first, second) = (rest.next().expect("the number of arguments was looked at"), rest.next());
    let (condition, transformed) = match second {
        Some(transformed) => (Some(first), transformed),
        None => (None, first),
    };
    let mut make = Maker { builder, at };
    let (init, step) = match function {
        "transformList" => (make.builder.list(at, Vec::new())?, make.appended(transformed)?),
        _ => {
            let mut put = vec![make.accumulated()?];
            if function == "transformMap" {
                put.push(make.builder.ident(at, &key)?);
            }
            put.push(transformed);
            (make.builder.expr(at, Kind::Map(Vec::new()))?, make.call("cel.@mapInsert", put)?)
        }
    };
    let step = make.guarded(condition, step)?;
    make.collected(target, (key, Some(value)), init, step)
}

fn map_optional(builder: &mut Builder<'_>, at: Offset, function: &str, target: Expr, arguments: Vec<Expr>) -> Expanded {
    let name = name_or(&arguments[0], &format!("{function}() variable name must be a simple identifier"))?;
    let transformed = arguments.into_iter().next_back().expect("the number of arguments was looked at");
    let copied = builder.copy(&target)?;
    let has_value = builder.member_call(at, "hasValue", target, Vec::new())?;
    let value = builder.member_call(at, "value", copied, Vec::new())?;
    let mut make = Maker { builder, at };
    let mut mapped = make.named(name, value, transformed)?;
    if function == "optMap" {
        mapped = make.call("optional.of", vec![mapped])?;
    }
    let none = make.call("optional.none", Vec::new())?;
    make.call("_?_:_", vec![has_value, mapped, none])
}

fn sort_by(builder: &mut Builder<'_>, at: Offset, target: Expr, arguments: Vec<Expr>) -> Expanded {
    const INPUT: &str = "@__sortBy_input__";
    if !matches!(target.kind, Kind::List(_) | Kind::Select { .. } | Kind::Ident(_) | Kind::Fold(_) | Kind::Call { .. }) {
        return fault(&target, "sortBy can only be applied to a list, identifier, comprehension, call or select expression");
    }
    let input = builder.ident(at, INPUT)?;
    let keys = map(builder, at, input, arguments)?;
    let input = builder.ident(at, INPUT)?;
    let sorted = builder.member_call(at, "@sortByAssociatedKeys", input, vec![keys])?;
    Maker { builder, at }.named(INPUT.into(), target, sorted)
}

fn bind(builder: &mut Builder<'_>, at: Offset, arguments: Vec<Expr>) -> Expanded {
    let name = name_or(&arguments[0], "cel.bind() variable names must be simple identifiers")?;
    let mut rest = arguments.into_iter().skip(1);
    let (value, result) = rest.next().zip(rest.next()).expect("the number of arguments was looked at");
    Maker { builder, at }.named(name, value, result)
}
