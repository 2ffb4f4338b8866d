//! Hands the sockets that clients connect to from a running gateway to its successor, so that nobody who connects meanwhile is refused.
//!
//! Both hold the same sockets for a moment, and with them one queue of those who have connected and were not accepted yet: whichever
//! process accepts next takes them, and none is lost when the older stops. See `docs/src/decisions/handover.md`.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tracing::warn;

/// What is handed over: those for clients over TCP and on this machine, for operators, for questions of health, and for browsers. An older
/// version takes the first four.
const SOCKETS_MAX: usize = 5;
/// How long the older may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long its successor may take to start.
const START_TIME_MAX: Duration = Duration::from_secs(300);
/// What the successor says when it serves.
const SERVES: u8 = b'!';
/// Only who runs the gateway may take its sockets.
const MODE: u32 = 0o600;

/// Sockets that are listened on already.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For clients over TCP.
    pub clients: Option<TcpListener>,
    /// For clients on this machine.
    pub local: Option<UnixListener>,
    /// For operators.
    pub operators: Option<TcpListener>,
    /// For questions of health.
    pub health: Option<TcpListener>,
    /// For operators' browsers.
    pub console: Option<TcpListener>,
}

impl Sockets {
    fn named(&self) -> impl Iterator<Item = (u8, BorrowedFd<'_>)> {
        let clients = self.clients.as_ref().map(|socket| (b'c', socket.as_fd()));
        let local = self.local.as_ref().map(|socket| (b'l', socket.as_fd()));
        let operators = self.operators.as_ref().map(|socket| (b'o', socket.as_fd()));
        let health = self.health.as_ref().map(|socket| (b'h', socket.as_fd()));
        let console = self.console.as_ref().map(|socket| (b'b', socket.as_fd()));
        clients.into_iter().chain(local).chain(operators).chain(health).chain(console)
    }

    fn put(&mut self, name: u8, socket: OwnedFd) {
        match name {
            b'c' => self.clients = Some(socket.into()),
            b'l' => self.local = Some(socket.into()),
            b'o' => self.operators = Some(socket.into()),
            b'h' => self.health = Some(socket.into()),
            b'b' => self.console = Some(socket.into()),
            // A later version hands over more: it is closed.
            _ => {}
        }
    }

    /// The same sockets, held twice.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            clients: self.clients.as_ref().map(TcpListener::try_clone).transpose()?,
            local: self.local.as_ref().map(UnixListener::try_clone).transpose()?,
            operators: self.operators.as_ref().map(TcpListener::try_clone).transpose()?,
            health: self.health.as_ref().map(TcpListener::try_clone).transpose()?,
            console: self.console.as_ref().map(TcpListener::try_clone).transpose()?,
        })
    }
}

/// Whether it is what would be listened on.
#[must_use]
pub fn is_wanted(tcp: &TcpListener, wanted: SocketAddr) -> bool {
    tcp.local_addr().is_ok_and(|at| at.ip() == wanted.ip() && (at.port() == wanted.port() || wanted.port() == 0))
}

/// The gateway whose sockets were taken. It goes on until it is told otherwise; if this is dropped, for good.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// It accepts nobody from now on.
    ///
    /// # Errors
    /// When it has ended meanwhile.
    pub async fn relieve(mut self) -> io::Result<()> {
        self.0.write_all(&[SERVES]).await
    }
}

/// Takes the sockets of the gateway that offers them at `path`; `None` when there is none.
///
/// # Errors
/// When there is one that does not hand them over.
pub async fn take(path: &Path) -> io::Result<Option<(Sockets, Predecessor)>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        // Left behind by one that was killed, or there never was one.
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(why) => return Err(why),
    };
    let received = stream.async_io(Interest::READABLE, || receive(&stream));
    let sockets = tokio::time::timeout(ANSWER_TIME_MAX, received).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if sockets.clients.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the running gateway does not hand its sockets over",
        ));
    }
    Ok(Some((sockets, Predecessor(stream))))
}

fn receive(stream: &UnixStream) -> io::Result<Sockets> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut names = [0; SOCKETS_MAX];
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut names)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let mut sockets = Sockets::default();
    for (name, socket) in names.iter().take(received.bytes).zip(rights.flatten()) {
        sockets.put(*name, socket);
    }
    Ok(sockets)
}

