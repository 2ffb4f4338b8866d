//! What Weir builds on, promised by every store of its topology: the embedded one, one real etcd, and three of which one is
//! killed and comes back. The list of promises is in [`promises`].

mod outages;
mod promises;
mod stage;

use stage::Stage;

fn run(stage: &Stage, promise: impl Future<Output = ()>) {
    stage.runtime().block_on(promise);
}

/// Runs every promise on each kind of store.
macro_rules! conformance {
    ($($kind:ident: $start:expr;)*) => {
        $(#[test]
        fn $kind() {
            let stage = $start;
            for (name, promise) in promises::all() {
                eprintln!("{name}");
                run(&stage, promise(&stage));
            }
        })*
    };
}

conformance! {
    embedded: Stage::embedded();
    one_etcd: Stage::etcd(1);
    three_etcds: Stage::etcd(3);
    three_etcds_of_which_one_is_dead: Stage::etcd_without_the_first();
}
