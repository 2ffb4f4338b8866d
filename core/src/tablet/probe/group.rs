//! Reading what a server says of its group.

use super::reading::text;
use crate::gtid::mysql::parse_uuid;
use crate::mysql::resultset::TextResultSet;
use crate::topo::Membership;
use crate::topo::group::{Elected, MemberState, View};

/// Most members that are looked at. Group Replication has nine at most.
const MEMBERS_MAX: usize = 64;
/// `wsrep_local_state`: the numbers of Galera's node states.
const DONOR: u8 = 2;
const SYNCED: u8 = 4;
const JOINING: [u8; 2] = [1, 3];

/// The status of a Galera cluster's member; `None` for a server of no cluster, which has no state.
pub(super) fn galera(status: &TextResultSet) -> Result<Option<Membership>, String> {
    let value = |name: &str| {
        let row = (0..status.rows.len()).find(|row| status.value(*row, "Variable_name") == Some(name.as_bytes()));
        row.and_then(|row| status.value(row, "Value"))
    };
    let count = |name| core::str::from_utf8(value(name)?).ok()?.parse::<u64>().ok();
    if value("wsrep_local_state").is_none() {
        return Ok(None);
    }
    let state = match count("wsrep_local_state").and_then(|state| u8::try_from(state).ok()) {
        // What was refused statements for now may be so for a while: its state alone does not tell.
        Some(SYNCED | DONOR) if value("wsrep_ready") != Some(b"ON") => MemberState::Joining,
        Some(SYNCED) => MemberState::Online,
        Some(DONOR) => MemberState::Desynced,
        Some(state) if JOINING.contains(&state) => MemberState::Joining,
        Some(_) => MemberState::Out,
        None => return Err("wsrep_local_state is no number".into()),
    };
    let has_quorum = value("wsrep_cluster_status") == Some(b"Primary");
    let number = count("wsrep_cluster_conf_id").filter(|_| has_quorum).unwrap_or(0);
    let members = count("wsrep_cluster_size").unwrap_or(0);
    Ok(Some(Membership {
        group: value("wsrep_cluster_state_uuid").and_then(parse_uuid),
        member: value("wsrep_gcomm_uuid").and_then(parse_uuid),
        view: View { epoch: 0, number },
        has_quorum,
        state,
        elected: Elected::Everyone,
        members: u32::try_from(members).unwrap_or(u32::MAX),
    }))
}

/// The members of a MySQL server's group as it sees them; `None` for a server without Group Replication, which has none.
///
/// Without the quorum a server keeps its last view, in which others are UNREACHABLE.
pub(super) fn replication(members: &TextResultSet) -> Result<Option<Membership>, String> {
    let rows = 0..members.rows.len().min(MEMBERS_MAX);
    let cell = |row, name| text(members, row, &[name]).unwrap_or_default();
    if rows.is_empty() {
        return Ok(None);
    }
    let own = rows.clone().find(|row| cell(*row, "member") == cell(*row, "own"));
    // Before it has joined it lists itself without a name.
    let state = own.map_or(Ok(MemberState::Out), |own| member_state(cell(own, "state")))?;
    let of_role = |role: &'static [u8]| rows.clone().filter(move |row| cell(*row, "role") == role);
    let reached = rows.clone().filter(|row| cell(*row, "state") != b"UNREACHABLE").count();
    let is_elected_mode = of_role(b"SECONDARY").next().is_some() || of_role(b"PRIMARY").count() == 1;
    let elected = match of_role(b"PRIMARY").next().map(|row| parse_uuid(cell(row, "member"))) {
        Some(Some(primary)) if is_elected_mode => Elected::One(primary),
        Some(_) if !is_elected_mode => Elected::Everyone,
        _ => Elected::Nobody,
    };
    let row = own.unwrap_or(0);
    Ok(Some(Membership {
        group: parse_uuid(cell(row, "group_name")),
        member: own.and_then(|own| parse_uuid(cell(own, "member"))),
        view: view(cell(row, "view")),
        has_quorum: state != MemberState::Out && 2 * reached > rows.len(),
        state,
        elected,
        members: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    }))
}

fn member_state(text: &[u8]) -> Result<MemberState, String> {
    match text {
        b"ONLINE" => Ok(MemberState::Online),
        b"RECOVERING" => Ok(MemberState::Joining),
        b"OFFLINE" | b"ERROR" | b"UNREACHABLE" => Ok(MemberState::Out),
        _ => Err(format!("unknown member state {}", String::from_utf8_lossy(text))),
    }
}

/// `1633700000:7`: when the group was begun, and how many views it has had.
fn view(text: &[u8]) -> View {
    let parts = core::str::from_utf8(text).ok().and_then(|text| text.split_once(':'));
    let numbers = parts.and_then(|(epoch, number)| Some((epoch.parse().ok()?, number.parse().ok()?)));
    numbers.map(|(epoch, number)| View { epoch, number }).unwrap_or_default()
}
