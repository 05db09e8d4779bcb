//! Compiles a template with a meter on every instruction that builds a value, and runs it.
//!
//! minijinja bounds the number of instructions, and one instruction can double a text: thirty of them fill any memory.
//! So each is followed by a filter that takes its result from the rendering's [`Meter`]. The filters' names are no
//! identifiers, so that no template can call or replace them.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::{
    CodeGenerator, Instruction, Instructions, Token, eval, make_string_output, parse, tokenize,
};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context, escape_formatter};

use super::template_bounds::remainder_of_text;
use super::template_meter::{Meter, check_stored};

const NAME: &str = "chat template";
const TAKE: &str = "<take>";
const TAKE_BYTES: &str = "<take-bytes>";
const CHECK_FACTORS: &str = "<check-factors>";
const CHECK_STORED: &str = "<check-stored>";
const CHECK_SLICE: &str = "<check-slice>";
const FORMAT_TEXT: &str = "<format-text>";
const IS_PAIR: &str = "<is-pair>";
/// A variable that is 1.
const ONE: &str = "__one";

/// minijinja's parser recurses once for each operator of a tag and for each `elif`.
const MAX_TAG_TOKENS: usize = 1000;
const MAX_ELIFS: usize = 250;

/// A template in a form that minijinja's compiler can be trusted with.
#[derive(Debug)]
pub(super) struct Source(String);

impl Source {
    /// Reads a template.
    ///
    /// # Errors
    /// Where it does not parse, or has tags beyond all measure.
    pub(super) fn new(text: &str) -> Result<Source, Error> {
        let source = Source(rewritten(text)?);
        source.compile()?;
        Ok(source)
    }

    /// Runs the template in an environment that `install` completes.
    pub(super) fn run(
        &self,
        context: Value,
        meter: &Arc<Meter>,
        install: impl FnOnce(&mut Environment<'_>),
    ) -> Result<String, Error> {
        let program = self.compile()?;
        let mut environment = Environment::new();
        install(&mut environment);
        install_meter(&mut environment, meter);
        let mut text = String::new();
        let context = context! { __one => 1, ..context };
        let mut output = make_string_output(&mut text);
        eval(&environment, &program.main, context, &program.blocks, &mut output, AutoEscape::None)?;
        Ok(text)
    }

    fn compile(&self) -> Result<Program<'_>, Error> {
        let tree = parse(&self.0, NAME, syntax()?)?;
        let mut generator = CodeGenerator::new(NAME, &self.0);
        generator.compile_stmt(&tree);
        let (main, blocks) = generator.finish();
        let blocks = blocks.into_iter().map(|(name, block)| (name, metered(&block))).collect();
        Ok(Program { main: metered(&main), blocks })
    }
}

struct Program<'a> {
    main: Instructions<'a>,
    blocks: BTreeMap<&'a str, Instructions<'a>>,
}

fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

/// Checks the tags' sizes, and makes of the template one that minijinja takes:
/// - transformers marks the assistant's words with a block of its own for training, which is here one without effect;
/// - each multiplication goes by a variable: the compiler computes constant expressions while nothing meters it, and of
///   those this is the one that can make much of little.
fn rewritten(text: &str) -> Result<String, Error> {
    let mut changed = String::with_capacity(text.len());
    let mut copied = 0;
    let (mut tokens, mut elifs, mut after_operand, mut opens_block) = (0, 0, false, false);
    for token in tokenize(text, false, syntax()?) {
        let (token, span) = token?;
        let (start, end) = (span.start_offset as usize, span.end_offset as usize);
        let mut replace = |from: usize, to: usize, by: &str| {
            changed.push_str(&text[copied..from]);
            changed.push_str(by);
            copied = to;
        };
        tokens += 1;
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Ident("generation") if opens_block => replace(start, end, "if true"),
            Token::Ident("endgeneration") if opens_block => replace(start, end, "endif"),
            Token::Ident("elif") => elifs += 1,
            // Elsewhere it spreads a list over the arguments of a call.
            Token::Mul if after_operand => replace(start, start, &format!("*{ONE}")),
            _ => {}
        }
        if tokens > MAX_TAG_TOKENS || elifs > MAX_ELIFS {
            return Err(Error::new(ErrorKind::SyntaxError, "a tag of it is longer than any chat template's"));
        }
        after_operand = !matches!(token, Token::ParenOpen | Token::Comma);
        opens_block = matches!(token, Token::BlockStart);
    }
    changed.push_str(&text[copied..]);
    Ok(changed)
}

