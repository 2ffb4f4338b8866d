//! A client: keeps a connection to some gateway, runs a workload's operations on it, and notes what it saw.
//!
//! It connects again whenever the connection ends, gives up on an answer that takes too long, and never knows anything but
//! what an application could know.

pub mod wire;

use crate::check::Violation;
use crate::check::history::{Tick, Who};
use crate::check::outcomes::Note;
use crate::scenario::Errors;
use crate::workload::{Command, Log, Next, OUTCOME_UNKNOWN, Script, Turn};
use crate::world::{Address, ConnId, Ctx, Event, Image, Process, Program, TimerId};
use std::rc::Rc;
use weir_core::error::Error;
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};
use wire::{Said, Wire};

/// Sessions of one client: the numbers of the next client's sessions begin after them.
pub const SESSIONS_MAX: u64 = 1_000_000;

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientSetup {
    /// Its number in the run.
    pub number: u64,
    /// The gateways it may choose among.
    pub gateways: Vec<Address>,
    /// User and password.
    pub login: (String, String),
    /// It reads MariaDB's extended metadata.
    pub extended_metadata: bool,
    /// Time between two operations, on average.
    pub pause: Duration,
    /// How long it waits for an answer, or for a connection.
    pub patience: Duration,
    /// An answer that takes longer is worth a complaint.
    pub answer_within: Option<Duration>,
    /// What it may read of trouble.
    pub errors: Errors,
    /// What it does.
    pub script: Rc<dyn Fn() -> Box<dyn Script>>,
    /// After so many operations it leaves.
    pub operations_max: u64,
    /// What it saw is kept; a measurement of speed does without.
    pub keeps_history: bool,
}

/// The process.
pub struct ClientProcess {
    setup: ClientSetup,
    script: Box<dyn Script>,
    rng: Rng,
    timer: Option<TimerId>,
    conn: Option<ConnId>,
    wire: Wire,
    state: State,
    who: Who,
    sessions: u64,
    requests: u64,
    invoked: Tick,
    sent_at: Instant,
    stopping: bool,
    /// Something of the operation under way was refused.
    troubled: bool,
    /// What was asked last is no mere setting.
    begins: bool,
    /// Something of the operation was answered, and has begun it.
    amid: bool,
    /// What it saw.
    pub log: Log,
    /// Operations that came to an end with an answer.
    pub done: u64,
    /// How many of these did without an error since it was [calmed](Self::calm).
    pub succeeded: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection; the timer says when to try again.
    Away,
    /// Connecting or logging in; the timer says when to give up.
    Joining,
    /// Between two operations.
    Pausing,
    /// A command is under way; the timer says when to give up.
    Asking,
    /// Gone for good.
    Left,
}

impl ClientProcess {
    /// A program that starts the client.
    #[must_use]
    pub fn program(setup: ClientSetup) -> Program {
        Box::new(move |_: Image| {
            let setup = setup.clone();
            Box::new(Self {
                script: (setup.script)(),
                rng: Rng::new(0),
                timer: None,
                conn: None,
                wire: Wire::new(&setup.login, setup.extended_metadata),
                state: State::Away,
                who: Who { session: 0, gateway: 0 },
                sessions: 0,
                requests: 0,
                invoked: 0,
                sent_at: Instant::ZERO,
                stopping: false,
                troubled: false,
                begins: false,
                amid: false,
                log: Log::default(),
                done: 0,
                succeeded: 0,
                setup,
            })
        })
    }

    /// The client finishes what it is doing and leaves for good.
    pub fn stop(&mut self, ctx: &mut Ctx<'_>) {
        self.stopping = true;
        if self.state == State::Pausing || self.state == State::Away {
            self.leave(ctx);
        }
    }

    /// From now on the client takes at least this long between two operations, and counts those that succeed anew.
    pub fn calm(&mut self, pause: Duration) {
        self.setup.pause = self.setup.pause.max(pause);
        self.succeeded = 0;
    }

