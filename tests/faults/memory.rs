//! What a load took from a real device, and its failure gives back.
//!
//! A software device has the host's memory, so that the process's own figures show what it holds.

use std::sync::Arc;

use wgpt::engine::{EngineOptions, KvType};
use wgpt::gpu::{GpuExecutor, devices};
use wgpt::recording::ExecutionError;

use super::runs::{Fault, Kind, Watch, assert_is, load_on_gpu, lock, nth, options};
use crate::support::own_process::alone;

const MIB: u64 = 1 << 20;

/// Whether the device that a run takes is a software one; says so where not.
fn has_software_device() -> bool {
    let found = devices().iter().any(|device| device.selected && device.usable && device.is_software());
    if !found {
        eprintln!("skipped: the first choice on this machine is no software device");
    }
    found
}

/// A KV cache of four buffers of 128 MiB, as much as every device binds at once.
fn large() -> EngineOptions {
    EngineOptions { context: Some(1024), max_sequences: 1024, kv_type: KvType::F32, ..options() }
}

/// Bytes of this process's address space.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    1024 * size.expect("VmSize").parse::<u64>().expect("a number")
}

#[test]
fn loads_that_fail_give_all_their_memory_back() {
    if !has_software_device() {
        return;
    }
    alone(module_path!(), "loads_that_fail_give_all_their_memory_back", || {
        let mut after_two = 0;
        for load in 0..10 {
            let seen = Arc::default();
            let reject = Watch::acting(&seen, nth(Kind::Prepare, 0), |_: &mut GpuExecutor| {
                Err(ExecutionError::Rejected { what: "a test".into(), message: "all is allocated and uploaded".into() })
            });
            let error = load_on_gpu(&large(), reject).err().expect("a failure");
            assert_is(&error, Fault::Rejected, "with everything allocated");
            assert_eq!(lock(&seen).buffers, 0);
            if load == 1 {
                after_two = address_space();
            }
        }
        // One of the eight that followed would have taken more.
        let grown = address_space().saturating_sub(after_two);
        assert!(grown < 512 * MIB, "{} MiB are left of ten loads", grown / MIB);
        println!("eight failed loads of 512 MiB left {} KiB", grown / 1024);
    });
}
