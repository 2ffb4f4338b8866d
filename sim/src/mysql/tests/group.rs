//! Servers that are members of a group: what their clients see of it.

use super::*;
use crate::mysql::group;
use crate::world::disk::Crash;
use weir_core::rng::Rng;

/// Two members that hear each other at once, unless they are cut.
struct Two {
    servers: [Bench; 2],
    cut: bool,
}

fn config(id: u32, patience: Option<Duration>) -> Config {
    let servers = vec![(1, 50), (2, 50)];
    let (name, member_expel_timeout) = ([0xaa; 16], group::EXPEL_TIMEOUT);
    let group = group::Config { name, servers, member_expel_timeout, unreachable_majority_timeout: patience };
    Config { group: Some(group), start_replica: false, ..Config::new(Flavor::MySql, id) }
}

fn member(id: u32, start: u64, patience: Option<Duration>, storage: Storage) -> Bench {
    let mut bench = Bench::on(Server::start(Instant::ZERO, config(id, patience), storage));
    bench.server.start_group(bench.now, start, (id, start) == (1, 1));
    bench
}

impl Two {
    fn new(patience: Option<Duration>) -> Self {
        let servers = [1, 2].map(|id| member(id, 1, patience, Storage::default()));
        let mut two = Self { servers, cut: false };
        two.run(3000);
        two
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            for at in 0..2 {
                self.servers[at].now += Duration::from_millis(10);
                let now = self.servers[at].now;
                self.servers[at].server.handle_timeout(now);
            }
            self.talk();
        }
    }

    fn talk(&mut self) {
        loop {
            let mut said = false;
            for at in 0..2 {
                self.servers[at].drain();
                while let Some((to, from, message)) = self.servers[at].server.poll_group() {
                    said = true;
                    let now = self.servers[at].now;
                    if !self.cut {
                        self.servers[to as usize - 1].server.handle_group(now, from, message);
                    }
                }
            }
            if !said {
                return;
            }
        }
    }

    fn send(&mut self, at: usize, id: SessionId, sql: &str) -> Option<Outcome> {
        let now = self.servers[at].now;
        let outcome = self.servers[at].server.execute(now, id, sql);
        self.talk();
        outcome.or_else(|| self.answer(at, id))
    }

    fn answer(&mut self, at: usize, id: SessionId) -> Option<Outcome> {
        let done = &mut self.servers[at].done;
        let found = done.iter().position(|(session, _)| *session == id)?;
        Some(done.remove(found).1)
    }

    fn code(&mut self, at: usize, id: SessionId, sql: &str) -> u16 {
        match self.send(at, id, sql).expect("an answer").body {
            Body::Err(error) => error.code,
            _ => 0,
        }
    }

    fn connect(&mut self, at: usize) -> SessionId {
        let id = self.servers[at].server.connect("root", true, false).expect("there is room");
        assert_eq!(self.code(at, id, "USE test"), 0);
        id
    }

    fn rows(&self, at: usize) -> usize {
        self.servers[at].server.tables().contents().count()
    }

    fn states(&mut self, at: usize, id: SessionId) -> Vec<String> {
        let sql = "SELECT members.MEMBER_STATE, members.MEMBER_ROLE FROM performance_schema.replication_group_members AS members \
                   LEFT JOIN performance_schema.replication_group_member_stats AS stats USING (CHANNEL_NAME, MEMBER_ID)";
        match self.send(at, id, sql).expect("an answer").body {
            Body::Rows(rows) => {
                rows.rows.iter().map(|row| format!("{} {}", row[0].display(), row[1].display())).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_commit_is_answered_when_the_group_has_it_and_others_apply_it() {
    let mut two = Two::new(None);
    let (first, second) = (two.connect(0), two.connect(1));
    assert_eq!(two.states(1, second), ["ONLINE PRIMARY", "ONLINE SECONDARY"]);
    assert_eq!(two.code(0, first, "CREATE TABLE t (id INT PRIMARY KEY)"), 0);
    assert_eq!(two.code(0, first, "INSERT INTO t VALUES (1), (2)"), 0);
    two.run(300);
    assert_eq!((two.rows(0), two.rows(1)), (2, 2));
    assert_eq!(two.servers[0].server.executed(), two.servers[1].server.executed());
    assert_eq!(two.servers[1].server.executed().to_string(), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-2");
    assert_eq!(two.code(1, second, "INSERT INTO t VALUES (3)"), 1290, "a secondary takes no writes, of nobody");
}

#[test]
fn what_is_not_agreed_on_hangs_and_is_gone_after_a_restart() {
    let mut two = Two::new(None);
    let first = two.connect(0);
    assert_eq!(two.code(0, first, "CREATE TABLE t (id INT PRIMARY KEY)"), 0);
    two.run(300);
    two.cut = true;
    assert_eq!(two.send(0, first, "INSERT INTO t VALUES (1)"), None);
    two.run(5000);
    assert_eq!((two.answer(0, first), two.rows(0)), (None, 0), "two of two are needed");
    let other = two.connect(0);
    assert_eq!(two.states(0, other), ["ONLINE PRIMARY", "UNREACHABLE SECONDARY"]);
    let [bench, _] = two.servers;
    let storage = bench.server.crash(&mut Crash { power_lost: false, rng: &mut Rng::new(1) });
    let again = member(1, 2, None, storage);
    assert_eq!(again.server.executed().to_string(), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1");
}

#[test]
fn a_primary_that_leaves_tells_whoever_waits() {
    let mut two = Two::new(Some(Duration::from_secs(1)));
    let first = two.connect(0);
    assert_eq!(two.code(0, first, "CREATE TABLE t (id INT PRIMARY KEY)"), 0);
    two.run(300);
    two.cut = true;
    assert_eq!(two.send(0, first, "INSERT INTO t VALUES (1)"), None);
    two.run(4000);
    let answer = two.answer(0, first).expect("an answer");
    assert!(matches!(answer.body, Body::Err(error) if error.code == 3101));
    assert_eq!(two.states(0, first), ["ERROR "]);
    assert_eq!(two.code(0, first, "INSERT INTO t VALUES (1)"), 1290);
}

const HELD: &str = "SELECT @@GLOBAL.gtid_executed AS position FROM (SELECT 1) AS held_back";

#[test]
fn what_is_to_see_all_that_was_ordered_waits_for_the_group() {
    let mut two = Two::new(None);
    let (first, second) = (two.connect(0), two.connect(1));
    for (at, id) in [(0, first), (1, second)] {
        assert_eq!(two.code(at, id, "SET SESSION group_replication_consistency = 'BEFORE'"), 0);
        assert_eq!(two.code(at, id, HELD), 0);
    }
    two.cut = true;
    assert_eq!(two.code(0, first, "SELECT @@GLOBAL.gtid_executed"), 0, "it uses no table");
    assert_eq!(two.code(0, first, "SELECT MEMBER_STATE FROM performance_schema.replication_group_members"), 0);
    assert_eq!((two.send(0, first, HELD), two.send(1, second, HELD)), (None, None));
    two.run(1000);
    assert_eq!((two.answer(0, first), two.answer(1, second)), (None, None), "two of two are needed");
    two.cut = false;
    two.run(1000);
    assert!(two.answer(0, first).is_some() && two.answer(1, second).is_some());
}

#[test]
fn what_waits_for_the_group_is_refused_when_the_member_leaves_it() {
    let mut two = Two::new(Some(Duration::from_secs(1)));
    let first = two.connect(0);
    assert_eq!(two.code(0, first, "SET SESSION group_replication_consistency = 'BEFORE'"), 0);
    two.cut = true;
    assert_eq!(two.send(0, first, HELD), None);
    two.run(4000);
    let answer = two.answer(0, first).expect("an answer");
    assert!(matches!(answer.body, Body::Err(error) if error.code == 3796));
}

#[test]
fn a_secondary_applies_what_was_ordered_before_it_answers() {
    let mut two = Two::new(None);
    let (first, second) = (two.connect(0), two.connect(1));
    assert_eq!(two.code(1, second, "SET SESSION group_replication_consistency = 'BEFORE'"), 0);
    assert_eq!(two.code(0, first, "CREATE TABLE t (id INT PRIMARY KEY)"), 0);
    assert_eq!(two.code(0, first, "INSERT INTO t VALUES (1)"), 0);
    let rows = |outcome: Option<Outcome>| match outcome.map(|outcome| outcome.body) {
        Some(Body::Rows(rows)) => rows.rows.len(),
        other => panic!("{other:?}"),
    };
    let at_once = two.send(1, second, "SELECT id FROM t");
    let answer = at_once.or_else(|| {
        two.run(300);
        two.answer(1, second)
    });
    assert_eq!(rows(answer), 1);
}
