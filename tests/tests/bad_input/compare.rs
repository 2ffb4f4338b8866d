//! Saying the same to a server and to Weir, and holding what they answer against each other.

use std::net::SocketAddr;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::handshake::Greeting;
use weir_core::mysql::packet::EOF;
use weir_tests::{Heard, Wire};

/// Something that a client does wrong.
pub(crate) struct Wrong {
    what: String,
    /// Does it on a new connection; returns what is heard, and what becomes of the connection.
    act: Box<dyn Fn(SocketAddr) -> String>,
}

impl Wrong {
    /// In the place of the response to the greeting.
    pub(crate) fn login(what: impl Into<String>, act: impl Fn(&mut Wire, &Greeting) -> Heard + 'static) -> Self {
        let act = move |address| {
            let (mut wire, greeting) = Wire::greeted(address);
            let heard = act(&mut wire, &greeting);
            if heard.is_ok() {
                return format!("ok, {}", state(&mut wire));
            }
            // Whoever is asked for another proof gives none.
            wire.finish();
            let switch = matches!(&heard, Heard::Packet(payload) if payload.first() == Some(&EOF));
            let heard = if switch { "another proof".into() } else { words(&heard) };
            format!("{heard}, {:?}", wire.hear())
        };
        Self { what: what.into(), act: Box::new(act) }
    }

    /// After the login.
    pub(crate) fn logged_in(what: impl Into<String>, act: impl Fn(&mut Wire) -> Heard + 'static) -> Self {
        let act = move |address| {
            let mut wire = Wire::login(address);
            let heard = act(&mut wire);
            format!("{}, {}", words(&heard), state(&mut wire))
        };
        Self { what: what.into(), act: Box::new(act) }
    }

    /// One packet in the place of a command.
    pub(crate) fn command(what: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self::logged_in(what, move |wire| {
            wire.send_as(0, &payload);
            wire.hear()
        })
    }

    /// One packet in the place of a command that is never answered.
    pub(crate) fn silent_command(what: impl Into<String>, payload: &'static [u8]) -> Self {
        Self::logged_in(what, move |wire| {
            wire.send_as(0, payload);
            wire.ask(&ClientCommand::Ping)
        })
    }
}

/// Where Weir answers otherwise, and why it is meant to.
pub(crate) struct Difference {
    pub(crate) what: &'static str,
    /// What Weir's answer begins with.
    pub(crate) weir: &'static str,
    pub(crate) why: &'static str,
}

/// Does everything to both. All complaints come at once.
pub(crate) fn compare(all: &[Wrong], differences: &[Difference], server: SocketAddr, weir: SocketAddr) {
    let complaints: Vec<String> =
        all.iter().filter_map(|wrong| complaint(wrong, differences, (wrong.act)(server), (wrong.act)(weir))).collect();
    let unused = differences.iter().filter(|difference| !all.iter().any(|wrong| wrong.what == difference.what));
    let unused = unused.map(|difference| format!("{}: a difference of nothing that is tried", difference.what));
    let complaints: Vec<String> = complaints.into_iter().chain(unused).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn complaint(wrong: &Wrong, differences: &[Difference], server: String, weir: String) -> Option<String> {
    let what = &wrong.what;
    match differences.iter().find(|difference| difference.what == what) {
        None if server == weir => None,
        None => Some(format!("{what}:\n  server: {server}\n  weir:   {weir}")),
        Some(_) if server == weir => Some(format!("{what}: no difference any more")),
        Some(difference) if weir.starts_with(difference.weir) => None,
        Some(difference) => {
            let Difference { weir: expected, why, .. } = difference;
            Some(format!("{what} ({why}):\n  expected: {expected}\n  weir:     {weir}"))
        }
    }
}

/// Whether the connection is good for more.
fn state(wire: &mut Wire) -> String {
    match wire.ask(&ClientCommand::Ping) {
        heard if heard.is_ok() => "usable".into(),
        heard => words(&heard),
    }
}

/// What was heard, in the words that MySQL's and MariaDB's messages have in common.
fn words(heard: &Heard) -> String {
    if heard.is_ok() {
        return "ok".into();
    }
    if heard.is_end_of_rows() {
        return "rows".into();
    }
    // An id of a prepared statement is whatever it is.
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let words: Vec<String> = format!("{heard:?}")
        .split(' ')
        .map(|word| match word.strip_prefix('(').and_then(|word| word.strip_suffix(')')) {
            Some(id) if digits(id) => "(id)".into(),
            _ => word.replace("MariaDB", "MySQL"),
        })
        .collect();
    words.join(" ").trim_end_matches('.').to_owned()
}
