//! TLS towards servers: who must use it gets it on every kind of connection, and who is not what it should be is not spoken to.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use weir_io::servers::Account;
use weir_tests::{
    Deployment, Session, TestCluster, Weir, application, certificate, eventually, query_value, run_program,
};

/// Files are looked at every two seconds; machines may be busy.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
const ENDS_WITHIN: Duration = Duration::from_secs(40);

/// Certificates of the names, each of which vouches for itself.
fn certificates(names: &[&str]) -> TempDir {
    let dir = TempDir::with_prefix("weir-tls-").expect("a temporary directory");
    for name in names {
        let _ = certificate(dir.path(), name);
    }
    dir
}

fn file(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

fn settings(dir: &TempDir, name: &str) -> [String; 2] {
    ["cert", "key"].map(|kind| format!("ssl-{kind}={}", file(dir, &format!("{name}.{}", kind.replace("cert", "crt")))))
}

/// Servers with the certificate `server`.
fn servers(dir: &TempDir, count: u16, more: &[&str]) -> TestCluster {
    let own = settings(dir, "server");
    TestCluster::with_settings(count, &[&own.each_ref().map(String::as_str)[..], more].concat())
}

/// What `weir up --attach` says when it does not start with these options.
fn refused(cluster: &TestCluster, options: &[&str]) -> String {
    let Account { user, password } = application();
    let own = ["up", "--attach", &cluster.addresses(), "--user", &user, "--password", &password];
    let (code, said) = run_program("weir", &[&own[..], options].concat(), ENDS_WITHIN);
    assert_eq!(code, 1, "{said}");
    said
}

fn cipher(weir: &Weir) -> String {
    let row = weir.query("SHOW SESSION STATUS LIKE 'Ssl_ciphe_'").expect("a status");
    row.split_once('\t').map_or_else(String::new, |(_, cipher)| cipher.to_owned())
}

/// Every connection of an account that requires it, among them those that watch, write heartbeats and kill.
#[test]
fn an_account_that_requires_it_gets_it_on_every_connection() {
    let dir = certificates(&["server"]);
    let cluster = servers(&dir, 2, &[]);
    let account = application();
    cluster
        .primary()
        .query(&format!("ALTER USER '{0}'@'%' REQUIRE SSL; ALTER USER '{0}'@'localhost' REQUIRE SSL", account.user))
        .expect("an account");
    cluster.primary().query("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)").expect("a table");
    cluster.wait_for_replicas();
    let said = refused(&cluster, &[]);
    assert!(said.contains("Access denied"), "{said}");

    let ca = file(&dir, "server.crt");
    let options = ["--server-tls", "verify", "--server-tls-ca", &ca, "--heartbeat-interval-ms", "100"];
    let weir = Weir::attach(&cluster, &options);
    assert!(cipher(&weir).starts_with("TLS_"), "{}", cipher(&weir));
    weir.query("INSERT INTO d.t VALUES (1)").expect("a write");
    assert_eq!(weir.query("SELECT id FROM d.t").expect("a read"), "1");
    eventually(Duration::from_secs(10), "heartbeats are written", || {
        cluster
            .primary()
            .query("SELECT beat > 3 FROM weir.heartbeat WHERE id = 1")
            .is_ok_and(|rows| rows.value() == Some("1"))
    });

    let mut sleeper = Session::open(weir.address(), &account, None).expect("a session");
    let id = sleeper.values("SELECT CONNECTION_ID()").remove(0);
    let sleeping = std::thread::spawn(move || format!("{:?}", sleeper.run(b"SELECT SLEEP(60)")));
    eventually(Duration::from_secs(10), "it sleeps", || {
        let count = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        cluster.servers().iter().any(|server| query_value(server, count) == "1")
    });
    weir.query(&format!("KILL QUERY {id}")).expect("a kill");
    let interrupted = sleeping.join().expect("no panic");
    assert!(interrupted.contains("1317"), "{interrupted}");
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let dir = certificates(&["server", "other"]);
    let cluster = servers(&dir, 1, &[]);
    let (right, wrong) = (file(&dir, "server.crt"), file(&dir, "other.crt"));
    for mode in ["verify", "verify_ca"] {
        let said = refused(&cluster, &["--server-tls", mode, "--server-tls-ca", &wrong]);
        assert!(said.contains("TLS/SSL error with MySQL server on '127.0.0.1:"), "{said}");
        assert!(said.contains("UnknownIssuer"), "{said}");
    }
    let by_name = ["--server-tls", "verify", "--server-tls-name", "db.example.com", "--server-tls-ca", &right];
    let said = refused(&cluster, &by_name);
    assert!(said.contains("db.example.com"), "{said}");
    let denied =
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Access_denied_errors'";
    assert_eq!(query_value(cluster.primary(), denied), "0", "nobody has tried to log in");

    for options in [
        &["--server-tls", "verify_ca", "--server-tls-ca", &right][..],
        &["--server-tls", "required"],
        &["--server-tls", "preferred"],
    ] {
        assert!(!cipher(&Weir::attach(&cluster, options)).is_empty(), "{options:?}");
    }
    assert!(cipher(&Weir::attach(&cluster, &[])).is_empty());
}

#[test]
fn a_server_without_tls_is_spoken_to_only_where_that_is_allowed() {
    let cluster = TestCluster::start(1);
    let said = refused(&cluster, &["--server-tls", "required"]);
    assert!(said.contains("TLS is required towards the server, and it offers none"), "{said}");
    assert!(cipher(&Weir::attach(&cluster, &["--server-tls", "preferred"])).is_empty());
    let socket = cluster.primary().socket().display().to_string();
    let weir = Weir::up(&["--attach", &socket, "--server-tls", "required"]);
    assert_eq!(weir.query("SELECT 1").expect("over a unix socket"), "1");
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let dir = certificates(&["server", "weir", "stranger"]);
    let cluster = servers(&dir, 1, &[&format!("ssl-ca={}", file(&dir, "weir.crt"))]);
    let account = application();
    cluster
        .primary()
        .query(&format!("ALTER USER '{0}'@'%' REQUIRE X509; ALTER USER '{0}'@'localhost' REQUIRE X509", account.user))
        .expect("an account");
    let ca = file(&dir, "server.crt");
    let showing = |name: &str| {
        let (cert, key) = (file(&dir, &format!("{name}.crt")), file(&dir, &format!("{name}.key")));
        let options =
            ["--server-tls", "verify", "--server-tls-ca", &ca, "--server-tls-cert", &cert, "--server-tls-key", &key];
        options.map(str::to_owned)
    };
    let weir = Weir::attach(&cluster, &showing("weir").each_ref().map(String::as_str));
    assert_eq!(weir.query("SELECT 1").expect("it is let in"), "1");
    let said = refused(&cluster, &showing("stranger").each_ref().map(String::as_str));
    assert!(said.contains("no server can be used"), "{said}");
    let said = refused(&cluster, &["--server-tls", "required"]);
    assert!(said.contains("Access denied"), "{said}");
}

#[test]
fn a_server_may_get_another_certificate_while_it_serves() {
    let dir = certificates(&["first", "second"]);
    let copy = |from: &str, to: &str| _ = std::fs::copy(dir.path().join(from), dir.path().join(to)).expect("a copy");
    let take =
        |name: &str| ["crt", "key"].iter().for_each(|kind| copy(&format!("{name}.{kind}"), &format!("server.{kind}")));
    take("first");
    copy("first.crt", "ca.crt");
    let cluster = servers(&dir, 1, &[]);
    let ca = file(&dir, "ca.crt");
    let mut weir = Weir::attach(&cluster, &["--server-tls", "verify", "--server-tls-ca", &ca]);
    assert_eq!(weir.query("SELECT 1").expect("an answer"), "1");

    take("second");
    cluster.primary().query("FLUSH SSL").expect("another certificate");
    end_connections(&cluster);
    assert!(weir.query("SELECT 2").is_err(), "nobody vouches for the second yet");
    copy("second.crt", "ca.crt");
    weir.hang_up();
    eventually(SEEN_WITHIN, "the second is vouched for", || weir.query("SELECT 3").is_ok_and(|three| three == "3"));
    weir.assert_unharmed();
}

/// Ends those of the application, which Weir has; those that it opens at once are others.
fn end_connections(cluster: &TestCluster) {
    let server = cluster.primary();
    let user = application().user;
    let last = query_value(server, "SELECT CONNECTION_ID()");
    server.query(&format!("KILL USER '{user}'")).expect("a kill");
    let left = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}' AND id < {last}");
    eventually(Duration::from_secs(10), "they have ended", || query_value(server, &left) == "0");
}

