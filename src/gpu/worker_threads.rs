//! A core for each worker thread of a driver that emulates a GPU on the CPU.
//!
//! Such a driver cuts a dispatch into a share a thread and wakes its threads for it. The threads of Mesa's llvmpipe wake one
//! another through a mutex; where all cores are busy at that moment, Linux queues one of them behind its waker and, since
//! cores are idle for less than half a millisecond at a time, moves it nowhere else: the shares run one after the other,
//! beside a core with nothing to do. Measured in decode on two cores: 1.05 of them in use, and 1.6 times as fast with a core
//! for each thread.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A look at what has been done lately says nothing before a thread has worked for so long since the last one. Looks are no
/// nearer to one another, so that they cost nothing to speak of.
const LOOK: Duration = Duration::from_millis(20);
/// When after so many looks there have never been as many workers as cores, there never will be.
const MAX_LOOKS: u32 = 100;

/// A thread, by the system's number.
type Thread = i32;

/// Watches which threads a device works with, until each has its core.
pub(super) struct WorkerThreads {
    /// What each thread had worked at the last look.
    before: HashMap<Thread, Duration>,
    /// Those that were busy at the last look.
    busy: Vec<Thread>,
    looked: Instant,
    looks: u32,
}

impl WorkerThreads {
    /// From now on. `None` where there is nothing to gain, or the system does not tell.
    pub fn watch() -> Option<WorkerThreads> {
        let several = system::cores()?.len() > 1;
        several.then(system::times)?.map(|before| WorkerThreads {
            before,
            busy: Vec::new(),
            looked: Instant::now(),
            looks: 0,
        })
    }

    /// To be called when computing has ended, not copying, which one thread does: gives each thread a core, once they are
    /// known. Whether this was the last look.
    pub fn spread(&mut self) -> bool {
        if self.looked.elapsed() < LOOK {
            return false;
        }
        let (Some(now), Some(cores)) = (system::times(), system::cores()) else { return true };
        self.looked = Instant::now();
        let since = |(thread, time): (&Thread, &Duration)| {
            let before = self.before.get(thread).copied().unwrap_or_default();
            (*thread, time.saturating_sub(before))
        };
        let worked: Vec<_> = now.iter().map(since).collect();
        if worked.iter().all(|(_, time)| *time < LOOK) {
            return false;
        }
        let busy = busiest(worked);
        // Twice the same, since another device's threads, or those that compile pipelines, may be as busy for a while.
        let known = busy.len() == cores.len() && busy == self.busy;
        if known {
            busy.iter().zip(cores).for_each(|(worker, core)| system::bind(*worker, core));
        }
        self.before = now;
        self.busy = busy;
        self.looks += 1;
        known || self.looks == MAX_LOOKS
    }
}

/// The threads that did at least half of what the busiest one did, by how long each worked, in their order.
fn busiest(worked: Vec<(Thread, Duration)>) -> Vec<Thread> {
    let most = worked.iter().map(|(_, time)| *time).max().unwrap_or_default();
    let busy = worked.into_iter().filter(|(_, time)| *time >= most / 2);
    let mut threads: Vec<Thread> = busy.map(|(thread, _)| thread).collect();
    threads.sort_unstable();
    threads
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashMap;
    use std::fs;
    use std::time::Duration;

    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

    use super::Thread;

    /// How long each thread of this process but the one that asks has worked.
    pub fn times() -> Option<HashMap<Thread, Duration>> {
        let own = gettid().as_raw_nonzero().get();
        let mut times = HashMap::new();
        for entry in fs::read_dir("/proc/self/task").ok()?.flatten() {
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended by now.
            let Ok(statistics) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse().ok());
            if let Some(nanoseconds) = nanoseconds.filter(|_| thread != own) {
                times.insert(thread, Duration::from_nanos(nanoseconds));
            }
        }
        Some(times)
    }

    /// Those that this process may run on.
    pub fn cores() -> Option<Vec<usize>> {
        let allowed = sched_getaffinity(None).ok()?;
        Some((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
    }

    /// Keeps a thread on a core. One that has ended, or may not be moved, stays as it is.
    pub fn bind(thread: Thread, core: usize) {
        let mut only = CpuSet::new();
        only.set(core);
        let _ = sched_setaffinity(Pid::from_raw(thread), &only);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::Thread;

    pub fn times() -> Option<HashMap<Thread, Duration>> {
        None
    }

    pub fn cores() -> Option<Vec<usize>> {
        None
    }

    pub fn bind(_thread: Thread, _core: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_that_do_the_work_are_found_among_others() {
        let worked = |milliseconds: [u64; 4]| {
            let times = milliseconds.map(Duration::from_millis);
            busiest([17, 12, 11, 13].into_iter().zip(times).collect())
        };
        // The one that hands work out, two workers, and one that waits.
        assert_eq!(worked([7, 40, 38, 0]), [11, 12]);
        assert_eq!(worked([40, 3, 2, 0]), [17]);
        assert_eq!(busiest(Vec::new()), [0; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_seen_to_work_and_kept_on_its_core() {
        use std::sync::mpsc;

        let (say, hear) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            while system::times().is_none_or(|times| times.is_empty()) {}
            say.send(own).expect("heard");
            let _ = ended.recv();
            system::cores().expect("known")
        });
        let thread = hear.recv().expect("said");
        assert!(system::times().expect("Linux tells").contains_key(&thread));
        let core = *system::cores().expect("known").last().expect("one at least");
        system::bind(thread, core);
        drop(end);
        assert_eq!(other.join().expect("no panic"), [core]);
    }
}
