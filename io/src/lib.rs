//! Drivers of the machines: they carry bytes and time to `weir-core` and decide nothing.

pub mod servers;
