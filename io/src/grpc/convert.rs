//! Messages of `weir_core::link` as protobuf, and back. What comes in is data: whatever makes no sense is refused by name.

use super::proto::query as pb;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use weir_core::error::{Component, Effect, Error, Kind};
use weir_core::gateway::session::{Fate, LeaseKey};
use weir_core::gtid::{Flavor, Position};
use weir_core::link::{
    Asks, Caller, ClientFormat, ClientName, Command, Condition, ConnectionTraits, Counts, Digest, Ended, Left, Level,
    LongData, Reply, Request, Settings, Statement, Wait,
};
use weir_core::mysql::packet::{OkPacket, PrepareOk};
use weir_core::time::Duration;
use weir_core::topo::Role;
use weir_core::trace::{Context, SpanId, TraceId};

/// What a peer said makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of weir.query.v1 makes no sense: {}", self.0)
    }
}

type Read<T> = Result<T, Malformed>;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// Connections.

pub(crate) fn role(role: Role) -> pb::Role {
    match role {
        Role::Primary => pb::Role::Primary,
        Role::Replica => pb::Role::Replica,
        Role::RdOnly => pb::Role::Rdonly,
        Role::Unknown => pb::Role::Unknown,
    }
}

pub(crate) fn read_role(role: i32) -> Role {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Primary) => Role::Primary,
        Ok(pb::Role::Replica) => Role::Replica,
        Ok(pb::Role::Rdonly) => Role::RdOnly,
        Ok(pb::Role::Unknown) | Err(_) => Role::Unknown,
    }
}

pub(crate) fn position(position: &Position) -> pb::Position {
    let is = match position.flavor() {
        None => None,
        Some(Flavor::MariaDb) => Some(pb::position::Is::Mariadb(position.to_string())),
        Some(Flavor::MySql) => Some(pb::position::Is::Mysql(position.to_string())),
    };
    pb::Position { is }
}

pub(crate) fn read_position(position: Option<pb::Position>) -> Read<Position> {
    let parsed = match position.and_then(|position| position.is) {
        None => return Ok(Position::default()),
        Some(pb::position::Is::Mariadb(text)) => Position::parse(Flavor::MariaDb, text),
        Some(pb::position::Is::Mysql(text)) => Position::parse(Flavor::MySql, text),
    };
    parsed.map_err(|_| Malformed("a position"))
}

pub(crate) const fn name(key: LeaseKey) -> pb::ConnectionName {
    pb::ConnectionName { connection: key.connection, epoch: key.epoch }
}

pub(crate) fn read_traits(bits: u32) -> Read<ConnectionTraits> {
    let traits = u8::try_from(bits).ok().and_then(ConnectionTraits::from_bits);
    traits.ok_or(Malformed("traits that this version does not know"))
}

pub(crate) const fn release(fate: Fate) -> pb::Release {
    pb::Release { keep: matches!(fate, Fate::Keep) }
}

pub(crate) const fn read_release(release: pb::Release) -> Fate {
    if release.keep { Fate::Keep } else { Fate::Close }
}

/// What was said last on a lane of the settings that should hold: it is said again only when it changes.
#[derive(Debug, Default)]
pub(crate) struct LastSettings(Option<Arc<Settings>>);

impl LastSettings {
    pub(crate) fn say(&mut self, settings: &Arc<Settings>) -> Option<pb::Settings> {
        let is_same = |last: &Arc<Settings>| Arc::ptr_eq(last, settings) || last == settings;
        if self.0.as_ref().is_some_and(is_same) {
            return None;
        }
        self.0 = Some(Arc::clone(settings));
        let variables = settings.variables.iter();
        let variables = variables.map(|(name, value)| pb::Variable { name: name.clone(), value: value.clone() });
        Some(pb::Settings { schema: settings.schema.clone(), variables: variables.collect() })
    }

    pub(crate) fn read(&mut self, said: Option<pb::Settings>) -> Read<Arc<Settings>> {
        if let Some(settings) = said {
            let variables = settings.variables.into_iter().map(|variable| (variable.name, variable.value));
            self.0 = Some(Arc::new(Settings { schema: settings.schema, variables: variables.collect() }));
        }
        self.0.clone().ok_or(Malformed("settings were never said on this lane"))
    }
}

