//! Work that does not end.

use std::sync::Arc;
use std::time::Duration;

use wgpt::engine::EngineOptions;
use wgpt::gpu::GpuExecutor;
use wgpt::kernels::gather_rows;
use wgpt::recording::{Executor, Label, Prepared, Recording, Slice};

use super::runs::{Fault, Kind, Watch, assert_is, generate, load_on_gpu, lock, nth, options};
use crate::support::command::has_device;
use crate::support::own_process::alone;

/// Four thousand million workgroups, a hundred times over, all of them without a row to copy.
fn endless(executor: &mut dyn Executor) -> Prepared {
    let mut slice = || Slice { buffer: executor.allocate("operands", 256).expect("memory"), offset: 0, size: 256 };
    let mut idle = gather_rows::dispatch(slice(), slice(), slice(), 0, 4);
    idle.grid = [65_535, 65_535, 1];
    let mut recording = Recording::default();
    for _ in 0..100 {
        recording.push(Label { layer: None, what: "endless" }, idle.clone());
    }
    executor.prepare(&recording).expect("a recording")
}

/// The process ends of itself although a thread of the driver still works.
#[test]
fn a_submit_that_never_ends_is_given_up_and_another_engine_works() {
    if !has_device() {
        return;
    }
    alone(module_path!(), "a_submit_that_never_ends_is_given_up_and_another_engine_works", || {
        let sound = || load_on_gpu(&options(), Watch::new(&Arc::default())).expect("a model");
        let text = generate(&mut sound()).expect("text");

        let impatient = EngineOptions { stall_limit: Some(Duration::from_secs(2)), ..options() };
        let seen = Arc::default();
        // Behind prefill and one decode step.
        let hang = Watch::acting(&seen, nth(Kind::Run, 2), |gpu: &mut GpuExecutor| {
            let endless = endless(gpu);
            gpu.run(endless)
        });
        let mut hung = load_on_gpu(&impatient, hang).expect("a model");
        for when in ["at first", "later"] {
            let error = generate(&mut hung).expect_err("it does not end");
            assert_is(&error, Fault::Stalled, when);
        }
        drop(hung);
        assert_eq!(lock(&seen).buffers, 0);

        assert_eq!(generate(&mut sound()).expect("text"), text);
    });
}
