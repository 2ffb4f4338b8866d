//! SET GLOBAL as calls of a store: the record is read, and written if nobody else has written it meanwhile.

use super::call::{Call, Condition, KeyValue, Put};
use super::layout::{Layout, Place};
use super::records::{decode, encode};
use crate::error::{Component, Error, Kind};
use crate::gateway::globals::Globals;
use crate::topo::names::Keyspace;

/// How often somebody else may come first until it is given up.
pub const TRIES_MAX: u32 = 16;

/// The call that reads what is kept for a keyspace.
#[must_use]
pub fn read(layout: &Layout, keyspace: &Keyspace) -> Call {
    Call::Get(layout.key(&Place::Globals(keyspace.clone())))
}

/// The call that writes it with these assignments over what was found, and what it writes.
///
/// # Errors
/// For a wrong value, and when what was found cannot be used: it is not written over.
pub fn write(
    layout: &Layout,
    keyspace: &Keyspace,
    found: Option<&KeyValue>,
    assignments: &[(String, String)],
) -> Result<(Call, Globals), Error> {
    let place = Place::Globals(keyspace.clone());
    let before = match found.map(|found| decode::<Globals>(&found.value)) {
        None => Globals::default(),
        Some(Ok(globals)) => globals,
        Some(Err(why)) => return Err(unavailable(&format!("{place} cannot be used: {why}"))),
    };
    let globals = before.assign(assignments)?;
    let key = layout.key(&place);
    let call = Call::PutIf {
        conditions: vec![Condition::Changed(key.clone(), found.map_or(0, |found| found.changed))],
        put: Put { key: key.clone(), value: encode(&globals), lease: 0 },
        otherwise: Some(key),
    };
    Ok((call, globals))
}

/// Nothing was set.
#[must_use]
pub fn unavailable(why: &str) -> Error {
    let message = format!("weir-gateway: SET GLOBAL is kept in the topology, and nothing was set: {why}");
    Error::new(Component::Gateway, Kind::Unavailable, message)
}

/// It may have been set.
#[must_use]
pub fn unknown(why: &str) -> Error {
    let message = format!(
        "weir-gateway: SET GLOBAL is kept in the topology, and whether it was set is not known: {why}; SELECT @@GLOBAL shows it"
    );
    Error::new(Component::Gateway, Kind::OutcomeUnknown, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_read_is_written_over() {
        let (layout, keyspace) = (Layout::default(), "shop".parse().unwrap());
        let set = [("monotonic_reads".to_owned(), "1".to_owned())];
        let condition = |found: Option<&KeyValue>| match write(&layout, &keyspace, found, &set).unwrap().0 {
            Call::PutIf { conditions, .. } => conditions,
            other => panic!("{other:?}"),
        };
        let key = b"/weir/global/keyspaces/shop/globals".to_vec();
        assert_eq!(condition(None), [Condition::Changed(key.clone(), 0)]);
        let value = encode(&Globals::default());
        let mut found = KeyValue { key: key.clone(), value, created: 3, changed: 9, lease: 0 };
        assert_eq!(condition(Some(&found)), [Condition::Changed(key, 9)]);
        found.value = br#"{"version":99}"#.to_vec();
        let error = write(&layout, &keyspace, Some(&found), &set).unwrap_err();
        let said = String::from_utf8_lossy(&error.message);
        assert!(said.contains("newer") && said.contains("nothing was set"), "{said}");
    }
}
