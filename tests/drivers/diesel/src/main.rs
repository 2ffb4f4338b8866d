//! The scenario through diesel. See ../README.md for what it reads and prints.

use diesel::connection::{AnsiTransactionManager, DefaultLoadingMode, SimpleConnection, TransactionManager};
use diesel::deserialize::{FromSql, QueryableByName};
use diesel::mysql::data_types::MysqlTime;
use diesel::mysql::{Mysql, MysqlType, MysqlValue};
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::result::Error;
use diesel::row::{Field, NamedRow, Row};
use diesel::sql_types::{BigInt, Binary, Datetime, Double, Nullable, Text};
use diesel::{Connection, MysqlConnection, QueryResult, RunQueryDsl, sql_query};
use std::env::var;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

const POOL_CONNECTIONS: u32 = 10;

fn env(name: &str) -> String {
    var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// As it stands in an URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        let _ = write!(url, "%{byte:02X}");
        url
    })
}

fn url(more: &str) -> String {
    let (mut user, mut password, mut schema) = (env("ROUNDS_USER"), env("ROUNDS_PASSWORD"), String::new());
    for (name, value) in more.split('&').filter_map(|option| option.split_once('=')) {
        match name {
            "schema" => schema = value.to_owned(),
            "user" => user = value.to_owned(),
            "password" => password = value.to_owned(),
            _ => panic!("no such option: {name}"),
        }
    }
    let at = format!("{}:{}", env("ROUNDS_HOST"), env("ROUNDS_PORT"));
    format!("mysql://{}:{}@{at}/{schema}", encoded(&user), encoded(&password))
}

/// A row of whatever columns there are, as it is printed.
struct Line(String);

impl QueryableByName<Mysql> for Line {
    fn build<'a>(row: &impl NamedRow<'a, Mysql>) -> diesel::deserialize::Result<Self> {
        let mut line = String::from("row");
        for at in 0..row.field_count() {
            let field = Row::get(row, at).ok_or("a field that is missing")?;
            // diesel panics at types that it does not know: geometry, and that of a column of NULL alone.
            let value =
                catch_unwind(AssertUnwindSafe(|| field.value().map_or("NULL".to_owned(), |value| text(&value))));
            let value = value.unwrap_or("of a type that is not known".to_owned());
            write!(line, " | {} {value}", field.field_name().unwrap_or_default())?;
        }
        Ok(Self(line))
    }
}

fn text(value: &MysqlValue<'_>) -> String {
    match value.value_type() {
        MysqlType::Date | MysqlType::Time | MysqlType::DateTime | MysqlType::Timestamp => {
            match <MysqlTime as FromSql<Datetime, Mysql>>::from_sql(value.clone()) {
                Ok(time) => format!("{time:?}"),
                Err(error) => error.to_string(),
            }
        }
        kind => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => format!("{kind:?} {text:?}"),
            Err(_) => format!("{kind:?} {:02x?}", value.as_bytes()),
        },
    }
}

/// The first column of a row, a number.
struct Number(i64);

impl QueryableByName<Mysql> for Number {
    fn build<'a>(row: &impl NamedRow<'a, Mysql>) -> diesel::deserialize::Result<Self> {
        row.get_value::<BigInt, i64, _>(0).map(Self)
    }
}

/// The first column of a row, bytes.
struct Bytes(Vec<u8>);

impl QueryableByName<Mysql> for Bytes {
    fn build<'a>(row: &impl NamedRow<'a, Mysql>) -> diesel::deserialize::Result<Self> {
        row.get_value::<Binary, Vec<u8>, _>(0).map(Self)
    }
}

struct Scenario {
    db: MysqlConnection,
}

impl Scenario {
    /// All that diesel prepares is prepared by the server.
    fn execute(&mut self, sql: &str, parameters: &[&str]) -> QueryResult<()> {
        let mut query = sql_query(sql).into_boxed::<Mysql>();
        for parameter in parameters {
            let (kind, value) = parameter.split_once(':').expect("a kind of parameter");
            query = match kind {
                "i" => query.bind::<BigInt, _>(value.parse::<i64>().expect("an integer")),
                "f" => query.bind::<Double, _>(value.parse::<f64>().expect("a number")),
                "s" => query.bind::<Text, _>(value.to_owned()),
                "x" => query.bind::<Binary, _>(bytes(value)),
                _ => query.bind::<Nullable<Text>, _>(None::<String>),
            };
        }
        if ["SELECT", "SHOW"].iter().any(|verb| sql.starts_with(verb)) {
            for Line(line) in query.load::<Line>(&mut self.db)? {
                println!("{line}");
            }
        } else {
            println!("done {}", query.execute(&mut self.db)?);
        }
        Ok(())
    }