/// Sockets that a successor may take. Dropped, nobody finds them any more, unless one has.
#[derive(Debug)]
pub struct Offer {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    sockets: Sockets,
    was_taken: bool,
}

impl Offer {
    /// Prepares to offer them at `path`.
    ///
    /// # Errors
    /// When its directory cannot be written to.
    pub fn prepare(path: &Path, sockets: Sockets) -> io::Result<Self> {
        let mut own = path.as_os_str().to_owned();
        own.push(format!(".{}", std::process::id()));
        let own = PathBuf::from(own);
        let listener = tokio::net::UnixListener::bind(&own)?;
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(MODE))?;
        Ok(Self { listener, path: own, sockets, was_taken: false })
    }

    /// Offers them there, whoever did before.
    ///
    /// # Errors
    /// When it cannot be put there.
    pub fn publish(&mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(())
    }

    /// Waits until a successor serves in place of this process.
    pub async fn taken(&mut self) {
        while !self.was_taken {
            match self.listener.accept().await {
                Ok((stream, _)) => match self.hand_over(stream).await {
                    Ok(()) => self.was_taken = true,
                    Err(why) => warn!("the sockets were not taken over: {why}"),
                },
                Err(why) => {
                    warn!("cannot accept a successor: {why}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn hand_over(&self, mut stream: UnixStream) -> io::Result<()> {
        let who = stream.peer_cred()?.uid();
        let own = rustix::process::geteuid().as_raw();
        if who != own && who != 0 {
            let why = format!("user {who} asks for them, and this process is of user {own}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        stream.async_io(Interest::WRITABLE, || send(&stream, &self.sockets)).await?;
        let said = tokio::time::timeout(START_TIME_MAX, stream.read_u8()).await.map_err(|_| io::ErrorKind::TimedOut)?;
        match said {
            Ok(SERVES) => Ok(()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the successor ended before it served")),
        }
    }
}

fn send(stream: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let (names, sockets): (Vec<u8>, Vec<BorrowedFd<'_>>) = sockets.named().unzip();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = control.push(SendAncillaryMessage::ScmRights(&sockets));
    debug_assert!(fits, "there is space for all that there are");
    sendmsg(stream, &[IoSlice::new(&names)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.was_taken {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets() -> (Sockets, std::net::SocketAddr) {
        let clients = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = clients.local_addr().unwrap();
        (Sockets { clients: Some(clients), ..Sockets::default() }, address)
    }

    fn offer(path: &Path, sockets: Sockets) -> Offer {
        let mut offer = Offer::prepare(path, sockets).unwrap();
        offer.publish(path).unwrap();
        offer
    }

    #[tokio::test]
    async fn a_successor_has_the_same_sockets_and_its_own_offer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handover");
        assert!(take(&path).await.unwrap().is_none(), "there is none");
        let (mine, address) = sockets();
        let mut offer = offer(&path, mine.try_clone().unwrap());
        let successor = async {
            let (taken, predecessor) = take(&path).await.unwrap().expect("there is one");
            assert_eq!(taken.clients.as_ref().unwrap().local_addr().unwrap(), address);
            assert!(taken.local.is_none() && taken.health.is_none());
            predecessor.relieve().await.unwrap();
            let next = self::offer(&path, taken.try_clone().unwrap());
            (taken, next)
        };
        let ((), (taken, _next)) = tokio::join!(offer.taken(), successor);
        drop((mine, offer));
        assert!(path.exists(), "it is the successor's");
        let client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(taken.clients.unwrap().accept().unwrap().1, client.local_addr().unwrap());
    }

    #[tokio::test]
    async fn one_that_does_not_come_to_serve_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handover");
        let mut offer = offer(&path, sockets().0);
        let failed = async { drop(take(&path).await.unwrap().expect("there is one")) };
        let waiting = tokio::time::timeout(Duration::from_millis(500), offer.taken());
        let (waited, ()) = tokio::join!(waiting, failed);
        assert!(waited.is_err(), "it goes on");
        drop(offer);
        assert!(!path.exists());
    }
}
