//! Results whose server, or whose tablet's process, is killed while their rows are on the way: the rows that came are whole and an error
//! follows the last of them, on a connection that goes on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::wire::Reader;
use weir_io::servers::Server;
use weir_tests::{Deployment, Heard, Part, TestCluster, Weir, Wire};

/// More than all buffers between server and client hold.
const ROWS: usize = 400_000;
const PADDING: usize = 300;
/// Read before something is killed.
const READ_FIRST: usize = 1000;

const SERVER_LOST: u16 = 1158;
const TRANSACTION_LOST: u16 = 1213;

/// A connection on which rows are on their way.
struct Torn {
    wire: Wire,
    rows: usize,
    /// Number of the server that they come from.
    server: usize,
}

impl Torn {
    fn begin(address: SocketAddr, before: &[&str], hint: &str) -> Self {
        let mut wire = Wire::login(address);
        // The sequence engine's tables are in any schema.
        for statement in ["CREATE DATABASE IF NOT EXISTS d"].iter().chain(before) {
            assert!(wire.ask(&ClientCommand::Query(statement.as_bytes())).is_ok());
        }
        let sql = format!("SELECT {hint} seq, @@server_id, REPEAT('x', {PADDING}) FROM d.seq_1_to_{ROWS}");
        let Heard::Packet(columns) = wire.ask(&ClientCommand::Query(sql.as_bytes())) else { panic!("no answer") };
        assert_eq!(columns, [3]);
        let mut torn = Self { wire, rows: 0, server: 0 };
        // Definitions, and the mark after them where there is one.
        let mut heard = torn.wire.hear();
        while !matches!(&heard, Heard::Packet(row) if torn.take_row(row)) {
            heard = torn.wire.hear();
        }
        while torn.rows < READ_FIRST {
            let Heard::Packet(row) = torn.wire.hear() else { panic!("no row") };
            assert!(torn.take_row(&row));
        }
        torn
    }

    /// False if it is none. Rows come in order, and are whole.
    fn take_row(&mut self, packet: &[u8]) -> bool {
        let mut row = Reader::new(packet);
        let mut value = || row.lenenc_str("value").ok().map(|value| String::from_utf8_lossy(value).into_owned());
        let (Some(number), Some(server), Some(padding)) = (value(), value(), value()) else { return false };
        let (Ok(number), Ok(server)) = (number.parse::<usize>(), server.parse()) else { return false };
        assert_eq!((number, padding.len()), (self.rows + 1, PADDING));
        (self.rows, self.server) = (number, server);
        true
    }

    /// The error that ends the rows; the connection can be used again.
    fn expect_error(&mut self, what: &str) -> u16 {
        loop {
            let heard = self.wire.hear();
            if let Some(error) = heard.error() {
                eprintln!("{what}: {} of {ROWS} rows, then {error}", self.rows);
                return error.code;
            }
            assert!(
                matches!(&heard, Heard::Packet(row) if self.take_row(row)),
                "{what}: {heard:?} after {}",
                self.rows
            );
        }
    }

    fn expect_goes_on(&mut self) {
        assert_eq!(self.wire.value("SELECT 6 * 7"), "42");
    }
}

fn kill_server(server: &Server) {
    let pid = i32::try_from(server.pid().expect("it runs")).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process of ours");
}

#[test]
fn rows_of_a_server_that_is_killed_end_with_an_error_on_a_connection_that_goes_on() {
    let cluster = TestCluster::start(2);
    let weir = Weir::attach(&cluster, &[]);
    let mut torn = Torn::begin(weir.address(), &[], "/*vt+ ROLE=REPLICA */");
    assert_eq!(torn.server, 2);
    kill_server(&cluster.replicas()[0]);
    assert_eq!(torn.expect_error("a replica"), SERVER_LOST);
    torn.expect_goes_on();

    let mut torn = Torn::begin(weir.address(), &["BEGIN"], "");
    assert_eq!(torn.server, 1);
    kill_server(cluster.primary());
    assert_eq!(torn.expect_error("the primary, in a transaction"), SERVER_LOST);
    assert_eq!(torn.wire.refusal("SELECT 1").code, TRANSACTION_LOST, "what was read before does not hold any more");
    assert!(torn.wire.ask(&ClientCommand::Query(b"ROLLBACK")).is_ok());
}

/// The tablet tells what it has passed on, whether it or its server is lost.
#[test]
fn rows_that_come_through_a_tablet_that_is_killed_end_so_too() {
    let mut deployment = Deployment::start();
    for part in [Part::Server as fn(usize) -> Part, Part::Tablet] {
        let mut torn = Torn::begin(deployment.gateway(0), &[], "/*vt+ ROLE=REPLICA */");
        let lost = part(torn.server - 1);
        deployment.kill_process(lost);
        assert_eq!(torn.expect_error(&format!("{lost:?}")), SERVER_LOST);
        torn.expect_goes_on();
    }
}
