//! A Hugging Face hub on localhost: one repository, with the headers, ranges and redirects of the real one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// What the hub holds and how it misbehaves.
#[derive(Clone, Default)]
pub struct Repository {
    pub commit: String,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Every request is answered with this.
    pub status: Option<u16>,
    /// No request is answered.
    pub silent: bool,
    /// The next transfer of this file ends after so many bytes.
    pub cut_once: HashMap<String, usize>,
    /// A transfer of this file stands still after so many bytes.
    pub stall: HashMap<String, usize>,
    /// This file comes with a wrong last byte.
    pub corrupt: Option<String>,
    /// The description of the repository is no JSON.
    pub garbled: bool,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// The server; it lives until the process ends, but answers nothing once it is dropped.
pub struct HubStub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

struct State {
    repository: Repository,
    requests: Vec<Request>,
    open: bool,
}

pub const NAME: &str = "tiny/chat";

impl HubStub {
    pub fn start(repository: Repository) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State { repository, requests: Vec::new(), open: true }));
        let (shared, origin) = (Arc::clone(&state), endpoint.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, origin) = (Arc::clone(&shared), origin.clone());
                // A client that goes away in the middle is part of the tests.
                thread::spawn(move || drop(serve(&stream, &state, &origin)));
            }
        });
        Self { endpoint, state }
    }

    pub fn change(&self, change: impl FnOnce(&mut Repository)) {
        change(&mut lock(&self.state).repository);
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state).requests)
    }
}

impl Drop for HubStub {
    fn drop(&mut self) {
        lock(&self.state).open = false;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test thread panicked with it")
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether the hub keeps the file in its large-file storage, behind a redirect and with its SHA-256 as ETag.
fn is_large(file: &str) -> bool {
    file.ends_with(".gguf") || file.ends_with(".safetensors")
}

fn serve(stream: &TcpStream, state: &Mutex<State>, origin: &str) -> std::io::Result<()> {
    let request = read_request(stream)?;
    let repository = {
        let mut state = lock(state);
        if !state.open {
            return Ok(());
        }
        state.requests.push(request.clone());
        state.repository.clone()
    };
    if repository.silent {
        thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let path = request.path.as_str();
    if let Some(status) = repository.status {
        return reply(stream, status, "", b"{\"error\": \"no\"}");
    }
    if path.starts_with(&format!("/api/models/{NAME}/revision/")) {
        let body = if repository.garbled { "<html>".to_owned() } else { description(&repository) };
        return reply(stream, 200, "Content-Type: application/json\r\n", body.as_bytes());
    }
    let file = |prefix: &str| path.strip_prefix(prefix)?.split_once('/').map(|(_, file)| file.to_owned());
    if let Some(name) = file(&format!("/{NAME}/resolve/")) {
        let Some(content) = repository.files.get(&name) else { return reply(stream, 404, "", b"") };
        let commit = &repository.commit;
        if is_large(&name) {
            let head = format!(
                "X-Repo-Commit: {commit}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\nLocation: {origin}/storage/x/{name}\r\n",
                sha256(content),
                content.len()
            );
            return reply(stream, 302, &head, b"");
        }
        // The real one is git's SHA-1, which nobody checks.
        let head = format!("X-Repo-Commit: {commit}\r\nETag: \"{}\"\r\n", &sha256(content)[..40]);
        return reply_range(stream, state, &repository, &request, &name, &head);
    }
    match file("/storage/") {
        Some(name) if repository.files.contains_key(&name) => {
            reply_range(stream, state, &repository, &request, &name, "ETag: \"of-the-storage\"\r\n")
        }
        _ => reply(stream, 404, "", b""),
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, range: None, authorization: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.trim().to_owned()),
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

fn description(repository: &Repository) -> String {
    let siblings: Vec<_> = repository.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
    serde_json::json!({ "id": NAME, "sha": repository.commit, "siblings": siblings }).to_string()
}

/// Answers `bytes=a-` and `bytes=a-b` as RFC 9110, section 14, with the faults that are due.
fn reply_range(
    mut stream: &TcpStream,
    state: &Mutex<State>,
    repository: &Repository,
    request: &Request,
    file: &str,
    head: &str,
) -> std::io::Result<()> {
    let mut content = repository.files[file].clone();
    let total = content.len();
    if repository.corrupt.as_deref() == Some(file)
        && let Some(last) = content.last_mut()
    {
        *last ^= 1;
    }
    let range = request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (start, end) = match range {
        Some((start, end)) => {
            let start = start.parse().expect("a number");
            (start, end.parse().map_or(total, |last: usize| total.min(last + 1)))
        }
        None => (0, total),
    };
    if start >= end {
        return reply(stream, 416, &format!("Content-Range: bytes */{total}\r\n"), b"");
    }
    let body = &content[start..end];
    let is_transfer = end == total && total > 1;
    let head = format!("{head}Content-Range: bytes {start}-{}/{total}\r\n", end - 1);
    let cut = if is_transfer { lock(state).repository.cut_once.remove(file) } else { None };
    let stall = repository.stall.get(file).copied().filter(|_| is_transfer);
    let sent = cut.or(stall).unwrap_or(body.len()).min(body.len());
    write!(stream, "HTTP/1.1 206 Partial\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n", body.len())?;
    stream.write_all(&body[..sent])?;
    if stall.is_some() {
        thread::sleep(Duration::from_secs(60));
    }
    Ok(())
}

fn reply(mut stream: &TcpStream, status: u16, head: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n")?;
    stream.write_all(body)
}
