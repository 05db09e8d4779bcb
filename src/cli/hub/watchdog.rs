//! An end to waiting: hf-hub sets no timeouts, and its builder has none to set.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// Tells the watcher that the work goes on.
#[derive(Clone)]
pub struct Pulse(Sender<()>);

impl Pulse {
    pub fn beat(&self) {
        // The watcher is gone once it has given up.
        let _ = self.0.send(());
    }
}

/// Does the work on a thread of its own. `None` if `patience` passes without a beat or the end; the thread is left
/// behind then, since a blocked read cannot be called off.
pub fn watched<T: Send + 'static>(patience: Duration, work: impl FnOnce(&Pulse) -> T + Send + 'static) -> Option<T> {
    let (beats, watcher) = mpsc::channel();
    let worker = thread::spawn(move || work(&Pulse(beats)));
    loop {
        match watcher.recv_timeout(patience) {
            Ok(()) => {}
            // The sender is dropped as the work ends.
            Err(RecvTimeoutError::Disconnected) => return worker.join().ok(),
            Err(RecvTimeoutError::Timeout) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_may_take_long_as_long_as_it_beats() {
        let patience = Duration::from_millis(500);
        let beating = watched(patience, |pulse| {
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(100));
                pulse.beat();
            }
            7
        });
        assert_eq!(beating, Some(7));
        assert_eq!(watched(patience, |_| thread::sleep(Duration::from_secs(60))), None);
    }
}
