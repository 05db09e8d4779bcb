//! The memory of this process.

/// Bytes of resident memory at its largest so far, where the system says so: Linux does (`VmHWM` of proc_pid_status(5)).
pub fn peak() -> Option<u64> {
    of_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_high_water_mark() {
        assert_eq!(of_status("Name:\twgpt\nVmPeak:\t  9 kB\nVmHWM:\t   123456 kB\n"), Some(123_456 << 10));
        assert_eq!(of_status("Name:\twgpt\n"), None);
    }
}
