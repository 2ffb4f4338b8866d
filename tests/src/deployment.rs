//! A shard whose gateways, tablets and orchestrators are processes of their own, around a real etcd.

use crate::weir::{collect, program, resident_kib};
use crate::{EtcdCluster, Host, Session, Written, application, as_application, free_port, in_time};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_io::servers::Account;

/// How many of each there are.
#[derive(Clone, Copy, Debug)]
struct Counts {
    members: usize,
    tablets: usize,
    orchestrators: usize,
    gateways: usize,
}

/// As on three machines.
const WHOLE: Counts = Counts { members: 3, tablets: 3, orchestrators: 3, gateways: 2 };
/// What an operator has to tell apart.
const SEVERAL: Counts = Counts { members: 1, tablets: 3, orchestrators: 2, gateways: 2 };
/// What serves at all.
const SMALL: Counts = Counts { members: 1, tablets: 1, orchestrators: 1, gateways: 1 };

/// Options more than every deployment has.
#[derive(Clone, Copy, Debug, Default)]
struct More<'a> {
    all: &'a [&'a str],
    tablet: &'a [&'a str],
    gateway: &'a [&'a str],
    orchestrator: &'a [&'a str],
    /// Where the programs are, if not where this build has put them.
    programs: Option<&'a Path>,
}

fn owned<'a>(options: &'a [&'a str]) -> impl Iterator<Item = String> + use<'a> {
    options.iter().map(|option| (*option).to_owned())
}

/// Where all of them record, in the deployment's directory.
const RECORDINGS: &str = "recordings";
/// Whatever looks after processes starts one again after this.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// All is in its place again by then.
const HEALED_MAX: Duration = Duration::from_secs(90);

/// Whoever is told to stop has done so by then.
const STOPPED_MAX: Duration = Duration::from_secs(60);

/// Something that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A member of etcd.
    Etcd(usize),
    /// A tablet, whose server dies with it.
    Tablet(usize),
    /// The server of a tablet.
    Server(usize),
    /// An orchestrator.
    Orchestrator(usize),
    /// A gateway.
    Gateway(usize),
}

impl Part {
    /// One after the other, each kind in turn.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = (0..3)
            .flat_map(|n| [Self::Tablet(n), Self::Etcd(n), Self::Server(n), Self::Orchestrator(n), Self::Gateway(n)]);
        kinds.filter(|part| !matches!(part, Self::Gateway(n) if *n >= WHOLE.gateways))
    }
}

/// A process that is started again with the same arguments.
#[derive(Debug)]
struct Process {
    program: &'static str,
    /// Where the program is, if not where this build has put it.
    programs: Option<PathBuf>,
    host: Host,
    arguments: Vec<String>,
    child: Option<Child>,
    output: Arc<Mutex<String>>,
}

/// See the module. Everything ends with it.
#[derive(Debug)]
pub struct Deployment {
    hosts: Vec<Host>,
    gateways: Vec<(Process, SocketAddr)>,
    orchestrators: Vec<Process>,
    tablets: Vec<Process>,
    /// Gateways that have been succeeded.
    predecessors: Vec<Process>,
    etcd: EtcdCluster,
    dir: TempDir,
}

/// A gateway that another has succeeded, or will.
#[derive(Debug)]
pub struct Predecessor<'a>(&'a mut Process);

impl Predecessor<'_> {
    /// What it has said.
    #[must_use]
    pub fn output(&self) -> String {
        self.0.output()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.0.is_running()
    }
}

/// A gateway that no test has started.
#[derive(Debug)]
pub struct Successor(nix::unistd::Pid);

impl Successor {
    /// Ends it.
    pub fn end(self) {}
}

impl Drop for Successor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = nix::sys::signal::kill(self.0, nix::sys::signal::Signal::SIGKILL);
    }
}

impl Deployment {
    /// As on three machines, ready.
    #[must_use]
    pub fn start() -> Self {
        Self::of(WHOLE, More::default(), vec![Host::local()])
    }

    /// As on three machines, from the programs in this directory, ready.
    #[must_use]
    pub fn start_from(programs: &Path) -> Self {
        Self::of(WHOLE, More { programs: Some(programs), ..More::default() }, vec![Host::local()])
    }

