//! Text to tokens and back, against what Hugging Face's code gives (`oracle/make_tokenizer_goldens.py`).

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use wgpt::formats::gguf::{Array, Metadata, Value};
use wgpt::text::{ChatTemplate, Message, TextError, Tokenizer};

const BYTE_LEVEL: [&str; 5] = ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken"];
const SENTENCE_PIECE: [&str; 2] = ["spm-space", "spm-plain"];
const SPECIAL_TOKENS: [(&str, &str); 3] = [("bos_token", "<bos>"), ("eos_token", "<eos>"), ("pad_token", "<pad>")];

fn golden(name: &str) -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/tokenizers").join(name);
    serde_json::from_slice(&std::fs::read(path.with_added_extension("json")).unwrap()).unwrap()
}

fn ids(json: &Json) -> Vec<u32> {
    serde_json::from_value(json.clone()).unwrap()
}

/// The tokens of a golden's vocabulary in order of id.
fn tokens(golden: &Json) -> Vec<String> {
    let vocab = golden["tokenizer"]["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<(u64, String)> = vocab.iter().map(|(text, id)| (id.as_u64().unwrap(), text.clone())).collect();
    for added in golden["tokenizer"]["added_tokens"].as_array().unwrap() {
        tokens.push((added["id"].as_u64().unwrap(), added["content"].as_str().unwrap().to_owned()));
    }
    tokens.sort();
    tokens.dedup();
    tokens.into_iter().map(|(_, text)| text).collect()
}

fn strings(values: Vec<String>) -> Value {
    Value::Array(Array::String(values))
}

/// The golden's vocabulary as a GGUF file says it, with more entries or others in `changes`.
fn metadata(golden: &Json, changes: Vec<(&str, Option<Value>)>) -> Metadata {
    let tokens = tokens(golden);
    let mut entries: Vec<(&str, Value)> = Vec::new();
    if let Some(pre) = golden["pre"].as_str() {
        let merges = golden["tokenizer"]["model"]["merges"].as_array().unwrap();
        let line = |pair: &Json| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        let kind = |text: &String| match text.as_str() {
            "<table>" => 4,
            text if text.starts_with("<|") && text.len() > 2 => 3,
            _ => 1,
        };
        entries.push(("tokenizer.ggml.model", Value::String("gpt2".into())));
        entries.push(("tokenizer.ggml.pre", Value::String(pre.into())));
        entries.push(("tokenizer.ggml.merges", strings(merges.iter().map(line).collect())));
        entries.push(("tokenizer.ggml.token_type", Value::Array(Array::I32(tokens.iter().map(kind).collect()))));
        entries.push(("tokenizer.ggml.eos_token_id", Value::U32(2)));
    } else {
        let scores = serde_json::from_value(golden["scores"].clone()).unwrap();
        let kinds = serde_json::from_value(golden["kinds"].clone()).unwrap();
        let adds_space = golden["adds_space"].as_bool().unwrap();
        entries.push(("tokenizer.ggml.model", Value::String("llama".into())));
        entries.push(("tokenizer.ggml.scores", Value::Array(Array::F32(scores))));
        entries.push(("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds))));
        entries.push(("tokenizer.ggml.add_space_prefix", Value::Bool(adds_space)));
    }
    entries.push(("tokenizer.ggml.tokens", strings(tokens)));
    entries.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
    entries.extend(changes.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let mut metadata = Metadata::default();
    for (key, value) in entries {
        metadata.insert(key.to_owned(), value).unwrap();
    }
    metadata
}

fn folder(golden: &Json, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), golden["tokenizer"].to_string()).unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn check(name: &str, tokenizer: &Tokenizer, golden: &Json) {
    for case in golden["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected = ids(&case["ids"]);
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&expected, true), case["decoded"].as_str().unwrap(), "{name}: {text:?}");
        let mut stream = tokenizer.detokenizer_from_start();
        let parts: Vec<String> = expected.iter().filter_map(|&id| stream.push(id)).collect();
        assert_eq!(parts.concat() + &stream.finish(), tokenizer.decode(&expected, true), "{name}: {text:?}");
    }
}

#[test]
fn folders_give_the_ids_and_texts_of_hugging_face() {
    for name in BYTE_LEVEL.into_iter().chain(SENTENCE_PIECE) {
        let golden = golden(name);
        let folder = folder(&golden, &[]);
        check(name, &Tokenizer::from_folder(folder.path()).unwrap(), &golden);
    }
}

#[test]
fn gguf_metadata_gives_the_ids_and_texts_of_hugging_face() {
    for name in BYTE_LEVEL.into_iter().chain(SENTENCE_PIECE) {
        let golden = golden(name);
        check(name, &Tokenizer::from_gguf(&metadata(&golden, vec![])).unwrap(), &golden);
    }
}

#[test]
fn special_tokens_are_parsed_or_spelled_out_as_asked() {
    let tokenizer = Tokenizer::from_gguf(&metadata(&golden("gpt-2"), vec![])).unwrap();
    let parsed = tokenizer.encode("a<|im_end|>", false).unwrap();
    let plain = tokenizer.encode_plain("a<|im_end|>").unwrap();
    assert_eq!(parsed.last(), Some(&2));
    assert!(plain.len() > 2 && !plain.contains(&2));
    assert_eq!((tokenizer.decode(&parsed, true), tokenizer.decode(&parsed, false)), ("a".into(), "a<|im_end|>".into()));
    assert_eq!(tokenizer.decode(&plain, true), "a<|im_end|>");
    assert_eq!(tokenizer.end_of_generation(), [0, 2]);
    assert!(tokenizer.is_end_of_generation(2) && !tokenizer.is_end_of_generation(1));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.token_text(2)), (None, Some(2), Some("<|im_end|>".into())));
}

