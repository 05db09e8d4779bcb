//! Ctrl-C and termination: the first signal stops a generation, the next one ends the process at once.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What the signals of this process have asked for.
///
/// The handlers only load and store atomics, so they are safe at any moment. Until [`Interrupt::defer`] the first
/// signal already ends the process: there is nothing to finish while a model is downloaded or loaded.
#[derive(Debug)]
pub struct Interrupt {
    exit_at_once: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Takes over SIGINT and SIGTERM.
    ///
    /// # Errors
    /// The system refuses the handlers.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self {
            exit_at_once: Arc::new(AtomicBool::new(true)),
            stop: Arc::new(AtomicBool::new(false)),
            signal: Arc::new(AtomicUsize::new(0)),
        };
        for signal in [SIGINT, SIGTERM] {
            // They run in this order: the exit sees the flag as it was before this signal raised it.
            flag::register_conditional_shutdown(signal, exit_status(signal), Arc::clone(&interrupt.exit_at_once))?;
            flag::register(signal, Arc::clone(&interrupt.exit_at_once))?;
            flag::register_usize(signal, Arc::clone(&interrupt.signal), usize::try_from(signal).unwrap_or_default())?;
            flag::register(signal, Arc::clone(&interrupt.stop))?;
        }
        Ok(interrupt)
    }

    /// From here on the first signal only raises [`Interrupt::stop_flag`], so that the work can be ended in order.
    pub fn defer(&self) {
        self.exit_at_once.store(false, Ordering::SeqCst);
    }

    /// From here on a signal ends the process at once again.
    pub fn release(&self) {
        self.exit_at_once.store(true, Ordering::SeqCst);
    }

    /// Raised by a signal; for work that looks at it between its own steps.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// The exit code that a shell expects after the signal that came, 128 + its number; none if none came.
    pub fn exit_code(&self) -> Option<ExitCode> {
        let signal = i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0)?;
        u8::try_from(exit_status(signal)).ok().map(ExitCode::from)
    }
}

const fn exit_status(signal: i32) -> i32 {
    128 + signal
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only test of this process that raises signals, since they are global to it.
    #[test]
    fn a_deferred_signal_raises_the_flag_and_sets_the_exit_code() {
        let interrupt = Interrupt::install().expect("handlers");
        interrupt.defer();
        assert!(!interrupt.stop_flag().load(Ordering::Relaxed));
        assert_eq!(interrupt.exit_code(), None);
        signal_hook::low_level::raise(SIGTERM).expect("raised");
        assert!(interrupt.stop_flag().load(Ordering::Relaxed));
        assert_eq!(interrupt.exit_code(), Some(ExitCode::from(143)));
        assert!(interrupt.exit_at_once.load(Ordering::Relaxed), "the next one ends the process");
    }
}
