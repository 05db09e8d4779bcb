//! Every kernel, variant and storage type against the CPU reference, on every adapter of this machine; and proofs that the
//! harness would notice if one were wrong.

use std::collections::HashSet;

use crate::support::notice::notice;
use wgpt::gpu::{DeviceSelector, GpuExecutor, devices};
use wgpt::kernels::Selection;
use wgpt::recording::{Access, ExecutionError, Executor, Recording, Slice};
use wgpt::reference::ReferenceExecutor;
use wgpt::verify::{self, Case, Elements, Fault, Filter, Runner, UNTOUCHED, cases};

use crate::support::instrumented::{Call, Instrumented, Probe};

/// Set to run every case on software adapters too.
const ALL_CASES: &str = "WGPT_TEST_ALL";

#[test]
fn kernels_agree_with_the_reference_on_every_adapter() {
    let filter = Filter { all: std::env::var_os(ALL_CASES).is_some_and(|v| !v.is_empty()), ..Filter::default() };
    let mut failures = Vec::new();
    let mut checked = 0;
    for device in devices() {
        let name = format!("{} ({}, {} {})", device.name, device.backend, device.driver, device.driver_info);
        if !device.usable {
            notice(&format!("skipped {name}: {}", device.notice.as_deref().unwrap_or("it is marked unusable")));
            continue;
        }
        let selector = DeviceSelector { device: Some(device.index.to_string()), backend: None };
        let mut executor = match GpuExecutor::open(&selector) {
            Ok(executor) => executor,
            Err(e) => {
                notice(&format!("skipped {name}: {e}"));
                continue;
            }
        };
        checked += 1;
        let report = verify::device(&mut executor, &filter, &mut |_| {});
        println!("{name}\n{report}(here {ALL_CASES}=1 stands for --all)");
        notice(&format!(
            "{name}: {} of {} kernel cases agree with the reference",
            report.cases() - report.failures.len(),
            report.cases()
        ));
        failures.extend(report.failures.iter().map(|f| format!("{name}: {f} (allowed: {})", f.tolerance)));
    }
    if checked == 0 {
        notice("skipped: this machine has no adapter that can be used");
    }
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// What a broken kernel might do to its output.
#[derive(Clone, Copy, Debug)]
enum Sabotage {
    /// Nothing: the control.
    None,
    /// One element is off by a thousandth, or one code or index is another.
    WrongElement,
    /// An element that it should write is left alone.
    MissingElement,
    /// One word in front of the binding, or behind the output, is written.
    Before,
    Behind,
    /// An input is written.
    Input,
}

/// Plants one fault in every run.
struct Saboteur {
    sabotage: Sabotage,
    /// What the case's first output holds, and how many words.
    output: (Elements, u64),
    last: Recording,
}

impl Saboteur {
    /// A word of the output that the kernel wrote: of numbers the largest, since a thousandth of a small one is no fault.
    fn written(&self, inner: &mut dyn Executor, slice: Slice) -> Result<i64, ExecutionError> {
        let mut words = vec![0u32; self.output.1 as usize];
        inner.read(slice, bytemuck::cast_slice_mut(&mut words))?;
        let magnitude = |word: u32| match self.output.0 {
            Elements::F32 => f32::from_bits(word).abs(),
            Elements::F16 | Elements::I8 | Elements::U32 => 1.0,
        };
        let written = words.iter().enumerate().filter(|(_, word)| **word != UNTOUCHED);
        let largest = written.max_by(|a, b| magnitude(*a.1).total_cmp(&magnitude(*b.1)));
        Ok(largest.map_or(0, |(index, _)| index as i64))
    }

    fn plant(&self, inner: &mut dyn Executor) -> Result<(), ExecutionError> {
        let bindings = self.last.dispatches[0].bindings();
        let first = |access| bindings.iter().find(|b| b.access == access).expect("a kernel reads and writes").slice;
        let (output, input) = (first(Access::ReadWrite), first(Access::Read));
        let (elements, words) = self.output;
        let written = self.written(inner, output)?;
        match self.sabotage {
            Sabotage::None => Ok(()),
            Sabotage::WrongElement => change(inner, output, written, |word| match elements {
                Elements::F32 => (f32::from_bits(word) * 1.001).to_bits(),
                // A f16 is only so precise: the fourth bit from the end.
                Elements::F16 => word ^ 8,
                // Of four codes one by 32.
                Elements::I8 => word ^ 32,
                Elements::U32 => word ^ 1,
            }),
            Sabotage::MissingElement => change(inner, output, written, |_| UNTOUCHED),
            Sabotage::Before => change(inner, output, -1, |_| 0),
            Sabotage::Behind => change(inner, output, words as i64, |_| 0),
            Sabotage::Input => change(inner, input, 0, |word| !word),
        }
    }
}

fn change(
    inner: &mut dyn Executor,
    slice: Slice,
    word: i64,
    change: impl Fn(u32) -> u32,
) -> Result<(), ExecutionError> {
    let slice = Slice { offset: slice.offset.strict_add_signed(4 * word), size: 4, ..slice };
    let mut bytes = [0; 4];
    inner.read(slice, &mut bytes)?;
    inner.write(slice, &change(u32::from_le_bytes(bytes)).to_le_bytes())
}

impl Probe<ReferenceExecutor> for Saboteur {
    fn after(&mut self, call: Call<'_>, inner: &mut ReferenceExecutor) -> Result<(), ExecutionError> {
        match call {
            Call::Prepare(recording) => self.last = recording.clone(),
            Call::Run(_) => self.plant(inner)?,
            Call::Allocate { .. } | Call::Write | Call::Flush | Call::Read | Call::Collect => {}
        }
        Ok(())
    }
}

/// The faults that a case reports when its kernel is sabotaged.
fn faults(case: &Case, sabotage: Sabotage) -> Vec<Fault> {
    let tensors = case.tensors();
    let output = tensors.iter().find(|t| t.output.is_some()).expect("a case has an output");
    let output = (output.output.unwrap_or(Elements::U32), output.words.len() as u64);
    let probe = Saboteur { sabotage, output, last: Recording::default() };
    let mut executor = Instrumented { inner: Box::new(ReferenceExecutor::new()), probe };
    Runner::new(&mut executor).run(case).unwrap_or_else(|e| panic!("{case}: {e}")).faults
}

#[test]
fn the_harness_notices_what_a_broken_kernel_does() {
    let mut seen = HashSet::new();
    for case in cases(&Selection::BASELINE) {
        // Of each program, the first small case of more than a few elements.
        let size: usize = case.tensors().iter().map(|t| t.words.len()).sum();
        if !(100..100_000).contains(&size) || !seen.insert(case.program) {
            continue;
        }
        assert_eq!(faults(&case, Sabotage::None), [], "{case}");
        let found = |sabotage| faults(&case, sabotage);
        assert!(!found(Sabotage::WrongElement).is_empty(), "{case}: a wrong element went unnoticed");
        let missing = found(Sabotage::MissingElement);
        assert!(matches!(missing[..], [Fault::Untouched { .. }, ..]), "{case}: {missing:?}");
        let before = found(Sabotage::Before);
        assert!(matches!(before[..], [Fault::Sentinel { word: -1, .. }]), "{case}: {before:?}");
        let behind = found(Sabotage::Behind);
        assert!(matches!(behind[..], [Fault::Sentinel { word: 0.., .. }]), "{case}: {behind:?}");
        let input = found(Sabotage::Input);
        assert!(matches!(input[..], [Fault::Input { word: 0, .. }]), "{case}: {input:?}");
    }
    assert!(seen.len() > 40, "only {} programs were sabotaged", seen.len());
}
