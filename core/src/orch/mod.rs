//! The orchestrator: what is wrong with a shard, and how its primary is changed without losing an acknowledged write.
//!
//! Owns the rules and the plans of failover. It may not know connections, clients or SQL: tablets carry out the orders
//! ([`crate::tablet::orders`]), and a driver carries them there and keeps the record in the topology.
//!
//! Start with [`durability`] (which servers hold every acknowledged write) and [`choose`](mod@choose) (who of them is
//! promoted); they are what safety rests on. [`recovery`] is the plan that uses them. `docs/src/decisions/failover.md` says why it is safe.

pub mod choose;
pub mod durability;
pub mod recovery;
