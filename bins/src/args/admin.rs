//! How operators reach a gateway or an orchestrator.

use super::WireArgs;
use clap::Args as ClapArgs;
use std::net::{IpAddr, SocketAddr};
use weir_core::topo::ProcessName;
use weir_io::processes::Admin;

/// What a machine is called that cannot say it.
const HOST_NAME: &str = "weir";
/// Characters of a machine's name in the name of a process: beside them stands a port.
const HOST_CHARS_MAX: usize = 57;

/// Options of whatever operators ask with `weir ctl` and `weir top`.
#[derive(Debug, ClapArgs)]
pub struct AdminArgs {
    /// The address that operators connect to, with `weir ctl` and `weir top`.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP", env = "WEIR_GRPC_HOST")]
    pub grpc_host: IpAddr,

    /// The port for them; 0 for any free one: the topology says which it is.
    #[arg(long, default_value_t = 0, value_name = "PORT", env = "WEIR_GRPC_PORT")]
    pub grpc_port: u16,

    /// The host under which others reach it, where that is not the address listened on.
    #[arg(long, value_name = "HOST", env = "WEIR_ADVERTISE")]
    pub advertise: Option<String>,

    /// What the process is called [default: the machine's name and --grpc-port].
    #[arg(long, value_name = "NAME", env = "WEIR_NAME")]
    pub name: Option<ProcessName>,
}

impl AdminArgs {
    /// What they say.
    ///
    /// # Errors
    /// When anybody could connect.
    pub fn options(&self, wire: &WireArgs) -> Result<Admin, String> {
        wire.check(self.grpc_host)?;
        Ok(Admin {
            listen: SocketAddr::new(self.grpc_host, self.grpc_port),
            advertised: self.advertise.clone(),
            host_name: host_name(),
            name: self.name.clone(),
        })
    }
}

/// The machine's name, as far as a process can be called by it.
fn host_name() -> String {
    let said = nix::unistd::gethostname().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = said.to_string_lossy().chars().filter(|c| is_plain(*c)).take(HOST_CHARS_MAX).collect();
    if plain.is_empty() { HOST_NAME.to_owned() } else { plain }
}
