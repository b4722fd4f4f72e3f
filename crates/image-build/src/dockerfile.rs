//! From a Dockerfile's text to stages of steps. Everything that is not supported is refused here, by name and line.

use parse_dockerfile::{AddInstruction, Command, CopyInstruction, Flag, Instruction, JsonOrStringArray, Source};

use crate::Error;

#[derive(Debug)]
pub(crate) struct Dockerfile {
    /// ARGs before the first FROM: `NAME` or `NAME=DEFAULT`.
    pub(crate) global_args: Vec<String>,
    pub(crate) stages: Vec<Stage>,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) line: usize,
    /// `scratch`, another stage, or an image; variables not replaced yet.
    pub(crate) base: String,
    pub(crate) name: Option<String>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    /// As written, for the history and for people.
    pub(crate) text: String,
    pub(crate) operation: Operation,
}

#[derive(Debug)]
pub(crate) enum Operation {
    Arg(String),
    Env(String),
    Label(String),
    Workdir(String),
    User(String),
    Expose(Vec<String>),
    Volume(Vec<String>),
    StopSignal(String),
    Shell(Vec<String>),
    Cmd(Args),
    Entrypoint(Args),
    Run(Args),
    Copy(Copy),
}

/// JSON form is the program itself, the other is for the shell.
#[derive(Clone, Debug)]
pub(crate) enum Args {
    Exec(Vec<String>),
    Shell(String),
}

#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) sources: Vec<String>,
    pub(crate) target: String,
    /// A stage or an image; the context when none.
    pub(crate) from: Option<String>,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<String>,
    /// ADD unpacks local archives.
    pub(crate) unpacks: bool,
}

pub(crate) fn parse(text: &str) -> Result<Dockerfile, Error> {
    let parsed = parse_dockerfile::parse(text).map_err(|e| Error::Dockerfile { line: e.line(), why: e.to_string() })?;
    let lines = Lines(text);
    let global_args = parsed.global_args().map(|a| a.arguments.value.to_string()).collect();
    let mut stages = Vec::new();
    for stage in parsed.stages() {
        let line = lines.of(stage.from.from.span.start);
        if let Some(flag) = stage.from.options.iter().find(|f| f.name.value != "platform") {
            return Err(refused(line, &format!("FROM --{}", flag.name.value)));
        }
        let steps = stage.instructions.iter().map(|i| step(&lines, i)).collect::<Result<_, _>>()?;
        let name = stage.from.as_.as_ref().map(|(_, name)| name.value.to_string());
        stages.push(Stage { line, base: stage.from.image.value.to_string(), name, steps });
    }
    if stages.is_empty() {
        return Err(Error::Dockerfile { line: 0, why: "no FROM in it".to_owned() });
    }
    Ok(Dockerfile { global_args, stages })
}

fn refused(line: usize, what: &str) -> Error {
    Error::Dockerfile { line, why: format!("{what} is not supported") }
}

fn step(lines: &Lines<'_>, instruction: &Instruction<'_>) -> Result<Step, Error> {
    let text = |s: &parse_dockerfile::UnescapedString<'_>| s.value.to_string();
    let at = |span: &std::ops::Range<usize>| lines.of(span.start);
    let (start, operation) = match instruction {
        Instruction::Arg(i) => (&i.arg.span, Operation::Arg(text(&i.arguments))),
        Instruction::Env(i) => (&i.env.span, Operation::Env(text(&i.arguments))),
        Instruction::Label(i) => (&i.label.span, Operation::Label(text(&i.arguments))),
        Instruction::Workdir(i) => (&i.workdir.span, Operation::Workdir(text(&i.arguments))),
        Instruction::User(i) => (&i.user.span, Operation::User(text(&i.arguments))),
        Instruction::Expose(i) => (&i.expose.span, Operation::Expose(i.arguments.iter().map(text).collect())),
        Instruction::Volume(i) => (&i.volume.span, Operation::Volume(list(&i.arguments))),
        Instruction::Stopsignal(i) => (&i.stopsignal.span, Operation::StopSignal(text(&i.arguments))),
        Instruction::Shell(i) => (&i.shell.span, Operation::Shell(i.arguments.iter().map(text).collect())),
        Instruction::Cmd(i) => (&i.cmd.span, Operation::Cmd(args(&i.arguments))),
        Instruction::Entrypoint(i) => (&i.entrypoint.span, Operation::Entrypoint(args(&i.arguments))),
        Instruction::Run(i) => {
            let line = at(&i.run.span);
            if let Some(flag) = i.options.first() {
                return Err(refused(line, &format!("RUN --{}", flag.name.value)));
            }
            if !i.here_docs.is_empty() {
                return Err(refused(line, "RUN with a here-document"));
            }
            (&i.run.span, Operation::Run(args(&i.arguments)))
        }
        Instruction::Copy(i) => (&i.copy.span, Operation::Copy(copy(at(&i.copy.span), i)?)),
        Instruction::Add(i) => (&i.add.span, Operation::Copy(add(at(&i.add.span), i)?)),
        Instruction::Healthcheck(i) => return Err(refused(at(&i.healthcheck.span), "HEALTHCHECK")),
        Instruction::Onbuild(i) => return Err(refused(at(&i.onbuild.span), "ONBUILD")),
        Instruction::Maintainer(i) => return Err(refused(at(&i.maintainer.span), "MAINTAINER (use LABEL)")),
        Instruction::From(i) => return Err(refused(at(&i.from.span), "FROM inside a stage")),
        _ => return Err(refused(0, "an unknown instruction")),
    };
    Ok(Step { line: lines.of(start.start), text: lines.statement(start.start), operation })
}

