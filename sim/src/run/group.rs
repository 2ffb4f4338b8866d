//! A group of servers in a run: how they are set up, and whom they have elected.

use super::Stage;
use crate::check::Violation;
use crate::mysql::group::{self, State, View};
use crate::mysql::host::ServerProcess;
use crate::mysql::{Config, Value};
use crate::scenario::{self, Scenario};
use weir_core::time::Duration;

/// `group_replication_group_name`.
const NAME: [u8; 16] = [0xaa; 16];
/// `group_replication_member_weight`, as it is and of those who should rather be primary.
const WEIGHT: u32 = 50;
const PREFERRED: u32 = 90;
/// A member that was impaired is one again after this: it was suspected, expelled, and let in again.
pub(super) const RECOVERS_WITHIN: Duration = Duration::from_secs(6);

/// A server's configuration as a member: it takes no writes before the group says so.
pub(super) fn member(config: Config, wanted: &scenario::Group, servers: u16) -> Config {
    let weight = |number: u16| if wanted.prefer.contains(&number) { PREFERRED } else { WEIGHT };
    let servers = (1..=servers).map(|number| (number.into(), weight(number))).collect();
    let unreachable_majority_timeout = wanted.unreachable_majority_timeout.map(|span| span.0);
    let member_expel_timeout = wanted.member_expel_timeout.map_or(group::EXPEL_TIMEOUT, |span| span.0);
    let group = Some(group::Config { name: NAME, servers, member_expel_timeout, unreachable_majority_timeout });
    let mut variables = config.variables.clone();
    variables.retain(|(name, _)| name != "read_only");
    variables.push(("read_only".to_owned(), Value::Int(1)));
    Config { variables, group, start_replica: false, ..config }
}

/// The newest view that a server has.
fn newest(stage: &Stage) -> Option<&View> {
    let views = (0..stage.servers.len()).filter_map(|number| stage.server(number)?.server().member()?.view());
    views.max_by_key(|view| view.number)
}

/// The primary of the newest view, by its number: it has everything that was acknowledged.
pub(super) fn primary(stage: &Stage) -> Option<usize> {
    newest(stage).map(|view| view.primary.id as usize - 1)
}

/// Servers that users read although they were RECOVERING, or without the majority, and that was known.
pub(super) fn read_unfit(stage: &Stage) -> Vec<Violation> {
    let reads = |number: usize| stage.server(number).map_or(0, |process| process.server().unfit_reads());
    let told = (0..stage.servers.len()).filter(|number| reads(*number) > 0).map(|number| {
        let story = format!(
            "server {} was read {} times while it was RECOVERING or without the majority",
            number + 1,
            reads(number)
        );
        Violation::new("a server that may lack data is not read", story)
    });
    told.collect()
}

/// Every server is a member, and has all that was there before it.
pub(super) fn is_whole(stage: &Stage, scenario: &Scenario) -> bool {
    let online = |number: usize| {
        let member = stage.server(number).and_then(|process: &ServerProcess| process.server().member());
        member.is_some_and(|member| member.state() == State::Online)
    };
    let all = newest(stage).is_some_and(|view| view.seats.len() == stage.servers.len());
    scenario.group.is_none() || (all && (0..stage.servers.len()).all(online))
}
