//! How the shard is, as JSON for the page. However many browsers look, gateways and orchestrators are asked once a second.

use super::Shard;
use super::deeds::UnderWay;
use super::site::Refusal;
use crate::ctl::digests::{By, Digests, add, add_up, order};
use crate::ctl::{SessionOf, TabletAt, tablets_at};
use crate::snapshot::{Snapshot, look};
use clap::ValueEnum as _;
use serde::Serialize;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use weir_io::admin::messages::{Digest, GatewayStatus, OrchestratorStatus, Tablet, Totals};
use weir_io::admin::{Asked, Gateway};
use weir_io::http::StatusCode;

/// What was said so long ago is said again.
const FRESH_FOR: Duration = Duration::from_millis(900);
/// Sessions that are shown, at most: those that run something first.
const SESSIONS_MAX: usize = 500;
/// What is shown of a session's statement, in characters.
const STATEMENT_SHOWN: usize = 400;
/// Forms of statements that are shown, at most.
const FORMS_MAX: usize = 200;
/// The command of a session that waits for its client.
const IDLE: &str = "Sleep";

/// Something that was asked, for those who ask the same a little later.
struct Glance<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Glance<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Glance<T> {
    async fn get<E>(&self, ask: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        let mut last = self.0.lock().await;
        if let Some((at, known)) = &*last
            && at.elapsed() < FRESH_FOR
        {
            return Ok(Arc::clone(known));
        }
        let now = Arc::new(ask.await?);
        *last = Some((Instant::now(), Arc::clone(&now)));
        Ok(now)
    }
}

/// See the module.
pub(super) struct View {
    shard: Arc<Shard>,
    cluster: Glance<(Snapshot, Vec<TabletAt>)>,
    statements: Glance<(Digests, Vec<Silent>)>,
    sessions: Glance<Sessions>,
}

/// One that has not answered.
#[derive(Debug, Serialize)]
struct Silent {
    name: String,
    why: String,
}

fn those_that_answered<T>(asked: Asked<T>) -> (Vec<(String, T)>, Vec<Silent>) {
    let (mut said, mut silent) = (Vec::new(), Vec::new());
    for (name, answer) in asked {
        match answer {
            Ok(answer) => said.push((name, answer)),
            Err(why) => silent.push(Silent { name, why }),
        }
    }
    (said, silent)
}

/// A process, or why it has not answered.
#[derive(Serialize)]
struct Process<'a, T> {
    name: &'a str,
    status: Option<&'a T>,
    why: Option<&'a str>,
}

fn processes<T>(asked: &Asked<T>) -> Vec<Process<'_, T>> {
    let shown = asked.iter().map(|(name, status)| (name, status.as_ref()));
    shown.map(|(name, status)| Process { name, status: status.ok(), why: status.err().map(String::as_str) }).collect()
}

#[derive(Serialize)]
struct ClusterShown<'a> {
    shard: &'a str,
    holder: Option<&'a OrchestratorStatus>,
    gateways: Vec<Process<'a, GatewayStatus>>,
    orchestrators: Vec<Process<'a, OrchestratorStatus>>,
    tablets: &'a [Tablet],
    /// Where the tablets' processes are, when they are not all one.
    processes: &'a [TabletAt],
    trouble: &'a [String],
    /// What somebody has had done, and is not done yet.
    under_way: Option<UnderWay>,
}

#[derive(Serialize)]
struct StatementsShown<'a> {
    forms: Vec<&'a Digest>,
    /// How many there are.
    count: usize,
    /// Of all, shown or not.
    totals: Totals,
    others: Totals,
    silent: &'a [Silent],
}

#[derive(Debug, Serialize)]
struct Sessions {
    sessions: Vec<SessionOf>,
    /// How many there are.
    count: usize,
    /// How many of them wait for their clients.
    idle: usize,
    silent: Vec<Silent>,
}

