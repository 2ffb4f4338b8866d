//! Which server is the primary, found from the servers themselves, and replication from it to the others.

use super::accounts::Account;
use super::client::literal;
use super::error::{Error, Result};
use super::server::Server;
use std::time::{Duration, Instant};

/// How long a start waits for replicas to follow. One that does not is reported, and left to the health checks.
const FOLLOW_MAX: Duration = Duration::from_secs(10);

/// What a server says of its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It has a replication source.
    Follows,
    /// No source, but transactions of its own.
    Leads,
    /// Neither: a new server.
    New,
}

/// Makes the primary writable and lets all others follow it.
pub(super) fn establish(servers: &[Server], replication: &Account) -> Result<()> {
    let pasts = servers.iter().map(past).collect::<Result<Vec<_>>>()?;
    let primary = &servers[choose_primary(&pasts)?];
    let replicas: Vec<&Server> = servers.iter().filter(|server| server.number() != primary.number()).collect();
    for replica in &replicas {
        replica.query(&follow(primary, replication))?;
    }
    primary.query("SET GLOBAL read_only = 0")?;
    wait_until_following(&replicas)
}

/// After a restart of one server: it goes on as what it was.
pub(super) fn resume(server: &Server) -> Result<()> {
    let statement = match past(server)? {
        Past::Follows => "START SLAVE",
        Past::Leads | Past::New => "SET GLOBAL read_only = 0",
    };
    server.query(statement).map(|_| ())
}

fn past(server: &Server) -> Result<Past> {
    if server.query("SHOW SLAVE STATUS")?.value().is_some() {
        return Ok(Past::Follows);
    }
    let position = server.query("SELECT @@GLOBAL.gtid_current_pos, @@GLOBAL.gtid_binlog_pos")?;
    let has_transactions = position.rows.iter().flatten().any(|position| !position.is_empty());
    Ok(if has_transactions { Past::Leads } else { Past::New })
}

/// The index of the primary. Anything that would need a guess is refused: it could lose somebody's data.
fn choose_primary(pasts: &[Past]) -> Result<usize> {
    let leading: Vec<usize> = (0..pasts.len()).filter(|i| pasts[*i] == Past::Leads).collect();
    let new = (0..pasts.len()).find(|i| pasts[*i] == Past::New);
    match (leading.as_slice(), new) {
        ([primary], _) => Ok(*primary),
        // The first start; or a later one, when nothing was ever written.
        ([], Some(first)) => Ok(first),
        ([], None) => Err(Error::new(
            "every one of these servers is a replica: start as many servers as the last time, so that the primary is among them",
        )),
        (several, _) => {
            let numbers: Vec<String> = several.iter().map(|i| (i + 1).to_string()).collect();
            Err(Error::new(format!(
                "servers {} all have transactions and no replication source: Weir does not guess which is the primary",
                numbers.join(", ")
            )))
        }
    }
}

/// The primary may have a new port, so the source is set at every start; the GTID position decides where to go on.
fn follow(primary: &Server, replication: &Account) -> String {
    format!(
        "STOP SLAVE; CHANGE MASTER TO MASTER_HOST = '{}', MASTER_PORT = {}, MASTER_USER = {}, \
         MASTER_PASSWORD = {}, MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE;",
        primary.address().ip(),
        primary.address().port(),
        literal(&replication.user),
        literal(&replication.password),
    )
}

fn wait_until_following(replicas: &[&Server]) -> Result<()> {
    let deadline = Instant::now() + FOLLOW_MAX;
    for replica in replicas {
        loop {
            let status = replica.query("SHOW SLAVE STATUS")?;
            let field = |name| status.first(name).unwrap_or_default();
            if field("Slave_IO_Running") == "Yes" && field("Slave_SQL_Running") == "Yes" {
                break;
            }
            if Instant::now() > deadline {
                let (receiving, applying) = (field("Last_IO_Error"), field("Last_SQL_Error"));
                tracing::warn!(server = replica.number(), receiving, applying, "replica does not follow");
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Past::{Follows, Leads, New};
    use super::*;

    #[test]
    fn a_new_cluster_begins_with_its_first_server() {
        assert_eq!(choose_primary(&[New, New, New]).unwrap(), 0);
    }

    #[test]
    fn the_server_without_a_source_stays_primary() {
        assert_eq!(choose_primary(&[Follows, Leads, Follows]).unwrap(), 1);
        assert_eq!(choose_primary(&[Follows, Leads, New]).unwrap(), 1, "a server added later follows");
        assert_eq!(choose_primary(&[New, Follows, Follows]).unwrap(), 0, "nothing was ever written");
    }

    #[test]
    fn a_primary_is_never_guessed() {
        assert!(choose_primary(&[Follows, Follows]).is_err());
        assert!(choose_primary(&[Leads, Leads]).is_err());
    }
}
