//! Chat templates: the Jinja programs that models carry, which turn a conversation into the text they were trained on.
//!
//! A template is part of a downloaded model, so it is bounded: in steps, in time, in what it may build and write, and it
//! sees nothing but the conversation. It gets what transformers' `apply_chat_template` gives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Value, context};

use super::template_machine::Source;
use super::template_meter::Meter;
use super::{TextError, template_bounds, template_python};
use crate::panics;

/// Template instructions of one rendering: a long conversation takes tens of thousands, a second about 20 million.
const FUEL: u64 = 10_000_000;
/// What a rendering may write beside a multiple of the messages' own length.
const OUTPUT_ALLOWANCE: usize = 1 << 20;
const OUTPUT_PER_INPUT: usize = 8;

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
    source: Source,
    special_tokens: Vec<(String, String)>,
}

impl ChatTemplate {
    /// Parses a template. It gets the texts of the special tokens under the names that `tokenizer_config.json` has for
    /// them, such as `pad_token`; `bos_token` and `eos_token` are empty where they are not among them.
    ///
    /// # Errors
    /// [`TextError::ChatTemplate`] with the place where it does not parse.
    pub fn new(
        source: &str,
        special_tokens: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Result<Self, TextError> {
        let source = caught(|| Source::new(source))?.map_err(describe)?;
        let special_tokens = special_tokens.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        Ok(Self { source, special_tokens })
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
        let input: usize = messages.iter().map(|message| message.content.len()).sum();
        let meter = Arc::new(Meter::new(input));
        // Many templates add these two to other texts without asking whether the model has them.
        let empty = [("bos_token", ""), ("eos_token", "")];
        let own = self.special_tokens.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let special_tokens: BTreeMap<String, Value> =
            empty.into_iter().chain(own).map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
        let context = context! {
            messages => messages.iter().map(Message::as_value).collect::<Vec<_>>(),
            add_generation_prompt => add_generation_prompt,
            tools => (),
            documents => (),
            ..Value::from(special_tokens)
        };
        let rendered = caught(|| self.source.run(context, &meter, |environment| install(environment, &meter)))?;
        if let Some(limit) = meter.exceeded() {
            return Err(TextError::ChatTemplateLimit(limit));
        }
        let text = rendered.map_err(describe)?;
        if text.len() > input.saturating_mul(OUTPUT_PER_INPUT).saturating_add(OUTPUT_ALLOWANCE) {
            return Err(TextError::ChatTemplateLimit("the length that this conversation can need"));
        }
        Ok(text)
    }
}

/// What templates may call.
fn install(environment: &mut Environment<'_>, meter: &Arc<Meter>) {
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    template_bounds::install(environment, meter);
    template_python::install(environment);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
}

/// Calls minijinja, whose panics over templates are errors here.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, TextError> {
    panics::caught(call).ok_or_else(|| TextError::ChatTemplate("it makes the template engine panic".to_owned()))
}

