//! What becomes of those who use etcd when it is away, says nothing, or does not let everybody in.

use crate::promises::cell;
use crate::stage::{etcd, follow, runtime, until, within};
use std::time::Duration;
use weir_core::mysql::auth::Secret;
use weir_core::topo::store::CallError;
use weir_core::topo::store::directory::News;
use weir_io::store::{Etcd, Login, Options, Tls, Topology};
use weir_io::tls::{Certificates, Files, Purpose};
use weir_tests::{EtcdCluster, certificate};

#[test]
fn who_follows_keeps_what_is_known_and_catches_up() {
    let mut cluster = EtcdCluster::start(1);
    let topology = etcd(&cluster);
    let runtime = runtime();
    let mut following = runtime.block_on(async {
        topology.put(&cell("before")).await.expect("written");
        follow(&topology).await.0
    });
    cluster.kill(0);
    let away = runtime.block_on(async {
        until(&mut following, |news| matches!(news, News::Lost(_))).await;
        topology.put(&cell("while_away")).await
    });
    let Err(CallError::Failed(why)) = away else { panic!("nobody is there: {away:?}") };
    assert!(why.contains(&cluster.urls()[0]) && why.contains("refused"), "{why}");
    cluster.restart(0);
    let told = runtime.block_on(async {
        topology.put(&cell("after")).await.expect("written");
        until(&mut following, |news| *news == News::Added(cell("after"))).await
    });
    assert!(!told.iter().any(|news| matches!(news, News::Removed(_) | News::Changed(_))), "{told:?}");
    assert_eq!(told.iter().filter(|news| matches!(news, News::Added(_))).count(), 1, "{told:?}");
}

#[test]
fn one_that_says_nothing_is_left_for_another() {
    let cluster = EtcdCluster::start(3);
    let topology = etcd(&cluster);
    runtime().block_on(async {
        let (mut following, _) = follow(&topology).await;
        cluster.pause(0, true);
        // The first call waits for it in vain; another may be elected meanwhile.
        let written = async {
            while topology.put(&cell("past")).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within("another answers", written).await;
        let told = until(&mut following, |news| *news == News::Added(cell("past"))).await;
        assert!(!told.iter().any(|news| matches!(news, News::Removed(_))), "{told:?}");
        cluster.pause(0, false);
    });
}

#[test]
fn a_wrong_password_is_told_and_a_right_one_lets_in() {
    let cluster = EtcdCluster::start(1);
    cluster.ctl(&["user", "add", "root:open-sesame"]);
    cluster.ctl(&["user", "grant-role", "root", "root"]);
    cluster.ctl(&["auth", "enable"]);
    let put = |password: &str| {
        let login = Login { user: "root".to_owned(), password: Secret::new(password.as_bytes()) };
        let options = Options { login: Some(login), ..Options::plain(cluster.urls()) };
        let topology = Topology::Etcd(Etcd::new(&options).expect("good options"));
        runtime().block_on(topology.put(&cell("guarded")))
    };
    let Err(CallError::Failed(why)) = put("wrong-words") else { panic!("it is let in") };
    assert!(why.contains("authentication failed") && why.contains(&cluster.urls()[0]), "{why}");
    assert!(!why.contains("wrong-words"), "{why}");
    put("open-sesame").expect("written");
}

#[test]
fn certificates_are_checked_on_both_sides() {
    let dir = tempfile::tempdir().expect("a directory");
    let _ = ["server", "client"].map(|name| certificate(dir.path(), name));
    let option = |name: &str, file: &str| format!("--{name}={}", dir.path().join(file).display());
    let cluster = EtcdCluster::start_with_tls(vec![
        option("cert-file", "server.crt"),
        option("key-file", "server.key"),
        option("trusted-ca-file", "client.crt"),
        "--client-cert-auth".to_owned(),
    ]);
    let file = |name: &str| dir.path().join(name);
    let put = |authority: &str, own: Option<&str>| {
        let own = own.map(|name| (file(&format!("{name}.crt")), file(&format!("{name}.key"))));
        let files = Files { own, authority: Some(file(&format!("{authority}.crt"))) };
        let certificates = Certificates::load(files, Purpose::Etcd).expect("good files");
        let tls = Some(Tls { certificates, name: None });
        let topology = Etcd::new(&Options { tls, ..Options::plain(cluster.urls()) }).expect("good options");
        runtime().block_on(Topology::Etcd(topology).put(&cell("guarded")))
    };
    put("server", Some("client")).expect("both trust the other");
    let Err(CallError::Failed(why)) = put("client", Some("client")) else { panic!("a stranger is trusted") };
    assert!(why.contains("certificate"), "{why}");
    assert!(put("server", None).is_err(), "it wants to know who we are");
}

#[test]
fn etcd_is_shown_the_certificate_that_the_files_hold_now() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let copy = |from: &str, to: &str| _ = std::fs::copy(file(from), file(to)).expect("a copy");
    let show =
        |name: &str| ["crt", "key"].iter().for_each(|kind| copy(&format!("{name}.{kind}"), &format!("live.{kind}")));
    let _ = ["server", "first", "second"].map(|name| certificate(dir.path(), name));
    show("first");
    copy("first.crt", "trusted.crt");
    let option = |name: &str, file_name: &str| format!("--{name}={}", file(file_name).display());
    let mut cluster = EtcdCluster::start_with_tls(vec![
        option("cert-file", "server.crt"),
        option("key-file", "server.key"),
        option("trusted-ca-file", "trusted.crt"),
        "--client-cert-auth".to_owned(),
    ]);
    let files = Files { own: Some((file("live.crt"), file("live.key"))), authority: Some(file("server.crt")) };
    let certificates = Certificates::load(files, Purpose::Etcd).expect("good files");
    let tls = Some(Tls { certificates: certificates.clone(), name: None });
    let topology = Etcd::new(&Options { tls, ..Options::plain(cluster.urls()) }).expect("good options");
    let topology = Topology::Etcd(topology);
    let runtime = runtime();
    runtime.block_on(topology.put(&cell("first"))).expect("the first is trusted");

    copy("second.crt", "trusted.crt");
    cluster.restart(0);
    assert!(runtime.block_on(topology.put(&cell("first"))).is_err(), "the first is not trusted any more");
    show("second");
    runtime.block_on(async {
        let following = tokio::spawn(Certificates::follow(vec![certificates]));
        let written = async {
            while topology.put(&cell("second")).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within("the second is shown", written).await;
        following.abort();
    });
}