    /// On hosts of their own, ready: three have a member of etcd, a tablet and an orchestrator each, and each gateway has its own. For a
    /// test that has its own network.
    #[must_use]
    pub fn on_hosts() -> Self {
        // Nobody else is in this network.
        Self::of(WHOLE, More { all: &["--grpc-plaintext"], ..More::default() }, Host::others(5))
    }

    /// Three tablets, two orchestrators and two gateways, ready.
    #[must_use]
    pub fn several() -> Self {
        Self::of(SEVERAL, More::default(), vec![Host::local()])
    }

    /// The same with these options more for all, and for gateways, ready.
    #[must_use]
    pub fn several_with(all: &[&str], gateway: &[&str]) -> Self {
        Self::of(SEVERAL, More { all, gateway, ..More::default() }, vec![Host::local()])
    }

    /// The same with these options more for those that operators ask, gateways and orchestrators, ready.
    #[must_use]
    pub fn several_operated(more: &[&str]) -> Self {
        Self::of(SEVERAL, More { gateway: more, orchestrator: more, ..More::default() }, vec![Host::local()])
    }

    /// One of each, ready.
    #[must_use]
    pub fn small() -> Self {
        Self::of(SMALL, More::default(), vec![Host::local()])
    }

    /// One of each, with these options more, ready.
    #[must_use]
    pub fn small_with(more: &[&str]) -> Self {
        Self::of(SMALL, More { all: more, ..More::default() }, vec![Host::local()])
    }

    /// One of each, and so many gateways, which have these options more, ready.
    #[must_use]
    pub fn small_with_gateways(gateways: usize, more: &[&str]) -> Self {
        Self::of(Counts { gateways, ..SMALL }, More { gateway: more, ..More::default() }, vec![Host::local()])
    }

    /// One of each, the gateway with these options more, ready.
    #[must_use]
    pub fn small_of_gateway(more: &[&str]) -> Self {
        Self::of(SMALL, More { gateway: more, ..More::default() }, vec![Host::local()])
    }

    /// One of each, the tablet with these options more, ready.
    #[must_use]
    pub fn small_of_tablet(more: &[&str]) -> Self {
        Self::of(SMALL, More { tablet: more, ..More::default() }, vec![Host::local()])
    }

    /// One of each, the tablet and the gateway with these options more, ready.
    #[must_use]
    pub fn small_of(tablet: &[&str], gateway: &[&str]) -> Self {
        Self::of(SMALL, More { tablet, gateway, ..More::default() }, vec![Host::local()])
    }