fn args(command: &Command<'_>) -> Args {
    match command {
        Command::Exec(list) => Args::Exec(list.value.iter().map(|s| s.value.to_string()).collect()),
        Command::Shell(text) => Args::Shell(text.value.replace("\\\n", "").trim().to_owned()),
        _ => Args::Shell(String::new()),
    }
}

fn list<const N: usize>(arguments: &JsonOrStringArray<'_, N>) -> Vec<String> {
    match arguments {
        JsonOrStringArray::Json(list) => list.value.iter().map(|s| s.value.to_string()).collect(),
        JsonOrStringArray::String(list) => list.iter().map(|s| s.value.to_string()).collect(),
    }
}

fn copy(line: usize, instruction: &CopyInstruction<'_>) -> Result<Copy, Error> {
    let sources = sources(line, &instruction.src, "COPY")?;
    let mut copy = Copy { sources, target: instruction.dest.value.to_string(), from: None, chown: None, chmod: None, unpacks: false };
    flags(line, "COPY", &instruction.options, &mut copy)?;
    Ok(copy)
}

fn add(line: usize, instruction: &AddInstruction<'_>) -> Result<Copy, Error> {
    let sources = sources(line, &instruction.src, "ADD")?;
    if let Some(url) = sources.iter().find(|s| s.contains("://") || s.starts_with("git@")) {
        return Err(refused(line, &format!("ADD of `{url}`: only local files")));
    }
    let mut copy = Copy { sources, target: instruction.dest.value.to_string(), from: None, chown: None, chmod: None, unpacks: true };
    flags(line, "ADD", &instruction.options, &mut copy)?;
    if copy.from.is_some() {
        return Err(refused(line, "ADD --from"));
    }
    Ok(copy)
}

fn sources(line: usize, sources: &[Source<'_>], instruction: &str) -> Result<Vec<String>, Error> {
    let one = |source: &Source<'_>| match source {
        Source::Path(path) => Ok(path.value.to_string()),
        _ => Err(refused(line, &format!("{instruction} of a here-document"))),
    };
    sources.iter().map(one).collect()
}

fn flags(line: usize, instruction: &str, flags: &[Flag<'_>], copy: &mut Copy) -> Result<(), Error> {
    for flag in flags {
        let value = flag.value.as_ref().map(|v| v.value.to_string());
        match (flag.name.value.as_ref(), value) {
            ("from", Some(value)) => copy.from = Some(value),
            ("chown", Some(value)) => copy.chown = Some(value),
            ("chmod", Some(value)) => copy.chmod = Some(value),
            // Layers are always independent of those below here.
            ("link", _) => {}
            (name, _) => return Err(refused(line, &format!("{instruction} --{name}"))),
        }
    }
    Ok(())
}

struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn of(&self, offset: usize) -> usize {
        1 + self.0[..offset.min(self.0.len())].matches('\n').count()
    }

    /// The instruction that begins at `offset`, its continued lines joined.
    fn statement(&self, offset: usize) -> String {
        let mut text = String::new();
        for line in self.0[offset..].lines() {
            match line.trim_end().strip_suffix('\\') {
                Some(part) => text.push_str(part),
                None => {
                    text.push_str(line);
                    break;
                }
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
