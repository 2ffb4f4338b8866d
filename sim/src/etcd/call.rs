//! The calls of Weir's stores on the model, as the adapter to etcd makes them.

use super::{Comparison, Error, Etcd, KeyValue, Operation, Order, Range, Target, Transaction};
use weir_core::time::Instant;
use weir_core::topo::store::{self, Call, CallError, Condition, Put, Reply};

impl Etcd {
    /// Answers a call.
    ///
    /// # Errors
    /// That the lease is gone, or what etcd says.
    pub fn call(&mut self, now: Instant, call: &Call) -> Result<Reply, CallError> {
        self.try_call(now, call).map_err(|error| match error {
            Error::LeaseNotFound => CallError::LeaseGone,
            error => CallError::Failed(error.to_string()),
        })
    }

    fn try_call(&mut self, now: Instant, call: &Call) -> Result<Reply, Error> {
        match call {
            Call::Grant(ttl) => self.grant(now, 0, *ttl).map(Reply::Granted),
            Call::Renew(lease) => self.keep_alive(now, *lease).map(|_| Reply::Done(self.revision())),
            Call::Revoke(lease) => self.revoke(*lease).map(|()| Reply::Done(self.revision())),
            Call::Get(key) => {
                let read = self.range(&Range::key(key.clone()), false)?;
                Ok(Reply::Found(read.kvs.first().map(key_value)))
            }
            Call::PutIf { conditions, put, otherwise } => {
                let result = self.transact(&Transaction {
                    compare: conditions.iter().map(comparison).collect(),
                    then: vec![operation(put)],
                    otherwise: otherwise.iter().map(|key| Operation::Get(Range::key(key.clone()))).collect(),
                })?;
                let read = result.reads.first().and_then(|read| read.kvs.first());
                let is_done = result.succeeded;
                Ok(if is_done { Reply::Done(result.revision) } else { Reply::Refused(read.map(key_value)) })
            }
            Call::Delete(key) => {
                let then = vec![Operation::Delete(Range::key(key.clone()))];
                let result = self.transact(&Transaction { then, ..Transaction::default() })?;
                Ok(Reply::Done(result.revision))
            }
        }
    }
}

fn comparison(condition: &Condition) -> Comparison {
    let (key, target) = match condition {
        Condition::Created(key, revision) => (key, Target::Create(*revision)),
        Condition::Changed(key, revision) => (key, Target::Mod(*revision)),
    };
    Comparison { key: key.clone(), order: Order::Equal, target }
}

fn operation(Put { key, value, lease }: &Put) -> Operation {
    Operation::Put(key.clone(), value.clone(), *lease)
}

fn key_value(kv: &KeyValue) -> store::KeyValue {
    let KeyValue { key, value, create_revision, mod_revision, lease, .. } = kv.clone();
    store::KeyValue { key, value, created: create_revision, changed: mod_revision, lease }
}
