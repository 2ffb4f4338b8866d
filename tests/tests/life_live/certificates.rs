//! Certificates that are replaced while clients and other processes are connected.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use weir_tests::{Deployment, Part, TestCluster, Weir, application, certificate, eventually, run_program};

/// Files are looked at every two seconds; machines may be busy.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// The name in the certificate that a client is shown now.
fn shown(at: SocketAddr) -> String {
    let mut ask = Command::new("openssl");
    ask.args(["s_client", "-starttls", "mysql", "-connect", &at.to_string()]).stdin(Stdio::null());
    let said = String::from_utf8_lossy(&ask.output().expect("openssl is installed").stdout).into_owned();
    let subject = said.lines().find_map(|line| line.strip_prefix("subject=")).unwrap_or_else(|| panic!("{said}"));
    subject.trim().trim_start_matches("CN").trim_start_matches([' ', '=']).to_owned()
}

/// Someone who is connected over TLS and stays so.
struct Connected(Child, BufReader<ChildStdout>);

impl Connected {
    fn to(at: SocketAddr) -> Self {
        let account = application();
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--ssl", "--batch", "--skip-column-names", "--unbuffered", "--host", "127.0.0.1"])
            .args(["--port", &at.port().to_string(), "--user", &account.user, "--skip-reconnect"])
            .env("MYSQL_PWD", account.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("mariadb is installed");
        let said = BufReader::new(client.stdout.take().expect("piped"));
        Self(client, said)
    }

    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.0.stdin.as_mut().expect("piped"), "{sql};").expect("it listens");
        let mut line = String::new();
        let _ = self.1.read_line(&mut line);
        line.trim().to_owned()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn copy(dir: &Path, from: &str, to: &str) {
    for kind in ["crt", "key"] {
        std::fs::copy(dir.join(format!("{from}.{kind}")), dir.join(format!("{to}.{kind}"))).expect("it is there");
    }
}

#[test]
fn clients_are_shown_the_certificate_that_the_files_hold_now() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["first", "second", "third"] {
        let _ = certificate(dir.path(), name);
    }
    copy(dir.path(), "first", "live");
    let [crt, key] = ["crt", "key"].map(|kind| dir.path().join(format!("live.{kind}")).display().to_string());
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--tls-cert", &crt, "--tls-key", &key]);
    let mut before = Connected::to(weir.address());
    assert_eq!(before.ask("SELECT 1"), "1");
    assert!(!before.ask("SHOW SESSION STATUS LIKE 'Ssl_cipher'").is_empty());
    assert_eq!(shown(weir.address()), "first");

    std::fs::copy(dir.path().join("second.crt"), &crt).expect("a copy");
    eventually(SEEN_WITHIN, "a key that is of another is complained of", || {
        weir.output().contains("stay as they were")
    });
    assert_eq!(shown(weir.address()), "first");

    copy(dir.path(), "second", "live");
    eventually(SEEN_WITHIN, "the second is shown", || shown(weir.address()) == "second");
    assert_eq!(before.ask("SELECT 2"), "2", "who is connected stays so");

    std::fs::write(&crt, "nothing").expect("a file");
    weir.hang_up();
    eventually(SEEN_WITHIN, "it says what is wrong", || weir.output().contains("live.crt: holds no CERTIFICATE"));
    assert_eq!(shown(weir.address()), "second");

    copy(dir.path(), "third", "live");
    weir.hang_up();
    eventually(SEEN_WITHIN, "the third is shown", || shown(weir.address()) == "third");
    assert_eq!(before.ask("SELECT 3"), "3", "who is connected stays so");
    weir.assert_unharmed();
}

#[test]
fn processes_take_another_authority_without_losing_each_other() {
    const ENDS_WITHIN: Duration = Duration::from_secs(30);
    let dir = tempfile::tempdir().expect("a directory");
    let [(old, _), (new, _)] = ["old", "new"].map(|name| certificate(dir.path(), name));
    let authority = dir.path().join("authority.crt");
    copy(dir.path(), "old", "live");
    std::fs::write(&authority, &old).expect("a file");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (crt, key, ca) = (file("live.crt"), file("live.key"), file("authority.crt"));
    let mut deployment = Deployment::small_with(&["--grpc-cert", &crt, "--grpc-key", &key, "--grpc-ca", &ca]);
    let etcd = deployment.etcd();
    let admitted = |name: &str| {
        let (crt, key) = (file(&format!("{name}.crt")), file(&format!("{name}.key")));
        let both = file("both.crt");
        // A program that ends at once when it is let in: its port is taken.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port().to_string();
        let own = ["--etcd", &etcd, "--shard", "shop/0", "--tablet-time-ms", "2000", "--port", &port];
        let tls = ["--grpc-cert", &crt, "--grpc-key", &key, "--grpc-ca", &both];
        let (_, said) = run_program("weir-gateway", &[&own[..], &tls].concat(), ENDS_WITHIN);
        assert!(said.contains("none could be asked") || said.contains("cannot listen"), "{said}");
        said.contains("cannot listen")
    };
    std::fs::write(file("both.crt"), [old.clone(), new.clone()].concat()).expect("a file");
    assert!(admitted("old") && !admitted("new"));

    // What the authority does not vouch for is not shown to anybody.
    copy(dir.path(), "new", "live");
    deployment.hang_up();
    deployment.wait_for_all("the authority does not vouch for it", SEEN_WITHIN);
    assert!(admitted("old"), "all go on with what they had");

    std::fs::write(&authority, [old, new.clone()].concat()).expect("a file");
    deployment.hang_up();
    deployment.wait_for_all("have been replaced", SEEN_WITHIN);
    assert!(admitted("old") && admitted("new"));

    std::fs::write(&authority, new).expect("a file");
    deployment.hang_up();
    eventually(SEEN_WITHIN, "the old is not let in any more", || !admitted("old"));
    assert!(admitted("new"));
    assert_eq!(deployment.query(0, "SELECT 7"), "7");
    // The gateway and the orchestrator, which were started with the old, show the new one to the next tablet.
    deployment.kill_and_restart(Part::Tablet(0));
    deployment.wait_until_healed();
    assert_eq!(deployment.query(0, "SELECT 8"), "8");
}

