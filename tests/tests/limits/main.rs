//! Limits, and what must be left of clients, connections and servers that go: nothing.
//!
//! `census` counts what a gateway and its servers hold. Each other module holds one kind of trouble.

mod admission;
mod census;
mod churn;
mod dirt;
mod kills;
mod own_kills;
mod packets;
mod pool;
mod proxied;
mod restarts;
mod stalls;
