//! How a gateway gets its number, as calls of a store: the last one is read, and the next written if nobody else has meanwhile.

use super::call::{Call, Condition, KeyValue, Put};
use super::layout::{Layout, Place};
use super::records::{Unreadable, decode, encode};
use crate::gateway::ids::{GatewayNumber, Numbers};
use crate::topo::names::ShardName;
use std::collections::BTreeSet;

/// The call that reads which number was given last.
#[must_use]
pub fn read(layout: &Layout, shard: &ShardName) -> Call {
    Call::Get(layout.key(&Place::Numbers(shard.clone())))
}

/// The call that takes the next number after what was found, and that number; `None` when gateways show them all.
///
/// # Errors
/// When what was found cannot be used: it is not written over.
pub fn take(
    layout: &Layout,
    shard: &ShardName,
    found: Option<&KeyValue>,
    shown: &BTreeSet<GatewayNumber>,
) -> Result<Option<(Call, GatewayNumber)>, Unreadable> {
    let numbers = found.map(|found| decode::<Numbers>(&found.value)).transpose()?.unwrap_or_default();
    let key = layout.key(&Place::Numbers(shard.clone()));
    Ok(numbers.next(shown).map(|last| {
        let call = Call::PutIf {
            conditions: vec![Condition::Changed(key.clone(), found.map_or(0, |found| found.changed))],
            put: Put { key: key.clone(), value: encode(&Numbers { last }), lease: 0 },
            otherwise: Some(key),
        };
        (call, last)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_another_has_taken_meanwhile_is_not_taken() {
        let (layout, shard) = (Layout::default(), "shop/0".parse().expect("a shard"));
        let key = b"/weir/global/keyspaces/shop/shards/0/numbers".to_vec();
        let first = GatewayNumber::of(1 << 22);
        let take = |found: Option<&KeyValue>, shown: &[GatewayNumber]| {
            super::take(&layout, &shard, found, &shown.iter().copied().collect()).map(|taken| match taken {
                Some((Call::PutIf { conditions, put, .. }, number)) => (conditions, put.value, number),
                other => panic!("{other:?}"),
            })
        };
        let value = encode(&Numbers { last: first });
        assert_eq!(take(None, &[]), Ok((vec![Condition::Changed(key.clone(), 0)], value.clone(), first)));
        let mut found = KeyValue { key: key.clone(), value, created: 3, changed: 9, lease: 0 };
        let (conditions, _, number) = take(Some(&found), &[GatewayNumber::of(2 << 22)]).expect("a number");
        assert_eq!((conditions, number), (vec![Condition::Changed(key, 9)], GatewayNumber::of(3 << 22)));
        found.value = br#"{"version":99}"#.to_vec();
        assert!(matches!(take(Some(&found), &[]), Err(Unreadable::Newer(99, 1))));
    }
}
