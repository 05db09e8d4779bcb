//! Memory in texels: what is written to it and read from it.

use wgpt::gpu::{DeviceInfo, DeviceSelector, GpuExecutor, devices};
use wgpt::kernels::to_texels;
use wgpt::recording::{
    BufferId, Dispatch, ExecutionError, Executor, Label, Program, Recording, Slice, TEXELS_PER_ROW, Texel,
};
use wgpt::reference::ReferenceExecutor;

const TEXELS: [Texel; 3] = [Texel::OneWord, Texel::TwoWords, Texel::FourWords];

/// The reference, and an executor of this test's own of each device that has such memory.
fn executors() -> Vec<Box<dyn Executor>> {
    let mut all: Vec<Box<dyn Executor>> = vec![Box::new(ReferenceExecutor::new())];
    for device in devices().into_iter().filter(|device| device.usable && device.backend != "gl") {
        let selector = DeviceSelector { device: Some(device.index.to_string()), backend: None };
        all.push(Box::new(GpuExecutor::open(&selector).expect("an adapter")));
    }
    all
}

#[test]
fn any_range_can_be_written_and_read() {
    let row = u64::from(TEXELS_PER_ROW);
    for mut executor in executors() {
        for texel in TEXELS {
            let texels = 3 * row + 7;
            let size = texels * texel.bytes();
            let buffer = executor.allocate_texels("a test", size, texel).expect("memory");
            let mut expected = vec![0u8; size as usize];
            // Within a row, to its end, over several rows and in whole ones.
            let ranges = [(5, 9), (row - 3, 3), (row - 1, row + 2), (row, 2 * row), (2 * row + 1, row + 6), (0, 1)];
            for (number, (first, count)) in (1u8..).zip(ranges) {
                let [from, len] = [first, count].map(|texels| (texels * texel.bytes()) as usize);
                let bytes: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(number).wrapping_add(number)).collect();
                expected[from..from + len].copy_from_slice(&bytes);
                let slice = Slice { buffer, offset: from as u64, size: len as u64 };
                executor.write(slice, &bytes).expect("written");
                executor.flush().expect("flushed");
                let mut read = vec![0xee; len];
                executor.read(slice, &mut read).expect("read");
                assert_eq!(read, bytes, "{texel:?} {first} {count}");
            }
            let mut read = vec![0xee; size as usize];
            executor.read(Slice { buffer, offset: 0, size }, &mut read).expect("read");
            assert_eq!(read, expected, "{texel:?}: what was not written is zeros");
        }
    }
}

#[test]
fn what_is_no_texel_of_it_is_refused() {
    for mut executor in executors() {
        let buffer = executor.allocate_texels("a test", 160, Texel::FourWords).expect("memory");
        let beyond = Slice { buffer, offset: 160, size: 16 };
        assert!(matches!(executor.write(beyond, &[0; 16]), Err(ExecutionError::BadSlice(_))));
        assert!(matches!(executor.read(beyond, &mut [0; 16]), Err(ExecutionError::BadSlice(_))));
        for (offset, len) in [(8, 16), (16, 8)] {
            let broken = Slice { buffer, offset, size: len as u64 };
            assert!(
                matches!(executor.write(broken, &vec![0; len]), Err(ExecutionError::BadSlice(_))),
                "{offset} {len}"
            );
            assert!(matches!(executor.read(broken, &mut vec![0; len]), Err(ExecutionError::BadSlice(_))));
        }
        let huge = executor.memory_limits().max_texels.saturating_mul(16).saturating_add(16);
        let error = executor.allocate_texels("a test", huge, Texel::FourWords).expect_err("too much");
        assert!(matches!(error, ExecutionError::BufferTooLarge { .. } | ExecutionError::OutOfMemory { .. }), "{error}");
    }
}

#[test]
fn what_is_bound_is_what_was_allocated() {
    for mut executor in executors() {
        let [buffer, other] = [(); 2].map(|()| executor.allocate("a test", 512).expect("memory"));
        let texels = executor.allocate_texels("a test", 512, Texel::FourWords).expect("memory");
        let words = executor.allocate_texels("a test", 512, Texel::OneWord).expect("memory");
        let slice = |buffer: BufferId| Slice { buffer, offset: 0, size: 256 };
        let x = slice(buffer);
        let mut prepare = |dispatch: Dispatch| {
            let mut recording = Recording::default();
            recording.push(Label::default(), dispatch);
            executor.prepare(&recording).map(|_| ())
        };
        // Not every device runs it, but each finds what does not suit it first.
        let program: Program = to_texels::dispatch(x, x, 64).program;
        let from_texels = Dispatch::new(program, &to_texels::Params { pairs: 8 }, [1, 1, 1]).read(0, slice(texels));
        let wrong = [words, other].map(|to| to_texels::dispatch(x, slice(to), 64));
        for wrong in wrong.into_iter().chain([from_texels.store_texels(1, slice(texels), Texel::FourWords)]) {
            let error = prepare(wrong).expect_err("no such texels");
            assert!(matches!(error, ExecutionError::BadSlice(_)), "{error}");
        }
    }
}

#[test]
fn a_gpu_binds_texels_from_their_start() {
    // The kernel loads 64-bit integers.
    let suits = |device: &DeviceInfo| {
        device.usable && device.limits.max_texels > 0 && device.features.iter().any(|feature| feature == "int64")
    };
    for device in devices().into_iter().filter(suits) {
        let selector = DeviceSelector { device: Some(device.index.to_string()), backend: None };
        let mut gpu = GpuExecutor::open(&selector).expect("an adapter");
        let x = Slice { buffer: gpu.allocate("a test", 512).expect("memory"), offset: 0, size: 256 };
        let texels = gpu.allocate_texels("a test", 512, Texel::FourWords).expect("memory");
        let mut prepare = |offset: u64| {
            let mut recording = Recording::default();
            recording.push(Label::default(), to_texels::dispatch(x, Slice { buffer: texels, offset, size: 256 }, 64));
            gpu.prepare(&recording).map(|_| ())
        };
        prepare(0).expect("as it should be");
        assert!(matches!(prepare(256), Err(ExecutionError::BadSlice(_))));
    }
}