#[test]
fn the_first_token_is_added_once() {
    let golden = golden("spm-space");
    let with_bos = Tokenizer::from_gguf(&metadata(&golden, vec![])).unwrap();
    let ids = with_bos.encode("Hello", true).unwrap();
    assert_eq!(ids[0], 1);
    assert_eq!(ids[1..], with_bos.encode("Hello", false).unwrap());
    let written = with_bos.encode("<s>Hello", true).unwrap();
    assert_eq!(written, ids);

    let no_bos = ("tokenizer.ggml.add_bos_token", Some(Value::Bool(false)));
    let eos = ("tokenizer.ggml.add_eos_token", Some(Value::Bool(true)));
    let without = Tokenizer::from_gguf(&metadata(&golden, vec![no_bos, eos])).unwrap();
    assert_eq!(without.encode("Hello", true).unwrap(), [&ids[1..], &[2]].concat());

    let config = r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true}"#;
    let folder = folder(&golden, &[("tokenizer_config.json", config)]);
    let from_folder = Tokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(from_folder.encode("Hello", true).unwrap(), ids);
    assert_eq!((from_folder.bos(), from_folder.eos()), (Some(1), Some(2)));
}

#[test]
fn a_prompt_gets_the_first_token_but_never_the_last() {
    let eos = ("tokenizer.ggml.add_eos_token", Some(Value::Bool(true)));
    let tokenizer = Tokenizer::from_gguf(&metadata(&golden("spm-space"), vec![eos])).unwrap();
    let bare = tokenizer.encode("Hello", false).unwrap();
    assert_eq!(tokenizer.encode("Hello", true).unwrap(), [&[1], &bare[..], &[2]].concat());
    assert_eq!(tokenizer.encode_prompt("Hello", true).unwrap(), [&[1], &bare[..]].concat());
    assert_eq!(tokenizer.encode_prompt("<s>Hello", true).unwrap(), [&[1], &bare[..]].concat());
    assert_eq!(tokenizer.encode_prompt("Hello", false).unwrap(), bare);
}

