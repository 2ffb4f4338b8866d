//! When a commit waits for a replica, and how it gives up: a source and its replica, real and modelled.

use super::model::Couple;
use super::{describe, text};
use std::time::{Duration, Instant};
use weir_core::mysql::resultset::Answer;
use weir_core::rng::Rng;
use weir_core::time;
use weir_tests::{Session, TestCluster};

/// How long a commit waits, in milliseconds.
const TIMEOUT_MS: u64 = 300;
/// A real replica has connected, or is missed, by then.
const SETTLED_MAX: Duration = Duration::from_secs(10);

struct Pairs {
    _cluster: TestCluster,
    source: Session,
    replica: Session,
    model: Couple,
    /// Sessions of the modelled source and replica.
    on: (usize, usize),
    told: Vec<String>,
    /// Statements for which nobody acknowledged in time.
    given_up: usize,
}

impl Pairs {
    fn start() -> Self {
        let cluster = TestCluster::start(2);
        let open = |number: usize| {
            let address = cluster.servers()[number].address();
            Session::open(address, cluster.service_account(), None).expect("a session")
        };
        let (source, replica) = (open(0), open(1));
        let mut model = Couple::start();
        let on = (model.source.open(true), model.replica.open(true));
        let mut pairs = Self { _cluster: cluster, source, replica, model, on, told: Vec::new(), given_up: 0 };
        pairs.source.values("CREATE DATABASE IF NOT EXISTS test");
        pairs.on_replica("SET GLOBAL rpl_semi_sync_slave_enabled = 1");
        pairs.on_replica("STOP SLAVE");
        pairs.on_replica("START SLAVE");
        for sql in [
            "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1".to_owned(),
            format!("SET GLOBAL rpl_semi_sync_master_timeout = {TIMEOUT_MS}"),
            "SET GLOBAL rpl_semi_sync_master_enabled = 1".to_owned(),
            "CREATE TABLE test.s (id INT AUTO_INCREMENT PRIMARY KEY)".to_owned(),
        ] {
            pairs.on_source(&sql);
        }
        pairs.settle();
        pairs
    }

    fn on_replica(&mut self, sql: &str) {
        self.told.push(format!("replica: {sql}"));
        self.replica.values(sql);
        self.model.replica.run(self.on.1, sql);
        self.model.carry();
    }

    /// Runs a statement on both sources: they answer alike, and wait alike.
    fn on_source(&mut self, sql: &str) {
        self.told.push(format!("source: {sql}"));
        let begun = Instant::now();
        let real = self.source.run(sql.as_bytes()).expect("an answer");
        let real_waited = begun.elapsed() >= Duration::from_millis(TIMEOUT_MS);
        self.given_up += usize::from(real_waited);
        let (model, took) = self.model.run(self.on.0, sql);
        let model_waited = took >= time::Duration::from_millis(TIMEOUT_MS);
        let say = |answers: &[Answer]| answers.iter().map(|answer| describe(answer, false)).collect::<Vec<_>>();
        assert_eq!((say(&real), real_waited), (say(&model), model_waited), "{}", self.told.join("\n"));
    }

    /// What both sources say of semi-sync, and how many rows both replicas have, comes to the same.
    fn settle(&mut self) {
        const STATUS: &str =
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Rpl_semi_sync_master_status', 'Rpl_semi_sync_master_clients')";
        const ROWS: &str = "SELECT COUNT(*) FROM test.s";
        let model =
            [self.model.run(self.on.0, STATUS).0, self.model.replica.run(self.on.1, ROWS)].map(|said| rows(&said));
        let begun = Instant::now();
        loop {
            let ask = |session: &mut Session, sql: &str| rows(&session.run(sql.as_bytes()).expect("an answer"));
            let real = [ask(&mut self.source, STATUS), ask(&mut self.replica, ROWS)];
            if real == model {
                return;
            }
            let told = || self.told.join("\n");
            assert!(begun.elapsed() < SETTLED_MAX, "{}\n the servers say {real:?}, the models {model:?}", told());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn rows(answers: &[Answer]) -> Vec<Vec<String>> {
    let value = |value: &Option<Vec<u8>>| value.as_deref().map_or("NULL".into(), text);
    let rows = |answer: &Answer| match answer {
        Answer::Rows(set, _) => set.rows.iter().map(|row| row.iter().map(value).collect()).collect(),
        // A table that is not there yet.
        other => vec![vec![describe(other, false)]],
    };
    answers.iter().flat_map(rows).collect()
}

#[test]
fn commits_wait_for_replicas_in_the_same_way() {
    const STEPS: usize = 120;
    let mut pairs = Pairs::start();
    let mut rng = Rng::new(7);
    let mut receives = true;
    for _ in 0..STEPS {
        match rng.below(10) {
            0 | 1 => {
                receives = !receives;
                pairs.on_replica(if receives { "START SLAVE IO_THREAD" } else { "STOP SLAVE IO_THREAD" });
            }
            2 => pairs.on_source("SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC"),
            3 => pairs.on_source("SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_COMMIT"),
            4 => pairs.on_source(&format!("SET GLOBAL rpl_semi_sync_master_enabled = {}", rng.below(3).min(1))),
            _ => pairs.on_source("INSERT INTO test.s (id) VALUES (NULL)"),
        }
        pairs.settle();
    }
    assert!(pairs.given_up > 3, "{} of {STEPS} waited in vain", pairs.given_up);
}
