//! What `weir ctl` prints: tables for people, JSON for programs.

use super::{ConfigOf, PolicyOf, PoolOf, Quarantined, SessionOf, Tablet, Topology};
use serde::Serialize;
use std::io::Write as _;

/// What is shown of a statement in a table, in characters.
const INFO_SHOWN: usize = 80;

/// Prints JSON.
pub(super) fn json(what: &impl Serialize) {
    // Structs of texts, numbers and lists of such.
    put(&(serde_json::to_string_pretty(what).unwrap_or_default() + "\n"));
}

/// Whoever reads may have left, which is no error.
pub(super) fn put(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Lines with columns as wide as what stands in them.
#[derive(Debug)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn new<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        let rows = rows.into_iter().map(Vec::from);
        Self(std::iter::once(heads.map(str::to_owned).to_vec()).chain(rows).collect())
    }

    pub(super) fn print(&self) {
        put(&self.lines());
    }

    fn lines(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| self.0.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            cells.join("  ").trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }
}

/// On one line, whatever a client or a server has put there.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn yes(is: bool) -> String {
    if is { "yes".to_owned() } else { "no".to_owned() }
}

pub(super) fn tablets(tablets: &[Tablet]) -> Table {
    let heads = ["TABLET", "ROLE", "TERM", "LAG_S", "QPS", "SESSIONS", "STATE", "ROTATION", "NOTE"];
    let row = |tablet: &Tablet| {
        [
            tablet.tablet.clone(),
            tablet.role.clone(),
            tablet.term.to_string(),
            optional(tablet.lag_seconds.map(|lag| format!("{lag:.3}"))),
            format!("{:.1}", tablet.queries_per_second),
            tablet.sessions.to_string(),
            plain(&tablet.state),
            plain(&tablet.rotation),
            plain(&tablet.note),
        ]
    };
    Table::new(heads, tablets.iter().map(row))
}

pub(super) fn pools(pools: &[PoolOf]) -> Table {
    let heads =
        ["TABLET", "BUSY", "IDLE", "OPENING", "WAITING", "GRANTED", "AFTER_WAIT", "REFUSED", "OPENED", "FAILED"];
    let row = |PoolOf { tablet, pool }: &PoolOf| {
        [
            tablet.clone(),
            pool.busy.to_string(),
            pool.idle.to_string(),
            pool.opening.to_string(),
            pool.waiting.to_string(),
            pool.granted.to_string(),
            pool.granted_after_wait.to_string(),
            pool.refused.to_string(),
            pool.opened.to_string(),
            pool.open_failed.to_string(),
        ]
    };
    Table::new(heads, pools.iter().map(row))
}

pub(super) fn sessions(sessions: &[SessionOf]) -> Table {
    let heads = ["GATEWAY", "ID", "USER", "HOST", "SCHEMA", "COMMAND", "SECONDS", "STATE", "INFO"];
    let row = |SessionOf { gateway, session }: &SessionOf| {
        [
            gateway.clone(),
            session.id.to_string(),
            plain(&session.user),
            plain(&session.host),
            optional(session.schema.as_deref().map(plain)),
            session.command.clone(),
            session.seconds.to_string(),
            session.state.clone(),
            plain(&session.info).chars().take(INFO_SHOWN).collect(),
        ]
    };
    Table::new(heads, sessions.iter().map(row))
}

pub(super) fn config(gateways: &[ConfigOf]) -> Table {
    let rows = gateways.iter().flat_map(|ConfigOf { gateway, variables, set }| {
        variables.iter().map(|(name, value)| {
            let by = if set.contains(name) { "SET GLOBAL" } else { "" };
            [gateway.clone(), name.clone(), value.clone(), by.to_owned()]
        })
    });
    Table::new(["GATEWAY", "VARIABLE", "VALUE", "BY"], rows)
}

pub(super) fn policy(PolicyOf { policy, cohort }: &PolicyOf) -> Table {
    let rows = [
        ["durability".to_owned(), policy.durability.clone()],
        ["acknowledgements".to_owned(), policy.acknowledgements.to_string()],
        ["cohort".to_owned(), cohort.join(" ")],
    ];
    Table::new(["POLICY", ""], rows)
}

pub(super) fn quarantine(quarantined: &[Quarantined]) -> Table {
    let row = |it: &Quarantined| [it.tablet.clone(), plain(&it.why)];
    Table::new(["TABLET", "WHY"], quarantined.iter().map(row))
}

pub(super) fn topology(topology: &Topology) -> Table {
    let mut rows = vec![["shard".to_owned(), topology.shard.clone(), String::new(), String::new(), String::new()]];
    let role = |tablet: &str| match &topology.primary {
        Some(primary) if primary == tablet => format!("primary in term {}", optional(topology.term)),
        _ if topology.drained.iter().any(|drained| drained == tablet) => "out of service".to_owned(),
        _ => String::new(),
    };
    for tablet in &topology.tablets {
        let runs = match tablet.runs {
            Some(false) => "its process does not run".to_owned(),
            _ => role(&tablet.tablet),
        };
        let (grpc, mysql) = (optional(tablet.grpc.as_ref()), optional(tablet.mysql.as_ref()));
        rows.push(["tablet".to_owned(), tablet.tablet.clone(), grpc, mysql, runs]);
    }
    for it in &topology.orchestrators {
        let said =
            it.holds_lock.map_or_else(|| "does not answer".to_owned(), |holds| format!("holds lock: {}", yes(holds)));
        rows.push(["orchestrator".to_owned(), it.name.clone(), optional(it.grpc.as_ref()), "-".to_owned(), said]);
    }
    for gateway in &topology.gateways {
        let grpc = optional(gateway.grpc.as_ref());
        rows.push(["gateway".to_owned(), gateway.name.clone(), grpc, gateway.mysql.clone(), gateway.cell.clone()]);
    }
    Table::new(["WHAT", "NAME", "GRPC", "MYSQL", ""], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them_and_lines_end_where_it_ends() {
        let table = Table::new(["A", "B"], [["1".to_owned(), String::new()], ["größer".to_owned(), "x".to_owned()]]);
        assert_eq!(table.lines(), "A       B\n1\ngrößer  x\n");
    }

    #[test]
    fn what_a_client_sends_cannot_write_over_the_terminal() {
        assert_eq!(plain("SELECT\n\u{1b}[2J 1"), "SELECT  [2J 1");
    }

    #[test]
    fn a_quarantine_without_anybody_is_a_list_without_anybody() {
        let named = super::super::Named::<Quarantined> { name: "quarantined", rows: &[] };
        assert_eq!(serde_json::to_string(&named).expect("JSON"), r#"{"quarantined":[]}"#);
    }
}