#[test]
fn padding_and_truncation_of_the_file_leave_a_text_alone() {
    let plain = golden("gpt-2");
    let text = "A text of more than four tokens, all in all";
    let expected = Tokenizer::from_folder(folder(&plain, &[]).path()).unwrap().encode(text, true).unwrap();
    let padding = |length: u64| {
        serde_json::json!({
            "strategy": {"Fixed": length}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "a"
        })
    };
    let truncation =
        serde_json::json!({"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0});
    for (key, value) in [("padding", padding(16)), ("padding", padding(1 << 62)), ("truncation", truncation)] {
        let mut changed = plain.clone();
        changed["tokenizer"][key] = value;
        let tokenizer = Tokenizer::from_folder(folder(&changed, &[]).path()).unwrap();
        assert_eq!(tokenizer.encode(text, true).unwrap(), expected, "{key}");
    }
}

#[test]
fn a_continuation_keeps_its_leading_space() {
    let tokenizer = Tokenizer::from_gguf(&metadata(&golden("spm-space"), vec![])).unwrap();
    let ids = tokenizer.encode("Hello world", false).unwrap();
    let mut stream = tokenizer.detokenizer();
    let text: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
    assert_eq!(text + &stream.finish(), " Hello world");
    assert_eq!(tokenizer.decode(&ids, true), "Hello world");
}

#[test]
fn folders_name_their_end_tokens_and_template_in_several_places() {
    let golden = golden("gpt-2");
    let config = r#"{"eos_token": "<|im_end|>", "bos_token": null,
        "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d{{ eos_token }}"}]}"#;
    let generation = ("generation_config.json", r#"{"eos_token_id": [2, 7]}"#);
    let several = folder(&golden, &[("tokenizer_config.json", config), generation]);
    let tokenizer = Tokenizer::from_folder(several.path()).unwrap();
    assert_eq!(tokenizer.end_of_generation(), [0, 2, 7]);
    assert_eq!(tokenizer.chat_template().unwrap().render(&[], false).unwrap(), "d<|im_end|>");

    // Of the model's description where there is no file of their own; what is no token is left aside.
    for (description, ends) in [
        (r#"{"eos_token_id": 5}"#, &[0, 2, 5][..]),
        (r#"{"eos_token_id": [5, 7, -1, 99999999, "x"]}"#, &[0, 2, 5, 7]),
        (r#"{"eos_token_id": 5, "text_config": {"eos_token_id": 7}}"#, &[0, 2, 7]),
        (r#"{"eos_token_id": null}"#, &[0, 2]),
    ] {
        let description = ("config.json", description);
        let described = folder(&golden, &[("tokenizer_config.json", config), description]);
        assert_eq!(Tokenizer::from_folder(described.path()).unwrap().end_of_generation(), ends);
        let both = folder(&golden, &[("tokenizer_config.json", config), description, generation]);
        assert_eq!(Tokenizer::from_folder(both.path()).unwrap().end_of_generation(), [0, 2, 7]);
    }

    let jinja = folder(&golden, &[("tokenizer_config.json", config), ("chat_template.jinja", "j")]);
    let template = Tokenizer::from_folder(jinja.path()).unwrap().chat_template().unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "j");

    let none = Tokenizer::from_folder(folder(&golden, &[]).path()).unwrap();
    assert!(matches!(none.chat_template(), Err(TextError::NoChatTemplate)));
}

#[test]
fn bad_folders_are_refused_with_the_file_at_fault() {
    let golden = golden("gpt-2");
    let load = |files: &[(&str, &str)]| Tokenizer::from_folder(folder(&golden, files).path()).unwrap_err();
    let missing = Tokenizer::from_folder(Path::new("/nonexistent")).unwrap_err();
    assert!(matches!(missing, TextError::Read { .. }), "{missing}");
    for (name, content) in [
        ("tokenizer.json", "{"),
        ("tokenizer.json", r#"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}}"#),
        ("tokenizer_config.json", "[1]"),
        ("generation_config.json", r#"{"eos_token_id": "x"}"#),
        ("chat_template.json", "null!"),
    ] {
        let error = load(&[(name, content)]);
        assert!(matches!(&error, TextError::File { path, .. } if path.ends_with(name)), "{name}: {error}");
    }
    let undecodable = r#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder": {"type": "Fuse"}}"#;
    assert!(matches!(load(&[("tokenizer.json", undecodable)]), TextError::Unsupported(_)));
    // One id must not make a table of millions.
    for id in [65_536, 1_233_333, 4_000_000_000u32] {
        let decoder = r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}"#;
        let vocabulary = format!(r#"{{"type": "BPE", "vocab": {{"a": {id}}}, "merges": []}}"#);
        let stray = format!(r#"{{"model": {vocabulary}, "decoder": {decoder}}}"#);
        assert!(matches!(load(&[("tokenizer.json", &stray)]), TextError::Vocabulary(_)), "{id}");
    }
}

#[test]
fn bad_gguf_metadata_is_refused() {
    let bpe = golden("gpt-2");
    let load = |key, value| Tokenizer::from_gguf(&metadata(&bpe, vec![(key, value)]));
    let some = |texts: &[&str]| Some(strings(texts.iter().map(|&text| text.to_owned()).collect()));
    for key in ["tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
        assert!(matches!(load(key, None), Err(TextError::MissingKey { key: found }) if found == key));
    }
    let unigram = load("tokenizer.ggml.model", Some(Value::String("t5".into())));
    assert!(matches!(unigram, Err(TextError::Unsupported(_))));
    let types = load("tokenizer.ggml.token_type", Some(Value::Array(Array::I32(vec![1]))));
    assert!(matches!(types, Err(TextError::Length { found: 1, .. })));
    assert!(matches!(load("tokenizer.ggml.merges", some(&["ab"])), Err(TextError::Vocabulary(_))));
    for tokens in [&["a", "a"][..], &[]] {
        assert!(matches!(load("tokenizer.ggml.tokens", some(tokens)), Err(TextError::Vocabulary(_))));
    }

    let spm = golden("spm-plain");
    let load = |scores| Tokenizer::from_gguf(&metadata(&spm, vec![("tokenizer.ggml.scores", scores)]));
    assert!(matches!(load(None), Err(TextError::MissingKey { .. })));
    assert!(matches!(load(Some(Value::Array(Array::F32(vec![0.0])))), Err(TextError::Length { .. })));
    let not_numbers = vec![f32::NAN; tokens(&spm).len()];
    assert!(matches!(load(Some(Value::Array(Array::F32(not_numbers)))), Err(TextError::Vocabulary(_))));
}

#[test]
fn a_vocabulary_with_far_more_merges_than_bytes_is_refused() {
    let spm = golden("spm-plain");
    let load = |longest: usize| {
        let tokens: Vec<String> = (1..=longest).map(|length| "a".repeat(length)).collect();
        let scores = Value::Array(Array::F32(vec![0.0; longest]));
        let kinds = Value::Array(Array::I32(vec![1; longest]));
        Tokenizer::from_gguf(&metadata(
            &spm,
            vec![
                ("tokenizer.ggml.tokens", Some(strings(tokens))),
                ("tokenizer.ggml.scores", Some(scores)),
                ("tokenizer.ggml.token_type", Some(kinds)),
            ],
        ))
    };
    assert!(load(32).is_ok());
    assert!(matches!(load(500), Err(TextError::Vocabulary(_))));
    assert!(matches!(load(600), Err(TextError::Vocabulary(_))));
}

#[test]
fn a_tokenizer_on_which_the_crate_fails_is_an_error() {
    let mut slow = golden("gpt-2");
    slow["tokenizer"]["pre_tokenizer"] = serde_json::json!({
        "type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": false
    });
    let tokenizer = Tokenizer::from_folder(folder(&slow, &[]).path()).unwrap();
    let text = "x".repeat(64);
    for result in [tokenizer.encode(&text, true), tokenizer.encode_plain(&text)] {
        assert!(matches!(result, Err(TextError::TokenizersPanic)), "{result:?}");
    }
}

#[test]
fn odd_gguf_metadata_is_read_with_a_warning() {
    let golden = golden("gpt-2");
    let plain = Tokenizer::from_gguf(&metadata(&golden, vec![])).unwrap();
    assert!(plain.warnings().is_empty());
    for (key, value) in [
        ("tokenizer.ggml.pre", None),
        ("tokenizer.ggml.pre", Some(Value::String("no-such".into()))),
        ("tokenizer.ggml.add_bos_token", Some(Value::Bool(true))),
        ("tokenizer.ggml.merges", Some(strings(vec!["zz zz".into()]))),
    ] {
        let tokenizer = Tokenizer::from_gguf(&metadata(&golden, vec![(key, value)])).unwrap();
        assert_eq!(tokenizer.warnings().len(), 1, "{key}");
        assert_eq!(tokenizer.decode(&tokenizer.encode("Hello world", true).unwrap(), true), "Hello world", "{key}");
    }
}

#[test]
fn a_million_character_word_is_encoded() {
    let word = "ab".repeat(500_000);
    for name in ["llama-bpe", "spm-space"] {
        let tokenizer = Tokenizer::from_gguf(&metadata(&golden(name), vec![])).unwrap();
        assert_eq!(tokenizer.decode(&tokenizer.encode(&word, false).unwrap(), true), word, "{name}");
    }
}

#[test]
fn chat_templates_render_as_in_transformers() {
    for model in golden("chat_templates").as_array().unwrap() {
        let name = &model["name"];
        let template = ChatTemplate::new(model["template"].as_str().unwrap(), SPECIAL_TOKENS).unwrap();
        for rendering in model["renderings"].as_array().unwrap() {
            let messages = conversation(&rendering["conversation"]);
            let rendered = template.render(&messages, rendering["add_generation_prompt"].as_bool().unwrap());
            match rendering["text"].as_str() {
                Some(text) => assert_eq!(rendered.unwrap(), text, "{name}: {messages:?}"),
                None => assert!(matches!(rendered, Err(TextError::ChatTemplate(_))), "{name}: {messages:?}"),
            }
        }
    }
}

/// Messages from pairs of a role and a content.
fn conversation(turns: &serde_json::Value) -> Vec<Message> {
    let turns: Vec<(String, String)> = serde_json::from_value(turns.clone()).unwrap();
    turns.into_iter().map(|(role, content)| Message::new(role, content)).collect()
}

#[test]
fn templates_find_what_python_gives_them() {
    let golden = golden("template_snippets");
    let messages = conversation(&golden["conversation"]);
    for snippet in golden["snippets"].as_array().unwrap() {
        let source = snippet["template"].as_str().unwrap();
        let rendered = ChatTemplate::new(source, SPECIAL_TOKENS).and_then(|template| template.render(&messages, true));
        match snippet["text"].as_str() {
            Some(text) => assert_eq!(rendered.unwrap(), text, "{source}"),
            None => assert!(matches!(rendered, Err(TextError::ChatTemplate(_))), "{source}: {rendered:?}"),
        }
    }
}

#[test]
fn a_template_gets_the_texts_of_all_special_tokens() {
    let golden = golden("spm-space");
    let source = "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token }}{{ mask_token is defined }}";
    let changes = vec![
        ("tokenizer.chat_template", Some(Value::String(source.into()))),
        ("tokenizer.ggml.unknown_token_id", Some(Value::U32(0))),
        ("tokenizer.ggml.padding_token_id", Some(Value::U32(2))),
    ];
    let from_gguf = Tokenizer::from_gguf(&metadata(&golden, changes)).unwrap();
    let config = serde_json::json!({
        "chat_template": source, "bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>",
        "pad_token": "</s>", "mask_token": null
    });
    let folder = folder(&golden, &[("tokenizer_config.json", &config.to_string())]);
    let from_folder = Tokenizer::from_folder(folder.path()).unwrap();
    for tokenizer in [from_gguf, from_folder] {
        let rendered = tokenizer.chat_template().unwrap().render(&[], true).unwrap();
        assert_eq!(rendered, "<s></s><unk></s>False");
    }
}

#[test]
fn tokens_that_only_other_files_name_are_added_as_in_transformers() {
    let (plain, golden) = (golden("gpt-2"), golden("added_tokens"));
    let text = golden["text"].as_str().unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let (name, expected) = (&case["name"], ids(&case["ids"]));
        let files: Vec<(&str, String)> =
            case["files"].as_object().unwrap().iter().map(|(name, content)| (&**name, content.to_string())).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (*name, &**content)).collect();
        let tokenizer = Tokenizer::from_folder(folder(&plain, &files).path()).unwrap();
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{name}");
        assert_eq!(tokenizer.decode(&expected, true), case["decoded"].as_str().unwrap(), "{name}");
        let special: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|&id| tokenizer.is_special(id)).collect();
        assert_eq!(special, ids(&case["special"]), "{name}");
    }
}

#[test]
fn special_tokens_that_the_vocabulary_lacks_are_left_out_with_a_warning() {
    let (bpe, spm) = (golden("gpt-2"), golden("spm-space"));
    let outside = Some(Value::U32(1_000_000));
    for role in ["bos", "eos", "eot", "padding", "unknown"] {
        let key = format!("tokenizer.ggml.{role}_token_id");
        let tokenizer = Tokenizer::from_gguf(&metadata(&bpe, vec![(&key, outside.clone())])).unwrap();
        assert!(matches!(tokenizer.warnings(), [warning] if warning.contains(&key)), "{:?}", tokenizer.warnings());
        assert_eq!((tokenizer.bos(), tokenizer.end_of_generation()), (None, &[0, 2][..]), "{key}");
        // There is a default for SentencePiece's.
        let tokenizer = Tokenizer::from_gguf(&metadata(&spm, vec![(&key, outside.clone())])).unwrap();
        assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.warnings().len()), (Some(1), Some(2), 1), "{key}");
    }
    let generation = ("generation_config.json", r#"{"eos_token_id": [4294967296, 7, 9999, -1]}"#);
    let tokenizer = Tokenizer::from_folder(folder(&bpe, &[generation]).path()).unwrap();
    assert_eq!((tokenizer.end_of_generation(), tokenizer.warnings().len()), (&[0, 2, 7][..], 2));

    // Where it is the only end, the model would not stop.
    let without_ends = |text: &str| text.replace("<|endoftext|>", "<|a|>").replace("<|im_end|>", "<|b|>");
    let endless: Json = serde_json::from_str(&without_ends(&bpe.to_string())).unwrap();
    let refused = [
        Tokenizer::from_gguf(&metadata(&endless, vec![("tokenizer.ggml.eos_token_id", outside)])),
        Tokenizer::from_folder(folder(&endless, &[("generation_config.json", r#"{"eos_token_id": 1000000}"#)]).path()),
    ];
    for result in refused {
        assert!(matches!(result, Err(TextError::SpecialToken { id: 1_000_000, .. })), "{result:?}");
    }
    assert!(Tokenizer::from_folder(folder(&endless, &[]).path()).unwrap().end_of_generation().is_empty());
}

#[test]
fn an_empty_template_is_none() {
    let config = r#"{"chat_template": " \n"}"#;
    let folder = folder(&golden("gpt-2"), &[("tokenizer_config.json", config)]);
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    assert!(matches!(tokenizer.chat_template(), Err(TextError::NoChatTemplate)));
}

#[test]
fn a_folder_with_another_tokenizer_says_so() {
    for name in ["tokenizer.model", "vocab.json"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), "x").unwrap();
        let error = Tokenizer::from_folder(folder.path()).unwrap_err();
        assert!(matches!(error, TextError::NoTokenizerJson { found, .. } if found == name), "{error}");
        assert!(error.to_string().contains("save_pretrained"), "{error}");
    }
}
