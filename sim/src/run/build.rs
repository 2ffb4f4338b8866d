//! Builds the world of a scenario: hosts, servers, gateways, clients, faults.

use super::{Options, Stage, failover, group};
use crate::check::history::Asked;
use crate::mysql::host::{CLIENT_PORT, ServerProcess, ServerSetup};
use crate::mysql::wire::Users;
use crate::mysql::{Config, Value};
use crate::processes::client::{ClientProcess, ClientSetup};
use crate::processes::failover::mail::TABLET_PORT;
use crate::processes::gateway::{self, GatewayProcess, GatewaySetup, Member};
use crate::processes::operator::{Errand, Operator, OperatorSetup};
use crate::scenario::{Clients, Fault, Flavor, Kind, Scenario, Workload};
use crate::workload::{
    ACCOUNTS, Append, BALANCE, Bank, Board, Churn, Keeps, Killing, Large, Levels, Linger, Prepared, Register, Script,
    Serial, State, large,
};
use crate::world::trace::Trace;
use crate::world::{Address, HostId, Path, World};
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::gateway::admission::AdmissionLimits;
use weir_core::gateway::buffer;
use weir_core::gateway::cluster;
use weir_core::gateway::config::SessionLimits;
use weir_core::gateway::variables::Variables;
use weir_core::gtid;
use weir_core::tablet::{manager, pool};
use weir_core::time::{Duration, Instant};

const APPLICATION: (&str, &str) = ("app", "secret");
const MONITOR: (&str, &str) = ("monitor", "watching");
pub(super) const ADMINISTRATOR: (&str, &str) = ("root", "");
/// Rows with one writer each that nobody writes in a scenario without such clients.
const LISTS: u64 = 3;

pub(super) fn owned((user, password): (&str, &str)) -> (String, String) {
    (user.to_owned(), password.to_owned())
}

/// Servers and gateways, just started; `scenario` leaves nothing of its cluster to the seed.
pub(super) fn stage(scenario: &Scenario, seed: u64, options: Options) -> Stage {
    let trace = if options.messages { Trace::with_messages } else { Trace::new }(options.records_max);
    let mut world = World::new(seed, Path::LAN, trace);
    let flavor = match scenario.cluster.flavor {
        Flavor::MariaDb | Flavor::Either => gtid::Flavor::MariaDb,
        Flavor::MySql => gtid::Flavor::MySql,
    };
    let hosts: Vec<HostId> =
        (0..scenario.cluster.servers + scenario.cluster.gateways).map(|_| world.add_host()).collect();
    let (server_hosts, gateway_hosts) = hosts.split_at(scenario.cluster.servers.into());
    let names: Vec<String> = (1..=server_hosts.len()).map(|number| format!("s{number}")).collect();
    let by_name = Rc::new(names.iter().cloned().zip(server_hosts.iter().copied()).collect::<BTreeMap<_, _>>());
    let users = [(APPLICATION, false), (MONITOR, true), (ADMINISTRATOR, true)];
    let users = Rc::new(Users::new(&users.map(|((user, password), is_super)| (user, password, is_super))));
    let wait_timeout = i64::try_from(scenario.cluster.wait_timeout.0.as_secs()).unwrap_or(i64::MAX);
    if scenario.failover.is_some() || scenario.group.is_some() {
        server_hosts.iter().for_each(|host| world.set_keepalive(*host, failover::KEEPALIVE));
    }
    let mut servers = Vec::new();
    for (number, host) in (1..).zip(server_hosts) {
        let init = match &scenario.failover {
            _ if number == 1 => tables(scenario),
            Some(_) => Vec::new(),
            None if scenario.group.is_some() => Vec::new(),
            None => follow(flavor),
        };
        let config = server_config(flavor, number, wait_timeout, scenario.cluster.binlog_kept);
        let config = match (&scenario.failover, &scenario.group) {
            (Some(_), _) => failover::managed(config),
            (None, Some(wanted)) => group::member(config, wanted, scenario.cluster.servers),
            (None, None) => config,
        };
        let setup = ServerSetup { config, users: Rc::clone(&users), names: Rc::clone(&by_name), init };
        servers.push(world.spawn(*host, ServerProcess::program(setup)));
    }
    let addresses: Vec<Address> = server_hosts.iter().map(|host| Address { host: *host, port: CLIENT_PORT }).collect();
    let members = names.iter().zip(&addresses).map(|(name, address)| Member { name: name.clone(), address: *address });
    let mut setup = gateway_setup(scenario, members.collect(), options, &Config::new(flavor, 1).version);
    if scenario.failover.is_some() {
        let tablet = |host: &HostId| Address { host: *host, port: TABLET_PORT };
        setup.told_by = server_hosts.iter().map(tablet).collect();
    }
    let gateways =
        gateway_hosts.iter().map(|host| world.spawn(*host, GatewayProcess::program(setup.clone()))).collect();
    let desk = world.add_host();
    let operator = world.spawn(desk, Operator::program(operator_setup(scenario, addresses)));
    let failover = scenario.failover.as_ref();
    let failover = failover.map(|wanted| failover::stage(&mut world, wanted, &names, server_hosts, options));
    Stage { world, servers, gateways, operator, failover, begun: Instant::ZERO, clients: Vec::new(), excess: 0 }
}

