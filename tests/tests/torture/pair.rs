//! One session twice: through Weir and directly.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::packet::{EOF, ERR, EofPacket, OK, OkPacket, PrepareOk, ends_rows, parse_err};
use weir_tests::{Heard, Wire};

/// Statements before a difference that are told with it.
const HISTORY_MAX: usize = 8;
/// ER_OUT_OF_RESOURCES: the kind of error by which Weir says that diagnostics are gone.
const GONE: u16 = 1041;
/// SERVER_MORE_RESULTS_EXISTS.
const MORE_RESULTS: u16 = 8;

/// What a session does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Query(String),
    Prepare(String),
    /// The n-th of the statements that are prepared, with one integer.
    Execute(usize, i64),
    Close(usize),
    InitDb(String),
    Reset,
    Ping,
}

/// What the two said.
pub(crate) enum Said {
    Same {
        error: bool,
    },
    /// Weir said that diagnostics are gone.
    Refused,
    Different(Box<Difference>),
}

/// Two answers that differ.
#[derive(Debug)]
pub(crate) struct Difference {
    session: u64,
    history: Vec<Step>,
    weir: String,
    alone: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "session {}:", self.session)?;
        self.history.iter().try_for_each(|step| writeln!(f, "    {step:?}"))?;
        write!(f, "  Weir:  {}\n  alone: {}", self.weir, self.alone)
    }
}

pub(crate) struct Pair {
    session: u64,
    weir: Wire,
    alone: Wire,
    /// Ids of prepared statements: Weir's, the server's, and their number of parameters.
    prepared: Vec<(u32, u32, u16)>,
    history: VecDeque<Step>,
}

impl Pair {
    pub(crate) fn login(weir: SocketAddr, alone: SocketAddr, session: u64) -> Self {
        let schema = format!("s{session}");
        // Half of the clients that there are still want EOF packets.
        let without =
            if session.is_multiple_of(2) { CapabilityFlags::CLIENT_DEPRECATE_EOF } else { CapabilityFlags::empty() };
        let login = |address| {
            Wire::try_login_without(address, Some(&schema), without)
                .unwrap_or_else(|heard| panic!("cannot log in: {heard:?}"))
        };
        Self { session, weir: login(weir), alone: login(alone), prepared: Vec::new(), history: VecDeque::new() }
    }

    /// Does it on both.
    pub(crate) fn run(&mut self, step: &Step) -> Said {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(step.clone());
        match step {
            Step::Query(sql) => self.ask(&ClientCommand::Query(sql.as_bytes())),
            Step::InitDb(name) => self.ask(&ClientCommand::InitDb(name.as_bytes())),
            Step::Ping => self.ask(&ClientCommand::Ping),
            Step::Reset => {
                self.prepared.clear();
                self.ask(&ClientCommand::ResetConnection)
            }
            Step::Prepare(sql) => self.prepare(sql),
            Step::Execute(index, value) => self.execute(*index, *value),
            Step::Close(index) => {
                if *index < self.prepared.len() {
                    let (ours, theirs, _) = self.prepared.swap_remove(*index);
                    self.weir.command(&ClientCommand::CloseStatement { statement_id: ours });
                    self.alone.command(&ClientCommand::CloseStatement { statement_id: theirs });
                }
                Said::Same { error: false }
            }
        }
    }

    fn ask(&mut self, command: &ClientCommand<'_>) -> Said {
        self.weir.command(command);
        self.alone.command(command);
        let (weir, alone) = (answer(&mut self.weir), answer(&mut self.alone));
        self.compare(&weir, &alone)
    }