impl View {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        Self { shard, cluster: Glance::default(), statements: Glance::default(), sessions: Glance::default() }
    }

    pub(super) async fn cluster(&self, under_way: Option<UnderWay>) -> Result<String, Refusal> {
        let seen = self.cluster.get(async {
            let cluster = self.shard.cluster().await.map_err(Refusal::said)?;
            Ok((look(cluster).await, tablets_at(cluster)))
        });
        let seen = seen.await?;
        let (Snapshot { shard, holder, orchestrators, tablets, gateways, trouble, .. }, at) = &*seen;
        text(&ClusterShown {
            shard,
            holder: holder.as_ref(),
            gateways: processes(gateways),
            orchestrators: processes(orchestrators),
            tablets,
            processes: at,
            trouble,
            under_way,
        })
    }

    /// The query says what comes first: `by=count`.
    pub(super) async fn statements(&self, query: &str) -> Result<String, Refusal> {
        let by = query.strip_prefix("by=").map_or(Ok(By::Time), |by| By::from_str(by, false));
        let by = by.map_err(|why| Refusal(StatusCode::BAD_REQUEST, why))?;
        let seen = self.statements.get(async {
            let gateways = self.shard.cluster().await.and_then(|cluster| cluster.gateways()).map_err(Refusal::said)?;
            let (said, silent) = those_that_answered(Gateway::each(&gateways, Gateway::digests).await);
            Ok((add_up(said.into_iter().map(|(_, said)| said)), silent))
        });
        let seen = seen.await?;
        let (Digests { digests, others, .. }, silent) = &*seen;
        let mut forms: Vec<&Digest> = digests.iter().collect();
        forms.sort_by(|a, b| order(by, b, a));
        let mut totals = *others;
        for form in &forms {
            add(&mut totals, &form.totals.unwrap_or_default());
        }
        let count = forms.len();
        forms.truncate(FORMS_MAX);
        text(&StatementsShown { forms, count, totals, others: *others, silent })
    }

    pub(super) async fn sessions(&self) -> Result<String, Refusal> {
        let seen = self.sessions.get(async {
            let gateways = self.shard.cluster().await.and_then(|cluster| cluster.gateways()).map_err(Refusal::said)?;
            let (said, silent) = those_that_answered(Gateway::each(&gateways, Gateway::sessions).await);
            let of = |(gateway, sessions): (String, Vec<_>)| {
                sessions.into_iter().map(move |session| SessionOf { gateway: gateway.clone(), session })
            };
            Ok(sessions(said.into_iter().flat_map(of).collect(), silent))
        });
        text(&*seen.await?)
    }
}

/// Those that are shown.
fn sessions(mut all: Vec<SessionOf>, silent: Vec<Silent>) -> Sessions {
    let is_idle = |it: &SessionOf| it.session.command == IDLE;
    let (count, idle) = (all.len(), all.iter().filter(|it| is_idle(it)).count());
    all.sort_by_key(|it| (is_idle(it), Reverse(it.session.seconds), it.session.id));
    all.truncate(SESSIONS_MAX);
    for SessionOf { session, .. } in &mut all {
        if let Some((end, _)) = session.info.char_indices().nth(STATEMENT_SHOWN) {
            session.info.truncate(end);
            session.info.push('…');
        }
    }
    Sessions { sessions: all, count, idle, silent }
}

fn text(shown: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(shown).map_err(|why| Refusal(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_io::admin::messages::Session;

    #[test]
    fn sessions_that_run_something_come_first_and_long_statements_end() {
        let session = |id, command: &str, seconds, info: String| SessionOf {
            gateway: "up".to_owned(),
            session: Session { id, command: command.to_owned(), seconds, info, ..Session::default() },
        };
        let idle = (0..SESSIONS_MAX as u32 + 9).map(|id| session(id, IDLE, u64::from(id), String::new()));
        let busy = [
            session(7000, "Query", 1, "ä".repeat(STATEMENT_SHOWN + 1)),
            session(7001, "Query", 5, "SELECT 1".to_owned()),
        ];
        let shown = sessions(idle.chain(busy).collect(), Vec::new());
        assert_eq!(
            (shown.count, shown.idle, shown.sessions.len()),
            (SESSIONS_MAX + 11, SESSIONS_MAX + 9, SESSIONS_MAX)
        );
        let ids: Vec<u32> = shown.sessions.iter().map(|it| it.session.id).take(3).collect();
        assert_eq!(ids, [7001, 7000, SESSIONS_MAX as u32 + 8]);
        assert_eq!(shown.sessions[1].session.info, "ä".repeat(STATEMENT_SHOWN) + "…");
    }

    #[tokio::test]
    async fn what_was_just_asked_is_not_asked_again_and_a_failure_is() {
        let glance = Glance::default();
        assert_eq!(glance.get(async { Err::<u8, _>("no") }).await, Err("no"));
        assert_eq!(glance.get(async { Ok::<_, &str>(1) }).await.as_deref(), Ok(&1));
        assert_eq!(glance.get(async { Ok::<_, &str>(2) }).await.as_deref(), Ok(&1));
        tokio::time::sleep(FRESH_FOR).await;
        assert_eq!(glance.get(async { Ok::<_, &str>(3) }).await.as_deref(), Ok(&3));
    }
}
