//! The unix socket in the data directory of `weir up`: whoever may write to the directory may ask.

use super::UP;
use super::orchestrator::Orders;
use crate::gateway::Admin;
use crate::orch::Wishes;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;
use tonic::transport::Server;
use tracing::warn;
use weir_core::topo::ShardName;

/// Its name in the data directory.
const SOCKET: &str = "weir.ctl";

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
    let orders = wishes.map(|wishes| Orders::service(UP.to_owned(), shard, wishes));
    let server = Server::builder().add_service(Admin::service(gateway)).add_optional_service(orders);
    if let Err(why) = server.serve_with_incoming(Accepted(listener)).await {
        warn!("`weir ctl` cannot reach this Weir any more: {why}");
    }
}

/// Connections for the transport to take.
struct Accepted(UnixListener);

impl Stream for Accepted {
    type Item = io::Result<UnixStream>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}
