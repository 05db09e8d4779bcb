#![no_main]

// The library turns panics of the `tokenizers` crate into errors, so only those that reach libFuzzer count.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |input: &[u8]| {
    wgpt_fuzz::targets::tokenizer(input);
});
