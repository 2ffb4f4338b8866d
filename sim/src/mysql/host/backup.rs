//! A copy of a server's data for another, as a tool that reads the files under a short lock makes it: everything committed at one
//! moment, and the position of that moment. It travels in the framing of replication, as one transaction that makes it all.

use super::super::server::Server;
use super::super::storage::Transaction;
use super::codec::{Message, take_message};
use std::rc::Rc;

/// Servers give copies of their data on this port: to whoever connects, at once.
pub const BACKUP_PORT: u16 = 13308;

/// The bytes of a copy; `None` while commits are under way, which the tool waits for.
pub(super) fn of(server: &Server) -> Option<Vec<u8>> {
    let transaction = Rc::new(server.copy()?);
    let mut bytes = Vec::new();
    Message::Transaction { end: 0, transaction }.encode(&mut bytes);
    Some(bytes)
}

/// What a copy holds, taken off `input`, if it is whole.
pub(super) fn take(input: &mut &[u8]) -> Option<Rc<Transaction>> {
    match take_message(input, &mut None)? {
        Some(Message::Transaction { transaction, .. }) => Some(transaction),
        _ => None,
    }
}

/// Whether these are the bytes of a whole copy.
#[must_use]
pub fn is_whole(mut bytes: &[u8]) -> bool {
    take(&mut bytes).is_some()
}

/// The same copy, as one that has forgotten where it ends and goes on as if that were at `position`, as broken rules have it.
#[must_use]
pub fn moved_to(mut bytes: &[u8], position: &weir_core::gtid::Position) -> Option<Vec<u8>> {
    let copy = take(&mut bytes)?;
    let transaction = Rc::new(Transaction { gtid: position.clone(), changes: copy.changes.clone() });
    let mut moved = Vec::new();
    Message::Transaction { end: 0, transaction }.encode(&mut moved);
    Some(moved)
}
