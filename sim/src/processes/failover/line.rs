//! A tablet's line to its own server: one connection for looks and actions, and its supervisor.

use super::super::connection::{Connection, Connector, Dialing};
use crate::mysql::host::{RESTART, RESTORE, SUPERVISOR_PORT, WHICH};
use crate::world::{Address, ConnId as Stream, Ctx, Event, TimerId};
use std::sync::Arc;
use weir_core::link::{Collector, ConnectionClass, Request, Settings};
use weir_core::mutants::Mutants;
use weir_core::tablet::operations::{self, LOOK_TIME_MAX, Late, Operation, Servers};
use weir_core::tablet::orders::{Action, Input};
use weir_core::tablet::pool::ConnId;
use weir_core::topo::ServerVersion;

/// Of the line's own timer.
pub(super) const TOKEN_LIMIT: u64 = 10;
const TOKEN_DIAL: u64 = 11;
const INCARNATION_BYTES: usize = 8;

/// What the machine wants of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Look,
    Act(Action),
    /// The server's data are replaced by this copy.
    Restore(Vec<u8>),
}

#[derive(Debug)]
enum Stage {
    Dialing(Dialing),
    /// The supervisor is asked which start of the server this is.
    Identifying(Stream),
    Running {
        operation: Box<Operation>,
        collector: Box<Collector>,
    },
    /// The supervisor starts the server again.
    Restarting(Stream),
    /// After an action that took too long, as broken rules have it.
    Unblocking(Dialing),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    connector: Connector,
    servers: Servers,
    mutants: Mutants,
    connection: Option<Box<Connection>>,
    settings: Arc<Settings>,
    /// Of the server that the connection goes to.
    incarnation: Option<u64>,
    task: Option<(Task, Stage)>,
    timer: TimerId,
    scratch: Vec<u8>,
}

impl Line {
    pub(super) fn new(ctx: &mut Ctx<'_>, connector: Connector, servers: Servers, mutants: Mutants) -> Self {
        let timer = ctx.timer(TOKEN_LIMIT);
        Self {
            connector,
            servers,
            mutants,
            connection: None,
            settings: Arc::default(),
            incarnation: None,
            task: None,
            timer,
            scratch: Vec::new(),
        }
    }

    /// Begins a task. Its outcome comes from [`Line::on_event`].
    pub(super) fn begin(&mut self, ctx: &mut Ctx<'_>, task: Task) -> Option<Input> {
        debug_assert!(self.task.is_none(), "one at a time");
        let limit = match &task {
            Task::Look => LOOK_TIME_MAX,
            Task::Act(action) => operations::time_max(action),
            Task::Restore(_) => operations::ACTION_TIME_MAX,
        };
        ctx.arm(self.timer, Some(ctx.now() + limit));
        if matches!(task, Task::Restore(_)) {
            self.hang_up(ctx);
            let stream = self.supervisor(ctx);
            self.task = Some((task, Stage::Restarting(stream)));
            return None;
        }
        if self.connection.is_some() {
            return self.proceed(ctx, task);
        }
        let dialing = self.dial(ctx);
        self.task = Some((task, Stage::Dialing(dialing)));
        None
    }

    fn dial(&self, ctx: &mut Ctx<'_>) -> Dialing {
        Dialing::begin(ctx, &self.connector, ConnId(0), ConnectionClass::PLAIN, TOKEN_DIAL)
    }

