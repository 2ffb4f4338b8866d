//! Clients that log in with the servers' own accounts, and run as themselves over shared connections.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_io::servers::Account;
use weir_tests::rights::{ANN_AND_BOB, error_of, have_their_own_rights, refusal};
use weir_tests::{Session, TestCluster, Weir, application, eventually};

fn attach(cluster: &TestCluster, more: &[&str]) -> Weir {
    let Account { user, password } = cluster.service_account();
    Weir::attach(
        cluster,
        &[&["--auth", "mysqlbased", "--monitor-user", user, "--monitor-password", password], more].concat(),
    )
}

fn log_in(weir: &Weir, user: &str, password: &str) -> Result<Session, String> {
    Session::open(weir.address(), &Account::new(user, password), None).map_err(|error| error.to_string())
}

#[test]
fn a_client_has_its_own_rights_and_no_others() {
    let cluster = TestCluster::start(2);
    cluster.primary().query(ANN_AND_BOB).expect("accounts");
    let weir = attach(&cluster, &["--pool-size", "2"]);
    let mut ann: Vec<_> = (0..3).map(|_| log_in(&weir, "ann", "a1").expect("ann")).collect();
    let mut bob: Vec<_> = (0..3).map(|_| log_in(&weir, "bob", "").expect("bob")).collect();
    have_their_own_rights(&mut ann, &mut bob);
}

#[test]
fn a_change_of_an_account_counts_from_the_next_login() {
    let cluster = TestCluster::start(1);
    let primary = cluster.primary();
    primary.query("CREATE USER ann@'%' IDENTIFIED BY 'a1'").expect("an account");
    let weir = attach(&cluster, &[]);
    let denied = |user: &str, password: &str| {
        let refusal = log_in(&weir, user, password).expect_err("it must not get in");
        assert!(refusal.contains("code: 1045"), "{refusal}");
    };
    assert_eq!(log_in(&weir, "ann", "a1").expect("ann").values("SELECT 1"), ["1"]);
    denied("ann", "wrong");
    denied("ann", "");
    denied("nobody", "a1");
    denied("ann' OR '1'='1", "a1");

    primary.query("SET PASSWORD FOR ann@'%' = PASSWORD('a2')").expect("another password");
    denied("ann", "a1");
    assert_eq!(log_in(&weir, "ann", "a2").expect("ann").values("SELECT 1"), ["1"]);

    primary.query("ALTER USER ann@'%' ACCOUNT LOCK").expect("a lock");
    denied("ann", "a1");
    let locked = log_in(&weir, "ann", "a2").expect_err("it must not get in");
    assert!(locked.contains("code: 4151"), "who knows the password reads the server's own error: {locked}");
    primary.query("ALTER USER ann@'%' ACCOUNT UNLOCK; DROP USER ann@'%'; CREATE ROLE ann").expect("a role");
    denied("ann", "");

    primary.query("CREATE USER eve@'10.%' IDENTIFIED BY 'e1'").expect("an account");
    denied("eve", "e1");
}

/// A server reads global rights at a login, and those on a schema when it is chosen: the connections that are shared have done both.
#[test]
fn changed_rights_count_from_the_next_login() {
    let cluster = TestCluster::start(1);
    let primary = cluster.primary();
    primary
        .query(
            "CREATE DATABASE shop; CREATE TABLE shop.t (id INT); CREATE USER ann@'%' IDENTIFIED BY 'a1';
             CREATE ROLE clerk; GRANT clerk TO ann@'%'; SET DEFAULT ROLE clerk FOR ann@'%'",
        )
        .expect("an account");
    let weir = attach(&cluster, &[]);
    let may_read = || {
        let account = Account::new("ann", "a1");
        let Ok(mut ann) = Session::open(weir.address(), &account, Some("shop")) else { return false };
        ann.run(b"SELECT * FROM t").is_ok_and(|answers| !matches!(answers[0], Answer::Err(_)))
    };
    let changes = ["ON *.* TO ann@'%'", "ON shop.* TO ann@'%'", "ON *.* TO clerk", "ON shop.* TO clerk"];
    for change in changes {
        for _ in 0..2 {
            assert!(!may_read(), "before: {change}");
            primary.query(&format!("GRANT SELECT {change}")).expect("a grant");
            assert!(may_read(), "granted: {change}");
            primary.query(&format!("REVOKE SELECT {}", change.replace("TO", "FROM"))).expect("a revocation");
            assert!(!may_read(), "revoked: {change}");
        }
    }
}

