//! What servers counted themselves: the witness of where statements went.

use std::collections::BTreeMap;
use weir_io::servers::Server;

/// Statements that a server counted for one user (`information_schema.USER_STATISTICS`, which needs `userstat=ON`).
/// `SHOW GLOBAL STATUS` cannot tell clients from replication: MariaDB counts replicated rows as commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statements {
    /// Statements that read.
    pub reads: u64,
    /// Statements that write.
    pub writes: u64,
}

impl Statements {
    /// What `server` counted for `user` so far.
    #[must_use]
    pub fn of(server: &Server, user: &str) -> Self {
        let sql = "SELECT SUM(SELECT_COMMANDS) AS `reads`, SUM(UPDATE_COMMANDS) AS `writes` \
                   FROM information_schema.USER_STATISTICS WHERE USER = ";
        let rows = server.query(&format!("{sql}'{user}'")).unwrap_or_else(|error| panic!("{error}"));
        let column = |name| rows.first(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Self { reads: column("reads"), writes: column("writes") }
    }

    /// How many there were since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { reads: self.reads - before.reads, writes: self.writes - before.writes }
    }
}

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
