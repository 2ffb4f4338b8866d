//! The simulator: the machines of `weir-core` in one thread of virtual time.