    fn of(counts: Counts, more: More<'_>, hosts: Vec<Host>) -> Self {
        let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
        let host = |number: usize| hosts[number % hosts.len()].clone();
        let etcd = EtcdCluster::start_on((0..counts.members).map(host).collect());
        let topology = ["--etcd".to_owned(), etcd.urls().join(","), "--shard".into(), "shop/0".into()];
        let log = std::env::var("WEIR_TEST_LOG").unwrap_or_else(|_| "warn".into());
        let log = ["--log".to_owned(), log].into_iter().filter(|_| !more.all.contains(&"--log"));
        let common: Vec<String> = topology.into_iter().chain(log).chain(owned(more.all)).collect();
        let Account { user, password } = application();
        let account = ["--user".to_owned(), user, "--password".into(), password];
        let recorded = || {
            let recordings = ["--record-dir".to_owned(), dir.path().join(RECORDINGS).display().to_string()];
            // Programs of before may not know that.
            recordings.into_iter().filter(|_| more.programs.is_none())
        };
        let tablets = (1..=counts.tablets).map(|number| {
            let host = host(number - 1);
            let own = [
                ("--alias", format!("local-{number}")),
                ("--grpc-host", host.address().to_string()),
                ("--mysql-host", host.address().to_string()),
                ("--data-dir", dir.path().join(format!("tablet-{number}")).display().to_string()),
                ("--grpc-port", free_port().to_string()),
                ("--mysql-port", free_port().to_string()),
                ("--replication-password", "between servers".to_owned()),
            ];
            let own = own
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .chain(recorded())
                .chain(owned(more.tablet));
            Process::new("weir-tablet", host, own.chain(account.clone()).chain(common.clone()))
        });
        let tablets: Vec<Process> = tablets.collect();
        let cohort: Vec<String> = (1..=counts.tablets).map(|number| format!("local-{number}")).collect();
        // One alone has nobody to acknowledge.
        let durability = if counts.tablets > 1 { "semi_sync" } else { "none" };
        let cohort = ["--cohort".to_owned(), cohort.join(","), "--durability".into(), durability.into()];
        let orchestrator = |number: usize| {
            let own = ["--name".to_owned(), format!("orchestrator-{number}")].into_iter();
            let own = own.chain(recorded()).chain(owned(more.orchestrator));
            Process::new("weir-orch", host(number), own.chain(cohort.clone()).chain(common.clone()))
        };
        let gateway = |number: usize| {
            let (host, port) = (host(counts.tablets + number), free_port());
            let address = SocketAddr::from((host.address(), port));
            let own = [
                ("--name", format!("gateway-{number}")),
                ("--host", host.address().to_string()),
                ("--port", port.to_string()),
            ];
            let own = own
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .chain(recorded())
                .chain(owned(more.gateway));
            (Process::new("weir-gateway", host, own.chain(account.clone()).chain(common.clone())), address)
        };
        let mut deployment = Self {
            gateways: (0..counts.gateways).map(gateway).collect(),
            orchestrators: (0..counts.orchestrators).map(orchestrator).collect(),
            hosts: hosts.clone(),
            tablets,
            predecessors: Vec::new(),
            etcd,
            dir,
        };
        for process in deployment.processes() {
            process.programs = more.programs.map(Path::to_owned);
            process.start();
        }
        deployment.wait_until_healed();
        deployment
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let gateways = self.gateways.iter_mut().map(|(process, _)| process);
        self.tablets.iter_mut().chain(&mut self.orchestrators).chain(gateways)
    }

    /// Where the clients of a gateway connect.
    #[must_use]
    pub fn gateway(&self, number: usize) -> SocketAddr {
        self.gateways[number].1
    }

    /// An account of the primary's server that may do everything there.
    #[must_use]
    pub fn service_account(&self) -> Account {
        let password =
            std::fs::read_to_string(self.dir.path().join(format!("tablet-{}/service-password", self.primary() + 1)));
        Account::new("weir_service", password.expect("the tablet has made it"))
    }

    /// Where all of them record.
    #[must_use]
    pub fn recordings(&self) -> PathBuf {
        self.dir.path().join(RECORDINGS)
    }

    /// Which tablet is primary, as the first gateway sees it.
    #[must_use]
    pub fn primary(&self) -> usize {
        let said = self.query(0, "SHOW WEIR TABLETS");
        let line =
            said.lines().find(|line| line.contains("\tPRIMARY\t")).unwrap_or_else(|| panic!("no primary: {said}"));
        let alias = line.split('\t').next().and_then(|alias| alias.rsplit('-').next()?.parse::<usize>().ok());
        alias.expect("a tablet's number") - 1
    }

    /// The nodes of its etcd.
    #[must_use]
    pub fn etcd(&self) -> String {
        self.etcd.urls().join(",")
    }

