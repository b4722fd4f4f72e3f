//! Texts with places for values: whether each place fits its value.

use crate::source::Offset;
use crate::tree::{Expr, Kind};
use crate::types::{Head, Type};

/// Where, unless it is the call, and what.
type Fault = (Option<Offset>, String);

pub(super) fn check(text: &str, arguments: &[&Expr], types: &[Type]) -> Result<(), Fault> {
    let (mut rest, mut n_used) = (text.as_bytes(), 0);
    let fault = |message: String| Err((None, message));
    while let Some(at) = rest.iter().position(|c| *c == b'%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(b"%") {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return fault("unexpected end of string".into());
        }
        let Some(argument) = arguments.get(n_used) else { return fault(format!("index {n_used} out of range")) };
        n_used += 1;
        if let Some(after) = rest.strip_prefix(b".") {
            rest = match precision(after) {
                Ok(after) => after,
                Err(why) => return fault(format!("could not parse formatting clause: error while parsing precision: {why}")),
            };
        }
        check_clause(rest[0], argument, types)?;
        rest = &rest[1..];
    }
    if arguments.len() > n_used {
        return fault(format!("too many arguments supplied to string.format (expected {n_used}, got {})", arguments.len()));
    }
    Ok(())
}

fn precision(text: &[u8]) -> Result<&[u8], String> {
    let n = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(n);
    if rest.is_empty() {
        return Err("could not find end of precision specifier".into());
    }
    let digits = String::from_utf8_lossy(digits);
    let why = match digits.parse::<i64>() {
        Ok(_) => return Ok(rest),
        Err(_) if digits.is_empty() => "invalid syntax",
        Err(_) => "value out of range",
    };
    Err(format!("error while converting precision to integer: strconv.Atoi: parsing \"{digits}\": {why}"))
}

fn check_clause(clause: u8, argument: &Expr, types: &[Type]) -> Result<(), Fault> {
    use Type::{Bool, Bytes, Double, Int, Text, Uint};
    let (fitting, only): (&[Type], _) = match clause {
        b's' => {
            const ONLY: &str =
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
            return match unshowable(argument, types) {
                Some(part) => Err(misfit(part, types, ONLY)),
                None => Ok(()),
            };
        }
        b'd' => (&[Int, Uint], "decimal clause can only be used on integers"),
        b'f' => (&[Double, Text], "fixed-point clause can only be used on doubles"),
        b'e' => (&[Double, Text], "scientific clause can only be used on doubles"),
        b'b' => (&[Int, Uint, Bool], "only integers and bools can be formatted as binary"),
        b'x' | b'X' => (&[Int, Uint, Text, Bytes], "only integers, byte buffers, and strings can be formatted as hex"),
        b'o' => (&[Int, Uint], "octal clause can only be used on integers"),
        _ => {
            let message = format!("could not parse formatting clause: unrecognized formatting clause \"{}\"", char::from(clause));
            return Err((None, message));
        }
    };
    let of = &types[argument.id as usize];
    let fits = *of == Type::Dyn || fitting.iter().any(|fitting| of.is_exactly(fitting));
    if fits { Ok(()) } else { Err(misfit(argument, types, only)) }
}

fn misfit(part: &Expr, types: &[Type], only: &str) -> Fault {
    let of = &types[part.id as usize];
    let shown = of.to_string();
    let name = match of {
        Type::Applied(_) => shown.split('(').next().unwrap_or(""),
        _ => &shown,
    };
    (Some(part.at), format!("error during formatting: {only}, was given {name}"))
}

/// The part, if any, that has no text.
fn unshowable<'a>(part: &'a Expr, types: &[Type]) -> Option<&'a Expr> {
    let is_showable = match &types[part.id as usize] {
        Type::Object(_) | Type::Any | Type::Error | Type::Variable(_) => false,
        Type::Applied(applied) => !matches!(applied.head, Head::Opaque(_)),
        _ => true,
    };
    match &part.kind {
        _ if !is_showable => Some(part),
        Kind::List(_) | Kind::Map(_) => part.children().into_iter().find_map(|child| unshowable(child, types)),
        _ => None,
    }
}