    /// Takes an event, if it is about the server.
    pub(super) fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) -> Option<Input> {
        match event {
            Event::Timer { token: TOKEN_LIMIT } => self.fail(ctx, "it did not answer in time".into()),
            Event::Timer { token: TOKEN_DIAL } => self.dial_advance(ctx),
            Event::Connected { conn } => self.connected(ctx, conn),
            Event::Readable { conn } | Event::Writable { conn } => self.readable(ctx, conn),
            Event::Closed { conn, .. } | Event::ConnectFailed { conn, .. } => self.lost(ctx, conn),
            _ => None,
        }
    }

    fn supervisor(&self, ctx: &mut Ctx<'_>) -> Stream {
        ctx.connect(Address { host: self.connector.address.host, port: SUPERVISOR_PORT })
    }

    fn connected(&mut self, ctx: &mut Ctx<'_>, conn: Stream) -> Option<Input> {
        match &mut self.task {
            Some((_, Stage::Dialing(dialing) | Stage::Unblocking(dialing))) if dialing.stream == conn => {
                dialing.connected(ctx, &self.connector);
            }
            Some((_, Stage::Identifying(stream))) if *stream == conn => _ = ctx.write(conn, &[WHICH]),
            Some((Task::Restore(copy), Stage::Restarting(stream))) if *stream == conn => {
                ctx.write(conn, &[RESTORE]);
                let taken = ctx.write(conn, copy);
                debug_assert!(taken == copy.len(), "copies are small here");
            }
            Some((_, Stage::Restarting(stream))) if *stream == conn => _ = ctx.write(conn, &[RESTART]),
            _ => {}
        }
        None
    }

    fn readable(&mut self, ctx: &mut Ctx<'_>, conn: Stream) -> Option<Input> {
        match &self.task {
            Some((_, Stage::Dialing(dialing) | Stage::Unblocking(dialing))) if dialing.stream == conn => {
                self.dial_advance(ctx)
            }
            Some((_, Stage::Identifying(stream) | Stage::Restarting(stream))) if *stream == conn => {
                self.supervisor_said(ctx, conn)
            }
            Some((_, Stage::Running { .. })) => self.advance(ctx),
            _ => None,
        }
    }

    fn dial_advance(&mut self, ctx: &mut Ctx<'_>) -> Option<Input> {
        let Some((_, Stage::Dialing(dialing) | Stage::Unblocking(dialing))) = &mut self.task else { return None };
        match dialing.advance(ctx, &self.connector, &mut self.scratch)? {
            Ok(connection) => {
                self.settings = Arc::clone(connection.machine.settings());
                self.connection = Some(connection);
                self.incarnation = None;
                match self.task.take()? {
                    (task, Stage::Unblocking(dialing)) => {
                        dialing.end(ctx, true);
                        let operation = Operation::unblock(self.version()?);
                        self.run(ctx, task, operation)
                    }
                    (task, stage) => {
                        if let Stage::Dialing(dialing) = stage {
                            dialing.end(ctx, true);
                        }
                        self.proceed(ctx, task)
                    }
                }
            }
            Err(error) => self.fail(ctx, String::from_utf8_lossy(&error.message).into_owned()),
        }
    }

    /// There is a connection: finds out what it goes to, then does what is to be done.
    fn proceed(&mut self, ctx: &mut Ctx<'_>, task: Task) -> Option<Input> {
        if self.incarnation.is_none() {
            let stream = self.supervisor(ctx);
            self.task = Some((task, Stage::Identifying(stream)));
            return None;
        }
        let version = self.version()?;
        let operation = match &task {
            Task::Look => Ok(Operation::look(version)),
            Task::Act(action) => Operation::act(version, action, &self.servers, None),
            Task::Restore(_) => Err("it is not done by statements".into()),
        };
        match operation {
            Ok(operation) => self.run(ctx, task, operation),
            Err(why) => {
                ctx.arm(self.timer, None);
                Some(Input::Acted(Err(why)))
            }
        }
    }

    fn run(&mut self, ctx: &mut Ctx<'_>, task: Task, operation: Operation) -> Option<Input> {
        let stage = Stage::Running { operation: Box::new(operation), collector: Box::default() };
        self.task = Some((task, stage));
        self.next_statement(ctx)
    }

    fn supervisor_said(&mut self, ctx: &mut Ctx<'_>, conn: Stream) -> Option<Input> {
        let incarnation = u64::from_le_bytes(*ctx.peek(conn).first_chunk::<INCARNATION_BYTES>()?);
        ctx.close(conn);
        match self.task.take()? {
            (task, Stage::Identifying(_)) => {
                self.incarnation = Some(incarnation);
                self.proceed(ctx, task)
            }
            _ => {
                ctx.arm(self.timer, None);
                self.hang_up(ctx);
                Some(Input::Acted(Ok(())))
            }
        }
    }

    fn next_statement(&mut self, ctx: &mut Ctx<'_>) -> Option<Input> {
        let Some((_, Stage::Running { operation, collector })) = &mut self.task else { return None };
        let Some(sql) = operation.next() else { return self.finish(ctx) };
        **collector = Collector::new();
        let request = Request::own(Arc::clone(&self.settings), sql);
        let connection = self.connection.as_mut()?;
        connection.machine.submit(ctx.now(), request);
        connection.write(ctx);
        None
    }

    fn advance(&mut self, ctx: &mut Ctx<'_>) -> Option<Input> {
        let Some((_, Stage::Running { operation, collector })) = &mut self.task else { return None };
        let connection = self.connection.as_mut()?;
        connection.receive(ctx, &mut self.scratch, |reply, piece| collector.take(reply, piece));
        connection.write(ctx);
        match collector.take_outcome()? {
            Ok(answer) => operation.answer(answer),
            Err(error) => return self.fail(ctx, String::from_utf8_lossy(&error.message).into_owned()),
        }
        self.next_statement(ctx)
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>) -> Option<Input> {
        ctx.arm(self.timer, None);
        let Some((task, Stage::Running { operation, .. })) = self.task.take() else { return None };
        Some(match task {
            Task::Act(_) | Task::Restore(_) => Input::Acted(operation.acted()),
            Task::Look => match operation.looked(self.incarnation?, &self.servers) {
                Ok(status) => Input::Looked(status),
                Err(why) => Input::Acted(Err(why)),
            },
        })
    }

    fn lost(&mut self, ctx: &mut Ctx<'_>, conn: Stream) -> Option<Input> {
        if self.connection.as_ref().is_some_and(|connection| connection.stream == Some(conn)) {
            if let Some(connection) = &mut self.connection {
                connection.stream = None;
            }
            self.hang_up(ctx);
            return match &self.task {
                Some((_, Stage::Running { .. } | Stage::Identifying(_))) => {
                    self.fail(ctx, "the connection broke".into())
                }
                _ => None,
            };
        }
        match &self.task {
            Some((_, Stage::Dialing(dialing) | Stage::Unblocking(dialing))) if dialing.stream == conn => {
                self.fail(ctx, "it cannot be connected to".into())
            }
            Some((_, Stage::Identifying(stream) | Stage::Restarting(stream))) if *stream == conn => {
                self.fail(ctx, "its supervisor does not answer".into())
            }
            _ => None,
        }
    }

    /// The task came to nothing; a fence has another way.
    fn fail(&mut self, ctx: &mut Ctx<'_>, why: String) -> Option<Input> {
        ctx.arm(self.timer, None);
        let (task, stage) = self.task.take()?;
        let late = match &task {
            Task::Act(action) => operations::when_late(action, self.mutants),
            Task::Look | Task::Restore(_) => Late::Fail,
        };
        let is_first = !matches!(stage, Stage::Restarting(_) | Stage::Unblocking(_));
        match stage {
            Stage::Dialing(dialing) | Stage::Unblocking(dialing) => dialing.end(ctx, false),
            Stage::Identifying(stream) | Stage::Restarting(stream) => ctx.close(stream),
            Stage::Running { .. } => {}
        }
        self.hang_up(ctx);
        if late == Late::Fail || !is_first {
            return Some(Input::Acted(Err(why)));
        }
        ctx.arm(self.timer, Some(ctx.now() + operations::ACTION_TIME_MAX));
        let stage = match late {
            Late::Unblock => Stage::Unblocking(self.dial(ctx)),
            _ => Stage::Restarting(self.supervisor(ctx)),
        };
        self.task = Some((task, stage));
        None
    }

    fn hang_up(&mut self, ctx: &mut Ctx<'_>) {
        self.incarnation = None;
        if let Some(connection) = self.connection.take() {
            connection.close(ctx);
        }
    }

    fn version(&self) -> Option<ServerVersion> {
        let server = self.connection.as_ref()?.machine.server_info()?;
        ServerVersion::parse(&String::from_utf8_lossy(&server.version))
    }
}