#[test]
fn replicas_know_the_accounts_while_there_is_no_primary() {
    let mut cluster = TestCluster::start(2);
    cluster.primary().query("CREATE USER ann@'%' IDENTIFIED BY 'a1'").expect("an account");
    let weir = attach(&cluster, &[]);
    log_in(&weir, "ann", "a1").expect("ann");
    cluster.kill_server(0);
    eventually(Duration::from_secs(10), "ann gets in", || log_in(&weir, "ann", "a1").is_ok());
}

#[test]
fn a_file_names_who_may_log_in_and_is_read_again_on_sighup() {
    /// `PASSWORD('secret')`, and `SHA2(UNHEX(SHA2('other', 256)), 256)`.
    const SECRET: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.toml");
    std::fs::write(&file, format!("[users]\nann = '{SECRET}'\n")).expect("a file");
    let mut weir =
        Weir::attach(&cluster, &["--auth", "static", "--users-file", file.to_str().expect("UTF-8"), "--log", "info"]);
    let application = application().user;
    let mut ann = log_in(&weir, "ann", "secret").expect("ann");
    assert_eq!(ann.values("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), std::slice::from_ref(&application));
    assert!(log_in(&weir, "ann", "wrong").is_err() && log_in(&weir, &application, "x").is_err());

    std::fs::write(&file, format!("[users]\nbob = '{SECRET}'\n")).expect("a file");
    weir.hang_up();
    eventually(Duration::from_secs(5), "bob gets in", || log_in(&weir, "bob", "secret").is_ok());
    assert!(log_in(&weir, "ann", "secret").is_err());
    assert_eq!(ann.values("SELECT 1"), ["1"], "who is in stays in");

    std::fs::write(&file, "[users]\nbob = 'secret'\n").expect("a file");
    weir.hang_up();
    eventually(Duration::from_secs(5), "the mistake is reported", || weir.output().contains("`bob` is no hash"));
    log_in(&weir, "bob", "secret").expect("what was right still counts");
    weir.assert_unharmed();
}

/// What MariaDB says of an account `WITH MAX_USER_CONNECTIONS` is what a user of a file reads who has `max_connections`.
#[test]
fn a_user_of_a_file_may_have_a_limit_of_its_own() {
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.toml");
    let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    let write = |limit: u32| {
        let ann = format!("ann = {{ password = '{hash}', max_connections = {limit} }}");
        std::fs::write(&file, format!("[users]\n{ann}\nbob = '{hash}'\n")).expect("a file");
    };
    write(2);
    let mut weir =
        Weir::attach(&cluster, &["--auth", "static", "--users-file", file.to_str().expect("UTF-8"), "--log", "info"]);
    let primary = cluster.primary();
    primary.query("CREATE USER ann@'%' IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 2").expect("an account");
    let account = Account::new("ann", "secret");
    let [on_server, through_weir] = [primary.address(), weir.address()].map(|address| {
        let mut clients: Vec<_> =
            (0..2).map(|_| Session::open(address, &account, None).expect("there is room for two")).collect();
        let refused = Session::open(address, &account, None).map(|_| ()).expect_err("not for three").to_string();
        assert_eq!(clients[1].values("SELECT 7"), ["7"]);
        refused
    });
    assert!(on_server.contains("1226"), "{on_server}");
    assert_eq!(through_weir, on_server);
    let more_of = |user: &str| (0..3).map(|_| log_in(&weir, user, "secret")).filter(Result::is_ok).count();
    assert_eq!(more_of("bob"), 3, "another has none");
    write(3);
    weir.hang_up();
    eventually(Duration::from_secs(5), "it is read again", || {
        let clients: Vec<_> = (0..4).map(|_| log_in(&weir, "ann", "secret")).collect();
        clients.iter().filter(|client| client.is_ok()).count() == 3
    });
    weir.assert_unharmed();
}

/// How many warnings came with an OK.
fn reloads(session: &mut Session, sql: &str) -> u16 {
    match session.run(sql.as_bytes()).expect("an answer").pop() {
        Some(Answer::Ok(ok)) => ok.warnings,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn reload_users_reads_the_file_again_for_those_who_may() {
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.toml");
    let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    let admin = format!("[users]\nann = {{ password = '{hash}', admin = true }}\n");
    std::fs::write(&file, format!("{admin}bob = '{hash}'\n")).expect("a file");
    let mut weir = Weir::attach(&cluster, &["--auth", "static", "--users-file", file.to_str().expect("UTF-8")]);
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| log_in(&weir, user, "secret").expect("it is in the file"));

    std::fs::write(&file, format!("{admin}eve = '{hash}'\n")).expect("a file");
    for sql in ["RELOAD USERS", "RELOAD PRIVILEGES"] {
        assert_eq!(error_of(&mut bob, sql), 1227, "bob is no admin");
    }
    assert!(log_in(&weir, "eve", "secret").is_err(), "nothing was read");
    // As an operator would.
    let said = Command::new("mariadb")
        .args(["--no-defaults", "--host", "127.0.0.1", "--port", &weir.address().port().to_string()])
        .args(["--user", "ann", "-e", "RELOAD USERS"])
        .env("MYSQL_PWD", "secret")
        .output()
        .expect("mariadb is installed");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(log_in(&weir, "eve", "secret").expect("eve").values("SELECT 1"), ["1"]);
    assert!(log_in(&weir, "bob", "secret").is_err());
    assert_eq!(bob.values("SELECT 1"), ["1"], "who is in stays in");

    std::fs::write(&file, format!("{admin}eve = 'its password'\n")).expect("a file");
    let (code, message) = refusal(&mut ann, "RELOAD USERS");
    assert_eq!(code, 1024, "{message}");
    let named = ["users.toml: line 3", "`eve` is no hash", "stays as it was", "send RELOAD USERS again"];
    assert!(named.iter().all(|part| message.contains(part)) && !message.contains("its password"), "{message}");
    std::fs::remove_file(&file).expect("it was there");
    assert!(refusal(&mut ann, "RELOAD USERS").1.contains("users.toml: No such file"));
    assert_eq!(log_in(&weir, "eve", "secret").expect("eve").values("SELECT 1"), ["1"], "what was right still counts");
    assert_eq!(ann.prepare(b"RELOAD USERS").expect("an answer").expect_err("it cannot be prepared").code, 1235);

    std::fs::write(&file, format!("[users]\nann = '{hash}'\n")).expect("a file");
    assert_eq!(reloads(&mut ann, "RELOAD USERS"), 0);
    let mut ann = log_in(&weir, "ann", "secret").expect("ann");
    assert_eq!(error_of(&mut ann, "RELOAD USERS"), 1227, "an admin no more");
    weir.assert_unharmed();
}

#[test]
fn an_admin_of_a_file_sees_and_ends_the_clients_of_others() {
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.toml");
    let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    let users = format!("[users]\nann = {{ password = '{hash}', admin = true }}\nbob = '{hash}'\neve = '{hash}'\n");
    std::fs::write(&file, users).expect("a file");
    let weir = Weir::attach(&cluster, &["--auth", "static", "--users-file", file.to_str().expect("UTF-8")]);
    let [mut ann, mut bob, mut eve] =
        ["ann", "bob", "eve"].map(|user| log_in(&weir, user, "secret").expect("it is in the file"));
    let id = eve.values("SELECT CONNECTION_ID()").remove(0);
    assert_eq!(error_of(&mut bob, &format!("KILL {id}")), 1095);
    let seen_by = |client: &mut Session| match client.run(b"SHOW PROCESSLIST").expect("an answer").pop() {
        Some(Answer::Rows(list, _)) => list.rows.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((seen_by(&mut ann), seen_by(&mut bob)), (3, 1));
    assert_eq!(reloads(&mut ann, &format!("KILL {id}")), 0);
    assert!(eve.run(b"SELECT 1").is_err(), "she was ended");
}

#[test]
fn reload_users_forgets_what_servers_have_said_of_accounts() {
    let mut cluster = TestCluster::start(1);
    cluster
        .primary()
        .query(
            "CREATE USER boss@'%' IDENTIFIED BY 'b1'; GRANT CONNECTION ADMIN ON *.* TO boss@'%';
             CREATE USER ann@'%' IDENTIFIED BY 'a1'",
        )
        .expect("accounts");
    let weir = attach(&cluster, &[]);
    let mut boss = log_in(&weir, "boss", "b1").expect("boss");
    let mut ann = log_in(&weir, "ann", "a1").expect("ann");
    assert_eq!(error_of(&mut ann, "RELOAD USERS"), 1227);
    cluster.kill_server(0);
    let refused = || log_in(&weir, "ann", "wrong").expect_err("a wrong password");
    let remembered = refused();
    assert!(remembered.contains("code: 1045"), "what the server said last counts: {remembered}");
    assert_eq!(error_of(&mut ann, "RELOAD USERS"), 1227);
    assert_eq!(reloads(&mut boss, "RELOAD USERS"), 0);
    let forgotten = refused();
    assert!(forgotten.contains("code: 1053"), "it cannot be looked up: {forgotten}");
}

#[test]
fn reload_users_warns_where_there_is_but_one_account() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &[]);
    let application = application();
    let mut client = log_in(&weir, &application.user, &application.password).expect("the application");
    assert_eq!(reloads(&mut client, "RELOAD USERS"), 1);
    assert!(client.values("SHOW WARNINGS").join(" ").contains("--auth own"));
}

/// A certificate of `subject` that `by` vouches for (itself, without), and its key, in `NAME.crt` and `NAME.key`.
fn certificate_of(dir: &Path, name: &str, subject: &str, by: Option<&str>) {
    let file = |name: &str, kind: &str| dir.join(format!("{name}.{kind}"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args(["-utf8", "-multivalue-rdn", "-subj", subject]).arg("-keyout").arg(file(name, "key"));
    openssl.arg("-out").arg(file(name, "crt"));
    match by {
        Some(by) => {
            openssl.arg("-CA").arg(file(by, "crt")).arg("-CAkey").arg(file(by, "key"));
            openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1"])
        }
        None => openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]),
    };
    let made = openssl.output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The subject of a certificate as MariaDB's manual has people print it.
fn subject_of(dir: &Path, name: &str) -> String {
    let printed = Command::new("openssl")
        .args(["x509", "-noout", "-subject", "-nameopt", "compat", "-in"])
        .arg(dir.join(format!("{name}.crt")))
        .output()
        .expect("openssl is installed");
    let printed = String::from_utf8(printed.stdout).expect("ASCII");
    printed.trim().strip_prefix("subject=").expect("a subject").to_owned()
}

/// What a user of a file requires, by MariaDB's words for the same, of the same clients, at a MariaDB server and at the gateway.
#[test]
fn certificates_that_users_require_are_those_that_a_server_would_take() {
    let dir = tempfile::tempdir().expect("a directory");
    certificate_of(dir.path(), "authority", "/C=SE/O=Weirs & Co/CN=authority", None);
    certificate_of(dir.path(), "server", "/CN=server", Some("authority"));
    certificate_of(
        dir.path(),
        "ann",
        r"/C=SE/O=a\/b/CN=Änn+UID=7/emailAddress=ann@example.org/DC=x",
        Some("authority"),
    );
    certificate_of(dir.path(), "bob", "/CN=bob", Some("authority"));
    certificate_of(dir.path(), "stranger", "/CN=bob", None);
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (crt, key, ca) = (file("server.crt"), file("server.key"), file("authority.crt"));
    let settings = [format!("ssl-cert={crt}"), format!("ssl-key={key}"), format!("ssl-ca={ca}")];
    let cluster = TestCluster::with_settings(1, &settings.each_ref().map(String::as_str));

    let [ann, authority] = ["ann", "authority"].map(|name| subject_of(dir.path(), name));
    let accounts = [
        ("free", "NONE".to_owned(), String::new()),
        ("tls", "SSL".to_owned(), ", require = 'ssl'".to_owned()),
        ("any", "X509".to_owned(), ", require = 'x509'".to_owned()),
        ("subject", format!("SUBJECT '{ann}'"), format!(", subject = '{ann}'")),
        ("issuer", format!("ISSUER '{authority}'"), format!(", issuer = '{authority}'")),
        (
            "pair",
            format!("SUBJECT '{ann}' AND ISSUER '{authority}'"),
            format!(", subject = '{ann}', issuer = '{authority}'"),
        ),
        ("other", "SUBJECT '/CN=nobody'".to_owned(), ", subject = '/CN=nobody'".to_owned()),
    ];
    let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
    let mut users = "[users]\n".to_owned();
    for (user, require, fields) in &accounts {
        let require = require.replace('\\', r"\\");
        let sql = format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret' REQUIRE {require}");
        cluster.primary().query(&sql).expect("an account");
        users += &format!("{user} = {{ password = '{hash}'{fields} }}\n");
    }
    std::fs::write(file("users.toml"), users).expect("a file");
    let tls = ["--tls-cert", &crt, "--tls-key", &key, "--tls-client-ca", &ca, "--tls-client-optional"];
    let weir = Weir::attach(&cluster, &[&["--auth", "static", "--users-file", &file("users.toml")][..], &tls].concat());

    let ask = |address: SocketAddr, user: &str, password: &str, shown: &str| {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--host", "127.0.0.1", "-e", "SELECT 7"]);
        client.args(["--port", &address.port().to_string(), "--user", user]).env("MYSQL_PWD", password);
        match shown {
            "no TLS" => client.arg("--skip-ssl"),
            "none" => client.arg("--ssl"),
            name => {
                client.args(["--ssl-cert", &file(&format!("{name}.crt")), "--ssl-key", &file(&format!("{name}.key"))])
            }
        };
        let output = client.output().expect("mariadb is installed");
        let said =
            String::from_utf8_lossy(&if output.status.success() { output.stdout } else { output.stderr }).into_owned();
        // From where a client comes each says in its own way; who is not vouched for is told by TLS.
        let said = said.trim().split('@').next().unwrap_or_default().to_owned();
        if said.contains("TLS/SSL error") || said.contains("Lost connection") {
            "no handshake".to_owned()
        } else {
            said
        }
    };
    let mut let_in = 0;
    for (user, require, _) in &accounts {
        for shown in ["no TLS", "none", "ann", "bob", "stranger"] {
            for password in ["secret", "wrong"] {
                let [server, gateway] =
                    [cluster.primary().address(), weir.address()].map(|address| ask(address, user, password, shown));
                assert_eq!(gateway, server, "{user}, REQUIRE {require}, shows {shown}, {password}");
                let_in += u8::from(gateway == "7");
            }
        }
    }
    // free: all but the stranger; tls: without the first; any and issuer: ann and bob; subject and pair: ann.
    assert_eq!(let_in, 4 + 3 + 2 + 2 + 1 + 1);
}
