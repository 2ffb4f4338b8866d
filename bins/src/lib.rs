//! What the programs of Weir have in common with their tests: arguments and wiring.

pub mod args;
pub mod ctl;
pub mod memory;
pub mod sim;
pub mod up;
