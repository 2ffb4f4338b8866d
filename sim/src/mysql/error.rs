//! The errors of a server, with its own numbers, states and texts.
//!
//! Source: MariaDB 10.11 `errmsg-utf8.txt`; MySQL 8.0 differs in the names of the product and of a few words.

use weir_core::gtid::Flavor;

/// An error as the client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// Error number.
    pub code: u16,
    /// SQLSTATE.
    pub state: &'static str,
    /// Text.
    pub message: String,
}

/// How many bytes of a statement a syntax error quotes.
const NEAR_BYTES_MAX: usize = 80;

/// The part of a statement that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    Select,
    Insert,
    Set,
    Where,
}

impl Clause {
    /// What the servers call it.
    const fn name(self, flavor: Flavor) -> &'static str {
        match (flavor, self) {
            (Flavor::MariaDb, Self::Select) => "SELECT",
            (Flavor::MariaDb, Self::Insert) => "INSERT INTO",
            (Flavor::MariaDb, Self::Set) => "SET",
            (Flavor::MariaDb, Self::Where) => "WHERE",
            (Flavor::MySql, Self::Where) => "where clause",
            (Flavor::MySql, _) => "field list",
        }
    }
}

impl SqlError {
    fn new(code: u16, state: &'static str, message: impl Into<String>) -> Self {
        Self { code, state, message: message.into() }
    }

    pub(super) fn too_many_connections() -> Self {
        Self::new(1040, "08004", "Too many connections")
    }

    pub(super) fn no_database() -> Self {
        Self::new(1046, "3D000", "No database selected")
    }

    pub(super) fn unknown_database(name: &str) -> Self {
        Self::new(1049, "42000", format!("Unknown database '{name}'"))
    }

    pub(super) fn table_exists(name: &str) -> Self {
        Self::new(1050, "42S01", format!("Table '{name}' already exists"))
    }

    pub(super) fn unknown_table(schema: &str, name: &str) -> Self {
        Self::new(1051, "42S02", format!("Unknown table '{schema}.{name}'"))
    }

    pub(super) fn not_null(column: &str) -> Self {
        Self::new(1048, "23000", format!("Column '{column}' cannot be null"))
    }

    pub(super) fn unknown_column(flavor: Flavor, name: &str, clause: Clause) -> Self {
        let place = clause.name(flavor);
        Self::new(1054, "42S22", format!("Unknown column '{name}' in '{place}'"))
    }

    pub(super) fn duplicate(value: &str) -> Self {
        Self::new(1062, "23000", format!("Duplicate entry '{value}' for key 'PRIMARY'"))
    }

    pub(super) fn syntax(flavor: Flavor, near: &str, line: usize) -> Self {
        let product = match flavor {
            Flavor::MariaDb => "MariaDB",
            Flavor::MySql => "MySQL",
        };
        // MariaDB says that it cut, within the same length.
        let dots = if flavor == Flavor::MariaDb && near.len() > NEAR_BYTES_MAX { "..." } else { "" };
        let mut end = near.len().min(NEAR_BYTES_MAX - dots.len());
        while !near.is_char_boundary(end) {
            end -= 1;
        }
        let near = format!("{}{dots}", &near[..end]);
        Self::new(
            1064,
            "42000",
            format!(
                "You have an error in your SQL syntax; check the manual that corresponds to your {product} server \
                 version for the right syntax to use near '{near}' at line {line}"
            ),
        )
    }

    pub(super) fn empty_query() -> Self {
        Self::new(1065, "42000", "Query was empty")
    }

    pub(super) fn unknown_thread(id: u64) -> Self {
        Self::new(1094, "HY000", format!("Unknown thread id: {id}"))
    }

    pub(super) fn no_table(schema: &str, name: &str) -> Self {
        Self::new(1146, "42S02", format!("Table '{schema}.{name}' doesn't exist"))
    }

    pub(super) fn database_exists(name: &str) -> Self {
        Self::new(1007, "HY000", format!("Can't create database '{name}'; database exists"))
    }

    pub(super) fn no_database_to_drop(name: &str) -> Self {
        Self::new(1008, "HY000", format!("Can't drop database '{name}'; database doesn't exist"))
    }

    pub(super) fn column_count() -> Self {
        Self::new(1136, "21S01", "Column count doesn't match value count at row 1")
    }

    pub(super) fn unknown_variable(name: &str) -> Self {
        Self::new(1193, "HY000", format!("Unknown system variable '{name}'"))
    }

