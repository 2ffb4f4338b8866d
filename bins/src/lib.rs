//! What the programs of Weir have in common with their tests: arguments and wiring.

pub mod args;
pub mod cli;
pub mod console;
pub mod ctl;
pub mod gateway;
pub mod generate;
pub mod life;
pub mod memory;
pub mod orchestrator;
mod recording;
pub mod sim;
mod snapshot;
pub mod succession;
pub mod tablet;
pub mod top;
pub mod up;
