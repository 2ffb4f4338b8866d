//! The orchestrator: what is wrong with a shard, and how its primary is changed without losing an acknowledged write.
//!
//! Owns the rules and the plans of failover. It may not know connections, clients or SQL: tablets carry out the orders
//! ([`crate::tablet::orders`]), and a driver carries them there and keeps the record in the topology.
//!
//! Start with [`durability`] (which servers hold every acknowledged write) and [`choose`](mod@choose) (who of them is
//! promoted); they are what safety rests on. [`recovery`] is the plan that uses them, [`analysis`] says when one is needed, [`repairs`] what is put right
//! without one, [`rebuild`] how a server gets another's data,
//! [`lock`] keeps orchestrators out of each other's way, and [`orchestrator`] brings all of it together. `docs/src/decisions/failover.md` says why it is safe.

pub mod analysis;
pub mod choose;
pub mod durability;
pub mod handover;
pub mod lock;
pub mod orchestrator;
pub mod rebuild;
pub mod recovery;
pub mod repairs;
