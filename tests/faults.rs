//! What fails below the engine: memory that runs out, devices that are lost, work that does not end. Each is a typed error
//! that says what to do, frees what was held, and leaves a process in which another engine can be made.

mod every_call;
mod hang;
mod lost;
#[cfg(target_os = "linux")]
mod memory;
pub mod runs;
