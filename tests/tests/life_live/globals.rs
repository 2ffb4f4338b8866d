//! SET GLOBAL of Weir's own variables: for all gateways of a keyspace, and from one start to the next.

use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_tests::{Deployment, Part, Session, Weir, application, eventually};

const HEARD_WITHIN: Duration = Duration::from_secs(20);
const SHOW: &str = "SELECT @@GLOBAL.read_write_split_ratio, @@GLOBAL.read_after_write_consistency";

#[test]
fn what_is_set_at_one_gateway_holds_at_all_and_stays() {
    let mut deployment = Deployment::small_with_gateways(2, &[]);
    assert_eq!(deployment.query(1, SHOW), "100\tSESSION");
    deployment.query(0, "SET GLOBAL read_write_split_ratio = 7, GLOBAL read_after_write_consistency = 'EVENTUAL'");
    assert_eq!(deployment.query(0, SHOW), "7\tEVENTUAL", "whoever has set it sees it at once");
    eventually(HEARD_WITHIN, "the other hears of it", || deployment.query(1, SHOW) == "7\tEVENTUAL");
    assert_eq!(deployment.query(1, "SELECT @@read_write_split_ratio"), "7", "new sessions begin with it");
    deployment.query(1, "SET GLOBAL read_write_split_ratio = 8");
    eventually(HEARD_WITHIN, "both ways", || deployment.query(0, SHOW) == "8\tEVENTUAL");

    deployment.kill_and_restart(Part::Gateway(0));
    deployment.wait_until_healed();
    assert_eq!(deployment.query(0, SHOW), "8\tEVENTUAL", "it was kept");

    deployment.kill_process(Part::Etcd(0));
    let mut session = Session::open(deployment.gateway(0), &application(), None).expect("a session");
    let set = "SET GLOBAL read_write_split_ratio = 9, GLOBAL monotonic_reads = 1";
    let refused = session.run(set.as_bytes()).expect("it is answered").pop().expect("one answer");
    let Answer::Err(refused) = refused else { panic!("nobody keeps it: {refused:?}") };
    assert_eq!(refused.code, 1053);
    let said = String::from_utf8_lossy(&refused.message).into_owned();
    assert!(
        said.contains("SET GLOBAL is kept in the topology, and nothing was set") && said.contains("etcd at"),
        "{said}"
    );
    assert_eq!(session.values("SELECT @@GLOBAL.read_write_split_ratio, @@GLOBAL.monotonic_reads"), ["8", "0"]);
    assert!(session.values("SET monotonic_reads = 1").is_empty());
    assert_eq!(session.values("SELECT @@monotonic_reads"), ["1"], "a session's own needs nobody");

    deployment.restart_etcd(0);
    eventually(HEARD_WITHIN, "it can be set again", || {
        session
            .run(b"SET GLOBAL read_write_split_ratio = DEFAULT")
            .expect("it is answered")
            .iter()
            .all(|answer| matches!(answer, Answer::Ok(_)))
    });
    eventually(HEARD_WITHIN, "what is configured holds again", || deployment.query(1, SHOW) == "100\tEVENTUAL");
}

#[test]
fn one_process_keeps_it_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = dir.path().join("data").display().to_string();
    let args = ["--servers", "1", "--data-dir", &data_dir, "--consistency", "INSTANCE"];
    let mut weir = Weir::up(&args);
    let shown = |weir: &Weir| weir.query(SHOW).expect("shown").trim().to_owned();
    weir.query("SET GLOBAL read_write_split_ratio = 7").expect("set");
    assert_eq!(shown(&weir), "7\tINSTANCE");
    assert!(weir.query("SET GLOBAL read_write_split_ratio = 8, GLOBAL monotonic_reads = 'often'").is_err());
    assert_eq!(shown(&weir), "7\tINSTANCE", "one wrong value keeps the others out");
    assert!(weir.stop().success());
    assert_eq!(shown(&Weir::up(&args)), "7\tINSTANCE");
}