    fn prepare(&mut self, sql: &str) -> Said {
        let command = ClientCommand::Prepare(sql.as_bytes());
        self.weir.command(&command);
        self.alone.command(&command);
        let ((ours, weir), (theirs, alone)) = (prepared(&mut self.weir), prepared(&mut self.alone));
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            self.prepared.push((ours.statement_id, theirs.statement_id, ours.parameters));
        }
        self.compare(&weir, &alone)
    }

    fn execute(&mut self, index: usize, value: i64) -> Said {
        let Some(&(ours, theirs, parameters)) = self.prepared.get(index) else { return Said::Same { error: false } };
        // No cursor, one iteration.
        let mut body = vec![0, 1, 0, 0, 0];
        if parameters > 0 {
            // No NULLs, types follow: MYSQL_TYPE_LONGLONG.
            body.extend([0, 1]);
            body.extend([8, 0].repeat(parameters.into()));
            body.extend(value.to_le_bytes().repeat(parameters.into()));
        }
        self.weir.command(&ClientCommand::Execute { statement_id: ours, body: &body });
        self.alone.command(&ClientCommand::Execute { statement_id: theirs, body: &body });
        let (weir, alone) = (answer(&mut self.weir), answer(&mut self.alone));
        self.compare(&weir, &alone)
    }

    fn compare(&self, weir: &[Heard], alone: &[Heard]) -> Said {
        let same =
            |(one, other): (&Heard, &Heard)| one == other || in_order(one, &self.weir) == in_order(other, &self.alone);
        if weir.len() == alone.len() && weir.iter().zip(alone).all(same) {
            return Said::Same { error: weir.last().is_some_and(|heard| heard.error().is_some()) };
        }
        if weir.last().and_then(Heard::error).is_some_and(|error| error.code == GONE) {
            return Said::Refused;
        }
        let said = |packets: &[Heard], wire: &Wire| {
            packets.iter().map(|heard| told(heard, wire.capabilities())).collect::<Vec<_>>().join(" | ")
        };
        Said::Different(Box::new(Difference {
            session: self.session,
            history: self.history.iter().cloned().collect(),
            weir: said(weir, &self.weir),
            alone: said(alone, &self.alone),
        }))
    }
}

/// An OK packet whose trackers' entries stand in a fixed order: servers' own depends on what else they track.
fn in_order(heard: &Heard, wire: &Wire) -> Option<(OkPacket, Vec<String>)> {
    let Heard::Packet(payload) = heard else { return None };
    let is_ok = payload.len() >= 7 && matches!(payload.first(), Some(&(OK | EOF)));
    let mut ok = OkPacket::parse(payload, wire.capabilities()).ok().filter(|_| is_ok)?;
    let mut entries: Vec<_> = ok.session_state().map(|entry| format!("{entry:?}")).collect();
    entries.sort();
    ok.session_state.clear();
    Some((ok, entries))
}

fn told(heard: &Heard, capabilities: CapabilityFlags) -> String {
    let Heard::Packet(payload) = heard else { return format!("{heard:?}") };
    match OkPacket::parse(payload, capabilities) {
        Ok(ok) if matches!(payload.first(), Some(&(OK | EOF))) && payload.len() >= 7 => format!("{ok:?}"),
        _ => format!("{heard:?}"),
    }
}

/// All packets of an answer to a statement, of further results too.
fn answer(wire: &mut Wire) -> Vec<Heard> {
    let mut packets = Vec::new();
    loop {
        let first = wire.hear();
        let kind = if let Heard::Packet(payload) = &first { payload.first().copied() } else { None };
        packets.push(first);
        if !matches!(kind, None | Some(OK | ERR)) {
            rows(wire, &mut packets);
        }
        let Some(Heard::Packet(last)) = packets.last() else { return packets };
        if last.first() == Some(&ERR) || status(last, wire.capabilities()) & MORE_RESULTS == 0 {
            return packets;
        }
    }
}

fn rows(wire: &mut Wire, packets: &mut Vec<Heard>) {
    let mut ends_before = u8::from(!wire.capabilities().contains(CapabilityFlags::CLIENT_DEPRECATE_EOF));
    loop {
        let next = wire.hear();
        let (is_end, is_error) = match &next {
            Heard::Packet(payload) => {
                let first = payload.first().copied().unwrap_or_default();
                (ends_rows(first, payload.len(), wire.capabilities()), first == ERR && parse_err(payload).is_ok())
            }
            _ => (true, true),
        };
        packets.push(next);
        if is_error || is_end && ends_before == 0 {
            return;
        }
        ends_before -= u8::from(is_end);
    }
}

fn status(payload: &[u8], capabilities: CapabilityFlags) -> u16 {
    if EofPacket::matches(payload) && !capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        return EofPacket::parse(payload).map_or(0, |eof| eof.status);
    }
    OkPacket::parse(payload, capabilities).map_or(0, |ok| ok.status)
}

/// The answer to COM_STMT_PREPARE; ids, which may differ, are taken out.
fn prepared(wire: &mut Wire) -> (Option<PrepareOk>, Vec<Heard>) {
    let first = wire.hear();
    let Heard::Packet(payload) = &first else { return (None, vec![first]) };
    let Ok(ok) = PrepareOk::parse(payload) else { return (None, vec![first]) };
    let mut payload = payload.clone();
    payload[1..5].fill(0);
    let mut packets = vec![Heard::Packet(payload)];
    let eof = u16::from(!wire.capabilities().contains(CapabilityFlags::CLIENT_DEPRECATE_EOF));
    for group in [ok.parameters, ok.columns].into_iter().filter(|count| *count > 0) {
        packets.extend((0..group + eof).map(|_| wire.hear()));
    }
    (Some(ok), packets)
}