    pub(super) fn slave_running(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MariaDb => Self::new(
                1198,
                "HY000",
                "This operation cannot be performed as you have a running slave ''; run STOP SLAVE '' first",
            ),
            Flavor::MySql => Self::new(
                3081,
                "HY000",
                "This operation cannot be performed with running replication threads; run STOP REPLICA FOR CHANNEL '' first",
            ),
        }
    }

    pub(super) fn not_a_slave(flavor: Flavor) -> Self {
        let message = match flavor {
            Flavor::MariaDb => {
                "Misconfigured slave: MASTER_HOST was not set; Fix in config file or with CHANGE MASTER TO"
            }
            Flavor::MySql => {
                "The server is not configured as replica; fix in config file or with CHANGE REPLICATION SOURCE TO"
            }
        };
        Self::new(1200, "HY000", message)
    }

    pub(super) fn lock_wait_timeout() -> Self {
        Self::new(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction")
    }

    pub(super) fn deadlock() -> Self {
        Self::new(1213, "40001", "Deadlock found when trying to get lock; try restarting transaction")
    }

    pub(super) fn access_denied(privilege: &str) -> Self {
        Self::new(
            1227,
            "42000",
            format!("Access denied; you need (at least one of) the {privilege} privilege(s) for this operation"),
        )
    }

    pub(super) fn session_only(name: &str) -> Self {
        Self::new(1228, "HY000", format!("Variable '{name}' is a SESSION variable and can't be used with SET GLOBAL"))
    }

    pub(super) fn global_only(name: &str) -> Self {
        Self::new(1229, "HY000", format!("Variable '{name}' is a GLOBAL variable and should be set with SET GLOBAL"))
    }

    pub(super) fn wrong_value(name: &str, value: &str) -> Self {
        Self::new(1231, "42000", format!("Variable '{name}' can't be set to the value of '{value}'"))
    }

    pub(super) fn wrong_type(name: &str) -> Self {
        Self::new(1232, "42000", format!("Incorrect argument type to variable '{name}'"))
    }

    pub(super) fn read_only_variable(name: &str) -> Self {
        Self::new(1238, "HY000", format!("Variable '{name}' is a read only variable"))
    }

    pub(super) fn read_only(flavor: Flavor, option: &str) -> Self {
        let product = match flavor {
            Flavor::MariaDb => "MariaDB",
            Flavor::MySql => "MySQL",
        };
        Self::new(
            1290,
            "HY000",
            format!("The {product} server is running with the {option} option so it cannot execute this statement"),
        )
    }

    pub(super) fn savepoint(name: &str) -> Self {
        Self::new(1305, "42000", format!("SAVEPOINT {name} does not exist"))
    }

    /// ER_STATEMENT_TIMEOUT of MariaDB.
    pub(super) fn statement_timeout() -> Self {
        Self::new(1969, "70100", "Query execution was interrupted (max_statement_time exceeded)")
    }

    /// The group did not decide the transaction through this member.
    pub(super) fn rolled_back_by_plugin() -> Self {
        Self::new(3101, "40000", "Plugin instructed the server to rollback the current transaction.")
    }

    /// A statement that its group has to let go on, on a server that is no member.
    pub(super) fn consistency_not_allowed() -> Self {
        let message = "The option group_replication_consistency cannot be used on the current member state.";
        Self::new(3796, "HY000", message)
    }

    pub(super) fn interrupted() -> Self {
        Self::new(1317, "70100", "Query execution was interrupted")
    }

    pub(super) fn no_default(column: &str) -> Self {
        Self::new(1364, "HY000", format!("Field '{column}' doesn't have a default value"))
    }

    pub(super) fn not_an_integer(flavor: Flavor, value: &str, schema: &str, table: &str, column: &str) -> Self {
        let (state, column) = match flavor {
            Flavor::MariaDb => ("22007", format!("`{schema}`.`{table}`.`{column}`")),
            Flavor::MySql => ("HY000", format!("'{column}'")),
        };
        Self::new(1366, state, format!("Incorrect integer value: '{value}' for column {column} at row 1"))
    }

    pub(super) fn too_long(column: &str) -> Self {
        Self::new(1406, "22001", format!("Data too long for column '{column}' at row 1"))
    }

    pub(super) fn in_transaction() -> Self {
        Self::new(1568, "25001", "Transaction characteristics can't be changed while a transaction is in progress")
    }

    pub(super) fn out_of_range(column: &str) -> Self {
        Self::new(1264, "22003", format!("Out of range value for column '{column}' at row 1"))
    }

    pub(super) fn bigint_range(expression: &str) -> Self {
        Self::new(1690, "22003", format!("BIGINT value is out of range in '{expression}'"))
    }

    pub(super) fn read_only_transaction(flavor: Flavor) -> Self {
        let message = match flavor {
            Flavor::MariaDb => "Cannot execute statement in a READ ONLY transaction",
            Flavor::MySql => "Cannot execute statement in a READ ONLY transaction.",
        };
        Self::new(1792, "25006", message)
    }

    pub(super) fn killed() -> Self {
        Self::new(1927, "70100", "Connection was killed")
    }

    pub(super) fn no_such_function(schema: &str, name: &str) -> Self {
        Self::new(1305, "42000", format!("FUNCTION {schema}.{name} does not exist"))
    }

    pub(super) fn gtid_text() -> Self {
        Self::new(1941, "HY000", "Could not parse GTID list")
    }

    pub(super) fn wrong_arguments(name: &str) -> Self {
        Self::new(1210, "HY000", format!("Incorrect arguments to {name}"))
    }
    pub(super) fn unknown_command() -> Self {
        Self::new(1047, "08S01", "Unknown command")
    }

    pub(super) fn unknown_statement(id: u32, command: &str) -> Self {
        Self::new(1243, "HY000", format!("Unknown prepared statement handler ({id}) given to {command}"))
    }
}
