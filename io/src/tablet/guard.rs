//! What stands between clients' statements and a tablet's server: the file that says who may touch which tables, as it is now.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use weir_core::error::Error;
use weir_core::gtid::Flavor;
use weir_core::link::Request;
use weir_core::tablet::acl::{Known, Server, Subject, TableAcl, ask};
use weir_core::tablet::conn::BackendConn;
use weir_core::topo::ServerVersion;

/// See the module. All tablets of a process have one.
#[derive(Debug)]
pub struct TableGuard {
    acl: RwLock<Arc<TableAcl>>,
    /// Of prepared statements.
    known: Mutex<Known>,
}

impl TableGuard {
    /// By this rule, from the first statement on.
    #[must_use]
    pub fn new(acl: TableAcl) -> Arc<Self> {
        Arc::new(Self { acl: RwLock::new(Arc::new(acl)), known: Mutex::default() })
    }

    /// By this rule from the next statement on, whether it is prepared already or not.
    pub fn replace(&self, acl: TableAcl) {
        *self.acl.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(acl);
    }

    /// Whether `request` may be run on `connection`.
    ///
    /// # Errors
    /// What the client is to read instead of an answer.
    pub(super) fn judge(&self, request: &Request, connection: &BackendConn) -> Result<(), Error> {
        let Some(ask) = ask(request) else { return Ok(()) };
        let acl = Arc::clone(&self.acl.read().unwrap_or_else(PoisonError::into_inner));
        if acl.permits_all(&request.caller) {
            return Ok(());
        }
        let server = server(connection);
        let touches = match ask.subject {
            Subject::Prepared(_) => self.known.lock().unwrap_or_else(PoisonError::into_inner).touches(&ask, server),
            _ => Arc::new(ask.touches(server)),
        };
        acl.permits(&request.caller, ask.schema(server), &touches)
    }
}

fn server(connection: &BackendConn) -> Server {
    let info = connection.server_info();
    let version = info.and_then(|info| ServerVersion::parse(core::str::from_utf8(&info.version).ok()?));
    let is_mariadb = info.is_some_and(weir_core::mysql::handshake::ServerInfo::is_mariadb);
    let is_recent = |version: ServerVersion| version.flavor == Flavor::MariaDb && version.at_least(10, 11, 0);
    Server {
        tracks: connection.tracks_session(),
        is_mariadb,
        is_recent_mariadb: is_mariadb && version.is_some_and(is_recent),
        status: info.map_or(0, |info| info.ok.status),
    }
}
