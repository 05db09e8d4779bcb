use super::*;
use instrumented::{Call, Instrumented, Probe};
use wgpt::gpu::DeviceLimits;
use wgpt::kernels::Selection;
use wgpt::recording::ExecutionError;
use wgpt::reference::ReferenceExecutor;
use wgpt::verify::{Filter, Plan, check};

// Other tests look at more of each call.
#[allow(dead_code)]
#[path = "../../../../tests/support/instrumented.rs"]
mod instrumented;

/// Words of sentinels behind each tensor of a case. Those of the second case have 252 words of their own.
const SENTINELS: usize = 64;

/// What goes wrong in the second case.
#[derive(Clone, Copy)]
enum Accident {
    /// A word that is read back is another.
    WrongWord,
    /// A shader that a driver does not like; the device stays as it was.
    Rejected,
    Lost,
}

/// Lets the accident happen.
struct Planted {
    accident: Accident,
    runs: usize,
}

impl Planted {
    const AT: usize = 2;
}

impl Probe<ReferenceExecutor> for Planted {
    fn before(&mut self, call: Call<'_>, _inner: &mut ReferenceExecutor) -> Result<(), ExecutionError> {
        if !matches!(call, Call::Run(_)) {
            return Ok(());
        }
        self.runs += 1;
        match self.accident {
            Accident::Lost if self.runs == Self::AT => Err(ExecutionError::DeviceLost("it fell off the bus".into())),
            Accident::Rejected if self.runs == Self::AT => {
                Err(ExecutionError::Rejected { what: "gather_rows/base".into(), message: "too\n  clever".into() })
            }
            _ => Ok(()),
        }
    }

    fn has_read(&mut self, out: &mut [u8]) {
        if matches!(self.accident, Accident::WrongWord) && self.runs == Self::AT {
            // A bit of an exponent, in mid-tensor: before the sentinels behind it.
            let words = out.len() / 4;
            out[(words - SENTINELS - 100) * 4 + 3] ^= 1;
        }
    }
}

fn device() -> DeviceInfo {
    DeviceInfo {
        index: 3,
        name: "Example".into(),
        backend: "vulkan".into(),
        device_type: "discrete GPU".into(),
        driver: "driver".into(),
        driver_info: "1.2".into(),
        vendor_id: 0,
        device_id: 0,
        usable: true,
        notice: None,
        subgroup_sizes: (32, 32),
        features: vec![],
        kernels: vec![],
        limits: DeviceLimits {
            max_buffer_size: 1 << 30,
            max_storage_binding: 1 << 30,
            max_storage_buffers: 8,
            max_workgroup_memory: 32 << 10,
            max_workgroup_invocations: 256,
            max_texels: 0,
        },
        selected: true,
    }
}

/// The small cases of `gather_rows`.
fn plan() -> Plan {
    let filter = Filter { kernel: Some("gather_rows".into()), case: None, all: false };
    let mut plan = Plan::new(&Selection::BASELINE, false, &filter);
    plan.cases.truncate(4);
    plan
}

fn planted(accident: Accident) -> Checked {
    let probe = Planted { accident, runs: 0 };
    let mut executor = Instrumented { inner: Box::new(ReferenceExecutor::new()), probe };
    Checked { device: device(), outcome: Outcome::Ran(check(&mut executor, &plan(), &mut |_| {})) }
}

fn unusable(reason: &str) -> Checked {
    Checked { device: device(), outcome: Outcome::Unusable(reason.into()) }
}

fn sound() -> Checked {
    let report = check(&mut ReferenceExecutor::new(), &plan(), &mut |_| {});
    Checked { device: device(), outcome: Outcome::Ran(report) }
}

fn sentence(all: &[Checked], named: bool) -> String {
    verdict(all, named).map_or_else(|error| error.to_string(), |()| "all is well".to_owned())
}