// Requests.

/// The message, and about how many bytes it takes.
pub(crate) fn request(request: Request, last: &mut LastSettings) -> (pb::Request, usize) {
    let settings = last.say(&request.settings);
    let mut bytes = settings.as_ref().map_or(0, prost::Message::encoded_len);
    let statement = |statement: &Statement| statement_of(statement, &request.settings);
    let command = match request.command {
        Command::Plain(payload) => {
            bytes += payload.len();
            pb::request::Command::Plain(payload)
        }
        Command::Prepare(prepared) => pb::request::Command::Prepare(statement(&prepared)),
        Command::Execute { statement: prepared, payload, long_data, bulk } => {
            bytes += payload.len() + prepared.sql.len() + long_data.iter().map(|part| part.data.len()).sum::<usize>();
            let long_data = long_data.into_iter();
            let long_data = long_data.map(|part| pb::LongData { parameter: part.parameter.into(), data: part.data });
            let statement = Some(statement(&prepared));
            pb::request::Command::Execute(pb::Execute { statement, payload, long_data: long_data.collect(), bulk })
        }
        Command::Fetch { statement: prepared, rows } => {
            pb::request::Command::Fetch(pb::Fetch { statement: Some(statement(&prepared)), rows })
        }
        Command::ResetStatement(prepared) => pb::request::Command::ResetStatement(statement(&prepared)),
        Command::ResetConnection => pb::request::Command::ResetConnection(pb::Nothing {}),
    };
    let wait =
        request.wait.map(|wait| pb::Wait { position: Some(position(&wait.position)), timeout_ns: nanos(wait.timeout) });
    let request = pb::Request {
        settings,
        last_insert_id: request.last_insert_id,
        command: Some(command),
        read_only: request.read_only,
        restores_variables: request.restores_variables,
        digests: request.digests,
        asks: request.asks.bits().into(),
        wait,
        deprecate_eof: request.client.deprecate_eof,
        progress: request.client.progress,
        caller: caller(&request.caller),
        trace: request.trace.filter(|trace| trace.sampled).map(trace),
    };
    (request, bytes)
}

fn trace(trace: Context) -> pb::Trace {
    pb::Trace { trace_id: trace.trace.0.to_vec(), span_id: trace.span.0.to_vec() }
}

/// One that is malformed is no reason not to run a statement.
fn read_trace(said: Option<pb::Trace>) -> Option<Context> {
    let pb::Trace { trace_id, span_id } = said?;
    let (trace, span) = (trace_id.try_into().ok()?, span_id.try_into().ok()?);
    let is_one = trace != [0; 16] && span != [0; 8];
    is_one.then_some(Context { trace: TraceId(trace), span: SpanId(span), sampled: true })
}

fn caller(caller: &Caller) -> Option<pb::Caller> {
    use pb::caller::Is;
    let is = match caller {
        Caller::Unknown => return None,
        Caller::Weir => Is::Gateway(pb::Nothing {}),
        Caller::Client(name) => Is::Client(pb::Client { user: name.user.clone(), host: name.host.clone() }),
    };
    Some(pb::Caller { is: Some(is) })
}

fn read_caller(said: Option<pb::Caller>) -> Caller {
    use pb::caller::Is;
    match said.and_then(|caller| caller.is) {
        None => Caller::Unknown,
        Some(Is::Gateway(_)) => Caller::Weir,
        Some(Is::Client(pb::Client { user, host })) => Caller::Client(Arc::new(ClientName { user, host })),
    }
}

fn statement_of(statement: &Statement, of_request: &Arc<Settings>) -> pb::Statement {
    let is_same = Arc::ptr_eq(&statement.settings, of_request) || statement.settings == *of_request;
    let settings = if is_same { None } else { LastSettings::default().say(&statement.settings) };
    pb::Statement { sql: statement.sql.clone(), settings }
}

