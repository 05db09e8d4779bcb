//! Pipelines that are compiled ahead of their use, by several threads, and kept for later processes.

use std::fs;
use std::path::{Path, PathBuf};

use wgpt::engine::sampler::SamplingOptions;
use wgpt::engine::{Engine, EngineOptions, GenerationRequest};
use wgpt::gpu::{DeviceSelector, GpuExecutor, devices};
use wgpt::kernels::rms_norm::RowThreads;
use wgpt::kernels::shader::Library;
use wgpt::kernels::{Activations, gather_rows, rms_norm};
use wgpt::recording::{BufferId, ExecutionError, Executor, Label, Recording, Slice};

use crate::support::command::chat_model;

/// An executor of this test's own, where there is a device.
fn gpu() -> Option<GpuExecutor> {
    let usable = devices().iter().any(|device| device.usable);
    usable.then(|| GpuExecutor::open(&DeviceSelector::default()).expect("an adapter"))
}

const LENGTH: u32 = 256;

fn slice(gpu: &mut GpuExecutor, what: &str) -> Slice {
    let size = 4 * u64::from(LENGTH);
    Slice { buffer: gpu.allocate(what, size).expect("memory"), offset: 0, size }
}

/// A copy of a row, and the copy's norm.
fn recording(gpu: &mut GpuExecutor) -> (Recording, [Slice; 4]) {
    let [row, index, x, weight, y] = ["row", "index", "x", "weight", "y"].map(|what| slice(gpu, what));
    let mut recording = Recording::default();
    recording.push(Label::default(), gather_rows::dispatch(row, index, x, 1, LENGTH));
    let params = rms_norm::Params { rows: 1, dim4: LENGTH / 4, eps: 0.0, offset: 0.0 };
    recording
        .push(Label::default(), rms_norm::dispatch(RowThreads::Workgroup, x, weight, Activations::Buffer(y), params));
    (recording, [row, x, weight, y])
}

#[test]
fn what_was_compiled_ahead_computes_the_same() {
    let Some(mut gpu) = gpu() else { return };
    let (recording, [row, x, weight, y]) = recording(&mut gpu);
    // More than once, and with what is known already, is no harm.
    gpu.compile_ahead(&[recording.clone(), recording.clone()]);
    gpu.compile_ahead(std::slice::from_ref(&recording));
    for (slice, value) in [(row, 3.0f32), (weight, 0.5)] {
        gpu.write(slice, bytemuck::cast_slice(&[value; LENGTH as usize])).expect("written");
    }
    gpu.run_once(&recording).expect("runs");
    let mut found = [0f32; LENGTH as usize];
    gpu.read(x, bytemuck::cast_slice_mut(&mut found)).expect("read");
    assert_eq!(found, [3.0; LENGTH as usize]);
    gpu.read(y, bytemuck::cast_slice_mut(&mut found)).expect("read");
    assert!(found.iter().all(|y| (y - 0.5).abs() < 1e-6), "{found:?}");
}

#[test]
fn a_shader_that_does_not_compile_is_an_error_of_what_needs_it_and_of_nothing_else() {
    let Some(mut gpu) = gpu() else { return };
    let (recording, _) = recording(&mut gpu);
    for (broken, says) in [("this is no shader", "rms_norm"), ("@compute @workgroup_size(1) fn other() {}", "main")] {
        let mut library = Library::default();
        library.replace("rms_norm", broken.to_owned()).expect("a module");
        gpu.use_shaders(library);
        gpu.compile_ahead(std::slice::from_ref(&recording));
        gpu.prepare(&recording.part(0..1)).expect("the copy needs no norm");
        for _ in 0..2 {
            match gpu.prepare(&recording) {
                Err(ExecutionError::Rejected { what, message }) => {
                    assert!(what.starts_with("rms_norm/base") && message.contains(says), "{what}: {message}");
                }
                other => panic!("{broken}: {other:?}"),
            }
        }
    }
    gpu.use_shaders(Library::default());
    gpu.prepare(&recording).expect("the device is none the worse for it");
}

#[test]
fn an_executor_may_end_while_it_compiles() {
    for _ in 0..3 {
        let Some(mut gpu) = gpu() else { return };
        let (recording, _) = recording(&mut gpu);
        gpu.compile_ahead(&[recording]);
        // Nothing of it is asked for.
        assert!(gpu.read(Slice { buffer: BufferId(99), offset: 0, size: 4 }, &mut [0; 4]).is_err());
    }
}

/// Loads the tiny chat model and runs a step; the warnings.
fn run(cache: &Path) -> Vec<String> {
    let options = EngineOptions { cache: Some(cache.to_owned()), ..EngineOptions::default() };
    let mut engine = Engine::load(&chat_model(), &options, &mut |_| {}).expect("loads");
    let request = GenerationRequest {
        prompt: "Once".to_owned(),
        max_new_tokens: Some(2),
        sampling: SamplingOptions::greedy(),
        ..GenerationRequest::default()
    };
    engine.generate(&request, &mut |_| std::ops::ControlFlow::Continue(())).expect("generates");
    engine.info().warnings.clone()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.map(|e| e.expect("entry").path()).collect()).unwrap_or_default()
}

#[test]
fn pipelines_are_kept_where_the_backend_gives_them_and_a_bad_file_is_ignored_with_a_notice() {
    let Some(device) = devices().into_iter().find(|device| device.selected) else { return };
    let folder = tempfile::tempdir().expect("folder");
    let cache = folder.path().join("cache");
    assert!(run(&cache).is_empty());
    let kept = files(&cache);
    if !device.features.iter().any(|feature| feature == "pipeline cache") {
        assert!(kept.is_empty(), "{kept:?}");
        return;
    }
    let [file] = &kept[..] else { panic!("one file: {kept:?}") };
    let good = fs::read(file).expect("readable");
    assert!(run(&cache).is_empty());
    assert_eq!(files(&cache), kept);

    let text = String::from_utf8_lossy(&good);
    let stale = text.replacen(&device.driver_info, "an older driver", 1).into_bytes();
    for (bad, says) in [(&good[..good.len() - 1], "damaged"), (b"nonsense", "damaged"), (&stale, "another driver")] {
        fs::write(file, bad).expect("written");
        let warnings = run(&cache);
        assert!(warnings.len() == 1 && warnings[0].contains(says), "{warnings:?}");
        assert!(run(&cache).is_empty(), "the file was not made again");
    }
}