fn operator_setup(scenario: &Scenario, servers: Vec<Address>) -> OperatorSetup {
    let errand = |fault: &Fault| {
        let server = *servers.get(usize::from(scenario.host(&fault.on).ok()?))?;
        (fault.kind == Kind::Sql).then(|| Errand { server, statements: fault.sql.clone() })
    };
    let errands = (0..).zip(&scenario.faults).filter_map(|(number, fault)| Some((number, errand(fault)?))).collect();
    OperatorSetup { errands, servers, victim: APPLICATION.0.to_owned(), login: owned(ADMINISTRATOR) }
}

fn server_config(flavor: gtid::Flavor, number: u32, wait_timeout: i64, binlog_kept: usize) -> Config {
    let mut variables = vec![
        ("slave_net_timeout", 10),
        ("sync_binlog", 1),
        ("innodb_flush_log_at_trx_commit", 1),
        ("innodb_lock_wait_timeout", 5),
        ("wait_timeout", wait_timeout),
    ];
    if number > 1 {
        variables.push(("read_only", 1));
    }
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), Value::Int(value))).collect();
    Config { variables, binlog_kept, ..Config::new(flavor, number) }
}

fn follow(flavor: gtid::Flavor) -> Vec<String> {
    let change = match flavor {
        gtid::Flavor::MariaDb => "CHANGE MASTER TO MASTER_HOST = 's1', MASTER_PORT = 3306, MASTER_USE_GTID = slave_pos",
        gtid::Flavor::MySql => "CHANGE MASTER TO MASTER_HOST = 's1', MASTER_PORT = 3306, MASTER_AUTO_POSITION = 1",
    };
    vec![change.to_owned(), "START SLAVE".to_owned()]
}

/// What the primary begins with.
fn tables(scenario: &Scenario) -> Vec<String> {
    let clients: u64 = scenario.clients.iter().map(|clients| clients.count).sum();
    let rows = |count: u64, row: &dyn Fn(u64) -> String| (0..count).map(row).collect::<Vec<_>>().join(", ");
    let mut sql = vec![
        "USE test".to_owned(),
        "CREATE TABLE registers (id INT PRIMARY KEY, v BIGINT)".to_owned(),
        format!("INSERT INTO registers VALUES {}", rows(clients.max(1), &|id| format!("({id}, 0)"))),
        "CREATE TABLE lists (id INT PRIMARY KEY, items TEXT)".to_owned(),
        format!("INSERT INTO lists VALUES {}", rows(LISTS, &|id| format!("({id}, '')"))),
        "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT)".to_owned(),
        format!("INSERT INTO accounts VALUES {}", rows(ACCOUNTS as u64, &|id| format!("({id}, {BALANCE})"))),
        "CREATE TABLE counts (id INT PRIMARY KEY, n BIGINT)".to_owned(),
        "INSERT INTO counts VALUES (1, 0), (2, 0), (3, 0)".to_owned(),
        "CREATE TABLE plain (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT)".to_owned(),
        "CREATE TABLE noted (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT)".to_owned(),
        "CREATE TRIGGER note BEFORE INSERT ON noted FOR EACH ROW SET @noted = NEW.n".to_owned(),
        "CREATE TABLE tokens (id BIGINT AUTO_INCREMENT PRIMARY KEY, token BIGINT)".to_owned(),
    ];
    if scenario.clients.iter().any(|clients| clients.workload == Workload::Large) {
        sql.push("CREATE TABLE blobs (id INT PRIMARY KEY, body TEXT)".to_owned());
        // One transaction, larger than a stream's buffer.
        let row = |n| format!("({n}, '{}')", large::body(n as usize));
        sql.push(format!("INSERT INTO blobs VALUES {}", rows(large::ROWS as u64, &row)));
    }
    sql
}

