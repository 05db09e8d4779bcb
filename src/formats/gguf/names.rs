//! What the name of a GGUF file says.

/// The name without its extension, in any case of letters, of a GGUF file that is a model or a part of one.
///
/// `None` for other files, and for vision adapters (`mmproj`) and calibration data (`imatrix`), which are GGUF files
/// that lie beside models. Folders may stand before the name, with `/` between.
pub fn model_stem(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let file = stem.rsplit('/').next().unwrap_or(stem).to_ascii_lowercase();
    let is_model = !file.is_empty() && !file.contains("mmproj") && !file.contains("imatrix");
    (is_model && extension.eq_ignore_ascii_case("gguf")).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_from_what_lies_beside_them() {
        for (name, stem) in [
            ("a.gguf", Some("a")),
            ("Q8/CHAT.GGUF", Some("Q8/CHAT")),
            ("mmproj/a.b.gguf", Some("mmproj/a.b")),
            ("mmproj-a.gguf", None),
            ("a-MMProj-f16.gguf", None),
            ("x/imatrix.gguf", None),
            ("a.gguf.txt", None),
            (".gguf", None),
            ("gguf", None),
        ] {
            assert_eq!(model_stem(name), stem, "{name}");
        }
    }
}
