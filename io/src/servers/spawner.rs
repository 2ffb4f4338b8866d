//! Starts child processes that die with this process, however it ends.
//!
//! `setpriv --pdeathsig` asks the kernel to signal the child when its parent dies. The kernel means the *thread* that
//! started it, so all children are started by one thread that lives as long as the process. The signal is SIGKILL,
//! since MariaDB forgets a SIGTERM that comes while it starts; the servers' settings make them safe against crashes.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

struct Order {
    command: Command,
    started: Sender<io::Result<Child>>,
}

/// Starts `program` in its own process group, so that Ctrl-C at a terminal reaches Weir alone, which then stops its
/// servers in order.
pub(super) fn spawn<'a>(setpriv: &Path, program: &Path, args: impl IntoIterator<Item = &'a str>) -> io::Result<Child> {
    let mut command = command(setpriv, program);
    command.args(args);
    start(command)
}

/// What is to be started, for its caller to add arguments and pipes.
pub(super) fn command(setpriv: &Path, program: &Path) -> Command {
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command
}

/// Starts what [`command`] has made.
pub(super) fn start(command: Command) -> io::Result<Child> {
    let (started, child) = channel();
    let gone = |_| io::Error::other("the thread that starts servers is gone");
    orders().send(Order { command, started }).map_err(|_| gone(()))?;
    child.recv().map_err(|_| gone(()))?
}

fn orders() -> &'static Sender<Order> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    ORDERS.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        // The static sender is never dropped, so this thread never ends before the process does.
        std::thread::spawn(move || {
            for mut order in inbox {
                // A caller that no longer waits drops the child handle; the child still dies with the process.
                let _ = order.started.send(order.command.spawn());
            }
        });
        orders
    })
}