#[test]
fn a_wrong_element_is_reported_with_its_case_and_a_command_that_runs_it_alone() {
    let checked = planted(Accident::WrongWord);
    let text = checked.to_string();
    let failures: Vec<&str> = text.lines().filter(|line| line.starts_with("FAILED")).collect();
    let [line] = failures[..] else { panic!("{text}") };
    let broken = &plan().cases[1];
    // Everything that is read behind that run has it, inputs too.
    assert!(line.starts_with(&format!("FAILED {broken}: ")) && line.contains("; element "), "{line}");
    let command = format!("wgpt verify --device 3 --kernel gather_rows --case {:#x}", broken.seed);
    assert!(line.ends_with(&format!("; alone: {command}")), "{line}");
    assert!(text.contains("\n3 of 4 cases passed in "), "{text}");

    let alone = Filter { kernel: Some("gather_rows".into()), case: Some(format!("{:#x}", broken.seed)), all: false };
    let alone: Vec<String> = Plan::new(&Selection::BASELINE, true, &alone).cases.iter().map(|c| c.name()).collect();
    assert_eq!(alone, [broken.name()]);

    let json = checked.to_json();
    assert_eq!((json["passed"].as_bool(), json["failed"].as_u64()), (Some(false), Some(1)));
    let failure = &json["failures"][0];
    assert_eq!(failure["case"], broken.name());
    assert_eq!(failure["seed"], format!("{:#x}", broken.seed));
    assert_eq!(failure["command"], command);
    assert_eq!(
        sentence(&[sound(), checked], false),
        "1 of 8 cases failed, on 1 of 2 devices; do not trust text made there"
    );
}

#[test]
fn a_rejected_shader_fails_its_case_alone() {
    let checked = planted(Accident::Rejected);
    assert!(
        checked.to_string().contains(": the device rejected gather_rows/base: too clever; alone: wgpt verify "),
        "{checked}"
    );
    let json = checked.to_json();
    assert_eq!((json["cases"].as_u64(), json["failed"].as_u64()), (Some(4), Some(1)));
    assert!(json["aborted"].is_null());
}

#[test]
fn a_lost_device_skips_the_cases_that_are_left() {
    let checked = planted(Accident::Lost);
    let json = checked.to_json();
    assert_eq!((json["cases"].as_u64(), json["failed"].as_u64()), (Some(2), Some(1)));
    assert_eq!(json["variants"][0]["skipped"][0]["cases"], 2);
    let text = checked.to_string();
    assert!(text.contains("left out 2 of gather_rows/base: the device had failed before\n"), "{text}");
    assert!(text.contains("\nended early: the device was lost (it fell off the bus)"), "{text}");
    assert!(sentence(&[checked], false).starts_with("1 of 2 cases failed, on 1 of 1 device;"));
}

#[test]
fn a_skipped_device_is_an_error_if_it_was_asked_for_or_is_the_only_one() {
    assert_eq!(sentence(&[sound()], false), "all is well");
    assert_eq!(sentence(&[sound(), unusable("it is old")], false), "all is well");
    assert_eq!(
        sentence(&[sound(), unusable("it is old")], true),
        "a device that was asked for could not be checked: Example (vulkan): it is old"
    );
    assert_eq!(sentence(&[unusable("it is old")], false), "no device could be checked: Example (vulkan): it is old");
    assert_eq!(
        unusable("it is old").to_string(),
        "3: Example (discrete GPU, vulkan, driver 1.2)\nskipped: it is old\n\n"
    );
    assert_eq!(unusable("it is old").to_json()["passed"], false);
}

#[test]
fn a_device_without_a_case_to_run_passes_only_beside_another() {
    let idle = || {
        let nothing = Plan { cases: vec![], left_out: vec![] };
        let report = check(&mut ReferenceExecutor::new(), &nothing, &mut |_| {});
        Checked { device: device(), outcome: Outcome::Ran(report) }
    };
    assert_eq!(sentence(&[sound(), idle()], true), "all is well");
    let reason = "none of its cases matches --kernel and --case";
    assert_eq!(sentence(&[idle()], false), format!("no device could be checked: Example (vulkan): {reason}"));
    assert!(idle().to_string().ends_with(&format!("\nskipped: {reason}\n\n")));
    assert_eq!(idle().to_json()["skipped"], reason);

    let mut left_out = plan();
    left_out.left_out.append(&mut left_out.cases);
    let report = check(&mut ReferenceExecutor::new(), &left_out, &mut |_| {});
    let left_out = Checked { device: device(), outcome: Outcome::Ran(report) };
    assert!(left_out.to_string().contains("\nleft out 4 of gather_rows/base: "), "{left_out}");
    assert_eq!(left_out.to_json()["passed"], false);
    assert!(sentence(&[left_out], false).ends_with(": all of its cases were left out"));
}
