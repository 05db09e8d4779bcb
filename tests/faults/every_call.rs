//! A fault at every single call that a run makes of its executor, one run each.

use std::sync::{Arc, Mutex};

use wgpt::recording::ExecutionError;
use wgpt::reference::ReferenceExecutor;

use super::runs::{Fault, Kind, Seen, Watch, assert_is, generate, load_on_reference, lock, options};

impl Fault {
    /// What devices do at such a call.
    fn at(kind: Kind) -> &'static [Fault] {
        match kind {
            Kind::Allocate | Kind::Write => &[Fault::OutOfMemory, Fault::Lost],
            Kind::Flush | Kind::Run | Kind::Collect => &[Fault::Lost, Fault::Stalled],
            Kind::Prepare => &[Fault::Rejected, Fault::Lost],
            // It allocates, too, when it has to read more than ever before.
            Kind::Read => &[Fault::OutOfMemory, Fault::Lost, Fault::Stalled],
        }
    }

    /// The device is of no more use.
    fn is_for_good(self) -> bool {
        matches!(self, Fault::Lost | Fault::Stalled)
    }

    fn error(self) -> ExecutionError {
        match self {
            Fault::OutOfMemory => ExecutionError::OutOfMemory { what: "a test".into(), size: 1 << 30 },
            Fault::Lost => ExecutionError::DeviceLost("it fell off the bus".into()),
            Fault::Stalled => ExecutionError::Stalled { seconds: 60.0 },
            Fault::Rejected | Fault::Other => {
                ExecutionError::Rejected { what: "a test".into(), message: "too clever".into() }
            }
        }
    }
}

/// Fails from one call on: once, or as long as the executor lives where the fault is one of the device.
fn failing(seen: &Arc<Mutex<Seen>>, call: usize, fault: Fault) -> Watch<ReferenceExecutor> {
    let for_good = fault.is_for_good();
    let when = move |calls: &[Kind]| calls.len() - 1 == call || (for_good && calls.len() > call);
    Watch::acting(seen, when, move |_| Err(fault.error()))
}

#[test]
fn it_is_typed_frees_all_buffers_and_leaves_no_request_behind() {
    let seen = Arc::default();
    let mut engine = load_on_reference(&options(), Watch::new(&seen)).expect("a model");
    let calls_of_load = lock(&seen).calls.len();
    let text = generate(&mut engine).expect("text");
    let calls = lock(&seen).calls.clone();
    drop(engine);
    assert_eq!(lock(&seen).buffers, 0);
    assert!(calls_of_load > 40 && calls.len() > calls_of_load + 12, "{calls_of_load} of {calls:?}");

    let mut injected = 0;
    for (call, kind) in calls.into_iter().enumerate() {
        for &fault in Fault::at(kind) {
            let seen = Arc::default();
            let when = format!("{fault:?} at call {call}, {kind:?}");
            injected += 1;
            let loaded = load_on_reference(&options(), failing(&seen, call, fault));
            assert_eq!(loaded.is_err(), call < calls_of_load, "{when}");
            match loaded {
                Err(error) => assert_is(&error, fault, &when),
                Ok(mut engine) => {
                    let error = generate(&mut engine).expect_err(&when);
                    assert_is(&error, fault, &when);
                    match generate(&mut engine) {
                        Ok(again) => assert!(again == text && !fault.is_for_good(), "{when}: {again}"),
                        Err(error) => assert!(fault.is_for_good() && Fault::from(&error) == fault, "{when}: {error}"),
                    }
                }
            }
            assert_eq!(lock(&seen).buffers, 0, "{when}: buffers are left");
        }
    }
    println!("{injected} faults");
}
