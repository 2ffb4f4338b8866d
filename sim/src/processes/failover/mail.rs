//! What the processes say to one another: messages as JSON, each after its length.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_core::orch::lock;
use weir_core::tablet::drain::Open;
use weir_core::tablet::orders::{Order, Refusal, Report, State};
use weir_core::topo::TabletAlias;

/// Tablets listen on this port.
pub const TABLET_PORT: u16 = 15306;
/// The topology listens on this port.
pub const TOPOLOGY_PORT: u16 = 2379;
/// Bytes of one message, at most.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
const LENGTH_BYTES: usize = 4;

/// To a tablet. Whoever connects hears its state from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToTablet {
    /// Somebody orders something.
    Order {
        /// Names the order in its answer.
        id: u64,
        /// In which term.
        term: u64,
        /// What.
        order: Order,
    },
    /// A gateway says what is open on its connections to the server; first of all that it may have some.
    Open(Open),
}

/// From a tablet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromTablet {
    /// How it is.
    State(TabletAlias, Box<State>),
    /// The answer to an order.
    Answered(u64, Result<Report, Refusal>),
}

/// To the topology: a question with its number.
pub type ToTopology = (u64, lock::Request);
/// From the topology: the answer with the question's number.
pub type FromTopology = (u64, lock::Answer);

/// Of which release a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// This one.
    #[default]
    This,
    /// The one after: what it says has fields that this release does not know, and some of it this release does not know at all.
    Next,
}

impl Release {
    /// Appends a message as a process of this release sends it.
    pub fn put<M: Serialize>(self, out: &mut Vec<u8>, message: &M) {
        match self {
            Self::This => put(out, message),
            Self::Next => {
                let mut message = serde_json::to_value(message).unwrap_or_default();
                add_fields(&mut message);
                put(out, &Value::Object(Map::from_iter([("SaidSinceTheNext".to_owned(), message.clone())])));
                put(out, &message);
            }
        }
    }
}

/// Adds one to each object that is a struct by the names in it: those of an enum's variants are capitalised, and the keys of a map are
/// names of tablets and the like.
fn add_fields(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(add_fields),
        Value::Object(fields) => {
            let is_struct =
                fields.keys().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            fields.values_mut().for_each(add_fields);
            // A duration is of the standard library, and has what it has.
            if is_struct && !fields.is_empty() && !fields.contains_key("nanos") {
                fields.insert("known_since_the_next".to_owned(), Value::Array(vec![Value::Bool(true)]));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Appends a message.
pub fn put<M: Serialize>(out: &mut Vec<u8>, message: &M) {
    let body = serde_json::to_vec(message).unwrap_or_default();
    debug_assert!(!body.is_empty() && body.len() <= MESSAGE_BYTES_MAX, "messages are small");
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
}

/// Takes the first message out of `input`, when it is there as a whole; `None` in it when it makes no sense.
pub fn take<M: DeserializeOwned>(input: &mut Vec<u8>) -> Option<Option<M>> {
    let length = input.first_chunk::<LENGTH_BYTES>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Some(None);
    }
    let message = input.get(LENGTH_BYTES..LENGTH_BYTES + length).map(serde_json::from_slice)?;
    input.drain(..LENGTH_BYTES + length);
    Some(message.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_and_only_when_whole() {
        let (mut bytes, mut heard) = (Vec::new(), Vec::new());
        let sent = [ToTablet::Order { id: 1, term: 2, order: Order::Recruit }, ToTablet::Open(Open::default())];
        sent.iter().for_each(|message| put(&mut bytes, message));
        let mut input = Vec::new();
        for byte in bytes {
            input.push(byte);
            while let Some(message) = take::<ToTablet>(&mut input) {
                heard.push(message.expect("it makes sense"));
            }
        }
        assert_eq!(heard, sent);
        assert_eq!(take::<ToTablet>(&mut vec![255, 255, 255, 255]), Some(None));
    }

    #[test]
    fn what_the_next_release_says_is_understood_as_far_as_it_is_known() {
        let mut bytes = Vec::new();
        let state = FromTablet::State("cell1-1".parse().expect("an alias"), Box::default());
        Release::Next.put(&mut bytes, &state);
        assert!(String::from_utf8_lossy(&bytes).contains("known_since_the_next"), "it says more");
        assert_eq!(take::<FromTablet>(&mut bytes), Some(None), "this one nobody knows");
        assert_eq!(take::<FromTablet>(&mut bytes), Some(Some(state)));
        assert_eq!(take::<FromTablet>(&mut bytes), None);
    }
}
