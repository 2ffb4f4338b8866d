//! A late link: what one side sends arrives after a delay. Between a primary and its replica it makes the replica late by a
//! time of any length, which servers themselves only count in whole seconds (`MASTER_DELAY`).
//!
//! It holds back the bytes, and with them when a transaction is received and then applied; how many pass is not limited.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Pieces under way at most; the sender waits beyond.
const PIECES_MAX: usize = 16 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// A piece, and when it may arrive.
type Late = (Instant, Vec<u8>);

/// A listener that passes connections on to a server. What the server says is late; what it is told is not. Connections outlive
/// it, and end with those of either side.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
}

impl Relay {
    /// A link to `server` without delay.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delay = Arc::clone(&delay_ms);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(server) {
                    connect(client, server, &delay);
                }
            }
        });
        Self { address, delay_ms }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server says from now on arrives so much later.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("a sane delay");
        self.delay_ms.store(millis, Ordering::Relaxed);
    }
}

fn connect(client: TcpStream, server: TcpStream, delay: &Arc<AtomicU64>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
    }
    let (pieces, late) = sync_channel(PIECES_MAX);
    let (mut from_client, mut to_server) =
        (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    let delay = Arc::clone(delay);
    std::thread::spawn(move || {
        // Its end is seen by the other two.
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || take_in(server, &pieces, &delay));
    std::thread::spawn(move || hand_out(client, &late));
}

fn take_in(mut server: TcpStream, pieces: &SyncSender<Late>, delay: &AtomicU64) {
    let mut buf = vec![0; PIECE_BYTES];
    while let Ok(len @ 1..) = server.read(&mut buf) {
        let due = Instant::now() + Duration::from_millis(delay.load(Ordering::Relaxed));
        if pieces.send((due, buf[..len].to_vec())).is_err() {
            break;
        }
    }
}

fn hand_out(mut client: TcpStream, late: &Receiver<Late>) {
    for (due, piece) in late {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if client.write_all(&piece).is_err() {
            break;
        }
    }
    // It may be gone already.
    let _ = client.shutdown(Shutdown::Both);
}
