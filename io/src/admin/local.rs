//! How `weir up` is asked: over the unix socket in its data directory, by whoever may write to the directory; and from within the process.

use super::UP;
use super::orchestrator::Orders;
use crate::gateway::Admin;
use crate::orch::Wishes;
use hyper_util::rt::TokioIo;
use std::future::{Ready, ready};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::DuplexStream;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tower::Service;
use tracing::warn;
use weir_core::topo::ShardName;

/// Its name in the data directory.
const SOCKET: &str = "weir.ctl";
/// Bytes on their way within the process, in one direction.
const WITHIN_BYTES_MAX: usize = 64 * 1024;
/// Connections within the process that wait to be accepted. A channel makes one, and the next when that has broken.
const WITHIN_CONNECTIONS_MAX: usize = 4;

/// Where the socket of a data directory is.
pub(super) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET)
}

/// Listens in a directory that this process has for itself.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = socket(data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until it is aborted. The gateway answers once it is there, an orchestrator only where there is one.
pub(crate) async fn serve(
    listener: UnixListener,
    shard: ShardName,
    wishes: Option<Wishes>,
    gateway: Arc<OnceLock<Admin>>,
) {
    if let Err(why) = router(shard, wishes, gateway).serve_with_incoming(Accepted(listener)).await {
        warn!("`weir ctl` cannot reach this Weir any more: {why}");
    }
}

fn router(shard: ShardName, wishes: Option<Wishes>, gateway: Arc<OnceLock<Admin>>) -> Router {
    let orders = wishes.map(|wishes| Orders::service(UP.to_owned(), shard, wishes));
    Server::builder().add_service(Admin::service(gateway)).add_optional_service(orders)
}

/// The same for whoever asks within this process: a channel, and what answers on it until it is aborted.
pub(crate) fn within(
    shard: ShardName,
    wishes: Option<Wishes>,
    gateway: Arc<OnceLock<Admin>>,
) -> (Channel, impl Future<Output = ()> + Send + 'static) {
    let (connecting, connected) = mpsc::channel(WITHIN_CONNECTIONS_MAX);
    // Nobody looks it up.
    let channel = Endpoint::from_static("http://within").connect_with_connector_lazy(Within(connecting));
    let serving = router(shard, wishes, gateway).serve_with_incoming(ReceiverStream::new(connected));
    // It ends with its channel.
    (channel, async move { drop(serving.await) })
}

/// Connects a channel to what answers within this process.
#[derive(Clone)]
struct Within(mpsc::Sender<io::Result<DuplexStream>>);

impl Service<Uri> for Within {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (ours, theirs) = tokio::io::duplex(WITHIN_BYTES_MAX);
        let sent = self.0.try_send(Ok(theirs)).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        ready(sent.map(|()| TokioIo::new(ours)))
    }
}

/// Connections for the transport to take.
struct Accepted(UnixListener);

impl Stream for Accepted {
    type Item = io::Result<UnixStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}
