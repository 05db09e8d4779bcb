//! Chat templates: the Jinja programs that models carry, which turn a conversation into the text they were trained on.
//!
//! A template is part of a downloaded model, so it is bounded: in steps, in what it may write, and it sees nothing but
//! the conversation. It gets what transformers' `apply_chat_template` gives it.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::{TextError, template_bounds};

/// Template instructions of one rendering: a long conversation takes tens of thousands, a second about 20 million.
const FUEL: u64 = 10_000_000;
/// What a rendering may write beside a multiple of the messages' own length.
const OUTPUT_ALLOWANCE: usize = 1 << 20;
const OUTPUT_PER_INPUT: usize = 8;
const NAME: &str = "chat template";

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`; what else there is depends on the template.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }

    fn as_value(&self) -> Value {
        context! { role => &self.role, content => &self.content }
    }
}

/// A parsed chat template and the special tokens that it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Parses a template. The tokens are texts, empty where the model has none.
    ///
    /// # Errors
    /// [`TextError::ChatTemplate`] with the place where it does not parse.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, TextError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(describe)?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        template_bounds::install(&mut environment);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        environment.add_template_owned(NAME, without_generation_marks(source)).map_err(describe)?;
        Ok(Self { environment, bos_token: bos_token.to_owned(), eos_token: eos_token.to_owned() })
    }

    /// The conversation as text; with `add_generation_prompt` it ends where the assistant's answer begins.
    ///
    /// Some templates write the beginning-of-sequence token, and [`Tokenizer::encode`](super::Tokenizer::encode) does
    /// not add a second one.
    ///
    /// # Errors
    /// [`TextError::ChatTemplate`] where the template refuses the conversation or fails on it, for instance because it
    /// takes no system message; [`TextError::ChatTemplateLimit`] where it does not come to an end.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, TextError> {
        let template = self.environment.get_template(NAME).map_err(describe)?;
        let input: usize = messages.iter().map(|message| message.content.len()).sum();
        let mut output = Bounded {
            written: Vec::new(),
            limit: input.saturating_mul(OUTPUT_PER_INPUT).saturating_add(OUTPUT_ALLOWANCE),
            exceeded: false,
        };
        let context = context! {
            messages => messages.iter().map(Message::as_value).collect::<Vec<_>>(),
            add_generation_prompt => add_generation_prompt,
            bos_token => &self.bos_token,
            eos_token => &self.eos_token,
            tools => (),
            documents => (),
        };
        let rendered = template.render_captured_to(context, &mut output).map(drop);
        if output.exceeded {
            return Err(TextError::ChatTemplateLimit("the length that this conversation can need"));
        }
        rendered.map_err(describe)?;
        String::from_utf8(output.written).map_err(|error| TextError::ChatTemplate(error.to_string()))
    }
}

/// A buffer that refuses to grow past a limit.
struct Bounded {
    written: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.written.len() {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn describe(error: Error) -> TextError {
    match error.kind() {
        ErrorKind::OutOfFuel => TextError::ChatTemplateLimit("the number of steps that a conversation can need"),
        _ => TextError::ChatTemplate(error.to_string()),
    }
}

/// transformers marks the assistant's words with a block of its own for training; here it is a block without effect.
fn without_generation_marks(source: &str) -> String {
    let mut source = source.to_owned();
    for open in ["{% ", "{%- ", "{%"] {
        source = source.replace(&format!("{open}generation "), &format!("{open}if true "));
        source = source.replace(&format!("{open}endgeneration "), &format!("{open}endif "));
    }
    source
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    let invalid = |error: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let now = time::OffsetDateTime::now_local().unwrap_or_else(|_| time::OffsetDateTime::now_utc());
    let format = time::format_description::parse_strftime_borrowed(format).map_err(|error| invalid(&error))?;
    now.format(&format).map_err(|error| invalid(&error))
}

/// Python's `json.dumps`, which transformers puts in the place of Jinja's own filter: nothing is escaped for HTML.
fn tojson(value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let _: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        Some(spaces) => {
            let indent = " ".repeat(spaces.min(16));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, PythonFormatter)),
    };
    let invalid = |error: String| Error::new(ErrorKind::InvalidOperation, error);
    written.map_err(|error| invalid(error.to_string()))?;
    String::from_utf8(json).map_err(|error| invalid(error.to_string()))
}

/// One line with a space after each comma and colon.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, TextError> {
        let messages = [Message::new("user", "<b>é\n</b>")];
        ChatTemplate::new(source, "<s>", "</s>").and_then(|template| template.render(&messages, true))
    }

    #[test]
    fn templates_get_what_transformers_gives_them() {
        for (source, expected) in [
            ("{{ bos_token }}{% for m in messages %}\n  {% if true %}\nx{% endif %}\n{% endfor %}\n", "<s>x"),
            ("{{ messages[0] | tojson }}", r#"{"role": "user", "content": "<b>é\n</b>"}"#),
            ("{{ [1, {'a': none}] | tojson(indent=2) }}", "[\n  1,\n  {\n    \"a\": null\n  }\n]"),
            ("{{ messages[0].content.replace('<b>', '').strip().upper() }}", "É\n</B>"),
            ("{{ messages[0]['content'].split('\\n')[-1] }}", "</b>"),
            (
                "{% set ns = namespace(n=0) %}{% for i in range(9) %}{% if i > 2 %}{% break %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
                "3",
            ),
            ("{% if tools is none and enable_thinking is not defined %}ok{% endif %}", "ok"),
            ("{% generation %}a{%- endgeneration %}{% if add_generation_prompt %}b{% endif %}", "ab"),
            ("{{ strftime_now('%Y')[:2] }}{{ missing }}", "20"),
        ] {
            assert_eq!(render(source).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_template_says() {
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert!(matches!(&error, TextError::ChatTemplate(text) if text.contains("roles must alternate")), "{error}");
        for source in ["{% if %}", "{{ messages[0].content.nosuch() }}", "{{ strftime_now('%') }}", "{{ missing.a }}"] {
            assert!(matches!(render(source), Err(TextError::ChatTemplate(_))), "{source}");
        }
    }

    #[test]
    fn filters_and_methods_that_are_bounded_do_what_they_did() {
        for (source, expected) in [
            ("{{ 'a\nb'|indent(2) }}", "a\n  b"),
            ("{{ 'a\nb'|indent(width=3, first=true) }}", "   a\n   b"),
            ("{{ '%05d %s'|format(42, 'x') }}", "00042 x"),
            ("{{ '{:>4}{}'.format('a', 100000) }}", "   a100000"),
            ("{{ ['a', 1]|join(', ') }}{{ ['b', 'c']|join(d='-') }}{{ '+'.join(['d', 'e']) }}", "a, 1b-cd+e"),
            ("{{ 'aba'|replace('a', 'xy') }}{{ 'aba'.replace('a', 'z', 1) }}", "xybxyzba"),
            ("{{ [1, 2, 3]|batch(2, 0)|list }}{{ [1, 2, 3]|slice(2)|list }}", "[[1, 2], [3, 0]][[1, 2], [3]]"),
        ] {
            assert_eq!(render(source).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn a_template_cannot_ask_for_a_text_without_bound() {
        for source in [
            "{{ 'a\nb'|indent(4611686018427387904) }}",
            "{{ 'a\nb'|indent(width=4611686018427387904) }}",
            "{{ '%099999999999d'|format(1) }}",
            "{{ '%.99999999999f'|format(1.5) }}",
            "{{ '%*d'|format(99999999999, 1) }}",
            "{{ '{:>99999999999}'.format('a') }}",
            "{{ '{:{}}'.format('a', 99999999999) }}",
            "{{ ('a' * 50000000)|replace('a', 'aaaaaaaaaaaaaaaa') }}",
            "{{ ('a' * 5000000).replace('', 'aaaaaaaaaaaaaaaa') }}",
            "{{ range(99999)|join('a' * 5000000) }}",
            "{{ ('a' * 5000000).join(range(99999)) }}",
            "{{ [1]|batch(4611686018427387904, 0)|list }}",
            "{{ [1]|slice(4611686018427387904)|list }}",
        ] {
            assert!(matches!(render(source), Err(TextError::ChatTemplate(_))), "{source}");
        }
    }

    #[test]
    fn a_template_that_loops_is_stopped() {
        let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}";
        let recursive = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
        let long = "{% for a in range(99999) %}{{ 'long words ' * 99 }}{% endfor %}";
        for source in [nested, long] {
            assert!(matches!(render(source), Err(TextError::ChatTemplateLimit(_))), "{source}");
        }
        assert!(render(recursive).is_err());
    }
}
