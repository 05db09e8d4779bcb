//! `wgpt` as a process: help, errors, output, exit codes and signals.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::support::command::{chat_model, has_device, wgpt};

const QUESTION: &str = "What is a GPU?";
const ANSWER: &str = "A GPU is a processor that does many small sums at once.";
/// Its answer is far longer than what any of these tests waits for.
const ENDLESS_QUESTION: &str = "Count your sheep.";

fn model() -> String {
    chat_model().to_str().expect("UTF-8").to_owned()
}

/// `wgpt run` with the tiny chat model.
fn run(arguments: &[&str]) -> assert_cmd::Command {
    wgpt(&[&["run", "-m", &model()], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    let output = run(&[&["--json"], arguments].concat()).assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).expect("one JSON value and nothing else")
}

fn stdout(arguments: &[&str]) -> String {
    String::from_utf8(run(arguments).assert().success().get_output().stdout.clone()).expect("UTF-8")
}

/// One sentence on stderr, nothing on stdout, and exit code 1.
fn assert_fails(mut command: assert_cmd::Command, advice: &str) {
    let one_line = predicate::function(|text: &str| {
        text.starts_with("wgpt: ") && text.trim_end().lines().count() == 1 && !text.contains("panicked")
    });
    command.assert().code(1).stdout("").stderr(contains(advice).and(one_line));
}

mod help {
    use super::*;

    #[test]
    fn the_overview_names_the_commands_the_codes_and_examples() {
        for text in ["run ", "devices", "verify", "Exit codes: 0 success, 1 error, 2 wrong usage", "Examples:"] {
            wgpt(&["--help"]).assert().success().stderr("").stdout(contains(text));
        }
    }

    #[test]
    fn the_help_of_run_has_every_flag_under_a_heading() {
        let help = wgpt(&["run", "--help"]).assert().success().get_output().stdout.clone();
        let help = String::from_utf8(help).expect("UTF-8");
        for heading in ["Model:", "Prompt:", "Length:", "Sampling:", "Device:", "Output:", "Examples:"] {
            assert!(help.lines().any(|line| line == heading), "{heading}");
        }
        for flag in [
            "-m, --model <MODEL>",
            "-p, --prompt <PROMPT>",
            "-f, --file <FILE>",
            "-n, --predict <N>",
            "-c, --ctx-size <N>",
            "-b, --chunk-size <N>",
            "--temp <T>",
            "--top-k <K>",
            "--top-p <P>",
            "--min-p <P>",
            "--repeat-penalty <X>",
            "--repeat-last-n <N>",
            "--presence-penalty <X>",
            "--frequency-penalty <X>",
            "-s, --seed <SEED>",
            "--kv-type <f32|f16|q8_0>",
            "--device <DEVICE>",
            "--backend <vulkan|metal|dx12|gl>",
            "--system <TEXT>",
            "--stop <TEXT>",
            "--raw",
            "--json",
            "--ignore-eos",
            "-q, --quiet",
            "-v, --verbose",
        ] {
            assert!(help.contains(flag), "{flag}");
        }
    }

    #[test]
    fn the_flags_of_llama_cpp_are_explained() {
        let help = wgpt(&["run", "--help"]).assert().success().get_output().stdout.clone();
        let help = String::from_utf8(help).expect("UTF-8").split_whitespace().collect::<Vec<_>>().join(" ");
        for flag in ["`-sys TEXT`", "`-dev DEVICE`", "`-ub N`", "`-r TEXT`"] {
            assert!(help.contains(&format!("{flag} is the same")), "{flag}");
        }
    }

    /// A text at the place where a longer one is declared would hide it.
    #[test]
    fn the_longer_help_of_commands_and_flags_is_shown_in_lines_that_fit() {
        for (command, text) in [
            (&[][..], "the name of a model on the Hugging Face hub."),
            (&["run"], "A file or folder that exists comes first."),
            (&["run"], "Each matrix is multiplied by one kernel"),
            (&["run"], "The roles are linear.decode (1 token)"),
            (&["perplexity"], "the second half of each is scored"),
            (&["verify"], "Runs small cases of every kernel"),
            (&["tune"], "the shapes are those of a typical small one"),
            (&["bench", "model"], "Several values of a flag, apart by commas"),
            (&["bench", "kernels"], "no model is needed"),
            (&["bench", "complexity"], "the whole sequence being computed again for each"),
            (&["bench", "compare"], "with -o json, jsonl or csv"),
        ] {
            let help = wgpt(&[command, &["--help"]].concat()).assert().success().get_output().stdout.clone();
            let help = String::from_utf8(help).expect("UTF-8");
            assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(text), "{command:?}: {text}");
            let long = help.lines().find(|line| line.chars().count() > 100);
            assert_eq!(long, None, "{command:?}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        wgpt(&["--version"]).assert().success().stdout(concat!("wgpt ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

mod usage {
    use super::*;

    #[test]
    fn mistakes_in_the_flags_exit_with_2_and_say_what_is_allowed() {
        for (arguments, advice) in [
            (&["--no-such-flag"][..], "--no-such-flag"),
            (&["run"], "--model <MODEL>"),
            (&["run", "-m", ".", "a", "-p", "b"], "cannot be used with"),
            (&["run", "-m", ".", "a", "-f", "b"], "cannot be used with"),
            (&["run", "-m", ".", "a", "--raw", "--system", "b"], "cannot be used with"),
            (&["run", "-m", ".", "a", "--kv-type", "q3"], "q3"),
            (&["run", "-m", ".", "a", "--backend", "cuda"], "use vulkan, metal, dx12 or gl"),
            (&["run", "-m", ".", "a", "-n", "-2"], "use a number of tokens, or -1 for as many"),
            (&["run", "-m", ".", "a", "-c", "-1"], "or 0 for the model's whole context"),
            (&["run", "-m", ".", "a", "-ngl", "99"], "-ngl: every layer always runs on the device; leave it out"),
            (&["bench", "model", "-m", ".", "-fa", "1"], "-fa: attention never stores its scores"),
            (&["run", "-m", ".", "Why", "is", "it?"], "put a prompt of several words in quotes"),
            (&["run", "-ctk", "q8_0"], "-ctk: keys and values have one type; use --kv-type"),
            (&["run", "-m", ".", "a", "-b", "-1"], "1 or more, or leave the flag out"),
            (&["run", "-m", ".", "a", "--top-k", "-1"], "or 0 for all"),
            (&["run", "-m", ".", "a", "--temp", "-1"], "the temperature is -1; use 0"),
            (&["run", "-m", ".", "a", "--temp", "hot"], "use a number, such as 0.8"),
            (&["run", "-m", ".", "a", "--top-p", "1.5"], "top-p is 1.5; use a probability from 0 to 1"),
            (&["run", "-m", ".", "a", "--min-p", "nan"], "min-p is NaN"),
            (&["run", "-m", ".", "a", "--repeat-penalty", "0"], "the repeat penalty is 0"),
            (&["run", "-m", ".", "a", "--seed", "x"], "use a whole number, or -1"),
            (&["run", "-m", ".", "a", "--stop", ""], "give it some text"),
        ] {
            let usage = contains(advice).and(contains("Usage: ").or(contains("try '--help'")));
            wgpt(arguments).assert().code(2).stdout("").stderr(usage);
        }
    }

    #[test]
    fn a_log_filter_that_makes_no_sense_is_an_error() {
        let mut command = wgpt(&["devices"]);
        command.env("WGPT_LOG", "wgpt=loud");
        assert_fails(command, "use a level");
        let mut command = wgpt(&["devices"]);
        command.env("WGPT_LOG", "silly");
        assert_fails(command, "WGPT_LOG=silly is no log filter");
    }
}

mod bad_inputs {
    use super::*;

    #[test]
    fn a_model_that_is_not_there() {
        assert_fails(wgpt(&["run", "-m", "no/such/model.gguf", "x"]), "there is no file or folder no/such/model.gguf");
        assert_fails(wgpt(&["run", "-m", "", "x"]), "there is no file or folder");
    }

    #[test]
    fn files_that_are_no_models() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().to_str().expect("UTF-8");
        assert_fails(wgpt(&["run", "-m", path, "x"]), "config.json");
        let text = folder.path().join("text.gguf");
        fs::write(&text, "This is a letter to a friend, not a model.").expect("written");
        assert_fails(wgpt(&["run", "-m", text.to_str().expect("UTF-8"), "x"]), "text.gguf");
        fs::write(&text, "").expect("written");
        assert_fails(wgpt(&["run", "-m", text.to_str().expect("UTF-8"), "x"]), "text.gguf");
    }

    #[test]
    fn prompts_that_are_no_text() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("prompt.txt");
        let path = file.to_str().expect("UTF-8");
        assert_fails(run(&["-f", path]), "cannot read the prompt from");
        fs::write(&file, b"caf\xe9").expect("written");
        assert_fails(run(&["-f", path]), "prompt.txt is not UTF-8 text (byte 3 is wrong)");
        fs::write(&file, "\n").expect("written");
        assert_fails(run(&["-f", path]), "is empty; give it some text");
        assert_fails(run(&[""]), "the prompt from the command line is empty");

        let mut command = run(&[]);
        command.write_stdin(&b"\xff"[..]);
        assert_fails(command, "the prompt from stdin is not UTF-8 text (byte 0 is wrong)");
        let mut command = run(&["-"]);
        command.write_stdin("");
        assert_fails(command, "the prompt from stdin is empty");
    }

    /// The tiny chat model with another content of one of its files.
    fn changed_model(file: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for entry in fs::read_dir(chat_model()).expect("the tiny chat model").flatten() {
            if entry.path().extension().is_none_or(|extension| extension != "gguf") {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
            }
        }
        let path = folder.path().join(file);
        let mut json: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        change(&mut json);
        fs::write(path, json.to_string()).expect("written");
        folder
    }

    #[test]
    fn a_chat_template_that_does_not_parse_is_an_error_unless_the_prompt_is_raw() {
        if !has_device() {
            return;
        }
        let folder = changed_model("tokenizer_config.json", |config| config["chat_template"] = "{% if %}".into());
        // A template in a file of its own would go before it.
        fs::remove_file(folder.path().join("chat_template.jinja")).unwrap_or_default();
        let path = folder.path().to_str().expect("UTF-8");
        let broken = wgpt(&["run", "-m", path, "-q", "--temp", "0", QUESTION]);
        assert_fails(broken, "the chat template failed");
        wgpt(&["run", "-m", path, "--raw", "--temp", "0", "-n", "2", QUESTION]).assert().success();
    }

    #[test]
    fn a_tokenizer_that_panics_over_the_prompt_is_an_error_without_the_panics_report() {
        if !has_device() {
            return;
        }
        let folder = changed_model("tokenizer.json", |tokenizer| {
            let pattern = serde_json::json!({"Regex": "(x+x+)+y"});
            tokenizer["pre_tokenizer"] = serde_json::json!({
                "type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false
            });
        });
        let path = folder.path().to_str().expect("UTF-8");
        let command = wgpt(&["run", "-m", path, "-q", "--raw", &"x".repeat(64)]);
        assert_fails(command, "tokenizers crate fails on");
    }

    #[test]
    fn a_name_in_a_model_file_cannot_command_the_terminal() {
        if !has_device() {
            return;
        }
        let name = "evil\u{1b}[31m\u{9b}2J\nfake line";
        let folder = changed_model("config.json", |config| config["_name_or_path"] = name.into());
        let path = folder.path().to_str().expect("UTF-8");
        let shown = contains("evil\\u{1b}[31m").and(contains("\u{1b}").not()).and(contains("\u{9b}").not());
        let run = ["run", "-m", path, "-v", "--temp", "0", "-n", "2", QUESTION];
        wgpt(&run).assert().success().stderr(shown.and(contains("\nfake line").not()));
    }

    #[test]
    fn a_device_that_is_not_there() {
        if has_device() {
            assert_fails(run(&["--device", "no such device", "x"]), "no such device");
            assert_fails(run(&["-dev", "99999", "x"]), "99999");
        }
    }
}

mod devices {
    use super::*;

    #[test]
    fn the_json_list_has_one_selected_device_and_the_facts_that_matter() {
        if !has_device() {
            return;
        }
        let output = wgpt(&["devices", "--json"]).assert().success().stderr("").get_output().stdout.clone();
        let devices: Value = serde_json::from_slice(&output).expect("JSON");
        let devices = devices.as_array().expect("a list");
        assert_eq!(devices.iter().filter(|device| device["selected"] == true).count(), 1);
        for (index, device) in devices.iter().enumerate() {
            assert_eq!(device["index"], index);
            assert!(device["limits"]["max_buffer_size"].as_u64().is_some_and(|size| size > 0));
            assert!(device["backend"].is_string() && device["device_type"].is_string() && device["driver"].is_string());
        }
    }

    #[test]
    fn the_list_marks_the_device_of_a_run_and_verbose_adds_to_it() {
        if !has_device() {
            return;
        }
        let mark = "[a run takes this one]";
        wgpt(&["devices"]).assert().success().stdout(contains(mark).count(1).and(contains("vendor").not()));
        wgpt(&["devices", "-v"]).assert().success().stdout(contains(mark).count(1).and(contains("vendor")));
    }
}

mod answers {
    use super::*;

    #[test]
    fn an_answer_goes_to_stdout_and_the_figures_to_stderr() {
        if !has_device() {
            return;
        }
        let figures = ["load ", "prompt      16 tokens", "first token ", "generated ", "tokens/s", "KV cache", "seed "];
        let assert = run(&["--temp", "0", QUESTION]).assert().success().stdout(format!("{ANSWER}\n"));
        for figure in figures {
            assert!(contains(figure).eval(&String::from_utf8_lossy(&assert.get_output().stderr)), "{figure}");
        }
        run(&["--temp", "0", "-q", QUESTION]).assert().success().stdout(format!("{ANSWER}\n")).stderr("");
        run(&["--temp", "0", "-v", QUESTION]).assert().success().stderr(contains("llama").and(contains("ended by")));
    }

    #[test]
    fn whole_characters_of_every_script_arrive() {
        if !has_device() {
            return;
        }
        let text = stdout(&["--temp", "0", "Say hello in five languages."]);
        assert_eq!(text, "Hello, ¡hola!, Grüß Gott, こんにちは, नमस्ते 👋🏽\n");
    }

    #[test]
    fn the_prompt_comes_from_a_flag_a_file_and_stdin_alike() {
        if !has_device() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("prompt.txt");
        fs::write(&file, format!("{QUESTION}\n")).expect("written");
        let expected = format!("{ANSWER}\n");
        assert_eq!(stdout(&["--temp", "0", "-p", QUESTION]), expected);
        assert_eq!(stdout(&["--temp", "0", "-f", file.to_str().expect("UTF-8")]), expected);
        for arguments in [&["--temp", "0"][..], &["--temp", "0", "-"]] {
            run(arguments).write_stdin(format!("{QUESTION}\n")).assert().success().stdout(expected.clone());
        }
    }

    #[test]
    fn a_system_message_and_the_raw_prompt_reach_the_model() {
        if !has_device() {
            return;
        }
        let pirate = "Arr, a chest of many wee sums, matey!\n";
        assert_eq!(stdout(&["--temp", "0", "--system", "You are a pirate.", QUESTION]), pirate);
        assert_eq!(stdout(&["--temp", "0", "-sys", "You are a pirate.", QUESTION]), pirate);
        let story = stdout(&["--temp", "0", "--raw", "-n", "39", "Once upon a time"]);
        assert!(story.starts_with(", a small crab taught a very large rock to multiply."), "{story}");
    }

    #[test]
    fn the_figures_say_what_cut_an_answer_off() {
        if !has_device() {
            return;
        }
        let endless = |flags: &[&str]| run(&[flags, &["--temp", "0", "--ignore-eos", ENDLESS_QUESTION]].concat());
        endless(&["-n", "3"]).assert().success().stderr(contains("\nended by    -n, after 3 tokens\n"));
        let full = "ended by    the context of 40 tokens, which is full; -c gives more, up to 1024\n";
        endless(&["-c", "40"]).assert().success().stderr(contains(full));
        let whole = "ended by    the model's context of 1024 tokens, which is full\n";
        endless(&["-c", "0"]).assert().success().stderr(contains(whole));
        endless(&["-n", "3", "-q"]).assert().success().stderr("");
        run(&["--temp", "0", QUESTION]).assert().success().stderr(contains("ended by").not());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_prompt_has_a_bar_on_a_terminal_which_is_gone_before_the_text() {
        if !has_device() {
            return;
        }
        let wgpt = assert_cmd::cargo::cargo_bin!("wgpt").display().to_string();
        let command =
            |flags: &str| format!("stty cols 100; '{wgpt}' run -m '{}' --temp 0 {flags} '{QUESTION}'", model());
        // util-linux's, which gives the command a terminal.
        let on_terminal = |flags: &str| {
            let output = std::process::Command::new("script")
                .args(["--quiet", "--return", "--command", &command(flags), "/dev/null"])
                .env("WGPT_CACHE", "off")
                .output()
                .expect("script, of util-linux, runs");
            assert!(output.status.success());
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        let shown = on_terminal("-b 1");
        let (before, after) = shown.split_once("A GPU is").expect("the answer");
        assert!(before.contains("prompt [") && before.contains("/16 tokens"), "{shown:?}");
        // Nothing but the cleared line stands where the text begins.
        assert!(before.ends_with("\u{1b}[2K") || before.ends_with("\r\u{1b}[K"), "{shown:?}");
        assert!(!after.contains("prompt ["), "{shown:?}");
        assert_eq!(on_terminal("-q"), format!("{ANSWER}\r\n"));
    }

    #[test]
    fn the_length_and_stop_strings_end_an_answer() {
        if !has_device() {
            return;
        }
        let answer = json(&["--temp", "0", "-n", "3", QUESTION]);
        assert_eq!(answer["finish_reason"], "length");
        assert_eq!(answer["generated_tokens"], 3);
        assert_eq!(answer["token_ids"].as_array().map(Vec::len), Some(3));

        let answer = json(&["--temp", "0", "--stop", "never", "--stop", " that does", QUESTION]);
        assert_eq!(answer["finish_reason"], "stop");
        assert_eq!(answer["stop"], " that does");
        assert_eq!(answer["text"], "A GPU is a processor");
        assert_eq!(stdout(&["--temp", "0", "--stop", " that does", QUESTION]), "A GPU is a processor\n");
    }

    #[test]
    fn deterministic_kernels_are_named_and_give_the_answer() {
        if !has_device() {
            return;
        }
        for chunk in ["1", "11"] {
            let answer = json(&["--temp", "0", "--deterministic", "--chunk-size", chunk, QUESTION]);
            assert_eq!(answer["text"], ANSWER);
            let kernels = answer["kernels"].as_array();
            assert!(kernels.is_some_and(|kernels| kernels[0].to_string().contains("deterministic")), "{answer}");
        }
    }

    #[test]
    fn json_is_complete_and_says_what_streaming_shows() {
        if !has_device() {
            return;
        }
        let answer = json(&["--temp", "0", QUESTION]);
        assert_eq!(answer["text"], ANSWER);
        assert_eq!(answer["finish_reason"], "eos");
        assert_eq!(answer["prompt_tokens"], 16);
        assert_eq!(answer["cached_prompt_tokens"], 0);
        assert!(answer["wasted_tokens"].is_u64());
        assert_eq!(answer["model"]["architecture"], "llama");
        assert!(answer["device"]["name"].is_string());
        let timings = ["load_s", "prefill_s", "time_to_first_token_s", "decode_s", "host_per_step_s"];
        for pointer in timings.map(|name| format!("/timings/{name}")) {
            let pointer = pointer.as_str();
            assert!(answer.pointer(pointer).and_then(Value::as_f64).is_some_and(|seconds| seconds > 0.0), "{pointer}");
        }
        for pointer in ["/memory/weights", "/memory/kv_cache", "/memory/scratch"] {
            assert!(answer.pointer(pointer).and_then(Value::as_u64).is_some_and(|bytes| bytes > 0), "{pointer}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_text_streamed_or_not() {
        if !has_device() {
            return;
        }
        // Hot enough that two seeds hardly ever agree.
        let hot = ["--temp", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-n", "24", "--ignore-eos"];
        let with_seed = |seed: &'static str| [&hot[..], &["--seed", seed, QUESTION]].concat();
        let first = json(&with_seed("7"));
        let second = json(&with_seed("7"));
        assert_eq!(first["seed"], 7);
        assert_eq!(first["text"], second["text"]);
        assert_eq!(first["token_ids"], second["token_ids"]);
        assert_ne!(first["token_ids"], json(&with_seed("8"))["token_ids"]);
        let text = first["text"].as_str().expect("a text");
        assert_eq!(stdout(&with_seed("7")).trim_end_matches('\n'), text.trim_end_matches('\n'));
    }

    #[test]
    fn a_drawn_seed_is_shown_so_that_it_can_be_given_again() {
        if !has_device() {
            return;
        }
        let first = json(&["--temp", "5", "-n", "16", QUESTION]);
        let seed = first["seed"].as_u64().expect("a seed").to_string();
        let again = json(&["--temp", "5", "-n", "16", "--seed", &seed, QUESTION]);
        assert_eq!(first["token_ids"], again["token_ids"]);
    }
}

#[cfg(unix)]
mod signals {
    use super::*;
    use crate::support::command::{send, std_wgpt, wait};
    use std::io::Read;
    use std::process::{Child, Stdio};
    use std::time::{Duration, Instant};

    /// An answer without end, of which the first characters have come.
    fn started(arguments: &[&str]) -> Child {
        let model = model();
        let run = ["run", "-m", &model, "--temp", "0", "--ignore-eos"];
        let mut child = std_wgpt(&[&run, arguments, &[ENDLESS_QUESTION]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wgpt runs");
        let mut first = [0; 4];
        child.stdout.as_mut().expect("piped").read_exact(&mut first).expect("a first word");
        child
    }

    #[test]
    fn the_first_signal_ends_the_answer_and_prints_the_figures() {
        if !has_device() {
            return;
        }
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let mut child = started(&[]);
            send(signal, &child);
            assert_eq!(wait(&mut child).code(), Some(code));
            let mut figures = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut figures).expect("UTF-8");
            assert!(contains("generated ").and(contains("tokens/s")).eval(&figures), "{figures}");
        }
    }

    #[test]
    fn a_signal_amid_a_long_prompt_needs_no_first_token() {
        if !has_device() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("prompt.txt");
        // A step a token: long enough to be amid it, whatever the device.
        fs::write(&file, "What is a GPU? ".repeat(100)).expect("written");
        let model = model();
        let mut child = std_wgpt(&["run", "-m", &model, "-b", "1", "-f", file.to_str().expect("UTF-8")])
            .env("WGPT_LOG", "wgpt=debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wgpt runs");
        let mut log = std::io::BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("generation begins") {
            line.clear();
            assert_ne!(std::io::BufRead::read_line(&mut log, &mut line).expect("UTF-8"), 0, "it never began");
        }
        send("-INT", &child);
        let mut rest = String::new();
        log.read_to_string(&mut rest).expect("UTF-8");
        assert_eq!(wait(&mut child).code(), Some(130));
        let mut text = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
        assert_eq!(text, "");
        assert!(contains("generated   0 tokens").eval(&rest), "{rest}");
    }

    #[test]
    fn a_signal_while_stdin_is_read_ends_at_once() {
        let model = model();
        let mut child = std_wgpt(&["run", "-m", &model])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("wgpt runs");
        // More than once: where SIGINT was ignored before, the first may come too early for the handler.
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            std::thread::sleep(Duration::from_millis(100));
            send("-INT", &child);
            match child.try_wait().expect("a child") {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "wgpt did not end"),
            }
        };
        // By the handler, or by the system before there was one.
        let by_system = std::os::unix::process::ExitStatusExt::signal(&status) == Some(2);
        assert!(status.code() == Some(130) || by_system, "{status}");
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        if !has_device() {
            return;
        }
        let mut child = started(&["-q"]);
        drop(child.stdout.take());
        let status = wait(&mut child);
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    }
}
