//! What the programs say when they cannot do what they are told: one clear message, and an exit that is no success.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use weir_tests::{EtcdCluster, certificate, free_port, run_program};

/// Everything here ends by itself long before.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Runs a program that is to fail: its exit code, and what it says on standard error.
fn refused(program: &str, arguments: &[&str]) -> (i32, String) {
    let (code, said) = run_program(program, arguments, ENDS_WITHIN);
    assert!(!said.contains("panicked"), "{said}");
    (code, said)
}

const TABLET: [&str; 8] =
    ["--shard", "shop/0", "--alias", "a-1", "--password", "secret", "--replication-password", "secret"];

#[test]
fn an_option_that_is_mistyped_is_named() {
    let (code, said) =
        refused("weir-gateway", &["--etcd", "http://127.0.0.1:1", "--shard", "shop/0", "--consistancy", "GLOBAL"]);
    assert_eq!(code, 2);
    assert!(said.contains("--consistancy") && said.contains("--consistency"), "{said}");
    let (code, said) = refused("weir-orch", &["--etcd", "http://127.0.0.1:1", "--shard", "shop", "--cohort", "a-1"]);
    assert_eq!(code, 2);
    assert!(said.contains("keyspace/shard"), "{said}");
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weir.toml");
    std::fs::write(&file, "shard = 'shop/0'\netcd = 'http://127.0.0.1:1'\nconsistancy = 'GLOBAL'\n").expect("a file");
    let (code, said) = refused("weir-gateway", &["--config", file.to_str().expect("text")]);
    assert_eq!(code, 2);
    assert!(said.contains("weir.toml:3: there is no option consistancy; did you mean consistency?"), "{said}");
}

#[test]
fn a_cohort_that_cannot_acknowledge_is_refused() {
    let (code, said) = refused("weir-orch", &["--etcd", "http://127.0.0.1:1", "--shard", "shop/0", "--cohort", "a-1"]);
    assert_eq!(code, 1);
    assert!(said.contains("there must be at least 2"), "{said}");
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("this.pem");
    std::fs::write(&file, "nothing").expect("a file");
    let file = file.display().to_string();
    let own = ["--etcd", "http://127.0.0.1:1", "--shard", "shop/0", "--cohort", "a-1,a-2"];
    let tls = ["--grpc-cert", &file, "--grpc-key", &file, "--grpc-ca", &file];
    let (code, said) = refused("weir-orch", &[&own[..], &tls].concat());
    assert_eq!(code, 1);
    assert!(said.contains("this.pem: holds no CERTIFICATE"), "{said}");
}

#[test]
fn a_certificate_of_another_authority_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let _ = certificate(dir.path(), "this");
    let _ = certificate(dir.path(), "other");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (own, key, other) = (file("this.crt"), file("this.key"), file("other.crt"));
    let data = file("tablet");
    let tls = ["--etcd", "http://127.0.0.1:1", "--grpc-cert", &own, "--grpc-key", &key, "--grpc-ca", &other];
    let tablet = [&TABLET[..], &["--data-dir", &data, "--mysql-port", "0", "--grpc-port", "0"]].concat();
    for (program, options) in [
        ("weir-tablet", &tablet[..]),
        ("weir-orch", &["--shard", "shop/0", "--cohort", "a-1,a-2"]),
        ("weir-gateway", &["--shard", "shop/0", "--port", "0"]),
    ] {
        let (code, said) = refused(program, &[options, &tls].concat());
        assert_eq!(code, 1, "{program}: {said}");
        assert!(said.contains("this.crt: the authority does not vouch for it"), "{program}: {said}");
    }
    assert!(!std::path::Path::new(&data).exists(), "nothing was started");
}

#[test]
fn a_topology_that_is_not_there_is_named() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let own = ["--shard", "shop/0", "--tablet-time-ms", "1500", "--port", "0"];
    let (code, said) = refused("weir-gateway", &[&["--etcd", &url], &own[..]].concat());
    assert_eq!(code, 1);
    assert!(said.contains("the topology is not reached") && said.contains(&url), "{said}");
}

#[test]
fn a_shard_that_nobody_serves_is_named() {
    let etcd = EtcdCluster::start(1);
    let own = ["--shard", "shop/80-", "--tablet-time-ms", "1500", "--port", "0"];
    let (code, said) = refused("weir-gateway", &[&["--etcd", &etcd.urls()[0]], &own[..]].concat());
    assert_eq!(code, 1);
    assert!(said.contains("no tablet of shop/80-") && said.contains("the topology knows none"), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let own = ["--etcd", "http://127.0.0.1:1", "--data-dir", dir.path().to_str().expect("text"), "--grpc-port", &port];
    let (code, said) = refused("weir-tablet", &[&TABLET[..], &own].concat());
    assert_eq!(code, 1);
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
}

#[test]
fn what_operators_ask_does_not_stand_open_to_the_world() {
    let open = ["--etcd", "http://127.0.0.1:1", "--shard", "shop/0", "--grpc-host", "0.0.0.0"];
    for (program, own) in [("weir-gateway", ["--port", "0"]), ("weir-orch", ["--cohort", "local-1,local-2"])] {
        let (code, said) = refused(program, &[&open[..], &own].concat());
        assert_eq!(code, 1, "{program}");
        assert!(said.contains("--grpc-cert"), "{program}: {said}");
    }
}

#[test]
fn a_tablet_does_not_stand_open_to_the_world() {
    let own = ["--etcd", "http://127.0.0.1:1", "--data-dir", "/nowhere", "--grpc-host", "0.0.0.0"];
    let (code, said) = refused("weir-tablet", &[&TABLET[..], &own].concat());
    assert_eq!(code, 1);
    assert!(said.contains("--grpc-cert"), "{said}");
}

#[test]
fn a_password_that_etcd_refuses_is_told_at_the_start() {
    let cluster = EtcdCluster::start(1);
    cluster.ctl(&["user", "add", "root:open-sesame"]);
    cluster.ctl(&["user", "grant-role", "root", "root"]);
    cluster.ctl(&["auth", "enable"]);
    let etcd = cluster.urls()[0].clone();
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("tablet").display().to_string();
    let login = ["--etcd", &etcd, "--etcd-user", "root", "--etcd-password", "wrong-words"];
    let tablet = [&TABLET[..], &["--data-dir", &data, "--mysql-port", "0", "--grpc-port", "0"]].concat();
    for (program, own) in [
        ("weir-tablet", &tablet[..]),
        ("weir-orch", &["--shard", "shop/0", "--cohort", "a-1,a-2"]),
        ("weir-gateway", &["--shard", "shop/0", "--port", "0"]),
    ] {
        let (code, said) = refused(program, &[own, &login].concat());
        assert_eq!(code, 1, "{program}: {said}");
        assert!(said.contains("--etcd-user and --etcd-password are refused") && said.contains(&etcd), "{said}");
        assert!(!said.contains("wrong-words") && !std::path::Path::new(&data).exists(), "{said}");
    }
}