/// Without TLS, too, a write that meets a connection which the server has closed meanwhile is not known to have been executed or not.
#[test]
fn a_write_does_not_meet_a_connection_that_the_server_has_closed() {
    let dir = certificates(&["server"]);
    let cluster = servers(&dir, 1, &[]);
    let weir = Weir::attach(&cluster, &["--server-tls", "required"]);
    weir.query("CREATE DATABASE d; CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY)").expect("a table");
    for round in 1..=20 {
        weir.query("INSERT INTO d.t VALUES ()").unwrap_or_else(|error| panic!("round {round}: {error}"));
        end_connections(&cluster);
    }
    assert_eq!(weir.query("SELECT COUNT(*) FROM d.t").expect("a count"), "20");
}

#[test]
fn long_statements_and_results_arrive_whole_however_slowly_they_are_taken() {
    let dir = certificates(&["server"]);
    let cluster = servers(&dir, 1, &["max-allowed-packet=64M"]);
    let (crt, key) = (file(&dir, "server.crt"), file(&dir, "server.key"));
    let weir = Weir::attach(&cluster, &["--server-tls", "required", "--tls-cert", &crt, "--tls-key", &key]);
    weir.query("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, text LONGTEXT)").expect("a table");
    let mut session = Session::open(weir.address(), &application(), None).expect("a session");
    for (id, bytes) in [(1, 1 << 20), (2, 12 << 20), (3, (12 << 20) + 1), (4, 16 << 20), (5, 20 << 20)] {
        let insert = format!("INSERT INTO d.t VALUES ({id}, '{}')", "x".repeat(bytes));
        assert!(session.run(insert.as_bytes()).is_ok_and(|answers| format!("{answers:?}").starts_with("[Ok")), "{id}");
        assert_eq!(session.values(&format!("SELECT LENGTH(text) FROM d.t WHERE id = {id}")), [bytes.to_string()]);
    }
    let account = application();
    let mut client = Command::new("mariadb")
        .args(["--no-defaults", "--ssl", "--quick", "--batch", "--skip-column-names", "--host", "127.0.0.1"])
        .args(["--port", &weir.address().port().to_string(), "--user", &account.user])
        .args(["--execute", "SELECT seq, REPEAT('y', 10000) FROM d.seq_1_to_6000"])
        .env("MYSQL_PWD", account.password)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("mariadb is installed");
    let mut taken = client.stdout.take().expect("piped");
    let (writing, mut seen) = ("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT seq,%'", 0);
    eventually(Duration::from_secs(20), "whatever lies between is full", || {
        seen = if query_value(cluster.primary(), writing) == "1" { seen + 1 } else { 0 };
        seen > 10
    });
    let mut bytes = 0;
    let mut piece = vec![0; 1 << 20];
    loop {
        match taken.read(&mut piece).expect("an answer") {
            0 => break,
            read => bytes += read,
        }
    }
    assert!(client.wait().expect("a child").success());
    assert_eq!(bytes, (1..=6000).map(|seq: i32| seq.to_string().len() + 10_002).sum::<usize>());
}

