//! The questions of a shard's lock as calls of a store, and the replies as answers: the same for every store.

use super::call::{Call, CallError, Condition, Put, Reply};
use super::layout::{Layout, Place};
use super::records::{decode, encode};
use crate::orch::lock::{Answer, Request};
use crate::topo::names::ShardName;

/// The call that a question is.
#[must_use]
pub fn call(layout: &Layout, shard: &ShardName, request: &Request) -> Call {
    let lock_key = || layout.key(&Place::Lock(shard.clone()));
    let entry_key = || layout.key(&Place::Entry(shard.clone()));
    match request {
        Request::Grant { ttl } => Call::Grant(*ttl),
        Request::Renew { lease } => Call::Renew(*lease),
        Request::Lock { lease } => Call::PutIf {
            conditions: vec![Condition::Created(lock_key(), 0)],
            put: Put { key: lock_key(), value: Vec::new(), lease: *lease },
            otherwise: Some(lock_key()),
        },
        Request::Read => Call::Get(entry_key()),
        Request::Write { entry, over, lock } => {
            let over = over.map(|revision| Condition::Changed(entry_key(), revision));
            let lock = lock.map(|revision| Condition::Created(lock_key(), revision));
            Call::PutIf {
                conditions: over.into_iter().chain(lock).collect(),
                put: Put { key: entry_key(), value: encode(&**entry), lease: 0 },
                otherwise: None,
            }
        }
    }
}

/// The answer that a reply to the question's call is.
#[must_use]
pub fn answer(request: &Request, reply: Result<Reply, CallError>) -> Answer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(CallError::LeaseGone) => return Answer::LeaseGone,
        Err(CallError::Failed(why)) => return Answer::Failed(why),
    };
    match (request, reply) {
        (Request::Grant { .. }, Reply::Granted(lease)) => Answer::Granted(lease),
        (Request::Renew { .. }, Reply::Done(_)) => Answer::Renewed,
        (Request::Lock { .. }, Reply::Done(revision)) => Answer::Locked(revision),
        // The answer to an earlier try may have been lost.
        (Request::Lock { lease }, Reply::Refused(Some(held))) if held.lease == *lease => Answer::Locked(held.created),
        (Request::Lock { .. }, Reply::Refused(_)) => Answer::Busy,
        (Request::Read, Reply::Found(None)) => Answer::Read(None, 0),
        // One that cannot be read must not be taken for none: a term would begin from the first again.
        (Request::Read, Reply::Found(Some(found))) => match decode(&found.value) {
            Ok(entry) => Answer::Read(Some(Box::new(entry)), found.changed),
            Err(why) => Answer::Failed(format!("the shard's entry cannot be used: {why}")),
        },
        (Request::Write { .. }, Reply::Done(revision)) => Answer::Written(revision),
        (Request::Write { .. }, Reply::Refused(_)) => Answer::Refused,
        (_, reply) => Answer::Failed(format!("the store's reply is of another call: {reply:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::KeyValue;
    use super::*;
    use crate::time::Duration;

    fn found(value: &[u8], lease: i64) -> KeyValue {
        KeyValue { key: b"k".to_vec(), value: value.to_vec(), created: 4, changed: 9, lease }
    }

    #[test]
    fn the_lock_is_a_key_that_only_one_can_create_and_that_ends_with_its_lease() {
        let request = Request::Lock { lease: 7 };
        let shard = "shop/0".parse().expect("a shard");
        let Call::PutIf { conditions, put, otherwise } = call(&Layout::default(), &shard, &request) else {
            panic!("no write")
        };
        let key = b"/weir/global/keyspaces/shop/shards/0/lock".to_vec();
        assert_eq!(conditions, [Condition::Created(key.clone(), 0)]);
        assert_eq!((put.key, put.lease, otherwise), (key.clone(), 7, Some(key)));
        assert_eq!(answer(&request, Ok(Reply::Done(5))), Answer::Locked(5));
        assert_eq!(answer(&request, Ok(Reply::Refused(Some(found(b"", 8))))), Answer::Busy);
        assert_eq!(answer(&request, Ok(Reply::Refused(Some(found(b"", 7))))), Answer::Locked(4), "asked again");
        assert_eq!(answer(&request, Err(CallError::LeaseGone)), Answer::LeaseGone);
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_not_taken_for_none() {
        let answered = answer(&Request::Read, Ok(Reply::Found(Some(found(b"{", 0)))));
        assert!(matches!(answered, Answer::Failed(_)), "{answered:?}");
        let newer = answer(&Request::Read, Ok(Reply::Found(Some(found(b"{\"version\":99}", 0)))));
        assert!(matches!(newer, Answer::Failed(why) if why.contains("newer")));
        assert_eq!(answer(&Request::Read, Ok(Reply::Found(None))), Answer::Read(None, 0));
    }

    #[test]
    fn a_reply_to_something_else_is_no_answer() {
        let grant = Request::Grant { ttl: Duration::from_secs(3) };
        assert!(matches!(answer(&grant, Ok(Reply::Done(1))), Answer::Failed(_)));
    }
}