#[test]
fn clients_show_a_certificate_where_an_authority_is_named() {
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["weir", "client", "stranger"] {
        let _ = certificate(dir.path(), name);
    }
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (own, key, ca) = (file("weir.crt"), file("weir.key"), file("client.crt"));
    let weir = Weir::attach(&cluster, &["--tls-cert", &own, "--tls-key", &key, "--tls-client-ca", &ca]);
    let ask = |options: &[&str]| {
        let account = application();
        let output = Command::new("mariadb")
            .args(["--no-defaults", "--host", "127.0.0.1", "--batch", "--skip-column-names", "-e", "SELECT 7"])
            .args(["--port", &weir.address().port().to_string(), "--user", &account.user])
            .args(options)
            .env("MYSQL_PWD", account.password)
            .output()
            .expect("mariadb is installed");
        output.status.success() && output.stdout == b"7\n"
    };
    let showing = |name: &str| {
        let (cert, key) = (file(&format!("{name}.crt")), file(&format!("{name}.key")));
        ask(&["--ssl", "--ssl-cert", &cert, "--ssl-key", &key])
    };
    assert!(showing("client"));
    assert!(!showing("stranger"), "nobody vouches for it");
    assert!(!ask(&["--ssl"]), "it shows none");
    assert!(!ask(&["--skip-ssl"]), "it cannot show one");
}

/// The servers know nothing of it: Weir's connections with them are others.
#[test]
fn what_carries_a_client_is_shown_to_it() {
    let cluster = TestCluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let _ = certificate(dir.path(), "weir");
    let [crt, key] = ["crt", "key"].map(|kind| dir.path().join(format!("weir.{kind}")).display().to_string());
    let weir = Weir::attach(&cluster, &["--tls-cert", &crt, "--tls-key", &key]);
    let ask = |options: &[&str], sql: &str| {
        let account = application();
        let output = Command::new("mariadb")
            .args(["--no-defaults", "--host", "127.0.0.1", "--batch", "--skip-column-names", "-e", sql])
            .args(["--port", &weir.address().port().to_string(), "--user", &account.user])
            .args(options)
            .env("MYSQL_PWD", account.password)
            .output()
            .expect("mariadb is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = "SHOW STATUS LIKE 'compression'; SHOW SESSION STATUS LIKE 'Ssl_cipher'; SHOW STATUS LIKE 'Ssl_version'";
    let selected = "SELECT VARIABLE_VALUE v FROM information_schema.session_status WHERE VARIABLE_NAME IN \
                    ('Compression', 'Ssl_cipher', 'Ssl_version') ORDER BY VARIABLE_NAME";
    for (options, version, compression) in [
        (&["--skip-ssl"][..], "", "OFF"),
        (&["--ssl"], "TLSv1.3", "OFF"),
        (&["--ssl", "--compress", "--tls-version=TLSv1.2"], "TLSv1.2", "ON"),
    ] {
        // The client's own word.
        let status = ask(options, "status");
        let cipher = status.lines().find_map(|line| line.split_once("Cipher in use is ")).map_or("", |(_, name)| name);
        let cipher = cipher.split(',').next().unwrap_or_default();
        assert_eq!(cipher.is_empty(), version.is_empty(), "{status}");
        let all = format!("Compression\t{compression}\nSsl_cipher\t{cipher}\nSsl_version\t{version}\n");
        assert_eq!(ask(options, shown), all);
        assert_eq!(ask(options, selected), format!("{compression}\n{cipher}\n{version}\n"));
        assert_eq!(ask(options, "SHOW STATUS LIKE 'Ssl_cipher_list'").lines().count(), 1, "the server's own");
    }
}