pub(crate) fn read_request(request: pb::Request, last: &mut LastSettings) -> Read<Request> {
    let settings = last.read(request.settings)?;
    let statement = |said: pb::Statement| read_statement(said, &settings);
    let command = match request.command.ok_or(Malformed("a request without a command"))? {
        pb::request::Command::Plain(payload) if payload.is_empty() => return Err(Malformed("an empty command")),
        pb::request::Command::Plain(payload) => Command::Plain(payload),
        pb::request::Command::Prepare(said) => Command::Prepare(statement(said)?),
        pb::request::Command::Execute(said) => Command::Execute {
            statement: statement(said.statement.unwrap_or_default())?,
            payload: said.payload,
            long_data: said.long_data.into_iter().map(read_long_data).collect::<Read<_>>()?,
            bulk: said.bulk,
        },
        pb::request::Command::Fetch(said) => {
            Command::Fetch { statement: statement(said.statement.unwrap_or_default())?, rows: said.rows }
        }
        pb::request::Command::ResetStatement(said) => Command::ResetStatement(statement(said)?),
        pb::request::Command::ResetConnection(_) => Command::ResetConnection,
    };
    let wait = request.wait.map(|wait| {
        let timeout = Duration::from_nanos(wait.timeout_ns);
        Ok(Wait { position: read_position(wait.position)?, timeout })
    });
    let asks = u8::try_from(request.asks).ok().and_then(Asks::from_bits);
    Ok(Request {
        last_insert_id: request.last_insert_id,
        command,
        read_only: request.read_only,
        restores_variables: request.restores_variables,
        digests: request.digests,
        asks: asks.ok_or(Malformed("questions that this version does not know"))?,
        wait: wait.transpose()?,
        client: ClientFormat { deprecate_eof: request.deprecate_eof, progress: request.progress },
        caller: read_caller(request.caller),
        trace: read_trace(request.trace),
        settings,
    })
}

fn read_statement(said: pb::Statement, of_request: &Arc<Settings>) -> Read<Arc<Statement>> {
    let settings = match said.settings {
        None => Arc::clone(of_request),
        settings => LastSettings::default().read(settings)?,
    };
    Ok(Arc::new(Statement { sql: said.sql, settings }))
}

fn read_long_data(said: pb::LongData) -> Read<LongData> {
    let parameter = u16::try_from(said.parameter).map_err(|_| Malformed("a parameter's number"))?;
    Ok(LongData { parameter, data: said.data })
}

// Answers.

/// A piece of an answer; `piece` are the bytes that it counts. `None` for what is not passed on.
pub(crate) fn reply(reply: Reply, piece: &[u8]) -> Option<pb::Reply> {
    use pb::reply::Is;
    let is = match reply {
        Reply::Skip { .. } | Reply::Between { .. } => return None,
        Reply::Forward { .. } => Is::Bytes(Bytes::copy_from_slice(piece)),
        Reply::Own(bytes) => Is::Bytes(bytes.into()),
        Reply::Ok { seq, ends_rows, rows, ok } => {
            Is::Ok(pb::Ok { seq: seq.into(), ends_rows, rows, ok: Some(ok_packet(ok)) })
        }
        Reply::Err { seq, error } => Is::Err(pb::Err { seq: seq.into(), error: Some(self::error(error)) }),
        Reply::PrepareOk { seq, ok } => Is::PrepareOk(pb::PrepareOk {
            seq: seq.into(),
            statement_id: ok.statement_id,
            columns: ok.columns.into(),
            parameters: ok.parameters.into(),
            warnings: ok.warnings.into(),
        }),
        Reply::LocalInfile { seq, filename } => Is::LocalInfile(pb::LocalInfile { seq: seq.into(), filename }),
        Reply::Tracked(ok) => Is::Tracked(ok_packet(ok)),
        Reply::Left(left) => Is::Left(self::left(left)),
        Reply::Digest(digest) => Is::Digest(digest.as_bytes().to_vec()),
        Reply::End(ended) => Is::End(self::ended(ended)),
    };
    Some(pb::Reply { is: Some(is) })
}

