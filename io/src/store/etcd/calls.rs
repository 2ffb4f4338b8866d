//! Single calls to etcd, each within its time.

use super::Etcd;
use super::node::{Node, Trouble};
use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use tokio::time::{Instant, timeout_at};
use weir_core::orch::lock::ANSWER_TIME_MAX;
use weir_core::topo::store::{Call, CallError, Condition, KeyValue, Put, Reply};

impl Etcd {
    /// Whether it takes our password, as far as it can be asked now: one that is away may.
    ///
    /// # Errors
    /// What it says when it refuses.
    pub(in crate::store) async fn check_login(&self) -> Result<(), CallError> {
        let (_, node) = self.node();
        match timeout_at(Instant::now() + ANSWER_TIME_MAX, node.client()).await {
            Ok(Err(Trouble::Answered(error))) => Err(error),
            Ok(Ok(_) | Err(Trouble::Node(_) | Trouble::Unsent(_))) | Err(_) => Ok(()),
        }
    }

    /// Makes a call at the endpoint that has answered last; where asking again does no harm, at the others as well.
    pub(in crate::store) async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        let mut troubles = Vec::new();
        // At least twice: the first may have found out that a password has to be shown anew.
        for _ in 0..self.0.nodes.len().max(2) {
            let (number, node) = self.node();
            let (trouble, may_repeat) = match timeout_at(deadline, perform(node, call)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(Trouble::Answered(error))) => return Err(error),
                Ok(Err(Trouble::Unsent(trouble))) => (trouble, true),
                Ok(Err(Trouble::Node(trouble))) => (trouble, call.is_idempotent()),
                Err(_) => {
                    let seconds = ANSWER_TIME_MAX.as_secs();
                    (format!("etcd at {}: it has not answered in {seconds} s", node.url()), false)
                }
            };
            self.leave(number);
            if !troubles.contains(&trouble) {
                troubles.push(trouble);
            }
            if !may_repeat {
                break;
            }
        }
        Err(CallError::Failed(troubles.join("; ")))
    }
}

async fn perform(node: &Node, call: &Call) -> Result<Reply, Trouble> {
    let mut client = node.client().await?;
    request(&mut client, call).await.map_err(|error| node.trouble(&error))
}

async fn request(client: &mut Client, call: &Call) -> Result<Reply, etcd_client::Error> {
    Ok(match call {
        Call::Grant(ttl) => {
            let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
            let granted = client.lease_grant(i64::try_from(seconds).unwrap_or(i64::MAX), None).await?;
            Reply::Granted(granted.id())
        }
        // The stream's first answer is all that is wanted of it.
        Call::Renew(lease) => client.lease_keep_alive(*lease).await.map(|_| Reply::Done(0))?,
        Call::Revoke(lease) => done(client.lease_revoke(*lease).await?.header()),
        Call::Get(key) => Reply::Found(client.get(key.clone(), None).await?.kvs().first().map(key_value)),
        Call::PutIf { conditions, put, otherwise } => {
            put_if(&client.txn(transaction(conditions, put, otherwise.as_ref())).await?)
        }
        Call::Delete(key) => done(client.delete(key.clone(), None).await?.header()),
    })
}

fn done(header: Option<&etcd_client::ResponseHeader>) -> Reply {
    Reply::Done(header.map_or(0, etcd_client::ResponseHeader::revision))
}

fn transaction(conditions: &[Condition], put: &Put, otherwise: Option<&Vec<u8>>) -> Txn {
    let compare: Vec<Compare> = conditions.iter().map(comparison).collect();
    let options = (put.lease != 0).then(|| PutOptions::new().with_lease(put.lease));
    let then = vec![TxnOp::put(put.key.clone(), put.value.clone(), options)];
    let otherwise: Vec<TxnOp> = otherwise.map(|key| TxnOp::get(key.clone(), None)).into_iter().collect();
    Txn::new().when(compare).and_then(then).or_else(otherwise)
}

fn comparison(condition: &Condition) -> Compare {
    match condition {
        Condition::Created(key, revision) => Compare::create_revision(key.clone(), CompareOp::Equal, *revision),
        Condition::Changed(key, revision) => Compare::mod_revision(key.clone(), CompareOp::Equal, *revision),
    }
}

fn put_if(response: &TxnResponse) -> Reply {
    if response.succeeded() {
        return done(response.header());
    }
    let read = response.op_responses().into_iter().find_map(|response| match response {
        TxnOpResponse::Get(read) => read.kvs().first().map(key_value),
        _ => None,
    });
    Reply::Refused(read)
}

fn key_value(kv: &etcd_client::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key().to_vec(),
        value: kv.value().to_vec(),
        created: kv.create_revision(),
        changed: kv.mod_revision(),
        lease: kv.lease(),
    }
}
