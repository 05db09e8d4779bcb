#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wgpt_fuzz::targets::gguf(input));