fn describe(error: Error) -> TextError {
    match error.kind() {
        ErrorKind::OutOfFuel => TextError::ChatTemplateLimit("the number of steps that a conversation can need"),
        _ => TextError::ChatTemplate(error.to_string()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, TextError> {
        let messages = [Message::new("user", "<b>é\n</b>")];
        let special_tokens = [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>")];
        ChatTemplate::new(source, special_tokens).and_then(|template| template.render(&messages, true))
    }

    #[test]
    fn templates_get_what_transformers_gives_them() {
        for (source, expected) in [
            ("{{ bos_token }}{% for m in messages %}\n  {% if true %}\nx{% endif %}\n{% endfor %}\n", "<s>x"),
            ("{{ messages[0] | tojson }}", r#"{"role": "user", "content": "<b>é\n</b>"}"#),
            ("{{ [1, {'a': none}] | tojson(indent=2) }}", "[\n  1,\n  {\n    \"a\": null\n  }\n]"),
            ("{{ messages[0].content.replace('<b>', '').strip().upper() }}", "É\n</B>"),
            (
                "{{ ''[::-1] }}{{ messages[:0][::-1] }}{{ 'abc'[::-1] }}{{ [1, 2][::-1] }}{{ 'abc'[:2] }}",
                "[]cba[2, 1]ab",
            ),
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
            "{{ '%099999999999d' % 1 }}",
            "{{ '%*d' % (99999999999, 1) }}",
            "{{ range(99999)|list|tojson(separators=('a' * 5000000, ':')) }}",
            "{{ range(99999)|list|tojson(indent='a' * 5000000) }}",
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

    /// A template that does `step` to `ns.x` sixty times, and then `end`.
    fn repeated(start: &str, step: &str, end: &str) -> String {
        format!("{{% set ns = namespace(x={start}) %}}{{% for i in range(60) %}}{step}{{% endfor %}}{{{{ {end} }}}}")
    }

    #[test]
    fn a_template_that_doubles_is_stopped_before_it_fills_the_memory() {
        let macro_ = "{% macro m(a) %}{{ a }}{{ a }}{% endmacro %}";
        for source in [
            repeated("'ab'", "{% set ns.x = ns.x ~ ns.x %}", "ns.x|length"),
            repeated("'ab'", "{% set ns.x = ns.x + ns.x %}", "ns.x|length"),
            repeated("[1]", "{% set ns.x = ns.x + ns.x %}", "ns.x|length"),
            repeated("[1]", "{% set ns.x = [ns.x, ns.x] %}", "ns.x|string|length"),
            repeated("1", "{% set ns.x = {'a': ns.x, 'b': ns.x} %}", "ns.x == 1"),
            repeated("'ab'", "{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = x %}", "1"),
            macro_.to_owned() + &repeated("'ab'", "{% set ns.x = m(ns.x) %}", "1"),
            format!("{{% set x %}}{{% for i in range(99999) %}}{}{{% endfor %}}{{% endset %}}", "raw ".repeat(5000)),
            "{{ range(99999)|map('replace', '', 'a' * 9999)|list|length }}".to_owned(),
            "{{ range(99999)|map('string')|map('indent', 4000, true)|list|length }}".to_owned(),
            "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{% set t = s|upper %}{% endfor %}".to_owned(),
        ] {
            let error = render(&source).expect_err(&source).to_string();
            assert!(error.contains("a conversation can need") || error.contains("far longer"), "{source}: {error}");
        }
    }

    #[test]
    fn a_template_cannot_repeat_or_sum_without_bound() {
        for source in [
            "{{ ('a' * 100000000)|length }}",
            "{{ ([1] * 100000000)|length }}",
            "{{ ((1,) * 100000000)|length }}",
            "{{ (['a' * 999] * 9999)|sum(start='') }}",
            "{{ ([[1]] * 9999)|sum([]) }}",
        ] {
            assert!(matches!(render(source), Err(TextError::ChatTemplate(_))), "{source}");
        }
        // What the compiler could compute is left to the meter as well.
        let folded = format!("{{{{ ({}'a')|length }}}}", "'a' * 4096 * 4096 ~ ".repeat(60));
        assert!(render(&folded).is_err());
    }

    #[test]
    fn a_template_that_nests_without_end_is_refused() {
        for source in [
            "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
            "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns ~ '' }}",
            "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a ~ '' }}",
            "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        ] {
            let error = render(source).expect_err(source).to_string();
            assert!(error.contains("nested"), "{source}: {error}");
        }
        for (open, middle, close) in [
            ("{{ ", "- ", "1 }}"),
            ("{{ ", "not ", "1 }}"),
            ("{{ a", "~a", " }}"),
            ("{{ a", "|e", " }}"),
            ("{{ ", "1 if 0 else ", "1 }}"),
            ("{% if a %}", "{% elif a %}", "{% endif %}"),
        ] {
            let source = format!("{open}{}{close}", middle.repeat(100_000));
            assert!(matches!(render(&source), Err(TextError::ChatTemplate(_))), "{open}{middle}..");
            let source = format!("{open}{}{close}", middle.repeat(60));
            assert!(render(&source).is_ok(), "{source}");
        }
    }

    #[test]
    fn lists_that_are_computed_when_they_are_asked_for_do_not_pile_up() {
        for step in ["ns.x[0:]", "ns.x|reverse", "ns.x|list"] {
            let loops = "{% for i in range(30000) %}";
            let source = format!(
                "{{% set ns = namespace(x=[1, 2]) %}}{loops}{{% set ns.x = {step} %}}{{% endfor %}}{{{{ ns.x }}}}"
            );
            assert!(matches!(render(&source).as_deref(), Ok("[1, 2]")), "{step}");
        }
    }

    #[test]
    fn multiplications_give_what_they_gave() {
        for (source, expected) in [
            ("é{{ 'ü' * 3 }}é{{ 2*3*(4*5) }}", "éüüüé120"),
            ("{{ [1, 2] * 2 }}{{ (1, 2) * 2 }}{{ 3 * 'ab' }}", "[1, 2, 1, 2](1, 2, 1, 2)ababab"),
            ("{{ 7 // 2 * 3 }} {{ 2 * 3 ** 2 }} {{ -2 * 3 }} {{ 1.5*2 }}", "9 18 -6 3.0"),
            ("{% macro m(a, b) %}{{ a * b }}{% endmacro %}{{ m(*[2, 3]) }}{{ m(**{'a': 2*2, 'b': 2}) }}", "68"),
            ("{{ '{% raw %}*' }}{% raw %}{{ a * b }}{% endraw %}", "{% raw %}*{{ a * b }}"),
        ] {
            assert_eq!(render(source).unwrap(), expected, "{source}");
        }
    }
}
