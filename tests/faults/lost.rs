//! A GPU whose device is destroyed, which is what is left of it after a reset, too.

use std::sync::Arc;

use wgpt::gpu::GpuExecutor;

use super::runs::{Fault, Kind, Watch, assert_is, generate, load_on_gpu, lock, nth, options};
use crate::support::command::has_device;

#[test]
fn a_device_lost_at_any_step_is_an_error_and_another_engine_works() {
    if !has_device() {
        return;
    }
    let load = || load_on_gpu(&options(), Watch::new(&Arc::default())).expect("a model");
    let mut sound = load();
    let text = generate(&mut sound).expect("text");
    for (kind, n, loads, when) in [
        (Kind::Allocate, 3, false, "in the KV cache"),
        (Kind::Flush, 0, false, "in the upload"),
        (Kind::Prepare, 1, false, "in a recording"),
        (Kind::Run, 0, true, "in prefill"),
        (Kind::Collect, 0, true, "behind prefill"),
        (Kind::Run, 2, true, "in decode"),
    ] {
        let seen = Arc::default();
        let lose = Watch::acting(&seen, nth(kind, n), |gpu: &mut GpuExecutor| {
            gpu.destroy();
            Ok(())
        });
        match load_on_gpu(&options(), lose) {
            Err(error) => {
                assert!(!loads, "{when}: {error}");
                assert_is(&error, Fault::Lost, when);
            }
            Ok(mut engine) => {
                assert!(loads, "{when}: it loads");
                assert_is(&generate(&mut engine).expect_err(when), Fault::Lost, when);
                assert_is(&generate(&mut engine).expect_err(when), Fault::Lost, "later");
            }
        }
        assert_eq!(lock(&seen).buffers, 0, "{when}: buffers are left");
    }
    // Neither the engine beside it nor a new one has noticed.
    assert_eq!(generate(&mut sound).expect("text"), text);
    assert_eq!(generate(&mut load()).expect("text"), text);
}