/// The piece, and the bytes that it counts.
pub(crate) fn read_reply(said: pb::Reply) -> Read<(Reply, Bytes)> {
    use pb::reply::Is;
    let reply = match said.is.ok_or(Malformed("a reply of a kind that this version does not know"))? {
        Is::Bytes(bytes) => return Ok((Reply::Forward { len: bytes.len() }, bytes)),
        Is::Ok(said) => Reply::Ok {
            seq: read_seq(said.seq)?,
            ends_rows: said.ends_rows,
            rows: said.rows,
            ok: read_ok_packet(said.ok.unwrap_or_default())?,
        },
        Is::Err(said) => {
            Reply::Err { seq: read_seq(said.seq)?, error: read_error(said.error.ok_or(Malformed("no error"))?)? }
        }
        Is::PrepareOk(said) => {
            let ok = PrepareOk {
                statement_id: said.statement_id,
                columns: read_u16(said.columns)?,
                parameters: read_u16(said.parameters)?,
                warnings: read_u16(said.warnings)?,
            };
            Reply::PrepareOk { seq: read_seq(said.seq)?, ok }
        }
        Is::LocalInfile(said) => Reply::LocalInfile { seq: read_seq(said.seq)?, filename: said.filename },
        Is::Tracked(said) => Reply::Tracked(read_ok_packet(said)?),
        Is::Left(said) => Reply::Left(read_left(said)?),
        Is::Digest(said) => {
            Reply::Digest(Digest::from_bytes(said.try_into().map_err(|_| Malformed("a sum's length"))?))
        }
        Is::End(said) => Reply::End(read_ended(said)?),
    };
    Ok((reply, Bytes::new()))
}

fn read_u16(number: u32) -> Read<u16> {
    u16::try_from(number).map_err(|_| Malformed("a number over 65535"))
}

fn read_seq(seq: u32) -> Read<u8> {
    u8::try_from(seq).map_err(|_| Malformed("a sequence id over 255"))
}

fn ok_packet(ok: OkPacket) -> pb::OkPacket {
    pb::OkPacket {
        affected_rows: ok.affected_rows,
        last_insert_id: ok.last_insert_id,
        status: ok.status.into(),
        warnings: ok.warnings.into(),
        info: ok.info,
        session_state: ok.session_state,
    }
}

fn read_ok_packet(said: pb::OkPacket) -> Read<OkPacket> {
    Ok(OkPacket {
        affected_rows: said.affected_rows,
        last_insert_id: said.last_insert_id,
        status: read_u16(said.status)?,
        warnings: read_u16(said.warnings)?,
        info: said.info,
        session_state: said.session_state,
    })
}

fn left(left: Left) -> pb::Left {
    let counts = |counts: Counts| pb::Counts {
        row_count: counts.row_count,
        found_rows: counts.found_rows,
        warnings: counts.warnings,
        errors: counts.errors,
    };
    let level = |level| match level {
        Level::Note => pb::Level::Note,
        Level::Warning => pb::Level::Warning,
        Level::Error => pb::Level::Error,
    };
    let condition = |condition: Condition| pb::Condition {
        level: level(condition.level).into(),
        code: condition.code,
        message: condition.message,
    };
    let conditions = |list: Vec<Condition>| pb::Conditions { conditions: list.into_iter().map(condition).collect() };
    pb::Left { counts: left.counts.map(counts), conditions: left.conditions.map(conditions) }
}

fn read_left(said: pb::Left) -> Read<Left> {
    let counts = |said: pb::Counts| Counts {
        row_count: said.row_count,
        found_rows: said.found_rows,
        warnings: said.warnings,
        errors: said.errors,
    };
    let condition = |said: pb::Condition| {
        let level = match pb::Level::try_from(said.level) {
            Ok(pb::Level::Note) => Level::Note,
            Ok(pb::Level::Warning) => Level::Warning,
            Ok(pb::Level::Error) => Level::Error,
            Err(_) => return Err(Malformed("a level of a condition")),
        };
        Ok(Condition { level, code: said.code, message: said.message })
    };
    let conditions = said.conditions.map(|said| said.conditions.into_iter().map(condition).collect::<Read<_>>());
    Ok(Left { counts: said.counts.map(counts), conditions: conditions.transpose()? })
}

fn ended(ended: Ended) -> pb::Ended {
    let how = match ended {
        Ended::Answered => pb::ended::How::Answered(pb::Nothing {}),
        Ended::WaitTimedOut => pb::ended::How::WaitTimedOut(pb::Nothing {}),
        Ended::Failed(error) => pb::ended::How::Failed(self::error(error)),
    };
    pb::Ended { how: Some(how) }
}