    /// Its hosts: those of tablets, then those of gateways.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// How much memory a gateway and a tablet hold, in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> [u64; 2] {
        self.data_plane().map(resident_kib)
    }

    /// The process ids of the first gateway and tablet.
    #[must_use]
    pub fn data_plane(&self) -> [u32; 2] {
        [&self.gateways[0].0, &self.tablets[0]].map(|process| process.child.as_ref().expect("it runs").id())
    }

    /// Runs statements through a gateway with the `mariadb` client.
    pub fn query(&self, gateway: usize, sql: &str) -> String {
        as_application(self.gateway(gateway), sql).unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.output()))
    }

    /// Stops a process, and starts it again from this build's programs. A gateway is killed: its clients lose it either way.
    ///
    /// # Panics
    /// When it is none of Weir's.
    pub fn upgrade(&mut self, part: Part) {
        let process = match part {
            Part::Tablet(number) => &mut self.tablets[number],
            Part::Orchestrator(number) => &mut self.orchestrators[number],
            Part::Gateway(number) => &mut self.gateways[number].0,
            Part::Etcd(_) | Part::Server(_) => panic!("{part:?} is not Weir's"),
        };
        if matches!(part, Part::Gateway(_)) {
            process.kill();
            // As after any kill: its clients have noticed by then.
            std::thread::sleep(RESTART_AFTER);
        } else {
            process.stop();
        }
        process.programs = None;
        process.start();
    }

    /// Kills it, and starts it again a little later.
    pub fn kill_and_restart(&mut self, part: Part) {
        match part {
            Part::Etcd(number) => {
                self.etcd.kill(number);
                std::thread::sleep(RESTART_AFTER);
                self.etcd.restart(number);
            }
            // Its tablet starts it again.
            Part::Server(number) => self.kill_server(number),
            Part::Tablet(number) => self.tablets[number].kill_and_restart(),
            Part::Orchestrator(number) => self.orchestrators[number].kill_and_restart(),
            Part::Gateway(number) => self.gateways[number].0.kill_and_restart(),
        }
    }

    /// Starts etcd again.
    pub fn restart_etcd(&mut self, number: usize) {
        self.etcd.restart(number);
    }

    /// Starts a gateway again beside the one that runs, which is given.
    pub fn succeed_gateway(&mut self, number: usize) -> Predecessor<'_> {
        let running = &mut self.gateways[number].0;
        let successor = Process::new(running.program, running.host.clone(), running.arguments.clone().into_iter());
        let before = std::mem::replace(running, successor);
        running.start();
        self.predecessors.push(before);
        Predecessor(self.predecessors.last_mut().expect("it was pushed"))
    }

    /// Waits until all gateways that were succeeded have ended by themselves.
    pub fn wait_for_predecessors(&mut self, limit: Duration) {
        let begun = Instant::now();
        while let Some(running) =
            self.predecessors.iter_mut().find_map(|process| process.is_running().then_some(process))
        {
            in_time(begun.elapsed(), limit, || format!("it ends: {}", running.output()));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops a gateway where it is (SIGSTOP), until it is thawed.
    pub fn freeze_gateway(&self, number: usize) {
        let process = &self.gateways[number].0;
        process.signal(nix::sys::signal::Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", process.child.as_ref().expect("it runs").id());
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.expect("a task").path().join("stat")).expect("a living task");
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        while !std::fs::read_dir(&tasks).expect("its tasks").all(is_stopped) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw_gateway(&self, number: usize) {
        self.gateways[number].0.signal(nix::sys::signal::Signal::SIGCONT);
    }

    /// Tells a gateway to start its successor (SIGUSR2).
    pub fn ask_for_successor(&mut self, number: usize) {
        self.gateways[number].0.signal(nix::sys::signal::Signal::SIGUSR2);
    }

    /// Waits until a gateway has ended, and left its place to the successor that it had started.
    pub fn wait_for_successor(&mut self, number: usize, limit: Duration) -> Successor {
        let process = &mut self.gateways[number].0;
        let id = process.child.as_ref().expect("it runs").id();
        let begun = Instant::now();
        let mut successor = None;
        while process.is_running() {
            // Processes whose parent has ended are another's.
            let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            let pid = || children.split_whitespace().next().and_then(|pid| pid.parse().ok());
            successor = successor.or_else(|| pid().map(|pid| Successor(nix::unistd::Pid::from_raw(pid))));
            in_time(begun.elapsed(), limit, || format!("it ends: {}", process.output()));
            std::thread::sleep(Duration::from_millis(20));
        }
        successor.unwrap_or_else(|| panic!("no successor: {}", process.output()))
    }

    /// Kills it for good.
    pub fn kill_process(&mut self, part: Part) {
        match part {
            Part::Etcd(number) => self.etcd.kill(number),
            Part::Server(number) => self.kill_server(number),
            Part::Tablet(number) => self.tablets[number].kill(),
            Part::Orchestrator(number) => self.orchestrators[number].kill(),
            Part::Gateway(number) => self.gateways[number].0.kill(),
        }
    }

    /// Tells a gateway to stop (SIGTERM), and does not wait.
    pub fn terminate_gateway(&self, number: usize) {
        self.gateways[number].0.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// Tells all to read their files again (SIGHUP).
    pub fn hang_up(&mut self) {
        self.processes().for_each(|process| process.signal(nix::sys::signal::Signal::SIGHUP));
    }

    /// Waits until each has said so.
    pub fn wait_for_all(&mut self, said: &str, limit: Duration) {
        let begun = Instant::now();
        while let Some(silent) = self.processes().find(|process| !process.output().contains(said)) {
            in_time(begun.elapsed(), limit, || format!("{} says {said}: {}", silent.program, silent.output()));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the first gateway, orchestrator and tablet have said.
    #[must_use]
    pub fn outputs(&self) -> [String; 3] {
        [&self.gateways[0].0, &self.orchestrators[0], &self.tablets[0]].map(Process::output)
    }

    fn kill_server(&self, number: usize) {
        let number = number + 1;
        let file = self.dir.path().join(format!("tablet-{number}/server-{number}/mariadbd.pid"));
        // One that is just being started again has none.
        let pid = std::fs::read_to_string(file).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid {
            // It may have ended already.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Waits until every gateway sees a primary, and all others as its replicas; returns how long that took.
    pub fn wait_until_healed(&self) -> Duration {
        let begun = Instant::now();
        while !(0..self.gateways.len()).all(|gateway| self.is_whole(gateway)) {
            in_time(begun.elapsed(), HEALED_MAX, || format!("healed:\n{}", self.output()));
            std::thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    }

    fn is_whole(&self, gateway: usize) -> bool {
        let said = as_application(self.gateway(gateway), "SHOW WEIR TABLETS").unwrap_or_default();
        let serves = |role: &str| {
            let serves = |line: &&str| line.split('\t').skip(1).take(2).eq([role, "serves"]);
            said.lines().filter(serves).count()
        };
        serves("PRIMARY") == 1 && serves("REPLICA") + 1 == self.tablets.len()
    }
}

impl Written for Deployment {
    fn on_primary(&self, sql: &str) -> Vec<String> {
        let mut session = Session::open(self.gateway(0), &application(), None).expect("a session");
        session.values(&format!("/*vt+ ROLE=PRIMARY */ {sql}"))
    }

    fn output(&self) -> String {
        let gateways = self.gateways.iter().map(|(process, _)| process);
        let all = self.tablets.iter().chain(&self.orchestrators).chain(gateways);
        let said = |process: &Process| {
            format!("{} {}:\n{}", process.program, process.arguments[..2].join(" "), process.output())
        };
        all.map(said).collect::<Vec<_>>().join("\n")
    }
}

impl Process {
    fn new(program: &'static str, host: Host, arguments: impl Iterator<Item = String>) -> Self {
        Self { program, programs: None, host, arguments: arguments.collect(), child: None, output: Arc::default() }
    }

    fn start(&mut self) {
        let own = || program(self.program);
        let program = self.programs.as_ref().map_or_else(own, |programs| programs.join(self.program));
        let mut child = self
            .host
            .command(&program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: `cargo build -p weir-bins` first", program.display()));
        collect(child.stdout.take().expect("piped"), Arc::clone(&self.output));
        collect(child.stderr.take().expect("piped"), Arc::clone(&self.output));
        self.child = Some(child);
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = self.child.as_ref().expect("it runs").id();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(id).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("a child that was not waited for");
    }

    fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("the state of a child").is_none())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Tells it to stop, and waits until it has.
    fn stop(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let begun = Instant::now();
        while self.is_running() {
            in_time(begun.elapsed(), STOPPED_MAX, || format!("it stops: {}", self.output()));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill_and_restart(&mut self) {
        self.kill();
        std::thread::sleep(RESTART_AFTER);
        self.start();
    }

    fn output(&self) -> String {
        self.output.lock().expect("no reader panicked").clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
