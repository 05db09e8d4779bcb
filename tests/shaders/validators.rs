//! The compilers that tell whether a translated shader is any good, and run without a GPU.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

use hassle_rs::Dxc;

/// Names DXC's library.
const DXC: &str = "WGPT_TEST_DXC";

/// What DXC says where its signing library is not beside it: the signature is for Windows to check.
const UNSIGNED: &str = "DXIL signing library";

/// A validator that reads a shader from its standard input.
pub struct Filter {
    pub program: &'static str,
    pub arguments: &'static [&'static str],
}

impl Filter {
    /// Whether the machine has it.
    pub fn is_here(&self) -> bool {
        let version = Command::new(self.program).arg("--version").stdin(Stdio::null()).output();
        version.is_ok_and(|output| output.status.success())
    }

    /// What it finds wrong.
    pub fn check(&self, shader: &[u8]) -> Result<(), String> {
        let mut child = Command::new(self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        // It may stop reading early: its own words are the better message then.
        let written = child.stdin.take().expect("a pipe").write_all(shader);
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err([output.stdout, output.stderr]
                .map(|text| String::from_utf8_lossy(&text).into_owned())
                .concat());
        }
        written.map_err(|e| e.to_string())
    }
}

/// DXC, or `None` where none is named.
///
/// # Panics
/// When the one that is named cannot be loaded.
pub fn dxc() -> Option<Dxc> {
    let path: OsString = std::env::var_os(DXC).filter(|path| !path.is_empty())?;
    let dxc = Dxc::new(Some(path.clone().into()));
    Some(dxc.unwrap_or_else(|e| panic!("{DXC} names {}, which is no DXC: {e}", path.display())))
}

/// Compiles and validates with the arguments that wgpu-hal gives DXC, and like it takes a warning for an error.
pub fn compile(dxc: &Dxc, source: &str, entry: &str, target: &str) -> Result<(), String> {
    let library = dxc.create_library().map_err(|e| e.to_string())?;
    let compiler = dxc.create_compiler().map_err(|e| e.to_string())?;
    let text = |blob: hassle_rs::DxcBlobEncoding| library.get_blob_as_string(&blob.into()).map_err(|e| e.to_string());
    let source = library.create_blob_with_encoding_from_str(source).map_err(|e| e.to_string())?;
    let arguments = ["-HV", "2018", "-no-warnings", "-Ges"];
    let messages = match compiler.compile(&source, "shader", entry, target, &arguments, None, &[]) {
        Ok(result) => text(result.get_error_buffer().map_err(|e| e.to_string())?)?,
        Err((result, code)) => {
            let messages = result.get_error_buffer().map_err(|e| e.to_string()).and_then(text);
            return Err(messages.unwrap_or_else(|_| code.to_string()));
        }
    };
    let complaints = |line: &&str| !line.trim_matches(['\0', ' ']).is_empty() && !line.contains(UNSIGNED);
    match messages.lines().find(complaints) {
        Some(line) => Err(line.to_owned()),
        None => Ok(()),
    }
}