    fn query(&mut self, sql: &str) -> QueryResult<()> {
        let prepared = ["SELECT", "SHOW", "INSERT", "UPDATE", "DELETE", "REPLACE"];
        if !sql.contains(';') && prepared.iter().any(|verb| sql.starts_with(verb)) {
            self.execute(sql, &[])
        } else {
            self.db.batch_execute(sql)
        }
    }

    fn stream(&mut self, sql: &str) -> QueryResult<()> {
        let (mut rows, mut sum) = (0, 0);
        for number in sql_query(sql).load_iter::<Number, DefaultLoadingMode>(&mut self.db)? {
            let Number(number) = number?;
            rows += 1;
            sum += number;
        }
        println!("rows and sum {rows} {sum}");
        Ok(())
    }

    fn large(&mut self, size: usize) -> QueryResult<()> {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        sql_query("INSERT INTO large (data) VALUES (?)").bind::<Binary, _>(&data).execute(&mut self.db)?;
        let rows = sql_query("SELECT data FROM large ORDER BY id DESC LIMIT 1").load::<Bytes>(&mut self.db)?;
        println!("came back as it went: {}", rows.iter().all(|Bytes(back)| *back == data));
        Ok(())
    }

    fn kill(&mut self) -> QueryResult<()> {
        let id = sql_query("SELECT CAST(CONNECTION_ID() AS SIGNED)").get_result::<Number>(&mut self.db)?.0;
        if self.db.batch_execute(&format!("KILL {id}")).is_err() || self.db.batch_execute("SELECT 1").is_err() {
            println!("killed");
        }
        Ok(())
    }

    fn step(&mut self, verb: &str, argument: &str, parameters: &[&str]) -> QueryResult<()> {
        let size = || argument.parse().expect("a size");
        match verb {
            "connect" => match MysqlConnection::establish(&url(argument)) {
                Ok(db) => {
                    self.db = db;
                    println!("connected");
                }
                Err(error) => println!("error {error}"),
            },
            "refused" => match MysqlConnection::establish(&url(argument)) {
                Ok(_) => println!("accepted"),
                Err(error) => println!("error {error}"),
            },
            "query" => self.query(argument)?,
            "execute" => self.execute(argument, parameters)?,
            "batch" => parameters.iter().try_for_each(|parameter| self.execute(argument, &[parameter]))?,
            "begin" => AnsiTransactionManager::begin_transaction(&mut self.db)?,
            "commit" => AnsiTransactionManager::commit_transaction(&mut self.db)?,
            "rollback" => AnsiTransactionManager::rollback_transaction(&mut self.db)?,
            "stream" => self.stream(argument)?,
            "large" => self.large(size())?,
            "kill" => self.kill()?,
            "pool" => pool(size()),
            // It has none.
            "reset" | "load" => println!("skipped"),
            _ => {}
        }
        Ok(())
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(digit).collect()
}

fn pool(statements: usize) {
    let manager = ConnectionManager::<MysqlConnection>::new(url("schema=scenario"));
    let pool = Pool::builder().max_size(POOL_CONNECTIONS).build(manager).expect("a pool");
    let threads = (0..statements as i64).map(|n| {
        let pool = pool.clone();
        std::thread::spawn(move || {
            let mut db = pool.get().expect("a connection");
            sql_query("SELECT CAST(? AS SIGNED)")
                .bind::<BigInt, _>(n)
                .get_result::<Number>(&mut db)
                .is_ok_and(|it| it.0 == n)
        })
    });
    let threads: Vec<_> = threads.collect();
    println!("right {}", threads.into_iter().all(|thread| thread.join().is_ok_and(|right| right)));
}

fn main() {
    let db = MysqlConnection::establish(&url("")).expect("a connection");
    let mut scenario = Scenario { db };
    let steps = std::fs::read_to_string(env("ROUNDS_SCENARIO")).expect("the scenario");
    for line in steps.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        println!("> {line}");
        let mut parts = line.split('\t');
        let (verb, argument) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match scenario.step(verb, argument, &parts.collect::<Vec<_>>()) {
            Ok(()) => {}
            Err(Error::DatabaseError(kind, information)) => println!("error {kind:?} {}", information.message()),
            Err(error) => println!("error {error}"),
        }
    }
}