#[test]
fn an_account_of_the_servers_that_requires_it_is_closed_to_clients_without() {
    let dir = certificates(&["server"]);
    let cluster = servers(&dir, 1, &[]);
    cluster
        .primary()
        .query(
            "CREATE USER ann@'%' IDENTIFIED BY 'a1' REQUIRE SSL; CREATE USER eve@'%' IDENTIFIED BY 'e1' REQUIRE X509; \
             CREATE USER bob@'%' IDENTIFIED BY 'b1'",
        )
        .expect("accounts");
    let (crt, key) = (file(&dir, "server.crt"), file(&dir, "server.key"));
    let Account { user, password } = cluster.service_account();
    let accounts = ["--auth", "mysqlbased", "--monitor-user", user, "--monitor-password", password];
    let tls = ["--server-tls", "required", "--tls-cert", &crt, "--tls-key", &key];
    let weir = Weir::attach(&cluster, &[&accounts[..], &tls].concat());
    let log_in = |user: &str, password: &str, tls: &str| {
        let output = Command::new("mariadb")
            .args(["--no-defaults", tls, "--batch", "--skip-column-names", "--host", "127.0.0.1"])
            .args(["--port", &weir.address().port().to_string(), "--user", user, "-e", "SELECT CURRENT_USER()"])
            .env("MYSQL_PWD", password)
            .output()
            .expect("mariadb is installed");
        let said = if output.status.success() { output.stdout } else { output.stderr };
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    assert_eq!(log_in("ann", "a1", "--ssl"), "ann@%");
    assert!(log_in("ann", "a1", "--skip-ssl").contains("ERROR 1045"));
    assert!(log_in("ann", "wrong", "--ssl").contains("ERROR 1045"));
    for tls in ["--ssl", "--skip-ssl"] {
        assert_eq!(log_in("bob", "b1", tls), "bob@%");
        let refusal = log_in("eve", "e1", tls);
        assert!(refusal.contains("REQUIRE X509"), "{refusal}");
    }
}

#[test]
fn a_tablet_speaks_tls_with_its_server() {
    let dir = certificates(&["server", "other"]);
    let set = settings(&dir, "server").join(";");
    let (ca, wrong) = (file(&dir, "server.crt"), file(&dir, "other.crt"));
    let deployment = Deployment::small_of_tablet(&["--set", &set, "--server-tls", "verify", "--server-tls-ca", &ca]);
    assert!(deployment.query(0, "SHOW SESSION STATUS LIKE 'Ssl_ciphe_'").contains("TLS_"));
    let data = TempDir::new().expect("a directory");
    let data = data.path().join("tablet").display().to_string();
    let etcd = deployment.etcd();
    let own = ["--etcd", &etcd, "--shard", "shop/0", "--alias", "local-9", "--data-dir", &data, "--password", "p"];
    let ports = ["--grpc-port", "0", "--mysql-port", "0", "--replication-password", "r", "--set", &set];
    let tls = ["--server-tls", "verify", "--server-tls-ca", &wrong];
    let (code, said) = run_program("weir-tablet", &[&own[..], &ports, &tls].concat(), ENDS_WITHIN);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("TLS/SSL error with MySQL server on") && said.contains("UnknownIssuer"), "{said}");
    assert!(!Path::new(&data).join("server-9/mysql.sock").exists(), "its server has ended");
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let dir = certificates(&["server"]);
    let ca = file(&dir, "server.crt");
    for (options, why) in [
        (&["--server-tls", "verify"][..], "need --server-tls-ca"),
        (&["--server-tls", "required", "--server-tls-ca", &ca], "nothing is checked by it"),
        (&["--server-tls-ca", &ca], "not encrypted"),
        (&["--server-tls", "verify_ca", "--server-tls-ca", &ca, "--server-tls-name", "db"], "names are not checked"),
        (&["--server-tls", "verify", "--server-tls-ca", "/nowhere.pem"], "/nowhere.pem"),
    ] {
        let (code, said) = run_program(
            "weir",
            &[&["up", "--attach", "127.0.0.1:1", "--password", "p"], options].concat(),
            ENDS_WITHIN,
        );
        assert!(code != 0 && said.contains(why) && said.lines().count() == 1, "{options:?}: {said}");
    }
    let own = ["up", "--data-dir", &file(&dir, "data"), "--password", "p", "--server-tls", "preferred"];
    let (code, said) = run_program("weir", &own, ENDS_WITHIN);
    assert!(code != 0 && said.contains("have no certificate"), "{said}");
}