/// The same program with the meter's filters before and after the instructions that need them.
fn metered<'a>(program: &Instructions<'a>) -> Instructions<'a> {
    let filter = |name, arguments| Instruction::ApplyFilter(name, Some(arguments), u8::MAX);
    let len = (0..).take_while(|&at| program.get(at).is_some()).count() as u32;
    let mut metered = Instructions::new(program.name(), program.source());
    let mut moved_to = Vec::with_capacity(len as usize);
    for at in 0..len {
        let Some(instruction) = program.get(at) else { break };
        let line = program.get_line(at).unwrap_or(0) as u16;
        let mut add = |instruction| metered.add_with_line(instruction, line);
        let first = match instruction {
            Instruction::EmitRaw(raw) => {
                let first = add(Instruction::LoadConst(Value::from(raw.len())));
                add(filter(TAKE_BYTES, 1));
                add(Instruction::DiscardTop);
                Some(first)
            }
            // The value lies below the namespace that gets it.
            Instruction::SetAttr(_) => {
                let first = add(Instruction::Swap);
                add(filter(CHECK_STORED, 1));
                add(Instruction::Swap);
                Some(first)
            }
            Instruction::Slice => {
                let first = add(filter(CHECK_SLICE, 4));
                add(Instruction::UnpackList(4));
                Some(first)
            }
            Instruction::Mul => {
                let first = add(filter(CHECK_FACTORS, 2));
                add(Instruction::UnpackList(2));
                Some(first)
            }
            // Of a text it is a format with values. The text made of them goes where the remainder would be.
            Instruction::Rem => {
                let first = add(filter(FORMAT_TEXT, 2));
                add(Instruction::DupTop);
                add(filter(IS_PAIR, 1));
                add(Instruction::JumpIfFalse(at + 1));
                add(Instruction::UnpackList(2));
                Some(first)
            }
            _ => None,
        };
        let own = add(instruction.clone());
        if builds(instruction) {
            add(filter(TAKE, 1));
        }
        moved_to.push(first.unwrap_or(own));
    }
    let mut at = 0;
    while let Some(instruction) = metered.get_mut(at) {
        if let Instruction::Iterate(target)
        | Instruction::Jump(target)
        | Instruction::JumpIfFalse(target)
        | Instruction::JumpIfFalseOrPop(target)
        | Instruction::JumpIfTrueOrPop(target)
        | Instruction::BuildMacro(_, target, _) = instruction
        {
            // What jumps behind the last instruction ends the program.
            *target = moved_to.get(*target as usize).copied().unwrap_or(u32::MAX);
        }
        at += 1;
    }
    metered
}

/// Whether the instruction leaves a value that may be large, or took a time that may be long.
fn builds(instruction: &Instruction<'_>) -> bool {
    use Instruction as I;
    matches!(
        instruction,
        I::Add
            | I::Mul
            | I::StringConcat
            | I::Slice
            | I::BuildMap(_)
            | I::BuildList(_)
            | I::BuildTuple(_)
            | I::EndCapture
            | I::ApplyFilter(..)
            | I::PerformTest(..)
            | I::CallFunction(..)
            | I::CallMethod(..)
            | I::CallObject(_)
            | I::Eq
            | I::Ne
            | I::Lt
            | I::Lte
            | I::Gt
            | I::Gte
            | I::In
            | I::CompareAndPreserve(_)
    )
}

fn install_meter(environment: &mut Environment<'_>, meter: &Arc<Meter>) {
    let own = || Arc::clone(meter);
    let (values, texts, factors, formatted, emitted) = (own(), own(), own(), own(), own());
    environment.add_filter(TAKE, move |value: Value| values.take(value));
    environment.add_filter(TAKE_BYTES, move |bytes: usize| texts.take_bytes(bytes));
    environment.add_filter(CHECK_FACTORS, move |left: Value, right: Value| {
        factors.check_factors(&left, &right).map(|()| Value::from(vec![right, left]))
    });
    environment.add_filter(FORMAT_TEXT, move |left: Value, right: Value| match left.as_str() {
        Some(text) => remainder_of_text(&formatted, text, &right).map(Value::from),
        None => Ok(Value::from(vec![right, left])),
    });
    environment.add_filter(IS_PAIR, |value: Value| value.kind() == ValueKind::Seq);
    environment.add_filter(CHECK_SLICE, |value: Value, start: Value, stop: Value, step: Value| {
        // minijinja 3.0.5 indexes beyond what is empty when it goes backwards.
        let step = if value.len() == Some(0) { Value::from(1) } else { step };
        Value::from(vec![step, stop, start, value])
    });
    environment.add_filter(CHECK_STORED, |value: Value| check_stored(&value).map(|()| value));
    environment.set_formatter(move |output, state, value| {
        let value = emitted.take(value.clone())?;
        escape_formatter(output, state, &value)
    });
}
