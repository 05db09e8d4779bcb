use super::*;
use crate::kernels::{gather_rows, to_texels};
use crate::recording::Label;

fn slice(buffer: BufferId, offset: u64, size: u64) -> Slice {
    Slice { buffer, offset, size }
}

fn read(executor: &mut ReferenceExecutor, slice: Slice) -> Vec<f32> {
    let mut out = vec![0f32; slice.size as usize / 4];
    executor.read(slice, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

/// A copy of one row of `dim` elements: the first, where nothing was written to `rows`.
fn copy(x: Slice, rows: Slice, y: Slice, dim: u32) -> Dispatch {
    gather_rows::dispatch(x, rows, y, 1, dim)
}

#[test]
fn recordings_run_in_order_and_again() {
    let mut executor = ReferenceExecutor::new();
    let [x, y, z, rows] = [(); 4].map(|()| slice(executor.allocate("test", 16).unwrap(), 0, 16));
    executor.write(x, bytemuck::cast_slice(&[1f32, 2.0, 3.0, 4.0])).unwrap();
    let mut recording = Recording::default();
    recording.push(Label::default(), copy(x, rows, y, 4));
    recording.push(Label::default(), copy(y, rows, z, 4));
    let prepared = executor.prepare(&recording).unwrap();
    executor.run(prepared).unwrap();
    assert_eq!(read(&mut executor, z), [1.0, 2.0, 3.0, 4.0], "the second copies what the first has made");
    executor.write(x, bytemuck::cast_slice(&[5f32; 4])).unwrap();
    executor.run(prepared).unwrap();
    assert_eq!(read(&mut executor, z), [5.0; 4]);
    executor.discard(prepared);
    assert!(matches!(executor.run(prepared), Err(ExecutionError::Rejected { .. })));
}

#[test]
fn slices_outside_of_their_buffer_are_refused() {
    let mut executor = ReferenceExecutor::new();
    let id = executor.allocate("test", 6).unwrap();
    let other = slice(executor.allocate("test", 16).unwrap(), 0, 16);
    assert_eq!(read(&mut executor, slice(id, 4, 4)), [0.0], "sizes are rounded up, and zeroed");
    for bad in [
        slice(id, 0, 12),
        slice(id, 8, 4),
        slice(id, 2, 4),
        slice(id, 0, 3),
        slice(id, u64::MAX - 3, 8),
        slice(BufferId(7), 0, 4),
    ] {
        let mut out = [0; 4];
        assert!(matches!(executor.read(bad, &mut out), Err(ExecutionError::BadSlice(_))), "read {bad:?}");
        assert!(matches!(executor.write(bad, &out), Err(ExecutionError::BadSlice(_))), "write {bad:?}");
        let mut recording = Recording::default();
        recording.push(Label::default(), copy(other, other, bad, 4));
        assert!(matches!(executor.prepare(&recording), Err(ExecutionError::BadSlice(_))), "prepare {bad:?}");
    }
    assert!(executor.write(slice(id, 0, 8), &[0; 12]).is_err(), "more bytes than the slice");
    assert!(executor.write(slice(id, 0, 8), &[0; 3]).is_err(), "half a word");
    assert!(executor.read(slice(id, 0, 4), &mut [0; 8]).is_err(), "more bytes than the slice");
    assert!(matches!(executor.allocate("all memory", u64::MAX), Err(ExecutionError::OutOfMemory { .. })));
}

#[test]
fn dispatches_that_no_gpu_would_run_are_refused() {
    let mut executor = ReferenceExecutor::new();
    let [a, b, c] = [(); 3].map(|()| executor.allocate("test", 1024).unwrap());
    let (whole, rows) = (|id| slice(id, 0, 512), slice(c, 0, 4));
    for (what, dispatch) in [
        ("one buffer bound for reading and writing", copy(whole(a), rows, slice(a, 512, 512), 4)),
        ("an offset that bindings cannot have", copy(whole(a), rows, slice(b, 128, 512), 4)),
        ("more elements than bound", copy(whole(a), rows, whole(b), 132)),
        ("a kernel without a twin", Dispatch::new(crate::recording::Program::new("unheard of", "base"), &0u32, [1; 3])),
    ] {
        assert!(matches!(executor.dispatch(&dispatch), Err(ExecutionError::Rejected { .. })), "{what}");
    }
}

#[test]
fn limits_are_those_of_the_gpu_that_it_stands_for() {
    let mut executor =
        ReferenceExecutor::with_limits(MemoryLimits { max_buffer: 1024, max_binding: 256, max_texels: 16 });
    assert!(matches!(executor.allocate("test", 1028), Err(ExecutionError::BufferTooLarge { limit: 1024, .. })));
    let [a, b, c] = [(); 3].map(|()| executor.allocate("test", 1024).unwrap());
    let rows = slice(c, 0, 4);
    executor.dispatch(&copy(slice(a, 0, 256), rows, slice(b, 0, 256), 64)).unwrap();
    let refused = executor.dispatch(&copy(slice(a, 0, 260), rows, slice(b, 0, 256), 64));
    assert!(matches!(refused, Err(ExecutionError::BufferTooLarge { size: 260, limit: 256, .. })));
    // Of texels there is a limit of its own: 16 of four words.
    assert!(executor.allocate_texels("test", 272, Texel::FourWords).is_err());
    let texels = executor.allocate_texels("test", 256, Texel::FourWords).unwrap();
    executor.limits.max_binding = 128;
    executor.dispatch(&to_texels::dispatch(slice(a, 0, 128), slice(texels, 0, 256), 32)).unwrap();
}
