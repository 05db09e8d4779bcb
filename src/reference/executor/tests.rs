use super::*;
use crate::kernels::add;
use crate::recording::Label;

fn slice(buffer: BufferId, offset: u64, size: u64) -> Slice {
    Slice { buffer, offset, size }
}

fn read(executor: &mut ReferenceExecutor, slice: Slice) -> Vec<f32> {
    let mut out = vec![0f32; slice.size as usize / 4];
    executor.read(slice, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

#[test]
fn recordings_run_in_order_and_again() {
    let mut executor = ReferenceExecutor::new();
    let [x, y] = [(); 2].map(|()| slice(executor.allocate("test", 16).unwrap(), 0, 16));
    executor.write(y, bytemuck::cast_slice(&[1f32, 2.0, 3.0, 4.0])).unwrap();
    let mut recording = Recording::default();
    recording.push(Label::default(), add::dispatch(x, y, 4));
    recording.push(Label::default(), add::dispatch(y, x, 4));
    let prepared = executor.prepare(&recording).unwrap();
    executor.run(prepared).unwrap();
    assert_eq!(read(&mut executor, y), [2.0, 4.0, 6.0, 8.0], "y += x sees the x that x += y made");
    executor.run(prepared).unwrap();
    assert_eq!(read(&mut executor, x), [3.0, 6.0, 9.0, 12.0]);
    executor.discard(prepared);
    assert!(matches!(executor.run(prepared), Err(ExecutionError::Rejected { .. })));
}

#[test]
fn slices_outside_of_their_buffer_are_refused() {
    let mut executor = ReferenceExecutor::new();
    let id = executor.allocate("test", 6).unwrap();
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
        recording.push(Label::default(), add::dispatch(slice(id, 0, 8), bad, 4));
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
    let [a, b] = [(); 2].map(|()| executor.allocate("test", 1024).unwrap());
    let whole = |id| slice(id, 0, 512);
    for (what, dispatch) in [
        ("one buffer bound for reading and writing", add::dispatch(whole(a), slice(a, 512, 512), 4)),
        ("an offset that bindings cannot have", add::dispatch(whole(a), slice(b, 128, 512), 4)),
        ("more elements than bound", add::dispatch(whole(a), whole(b), 132)),
        ("a kernel without a twin", Dispatch::new(crate::recording::Program::new("unheard of", "base"), &0u32, [1; 3])),
    ] {
        assert!(matches!(executor.dispatch(&dispatch), Err(ExecutionError::Rejected { .. })), "{what}");
    }
}

#[test]
fn limits_are_those_of_the_gpu_that_it_stands_for() {
    let mut executor = ReferenceExecutor::with_limits(MemoryLimits { max_buffer: 1024, max_binding: 256 });
    assert!(matches!(executor.allocate("test", 1028), Err(ExecutionError::BufferTooLarge { limit: 1024, .. })));
    let [a, b] = [(); 2].map(|()| executor.allocate("test", 1024).unwrap());
    executor.dispatch(&add::dispatch(slice(a, 0, 256), slice(b, 0, 256), 64)).unwrap();
    let refused = executor.dispatch(&add::dispatch(slice(a, 0, 260), slice(b, 0, 256), 64));
    assert!(matches!(refused, Err(ExecutionError::BufferTooLarge { size: 260, limit: 256, .. })));
}
