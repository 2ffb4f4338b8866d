//! A gateway whose program is replaced while clients connect all the time.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_tests::{Deployment, Session, application, eventually};

const REPLACED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is replaced.
const TIMES: u32 = 3;

/// Connects without a pause, until it is told to stop or cannot.
struct Connecting {
    done: Arc<AtomicBool>,
    connected: Arc<AtomicU32>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Connecting {
    fn to(at: SocketAddr) -> Self {
        let (done, connected) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let thread = |logs_in: bool| {
            let (done, connected) = (Arc::clone(&done), Arc::clone(&connected));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    if logs_in {
                        let mut session = Session::open(at, &application(), None).map_err(|why| why.to_string())?;
                        let answered = session.run(b"SELECT 1").map_err(|why| format!("a new session: {why}"))?;
                        assert_eq!(answered.len(), 1);
                    } else {
                        // Many of these are in the queue at any moment.
                        let mut stream = TcpStream::connect(at).map_err(|why| format!("connecting: {why}"))?;
                        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|why| why.to_string())?;
                        stream.read_exact(&mut [0; 4]).map_err(|why| format!("a greeting: {why}"))?;
                    }
                    connected.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let threads = [true, true, false, false, false, false].map(thread).into();
        Self { done, connected, threads }
    }

    fn wait_for_more(&self) {
        let before = self.connected.load(Ordering::Relaxed);
        eventually(REPLACED_WITHIN, "more have connected", || self.connected.load(Ordering::Relaxed) > before + 50);
    }

    fn finish(self) -> u32 {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("it goes through").expect("nobody is refused, and nobody's connection is reset");
        }
        self.connected.load(Ordering::Relaxed)
    }
}

#[test]
fn nobody_is_refused_while_a_gateway_is_replaced_and_who_is_connected_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("handover").display().to_string();
    let more = ["--handover", &path, "--drain-time-ms", "60000"];
    let mut deployment = Deployment::small_of_gateway(&more);
    let at = deployment.gateway(0);
    let connecting = Connecting::to(at);
    connecting.wait_for_more();
    let mut sessions = Vec::new();
    for time in 1..=TIMES {
        let mut session = Session::open(at, &application(), None).expect("a session");
        assert_eq!(session.values(&format!("SET @a = {time}; SELECT @a")), [time.to_string()]);
        sessions.push(session);
        let mut before = deployment.succeed_gateway(0);
        eventually(REPLACED_WITHIN, "the successor serves", || before.output().contains("a successor serves"));
        connecting.wait_for_more();
        for (session, time) in sessions.iter_mut().zip(1..) {
            assert_eq!(session.values("SELECT @a"), [time.to_string()], "it goes on where it was");
        }
        assert!(before.is_running(), "its sessions go on");
    }
    drop(sessions);
    assert!(connecting.finish() > 200);
    deployment.wait_for_predecessors(REPLACED_WITHIN);
    assert_eq!(deployment.query(0, "SELECT 7"), "7");
}

#[test]
fn a_gateway_starts_its_own_successor_and_ends_when_its_time_is_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("handover").display().to_string();
    let more = ["--handover", &path, "--drain-time-ms", "1000", "--health-listen", "127.0.0.1:0"];
    let mut deployment = Deployment::small_of_gateway(&more);
    let at = deployment.gateway(0);
    let health = weir_tests::http::told_at(&deployment.outputs()[0]);
    let mut session = Session::open(at, &application(), None).expect("a session");
    assert_eq!(session.values("SELECT 1"), ["1"]);
    deployment.ask_for_successor(0);
    let successor = deployment.wait_for_successor(0, REPLACED_WITHIN);
    let goes_on =
        session.run(b"SELECT 1").is_ok_and(|answers| answers.iter().all(|answer| matches!(answer, Answer::Rows(..))));
    assert!(!goes_on, "it had its time");
    assert_eq!(deployment.query(0, "SELECT 7"), "7", "the successor serves");
    assert_eq!(super::health::get(health, "/readyz").map(|(status, _)| status), Some(200));
    successor.end();
}

#[test]
fn whoever_connects_to_a_gateway_that_stops_is_refused_at_once_though_it_could_have_had_a_successor() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("handover").display().to_string();
    let deployment = Deployment::small_of_gateway(&["--handover", &path, "--drain-time-ms", "60000"]);
    let at = deployment.gateway(0);
    let mut busy = Session::open(at, &application(), None).expect("a session");
    busy.run(b"BEGIN").expect("a transaction");
    deployment.terminate_gateway(0);
    // Nobody waits in the queue of a socket from which nobody takes them.
    eventually(REPLACED_WITHIN / 4, "who connects is refused", || TcpStream::connect(at).is_err());
    assert_eq!(busy.values("SELECT 1"), ["1"], "the transaction goes on");
    busy.run(b"COMMIT").expect("an answer");
}
