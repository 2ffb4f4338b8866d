//! What the programs of Weir have in common with their tests: arguments and wiring.

pub mod args;
pub mod ctl;
pub mod gateway;
pub mod life;
pub mod memory;
pub mod orchestrator;
pub mod sim;
pub mod succession;
pub mod tablet;
pub mod up;
