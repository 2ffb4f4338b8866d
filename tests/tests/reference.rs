//! Pages of the reference that are made of the code: what orchestrators find, and what clients can say to Weir.
//!
//! `WEIR_WRITE=1 cargo test -p weir-tests --test reference` writes them anew. The page of options is checked where the command lines
//! are, in `bins/src/generate/reference.rs`, that of metrics in `tests/tests/metrics.rs`.

use std::fmt::Write as _;
use weir_core::error::{Kind, RETRY_IS_SAFE, Retry};
use weir_core::gateway::variables::{NAMES, Variables, about};
use weir_core::orch::analysis::{Code, RULES, Remedy, Severity};
use weir_core::sql::{Dialect, classify};
use weir_tests::source::{checkout, read};

const MADE: &str = "<!-- made of the code: WEIR_WRITE=1 cargo test -p weir-tests --test reference -->\n";

/// The page is this, or becomes it.
fn check(page: &str, text: &str) {
    let path = checkout().join(page);
    if std::env::var_os("WEIR_WRITE").is_some() {
        std::fs::write(&path, text).expect("the page can be written");
    }
    assert!(read(&path) == text, "{page} is stale: WEIR_WRITE=1 cargo test -p weir-tests --test reference");
}

fn in_a_table(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_page_of_findings_is_the_table_of_rules() {
    let mut text = format!(
        "# What orchestrators find\n\n{MADE}\n\
         An orchestrator looks at what the tablets of its shard say, by the rules of `core/src/orch/analysis.rs`, the most urgent first. What is found stands in the log \
         with `--log info`, in [recordings](../operations.md#the-flight-recorder), and in what `weir ctl explain-failover` tells. It is acted upon when it has been so \
         for as long as the fourth column says. [Failover](../failover.md#when-a-person-is-needed) says what a person does about those that no orchestrator can \
         put right.\n\n\
         | code | means | matters | after | what is done |\n|---|---|---|---|---|\n"
    );
    for rule in RULES {
        let (code, means, after) = (rule.code.name(), rule.code.meaning(), rule.confirm.as_millis());
        let after = if after == 0 { "at once".to_owned() } else { format!("{after} ms") };
        let _ = writeln!(text, "| `{code}` | {means} | {} | {after} | {} |", rule.severity.name(), rule.remedy.name());
    }
    text += "\n## How much it matters\n\n| | |\n|---|---|\n";
    for severity in Severity::ALL {
        let _ = writeln!(text, "| {} | {} |", severity.name(), severity.meaning());
    }
    text += "\n## What is done\n\n| | |\n|---|---|\n";
    for remedy in Remedy::ALL {
        let _ = writeln!(text, "| {} | {} |", remedy.name(), remedy.meaning());
    }
    check("docs/src/reference/analysis.md", &text);
    for code in Code::ALL {
        assert!(RULES.iter().any(|rule| rule.code == *code), "no rule finds {code}");
        assert!(code.meaning().ends_with('.') && !code.meaning().contains("  "), "{code}: {:?}", code.meaning());
    }
}

#[test]
fn the_page_of_errors_has_every_kind() {
    let mut text = format!(
        "# Errors\n\n{MADE}\n\
         What a server answers is passed on as it is: number, SQLSTATE and text. These are Weir's own. Their numbers and SQLSTATEs are those that servers have for the \
         like, so that drivers and frameworks treat them as they should; their texts begin with who speaks (`weir-gateway:`, `weir-tablet:`, `tablet NAME`), unless they \
         are a server's own word for word. Where the statement may be sent again as it is, the text says `{}`.\n\n\
         | number | SQLSTATE | what has happened | again? | what to do |\n|---|---|---|---|---|\n",
        RETRY_IS_SAFE.trim_start_matches(". ")
    );
    let mut kinds = Kind::ALL.to_vec();
    kinds.sort_by_key(|kind| kind.code());
    for kind in kinds {
        let (code, sqlstate) = kind.code();
        let sqlstate = std::str::from_utf8(sqlstate).expect("ASCII");
        let (meaning, again, advice) = (kind.meaning(), kind.retry().name(), kind.advice());
        let _ = writeln!(text, "| {code} | {sqlstate} | {} | {again} | {} |", in_a_table(meaning), in_a_table(advice));
        assert!(meaning.ends_with('.') && advice.ends_with('.'), "{kind:?}");
        // Drivers begin a transaction again by this class, and nothing else may have it.
        assert_eq!(sqlstate.starts_with("40"), kind == Kind::TransactionLost, "{kind:?}");
        assert_eq!(sqlstate == "08007", kind.retry() == Retry::Check, "{kind:?}");
    }
    check("docs/src/reference/errors.md", &text);
}

/// One of each kind, in the order of the page.
const STATEMENTS: [&str; 18] = [
    "SET monotonic_reads = ON",
    "SET monotonic_reads = ON, sql_mode = ''",
    "SELECT @@monotonic_reads",
    "SHOW VARIABLES LIKE 'read_after_write_consistency'",
    "USE `shop@REPLICA`",
    "EXPLAIN WEIR SELECT 1",
    "SHOW WEIR STATUS",
    "SHOW WEIR TABLETS",
    "SHOW WEIR POOLS",
    "SHOW WEIR SESSIONS",
    "SHOW WEIR DIGESTS",
    "RESET WEIR DIGESTS",
    "SHOW PROCESSLIST",
    "SHOW STATUS LIKE 'Threads_connected'",
    "SHOW STATUS LIKE 'Ssl_cipher'",
    "SELECT CONNECTION_ID()",
    "KILL 1",
    "RELOAD USERS",
];

#[test]
fn the_page_of_variables_and_statements_is_what_gateways_know() {
    let mut text = format!(
        "# Variables and statements\n\n{MADE}\n\
         Weir's own session variables are set with `SET`, by `SET GLOBAL` for [all gateways](../balancing.md#set-global), and read with `SELECT @@name`. Some of the defaults \
         are [options](options.md) of the gateway.\n\n\
         | variable | values | default | meaning |\n|---|---|---|---|\n"
    );
    let defaults = Variables::default();
    for name in NAMES {
        let (about, default) = (about(name).expect("it is Weir's"), defaults.get(name).expect("it is Weir's"));
        let _ = writeln!(text, "| `{name}` | {} | `{default}` | {} |", about.values, about.meaning);
    }
    text += "\n## Statements\n\n\
             What a gateway answers itself, without a server; all else is [passed on](../compatibility.md).\n\n\
             | statement | what it does |\n|---|---|\n";
    let mut known = Vec::new();
    for statement in STATEMENTS {
        let own = classify(statement.as_bytes(), Dialect::default()).own;
        let own = own.unwrap_or_else(|| panic!("{statement} is passed on"));
        let (written, does) = own.described();
        assert!(!known.contains(&written), "{statement} is of a kind that is there already: {written}");
        known.push(written);
        let _ = writeln!(text, "| `{}` | {does} |", in_a_table(written));
    }
    text += "\n## Hints\n\n\
             A comment behind the first word of a statement, `/*vt+ NAME=value ... */`, holds for this statement alone: `ROLE` is `PRIMARY` or `REPLICA`, `CONSISTENCY` a \
             value of `read_after_write_consistency`, `POLICY` one of `read_write_splitting_policy`. The `mariadb` client leaves comments out unless it is started with `-c`.\n";
    check("docs/src/reference/variables.md", &text);
}