    /// It has left.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.state == State::Left
    }

    /// Writes down that the run is over.
    pub fn end(&mut self) {
        self.note(Note::RunEnded);
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, after: Duration) {
        if let Some(timer) = self.timer {
            ctx.arm(timer, Some(ctx.now() + after));
        }
    }

    fn note(&mut self, note: Note) {
        if self.setup.keeps_history {
            self.log.notes.entry(self.who.session).or_default().push(note);
        }
    }

    /// From half of the time to one and a half.
    fn about(&mut self, span: Duration) -> Duration {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(nanos / 2 + self.rng.below(nanos.max(1)))
    }

    fn join(&mut self, ctx: &mut Ctx<'_>) {
        let gateway = self.rng.index(self.setup.gateways.len());
        self.sessions += 1;
        self.who = Who { session: self.setup.number * SESSIONS_MAX + self.sessions, gateway: gateway as u32 };
        self.wire = Wire::new(&self.setup.login, self.setup.extended_metadata);
        self.conn = Some(ctx.connect(self.setup.gateways[gateway]));
        self.state = State::Joining;
        self.arm(ctx, self.setup.patience);
    }

    fn act(&mut self, ctx: &mut Ctx<'_>, event: What<'_>) {
        let tick = ctx.tick();
        let Self { rng, log, who, invoked, script, .. } = self;
        let mut turn = Turn { rng, log, who: *who, invoked: *invoked, tick };
        let next = match event {
            What::Begin => script.begin(&mut turn),
            What::Said(said) => script.answered(&mut turn, said),
        };
        self.carry_out(ctx, next);
    }

    fn carry_out(&mut self, ctx: &mut Ctx<'_>, next: Next) {
        let Some(conn) = self.conn else { return };
        match next {
            Next::Send(command) => {
                self.invoked = ctx.tick();
                self.sent_at = ctx.true_now();
                self.requests += 1;
                self.note(Note::Sent(self.requests));
                self.begins = !matches!(&command, Command::Query(sql) if sql.starts_with("SET "));
                match command {
                    Command::Query(sql) => self.wire.query(ctx, conn, &sql),
                    Command::Reset => self.wire.reset(ctx, conn),
                    Command::Prepare(sql) => self.wire.prepare(ctx, conn, &sql),
                    Command::Execute { id, values, with_types } => {
                        self.wire.execute(ctx, conn, id, &values, with_types);
                    }
                }
                self.state = State::Asking;
                self.arm(ctx, self.setup.patience);
            }
            Next::Done => {
                self.finished();
                if self.stopping {
                    return self.leave(ctx);
                }
                self.state = State::Pausing;
                let pause = self.about(self.setup.pause);
                self.arm(ctx, pause);
            }
            Next::Quit | Next::Vanish => {
                self.finished();
                match next {
                    Next::Quit => self.wire.quit(ctx, conn),
                    _ => ctx.reset(conn),
                }
                self.gone(ctx);
            }
        }
    }

    /// What was asked last has an answer, or never will.
    fn look_at_the_clock(&mut self, ctx: &Ctx<'_>) {
        let took = ctx.true_now().since(self.sent_at);
        if self.setup.answer_within.is_some_and(|limit| took > limit) {
            let story = format!("session {} waited {took:?} from {:?} on", self.who.session, self.sent_at);
            let broken = Violation::new("answers come in time", story);
            self.log.late.push(broken.seen(self.who.session, ctx.true_now().0));
        }
    }

    /// Something befell it that it should not notice.
    fn disturbed(&mut self, ctx: &Ctx<'_>, by: &str) {
        let promise = match self.setup.errors {
            Errors::Any => return,
            Errors::Between if !self.amid => return,
            Errors::Between => "a gateway that stops lets go on what has begun",
            Errors::Unknown | Errors::RolledBack | Errors::None => {
                "changes of primary do not disturb single statements"
            }
        };
        if !self.stopping {
            let story = format!("session {}: {by}", self.who.session);
            let broken = Violation::new(promise, story);
            self.log.disturbed.push(broken.seen(self.who.session, ctx.true_now().0));
        }
    }

    /// An error instead of an answer.
    fn refused(&mut self, ctx: &Ctx<'_>, error: &Error) {
        self.troubled = true;
        let may_read = match self.setup.errors {
            Errors::Any => true,
            Errors::Unknown => error.code == OUTCOME_UNKNOWN,
            Errors::RolledBack => &error.sqlstate == ROLLED_BACK || error.code == READ_LOST,
            Errors::Between => &error.sqlstate == ROLLED_BACK,
            Errors::None => false,
        };
        if !may_read {
            self.disturbed(ctx, &error.to_string());
        }
    }

    fn finished(&mut self) {
        self.done += 1;
        self.amid = false;
        if !core::mem::take(&mut self.troubled) {
            self.succeeded += 1;
        }
        if !self.setup.keeps_history {
            self.log.forget();
        }
        self.stopping |= self.done >= self.setup.operations_max;
    }

    fn leave(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(conn) = self.conn {
            self.wire.quit(ctx, conn);
        }
        self.gone(ctx);
        self.state = State::Left;
        if let Some(timer) = self.timer {
            ctx.arm(timer, None);
        }
    }

    /// The connection has ended, one way or another.
    fn gone(&mut self, ctx: &mut Ctx<'_>) {
        self.conn = None;
        if self.state == State::Asking {
            self.look_at_the_clock(ctx);
        }
        self.note(Note::Closed);
        self.troubled = false;
        self.amid = false;
        let tick = ctx.tick();
        let Self { rng, log, who, invoked, script, .. } = self;
        script.lost(&mut Turn { rng, log, who: *who, invoked: *invoked, tick });
        self.state = if self.stopping { State::Left } else { State::Away };
        let pause = self.about(self.setup.pause.max(Duration::from_millis(20)));
        self.arm(ctx, pause);
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(conn) = self.conn
            && let Some(said) = self.wire.receive(ctx, conn)
        {
            match (self.state, &said) {
                (State::Joining, Said::Ready) => {
                    self.state = State::Pausing;
                    self.act(ctx, What::Begin);
                }
                (State::Joining, _) => {
                    if let Said::Error(error) = &said {
                        self.disturbed(ctx, &error.to_string());
                        let message = String::from_utf8_lossy(&error.message).into_owned();
                        *self.log.errors.entry((error.code, message)).or_default() += 1;
                    }
                    ctx.close(conn);
                    self.gone(ctx);
                }
                (State::Asking, Said::Nonsense) => {
                    self.note(Note::Stray);
                    ctx.reset(conn);
                    self.gone(ctx);
                }
                (State::Asking, _) => {
                    self.look_at_the_clock(ctx);
                    self.note(Note::Answered(self.requests));
                    match &said {
                        Said::Error(error) => {
                            self.refused(ctx, error);
                            // It may have taken with it what had begun.
                            self.amid = false;
                        }
                        _ => self.amid = self.begins,
                    }
                    self.act(ctx, What::Said(&said));
                }
                // The gateway may say goodbye before it closes.
                (_, Said::Error(_)) => {}
                _ => self.note(Note::Stray),
            }
        }
    }

    fn on_time(&mut self, ctx: &mut Ctx<'_>) {
        match self.state {
            State::Away if self.stopping => self.state = State::Left,
            State::Away => self.join(ctx),
            State::Joining | State::Asking => {
                self.disturbed(ctx, "it was not answered in time");
                if let Some(conn) = self.conn {
                    ctx.reset(conn);
                }
                self.gone(ctx);
            }
            State::Pausing => self.act(ctx, What::Begin),
            State::Left => {}
        }
    }
}

/// The SQLSTATE class of transactions that were rolled back: a serialization failure.
const ROLLED_BACK: &[u8; 5] = b"40001";
/// ER_NET_READ_ERROR: nothing was changed, and the statement is suspected of having stopped the servers that it lost.
const READ_LOST: u16 = 1158;

enum What<'a> {
    Begin,
    Said(&'a Said),
}

impl Process for ClientProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => {
                self.rng = ctx.fork_rng();
                self.timer = Some(ctx.timer(0));
                let first = self.about(self.setup.pause);
                self.arm(ctx, first);
            }
            Event::Timer { .. } => self.on_time(ctx),
            Event::Readable { conn } if Some(conn) == self.conn => self.heard(ctx),
            Event::Closed { conn, .. } | Event::ConnectFailed { conn, .. } if Some(conn) == self.conn => {
                self.heard(ctx);
                if self.conn == Some(conn) {
                    self.disturbed(ctx, "its connection was closed");
                    self.gone(ctx);
                }
            }
            _ => {}
        }
    }
}