fn read_ended(said: pb::Ended) -> Read<Ended> {
    Ok(match said.how.ok_or(Malformed("an end of a kind that this version does not know"))? {
        pb::ended::How::Answered(_) => Ended::Answered,
        pb::ended::How::WaitTimedOut(_) => Ended::WaitTimedOut,
        pb::ended::How::Failed(error) => Ended::Failed(read_error(error)?),
    })
}

// Errors.

pub(crate) fn error(error: Error) -> pb::Error {
    let component = match error.component {
        Component::Server => pb::Component::Server,
        Component::Gateway => pb::Component::Gateway,
        Component::Tablet => pb::Component::Tablet,
    };
    let effect = match error.effect {
        Effect::None => pb::Effect::None,
        Effect::Answered => pb::Effect::Answered,
        Effect::Unknown => pb::Effect::Unknown,
    };
    pb::Error {
        code: error.code.into(),
        sqlstate: error.sqlstate.to_vec(),
        message: error.message,
        component: component.into(),
        effect: effect.into(),
    }
}

pub(crate) fn read_error(said: pb::Error) -> Read<Error> {
    let component = match pb::Component::try_from(said.component) {
        Ok(pb::Component::Server) => Component::Server,
        Ok(pb::Component::Gateway) => Component::Gateway,
        Ok(pb::Component::Tablet) | Err(_) => Component::Tablet,
    };
    let effect = match pb::Effect::try_from(said.effect) {
        Ok(pb::Effect::None) => Effect::None,
        Ok(pb::Effect::Answered) => Effect::Answered,
        // Whatever it is, it is not known here.
        Ok(pb::Effect::Unknown) | Err(_) => Effect::Unknown,
    };
    Ok(Error {
        code: read_u16(said.code)?,
        sqlstate: said.sqlstate.try_into().map_err(|_| Malformed("an SQLSTATE"))?,
        message: said.message,
        component,
        effect,
    })
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(Component::Gateway, Kind::MalformedPacket, format!("weir-gateway: {malformed}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(schema: &str) -> Arc<Settings> {
        let variables = [("sql_mode".to_owned(), b"ANSI".to_vec())].into();
        Arc::new(Settings { schema: Some(schema.into()), variables })
    }

    fn of(command: Command) -> Request {
        Request {
            last_insert_id: Some(7),
            command,
            restores_variables: true,
            digests: true,
            asks: Asks::COUNTS | Asks::WHEN_WARNED,
            wait: Some(Wait { position: Position::mariadb(0, 1, 9), timeout: Duration::from_millis(3) }),
            caller: Caller::Client(Arc::new(ClientName { user: b"ann".to_vec(), host: "10.0.0.7".to_owned() })),
            trace: Context::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ..Request::own(settings("shop"), "")
        }
    }

    fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
        M::decode(message.encode_to_vec().as_slice()).expect("what was encoded")
    }

    #[test]
    fn every_command_arrives_as_it_was_sent() {
        let statement = Arc::new(Statement { sql: b"SELECT ?".to_vec(), settings: settings("other") });
        let long_data = vec![LongData { parameter: 2, data: vec![1, 2] }];
        let execute = Command::Execute { statement: Arc::clone(&statement), payload: vec![9], long_data, bulk: true };
        let commands = [
            Command::Plain(b"\x03SELECT 1".to_vec()),
            Command::Prepare(Arc::clone(&statement)),
            execute,
            Command::Fetch { statement: Arc::clone(&statement), rows: 5 },
            Command::ResetStatement(statement),
            Command::ResetConnection,
        ];
        for command in commands {
            let sent = of(command);
            let (message, _) = request(sent.clone(), &mut LastSettings::default());
            let received = read_request(over_the_wire(&message), &mut LastSettings::default()).unwrap();
            assert_eq!(format!("{received:?}"), format!("{sent:?}"));
        }
    }

    #[test]
    fn a_trace_that_makes_no_sense_is_none_and_one_that_is_not_sampled_is_not_told() {
        for (trace_id, span_id) in [(0, 8), (16, 0), (16, 7), (15, 8)] {
            assert_eq!(read_trace(Some(pb::Trace { trace_id: vec![1; trace_id], span_id: vec![1; span_id] })), None);
        }
        assert_eq!(read_trace(Some(pb::Trace { trace_id: vec![0; 16], span_id: vec![1; 8] })), None);
        let unsampled = Context::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
        let (message, _) =
            request(Request { trace: unsampled, ..of(Command::ResetConnection) }, &mut LastSettings::default());
        assert_eq!(message.trace, None);
    }

    #[test]
    fn settings_are_said_once() {
        let (mut said, mut heard) = (LastSettings::default(), LastSettings::default());
        for (schema, is_new) in [("a", true), ("a", false), ("b", true), ("b", false), ("a", true)] {
            let message = said.say(&settings(schema));
            assert_eq!(message.is_some(), is_new);
            assert_eq!(heard.read(message).unwrap(), settings(schema));
        }
        assert!(LastSettings::default().read(None).is_err());
    }

    #[test]
    fn every_reply_arrives_as_it_was_sent() {
        let ok = OkPacket {
            affected_rows: 1,
            last_insert_id: 2,
            status: 3,
            warnings: 4,
            info: vec![5],
            session_state: vec![6],
        };
        let failure = Error::new(Component::Server, Kind::Killed, "killed").with_effect(Effect::Answered);
        let conditions = vec![Condition { level: Level::Note, code: 1051, message: b"Unknown table".to_vec() }];
        let counts = Counts { row_count: -1, found_rows: 2, warnings: 3, errors: 4 };
        let replies = [
            Reply::Ok { seq: 255, ends_rows: true, rows: u64::MAX, ok: ok.clone() },
            Reply::Err { seq: 1, error: failure.clone() },
            Reply::PrepareOk { seq: 1, ok: PrepareOk { statement_id: 1, columns: 2, parameters: 3, warnings: 4 } },
            Reply::LocalInfile { seq: 1, filename: b"/a".to_vec() },
            Reply::Tracked(ok),
            Reply::Left(Left { counts: Some(counts), conditions: Some(conditions) }),
            Reply::Left(Left { counts: None, conditions: Some(vec![]) }),
            Reply::Digest(Digest::from_bytes([7; 32])),
            Reply::End(Ended::Answered),
            Reply::End(Ended::WaitTimedOut),
            Reply::End(Ended::Failed(failure)),
        ];
        for sent in replies {
            let message = reply(sent.clone(), &[]).expect("is passed on");
            assert_eq!(read_reply(over_the_wire(&message)).unwrap().0, sent);
        }
    }

    #[test]
    fn bytes_of_the_server_and_of_the_connection_are_both_for_the_client() {
        assert!(reply(Reply::Skip { len: 3 }, b"abc").is_none());
        for sent in [Reply::Forward { len: 3 }, Reply::Own(b"abc".to_vec())] {
            let message = reply(sent, b"abc").expect("is passed on");
            let (received, bytes) = read_reply(over_the_wire(&message)).unwrap();
            assert_eq!((received, &bytes[..]), (Reply::Forward { len: 3 }, &b"abc"[..]));
        }
    }

    #[test]
    fn what_a_newer_peer_says_is_refused_or_taken_for_the_worst() {
        assert!(read_reply(pb::Reply { is: None }).is_err());
        assert!(read_traits(1 << 9).is_err());
        let (mut message, _) = request(of(Command::ResetConnection), &mut LastSettings::default());
        message.asks = 1 << 7;
        assert!(read_request(message, &mut LastSettings::default()).is_err());
        let failure = Error::new(Component::Tablet, Kind::Busy, "later");
        let said = pb::Error { effect: 99, component: 99, ..error(failure) };
        assert_eq!(read_error(said).unwrap().effect, Effect::Unknown);
    }

    #[test]
    fn positions_keep_their_flavour() {
        let mysql = Position::parse(Flavor::MySql, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").unwrap();
        for sent in [Position::default(), Position::mariadb(0, 1, 5), mysql] {
            assert_eq!(read_position(Some(position(&sent))).unwrap(), sent);
        }
        let nonsense = pb::Position { is: Some(pb::position::Is::Mariadb("x".into())) };
        assert!(read_position(Some(nonsense)).is_err());
    }
}
