//! What servers counted themselves: the witness of where statements went.

use std::collections::BTreeMap;
use weir_io::servers::Server;

/// Counters by lower-case name, such as `com_select`.
pub type Counters = BTreeMap<String, u64>;

/// All numeric values of `SHOW GLOBAL STATUS`.
#[must_use]
pub fn counters(server: &Server) -> Counters {
    let rows = server.query("SHOW GLOBAL STATUS").unwrap_or_else(|error| panic!("{error}"));
    rows.rows.iter().filter_map(|row| Some((row.first()?.to_lowercase(), row.get(1)?.parse().ok()?))).collect()
}

/// How much each counter grew since `before`.
#[must_use]
pub fn counters_since(server: &Server, before: &Counters) -> Counters {
    let mut now = counters(server);
    for (name, value) in &mut now {
        *value = value.saturating_sub(before.get(name).copied().unwrap_or(0));
    }
    now
}