fn gateway_setup(scenario: &Scenario, servers: Vec<Member>, options: Options, version: &str) -> GatewaySetup {
    let pool = pool::Config {
        connections_max: scenario.cluster.pool,
        idle_time_max: Some(Duration::from_secs(20)),
        wait_time_max: Duration::from_secs(2),
        mutants: options.mutants,
        ..pool::Config::default()
    };
    let beat_interval = manager::Config::default().beat_interval.filter(|_| scenario.cluster.heartbeats);
    let keeps_marks = scenario.cluster.transaction_replay;
    let rotation = cluster::rotation::Config::default();
    let outliers = rotation.outliers.clone().filter(|_| scenario.cluster.ejection);
    let rotation = cluster::rotation::Config { outliers, ..rotation };
    GatewaySetup {
        servers,
        version: version.to_owned(),
        application: owned(APPLICATION),
        monitor: owned(MONITOR),
        admission: AdmissionLimits { connections_max: 10_000, connections_per_user_max: usize::MAX },
        session: SessionLimits { idle_time_max: Duration::from_secs(40), ..SessionLimits::default() },
        buffer: buffer::Config::default(),
        variables: Variables {
            read_after_write_timeout: scenario.cluster.read_after_write_timeout.0,
            transaction_replay: scenario.cluster.transaction_replay,
            ..Variables::default()
        },
        tablet: manager::Config { pool, beat_interval, keeps_marks, ..manager::Config::default() },
        statements_per_connection_max: 8,
        cluster: cluster::Config { rotation, ..cluster::Config::default() },
        told_by: Vec::new(),
        lanes: scenario.cluster.lanes,
        recorded: options.recorded,
        mutants: options.mutants,
    }
}

/// The clients, all on one host.
pub(super) fn clients(stage: &mut Stage, scenario: &Scenario, options: Options) {
    let host = stage.world.add_host();
    let first_gateway = scenario.cluster.servers;
    let gateways: Vec<Address> = (0..scenario.cluster.gateways)
        .map(|number| Address { host: HostId(first_gateway + number), port: gateway::PORT })
        .collect();
    let writers = scenario.clients.iter().filter(|clients| !clients.read_only);
    let keys = writers.map(|clients| clients.count).sum::<u64>().max(1);
    let board = Board::default();
    let kinds = scenario.clients.iter().flat_map(|clients| (0..clients.count).map(move |_| clients));
    for (number, clients) in (0..).zip(kinds) {
        let (clients, board) = (*clients, board.clone());
        let setup = ClientSetup {
            number: number + 1,
            gateways: gateways.clone(),
            login: owned(APPLICATION),
            extended_metadata: clients.extended_metadata,
            pause: clients.pause.0,
            patience: scenario.cluster.patience.0,
            errors: clients.errors,
            answer_within: clients.answer_within.map(|within| within.0),
            script: Rc::new(move || script(&clients, number, keys, &board)),
            keeps_history: options.checked,
            operations_max: clients.operations.unwrap_or(u64::MAX),
        };
        stage.clients.push(stage.world.spawn(host, ClientProcess::program(setup)));
    }
}

fn script(clients: &Clients, number: u64, keys: u64, board: &Board) -> Box<dyn Script> {
    fn churned(script: impl Script + 'static, churn: bool) -> Box<dyn Script> {
        if churn { Box::new(Churn(script)) } else { Box::new(script) }
    }
    let client = number + 1;
    match clients.workload {
        Workload::Register => churned(Register::new(number, keys), clients.churn),
        Workload::Append => churned(Append::new(client, LISTS), clients.churn),
        Workload::Serial => churned(Serial::new(client, LISTS), clients.churn),
        Workload::Bank => churned(Bank::new(client), clients.churn),
        Workload::State => churned(State::new(client), clients.churn),
        Workload::Prepared => churned(Prepared::new(client, keys), clients.churn),
        Workload::Kill => churned(Killing::new(client, board.clone()), clients.churn),
        Workload::Large => churned(Large, clients.churn),
        Workload::Linger => churned(Linger::new(client, Keeps::Transaction), clients.churn),
        Workload::Pinned => churned(Linger::new(client, Keeps::Variable), clients.churn),
        Workload::Levels => {
            let asked = Asked { level: clients.level, monotonic: clients.monotonic };
            churned(Levels::new(number % keys, keys, asked).reading_only(clients.read_only), clients.churn)
        }
    }
}
