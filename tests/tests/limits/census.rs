//! Counts of what a gateway and its servers hold for clients, to be compared with later ones.

use std::time::{Duration, Instant};
use weir_core::mysql::resultset::TextResultSet;
use weir_tests::{TestCluster, Weir, Wire, eventually, query_value};

/// How long it may take until everything is as it was.
const RETURN_TIME_MAX: Duration = Duration::from_secs(20);

/// What is held at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    /// Clients that the gateway knows of.
    clients: u64,
    /// Server connections that clients use, and statements that wait for one.
    in_use: u64,
    /// Descriptors of the gateway, those of its pools left out.
    file_descriptors: u64,
    /// Connections that the servers know of, those of the gateway's pools left out.
    server_connections: u64,
    /// Transactions open on the servers.
    transactions: u64,
}

impl Census {
    /// Counts once the pools hold what they hold ready and nothing is under way.
    pub(crate) fn at_rest(cluster: &TestCluster, weir: &Weir) -> Self {
        let mut last = Self::take(cluster, weir);
        eventually(RETURN_TIME_MAX, "nothing is under way", || {
            let now = Self::take(cluster, weir);
            now.in_use == 0 && now == std::mem::replace(&mut last, now.clone())
        });
        last
    }

    /// Counts. The client that asks the gateway counts as well.
    fn take(cluster: &TestCluster, weir: &Weir) -> Self {
        let mut client = Wire::login(weir.address());
        let pools = client.query("SHOW WEIR POOLS").expect("the gateway's pools");
        let pooled = sum(&pools, "Busy") + sum(&pools, "Idle");
        let on_servers = |sql: &str| -> u64 {
            cluster.servers().iter().map(|server| query_value(server, sql).parse::<u64>().expect("a count")).sum()
        };
        Self {
            clients: client_count(&mut client),
            in_use: sum(&pools, "Busy") + sum(&pools, "Waiting") + sum(&pools, "Opening"),
            file_descriptors: (weir.file_descriptors() as u64).saturating_sub(pooled),
            server_connections: on_servers("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'")
                .saturating_sub(pooled),
            transactions: on_servers("SELECT COUNT(*) FROM information_schema.innodb_trx"),
        }
    }

    /// Waits until the counts are these again.
    pub(crate) fn expect_return(&self, cluster: &TestCluster, weir: &Weir) {
        let deadline = Instant::now() + RETURN_TIME_MAX;
        loop {
            let now = Self::take(cluster, weir);
            if now == *self {
                return;
            }
            assert!(Instant::now() < deadline, "was {self:?}\nis  {now:?}\n{}", weir.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Waits until the gateway knows of this many clients, the one that asks left out.
pub(crate) fn expect_clients(weir: &Weir, count: u64) {
    let mut client = Wire::login(weir.address());
    eventually(RETURN_TIME_MAX, &format!("{count} clients"), || client_count(&mut client) == count + 1);
}

fn client_count(client: &mut Wire) -> u64 {
    let status = client.query("SHOW WEIR STATUS").expect("the gateway's status");
    let row = (0..status.rows.len()).find(|row| status.value(*row, "Variable_name") == Some(b"Client_connections"));
    number(&status, row.expect("a count of clients"), "Value")
}

fn sum(rows: &TextResultSet, column: &str) -> u64 {
    (0..rows.rows.len()).map(|row| number(rows, row, column)).sum()
}

fn number(rows: &TextResultSet, row: usize, column: &str) -> u64 {
    let text = rows.value(row, column).unwrap_or_else(|| panic!("no {column} in {rows:?}"));
    String::from_utf8_lossy(text).parse().expect("a number")
}
