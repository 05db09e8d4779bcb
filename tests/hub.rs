//! Models by name, from a hub on localhost: what is fetched, resumed, checked and kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use crate::support::command::{chat_model, has_device, std_wgpt, wgpt};
use crate::support::hub_stub::{HubStub, NAME, Repository, sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const GGUF: &str = "tiny-Q8_0.gguf";

/// No model, so a run ends with an error after the download; the download is what these tests are about.
fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

fn repository(files: &[(&str, &[u8])]) -> Repository {
    let files: BTreeMap<_, _> = files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    Repository { commit: COMMIT.to_owned(), files, ..Repository::default() }
}

/// A hub, and a cache of its own.
struct Scene {
    hub: HubStub,
    home: TempDir,
}

impl Scene {
    fn new(repository: Repository) -> Self {
        Self { hub: HubStub::start(repository), home: tempfile::tempdir().expect("folder") }
    }

    fn run(&self, model: &str) -> Command {
        let mut command = wgpt(&["run", "-m", model, "--temp", "0", "-n", "8", "What is a GPU?"]);
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", &self.hub.endpoint);
        command
    }

    fn repository_folder(&self) -> PathBuf {
        self.home.path().join("hub/models--tiny--chat")
    }

    fn cached(&self, commit: &str, file: &str) -> PathBuf {
        self.repository_folder().join("snapshots").join(commit).join(file)
    }

    fn blob(&self, content: &[u8]) -> PathBuf {
        self.repository_folder().join("blobs").join(sha256(content))
    }

    fn main_ref(&self) -> Option<String> {
        fs::read_to_string(self.repository_folder().join("refs/main")).ok()
    }

    /// The first bytes of the transfers since the last look, by file: `storage/x/FILE` from byte N.
    fn transfers(&self) -> Vec<(String, String)> {
        let asked = self.hub.take_requests().into_iter().filter_map(|request| {
            let file = request.path.strip_prefix("/storage/x/")?.to_owned();
            let range = request.range?;
            (range != "bytes=0-0").then_some((file, range))
        });
        asked.collect()
    }
}

fn exists_with(path: &Path, content: &[u8]) {
    assert!(fs::read(path).is_ok_and(|found| found == content), "{} is not what the hub has", path.display());
}

#[test]
fn a_gguf_file_is_fetched_once_and_then_comes_from_the_cache() {
    let content = some_bytes(3000);
    let scene = Scene::new(repository(&[(GGUF, &content), ("tiny-Q2_K.gguf", b"no"), ("README.md", b"no")]));
    scene.run(NAME).assert().code(1);
    exists_with(&scene.cached(COMMIT, GGUF), &content);
    exists_with(&scene.blob(&content), &content);
    assert_eq!(scene.main_ref().as_deref(), Some(COMMIT));
    assert_eq!(scene.transfers(), [(GGUF.to_owned(), "bytes=0-".to_owned())]);

    scene.run(NAME).assert().code(1);
    assert_eq!(scene.transfers(), []);
}

#[test]
fn a_folder_is_fetched_with_the_shards_of_its_index_and_nothing_else() {
    let index =
        br#"{"weight_map": {"x": "model-00001-of-00002.safetensors", "y": "model-00002-of-00002.safetensors"}}"#;
    let wanted: [(&str, &[u8]); 5] = [
        ("config.json", b"{}"),
        ("tokenizer.json", b"{ }"),
        ("model.safetensors.index.json", index),
        ("model-00001-of-00002.safetensors", b"one"),
        ("model-00002-of-00002.safetensors", b"two"),
    ];
    let others: [(&str, &[u8]); 3] =
        [("README.md", b"no"), ("pytorch_model.bin", b"no"), ("consolidated.safetensors", b"no")];
    let scene = Scene::new(repository(&[&wanted[..], &others[..]].concat()));
    scene.run("tiny/chat@v1.0").assert().code(1);
    for (name, content) in wanted {
        exists_with(&scene.cached(COMMIT, name), content);
    }
    for (name, _) in others {
        assert!(!scene.cached(COMMIT, name).exists(), "{name}");
    }
    let asked = scene.hub.take_requests();
    assert_eq!(asked[0].path, "/api/models/tiny/chat/revision/v1.0");
    let by_commit = |path: &str| path.contains(&format!("/resolve/{COMMIT}/")) || path.starts_with("/storage/");
    assert!(asked[1..].iter().all(|request| by_commit(&request.path)), "{asked:?}");
    assert_eq!(fs::read_to_string(scene.repository_folder().join("refs/v1.0")).expect("a reference"), COMMIT);
}

#[test]
fn a_named_file_and_a_named_quantisation_are_taken() {
    let scene = Scene::new(repository(&[("a-Q2_K.gguf", b"two"), ("a-Q8_0.gguf", b"eight")]));
    scene.run("tiny/chat:q2_k").assert().code(1);
    assert!(scene.cached(COMMIT, "a-Q2_K.gguf").exists());
    assert!(!scene.cached(COMMIT, "a-Q8_0.gguf").exists());
    scene.run("tiny/chat:a-Q8_0.gguf").assert().code(1);
    assert!(scene.cached(COMMIT, "a-Q8_0.gguf").exists());
    scene
        .run("tiny/chat:Q3_K")
        .assert()
        .code(1)
        .stderr(contains("has no GGUF file Q3_K; it has a-Q2_K.gguf, a-Q8_0.gguf"));
}

#[test]
fn a_quantisation_is_found_behind_an_underscore_or_a_dot() {
    let scene = Scene::new(repository(&[("chat_Q4_K_M.gguf", b"four"), ("chat.Q8_0.gguf", b"eight")]));
    for (quantisation, file) in [("Q4_K_M", "chat_Q4_K_M.gguf"), ("q8_0", "chat.Q8_0.gguf")] {
        scene.run(&format!("{NAME}:{quantisation}")).assert().code(1);
        assert!(scene.cached(COMMIT, file).exists(), "{file}");
    }
    scene.run(&format!("{NAME}:K_M")).assert().code(1).stderr(contains("has no GGUF file K_M"));
}

#[test]
#[cfg(unix)]
fn folders_may_begin_with_a_tilde_and_the_token_lies_where_its_variable_says() {
    let scene = Scene::new(repository(&[(GGUF, b"x")]));
    fs::write(scene.home.path().join("secret"), "from a login\n").expect("written");
    let mut command = scene.run(NAME);
    command.env("HOME", scene.home.path()).env("HF_HOME", "~/of mine").env("HF_TOKEN_PATH", "~/secret");
    command.assert().code(1);
    let snapshot = format!("of mine/hub/models--tiny--chat/snapshots/{COMMIT}/{GGUF}");
    assert!(scene.home.path().join(snapshot).exists());
    assert_eq!(scene.hub.take_requests().remove(0).authorization.as_deref(), Some("Bearer from a login"));
}

#[test]
fn of_several_files_one_must_be_named() {
    let scene = Scene::new(repository(&[("a-Q2_K.gguf", b"two"), ("a-Q3_K.gguf", b"three")]));
    let hint = "name one as tiny/chat:FILE, of a-Q2_K.gguf, a-Q3_K.gguf";
    scene.run(NAME).assert().code(1).stderr(contains(hint));
    assert_eq!(scene.transfers(), []);
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let content = some_bytes(100_000);
    let mut repository = repository(&[(GGUF, &content)]);
    repository.cut_once.insert(GGUF.to_owned(), 40_000);
    let scene = Scene::new(repository);
    scene.run(NAME).assert().code(1);
    exists_with(&scene.cached(COMMIT, GGUF), &content);
    let ranges: Vec<_> = scene.transfers().into_iter().map(|(_, range)| range).collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=40000-"]);
}

#[test]
fn the_next_run_goes_on_after_one_that_was_killed() {
    let content = some_bytes(100_000);
    let mut repository = repository(&[(GGUF, &content)]);
    repository.stall.insert(GGUF.to_owned(), 40_000);
    let scene = Scene::new(repository);
    let mut child = std_wgpt(&["run", "-m", NAME, "x"])
        .env("HF_HOME", scene.home.path())
        .env("HF_ENDPOINT", &scene.hub.endpoint)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("wgpt runs");
    let part = scene.blob(&content).with_extension("part");
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::metadata(&part).map_or(0, |part| part.len()) < 40_000 {
        assert!(Instant::now() < deadline, "the first bytes never came");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(scene.main_ref(), None, "an unfinished snapshot has no name");

    scene.hub.change(|repository| repository.stall.clear());
    scene.hub.take_requests();
    scene.run(NAME).assert().code(1);
    exists_with(&scene.cached(COMMIT, GGUF), &content);
    assert_eq!(scene.transfers(), [(GGUF.to_owned(), "bytes=40000-".to_owned())]);
}

#[test]
fn a_damaged_file_is_detected_deleted_and_fetched_anew() {
    let content = some_bytes(5000);
    let mut repository = repository(&[(GGUF, &content)]);
    repository.corrupt = Some(GGUF.to_owned());
    let scene = Scene::new(repository);
    scene.run(NAME).assert().code(1).stderr(contains("arrived damaged").and(contains("SHA-256")));
    assert!(!scene.cached(COMMIT, GGUF).exists());
    assert!(!scene.blob(&content).exists());

    scene.hub.change(|repository| repository.corrupt = None);
    scene.run(NAME).assert().code(1).stderr(contains("damaged").not());
    exists_with(&scene.cached(COMMIT, GGUF), &content);
}

#[test]
fn a_file_that_was_not_checked_in_time_is_checked_by_the_next_run() {
    let content = some_bytes(5000);
    let scene = Scene::new(repository(&[(GGUF, &content)]));
    scene.run(NAME).assert().code(1);
    // As after a crash between the transfer and the check, with a bad transfer.
    let mut damaged = content.clone();
    damaged[17] ^= 1;
    fs::write(scene.blob(&content), &damaged).expect("written");
    let marker = scene.repository_folder().join(".wgpt-unchecked").join(COMMIT).join(GGUF);
    fs::create_dir_all(marker.parent().expect("a folder")).expect("created");
    fs::write(&marker, "").expect("written");

    scene.run(NAME).assert().code(1).stderr(contains("arrived damaged"));
    scene.run(NAME).assert().code(1).stderr(contains("damaged").not());
    exists_with(&scene.cached(COMMIT, GGUF), &content);
    assert!(!marker.exists());
}

#[test]
fn a_new_commit_does_not_transfer_an_unchanged_file_again() {
    let content = some_bytes(5000);
    let scene = Scene::new(repository(&[(GGUF, &content)]));
    scene.run(NAME).assert().code(1);
    assert_eq!(scene.transfers().len(), 1);
    let next = "f".repeat(40);
    scene.hub.change(|repository| repository.commit = next.clone());
    scene.run(NAME).assert().code(1);
    exists_with(&scene.cached(&next, GGUF), &content);
    assert_eq!(scene.transfers(), []);
    assert_eq!(scene.main_ref(), Some(next));
}

#[test]
fn without_the_hub_the_cache_serves() {
    let content = some_bytes(100);
    let scene = Scene::new(repository(&[(GGUF, &content)]));
    let offline = |scene: &Scene| scene.run(NAME).env("HF_HUB_OFFLINE", "1").assert().code(1);
    offline(&scene).stderr(contains(
        "no file or folder tiny/chat is here, the cache has no model of that name, and HF_HUB_OFFLINE is set",
    ));
    scene.run(NAME).assert().code(1);
    scene.hub.take_requests();
    offline(&scene).stderr(contains("HF_HUB_OFFLINE").not());
    assert!(scene.hub.take_requests().is_empty());

    // Port 9 of localhost is as good as a cable that is pulled out.
    let unreachable = "http://127.0.0.1:9";
    let notice = "127.0.0.1:9 cannot be reached, so tiny/chat comes from the cache";
    scene.run(NAME).env("HF_ENDPOINT", unreachable).assert().code(1).stderr(contains(notice));
    let advice = contains("no file or folder other/model is here, and 127.0.0.1:9 cannot be reached")
        .and(contains("check the path or the network"));
    scene.run("other/model").env("HF_ENDPOINT", unreachable).assert().code(1).stderr(advice);
}

#[test]
fn a_hub_that_falls_silent_is_given_up() {
    let content = some_bytes(100_000);
    let mut stalling = repository(&[(GGUF, &content)]);
    stalling.stall.insert(GGUF.to_owned(), 40_000);
    let scene = Scene::new(stalling);
    let started = Instant::now();
    let run = || {
        let mut run = scene.run(NAME);
        run.env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
        run.assert().code(1)
    };
    run().stderr(contains("the download of tiny-Q8_0.gguf stood still for 1 s").and(predicate::function(is_one_line)));
    scene.hub.change(|repository| repository.stall.clear());
    run().stderr(contains("stood still").not());
    exists_with(&scene.cached(COMMIT, GGUF), &content);

    let empty = tempfile::tempdir().expect("folder");
    scene.hub.change(|repository| repository.silent = true);
    let mut run = scene.run(NAME);
    run.env("HF_HUB_DOWNLOAD_TIMEOUT", "1").env("HF_HOME", empty.path());
    run.assert().code(1).stderr(contains("no answer within 1 s").and(predicate::function(is_one_line)));
    assert!(started.elapsed() < Duration::from_secs(30), "it waited for {:?}", started.elapsed());
}

#[test]
fn refusals_are_one_sentence_with_advice() {
    let scene = Scene::new(repository(&[]));
    for (status, token, advice) in [
        (404, None, "has no model of that name; check its spelling"),
        (401, None, "set HF_TOKEN to a token that may read it"),
        (401, Some("secret"), "access to tiny/chat is restricted; ask for it at http://127.0.0.1"),
        (403, Some("secret"), "access to tiny/chat is restricted"),
        (503, None, "answered with HTTP status 503; try again later"),
    ] {
        scene.hub.change(|repository| repository.status = Some(status));
        let mut run = scene.run(NAME);
        if let Some(token) = token {
            run.env("HF_TOKEN", token);
        }
        run.assert().code(1).stdout("").stderr(contains(advice).and(predicate::function(is_one_line)));
        let sent = scene.hub.take_requests().remove(0).authorization;
        assert_eq!(sent, token.map(|token| format!("Bearer {token}")));
    }
}

#[test]
fn a_reply_that_makes_no_sense_is_an_error() {
    let mut garbled = repository(&[]);
    garbled.garbled = true;
    let commit_with_path = Repository { commit: "../../x".into(), ..repository(&[(GGUF, b"x")]) };
    for repository in [garbled, commit_with_path, repository(&[("../../../../evil.gguf", b"x")])] {
        let scene = Scene::new(repository);
        let one_line = predicate::function(is_one_line);
        scene.run(NAME).assert().code(1).stderr(contains("check HF_ENDPOINT").and(one_line));
        assert!(!scene.home.path().join("evil.gguf").exists());
    }
    let scene = Scene::new(repository(&[("README.md", b"x")]));
    scene.run(NAME).assert().code(1).stderr(contains("has no file that wgpt can run"));
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_with_advice() {
    let scene = Scene::new(repository(&[(GGUF, b"x")]));
    // A file where a folder should be: even root cannot write below it.
    let home = scene.home.path().join("file");
    fs::write(&home, "").expect("written");
    scene.run(NAME).env("HF_HOME", &home).assert().code(1).stderr(contains("cannot write to the cache folder"));
}

#[test]
fn a_real_model_runs_by_its_name() {
    if !has_device() {
        return;
    }
    let model = fs::read(chat_model().join("chat.gguf")).expect("the tiny chat model");
    let scene = Scene::new(repository(&[("chat.gguf", &model)]));
    let mut command = wgpt(&["run", "-m", NAME, "--temp", "0", "What is a GPU?"]);
    command.env("HF_HOME", scene.home.path()).env("HF_ENDPOINT", &scene.hub.endpoint);
    command.assert().success().stdout("A GPU is a processor that does many small sums at once.\n");
}

fn is_one_line(text: &str) -> bool {
    text.starts_with("wgpt: ") && text.trim_end().lines().count() == 1
}
