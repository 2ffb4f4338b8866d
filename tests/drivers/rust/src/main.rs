//! The scenario through mysql_async. See ../README.md for what it reads and prints.

use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, Error, Opts, OptsBuilder, Params, Pool, QueryResult, Value, WhiteListFsHandler};
use std::env::var;
use std::fmt::Write as _;

type Result<T = ()> = std::result::Result<T, Error>;

fn env(name: &str) -> String {
    var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn options(more: &str) -> Opts {
    let file = env("ROUNDS_FILE");
    let mut options = OptsBuilder::default()
        .ip_or_hostname(env("ROUNDS_HOST"))
        .tcp_port(env("ROUNDS_PORT").parse().expect("ROUNDS_PORT is a port"))
        .user(Some(env("ROUNDS_USER")))
        .pass(Some(env("ROUNDS_PASSWORD")))
        .max_allowed_packet(Some(64 << 20))
        .local_infile_handler(Some(WhiteListFsHandler::new([file])));
    for (name, value) in more.split('&').filter_map(|option| option.split_once('=')) {
        options = match name {
            "schema" => options.db_name(Some(value)),
            "user" => options.user(Some(value)),
            "password" => options.pass(Some(value)),
            _ => panic!("no such option: {name}"),
        };
    }
    options.into()
}

fn text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("{text:?}"),
            Err(_) => bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
        },
        other => other.as_sql(true),
    }
}

fn parameter(text: &str) -> Value {
    let (kind, value) = text.split_once(':').expect("a kind of parameter");
    match kind {
        "i" => Value::Int(value.parse().expect("an integer")),
        "f" => Value::Double(value.parse().expect("a number")),
        "s" => Value::Bytes(value.into()),
        "x" => {
            let digit = |at| u8::from_str_radix(&value[at..at + 2], 16).expect("hexadecimal digits");
            Value::Bytes((0..value.len()).step_by(2).map(digit).collect())
        }
        _ => Value::NULL,
    }
}

async fn results<P: Protocol>(mut result: QueryResult<'_, '_, P>) -> Result {
    loop {
        for column in result.columns_ref() {
            println!(
                "column {} {} {} {:?} {:?} {} {}",
                column.name_str(),
                column.org_name_str(),
                column.table_str(),
                column.column_type(),
                column.flags(),
                column.column_length(),
                column.character_set(),
            );
        }
        let has_columns = !result.columns_ref().is_empty();
        for row in result.collect::<mysql_async::Row>().await? {
            let row = row.unwrap().iter().fold(String::from("row"), |mut line, value| {
                let _ = write!(line, " | {}", text(value));
                line
            });
            println!("{row}");
        }
        if !has_columns {
            println!("done {} id {:?} {}", result.affected_rows(), result.last_insert_id(), result.info());
        }
        if result.is_empty() {
            return Ok(());
        }
    }
}

struct Scenario {
    db: Conn,
}

impl Scenario {
    async fn query(&mut self, sql: &str) -> Result {
        results(self.db.query_iter(sql).await?).await
    }

    async fn batch(&mut self, sql: &str, values: Vec<Value>) -> Result {
        self.db.exec_batch(sql, values.into_iter().map(|value| Params::Positional(vec![value]))).await
    }

    async fn stream(&mut self, sql: &str) -> Result {
        let mut result = self.db.query_iter(sql).await?;
        let (mut rows, mut sum) = (0, 0);
        while let Some(row) = result.next().await? {
            rows += 1;
            sum += row.get::<i64, _>(0).expect("a number");
        }
        println!("rows and sum {rows} {sum}");
        Ok(())
    }

    async fn large(&mut self, size: usize) -> Result {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        self.db.exec_drop("INSERT INTO large (data) VALUES (?)", (&data,)).await?;
        let select = "SELECT data FROM large ORDER BY id DESC LIMIT 1";
        let by_text: Option<Vec<u8>> = self.db.query_first(select).await?;
        let prepared: Option<Vec<u8>> = self.db.exec_first(select, ()).await?;
        println!("came back as it went: {} {}", by_text.as_ref() == Some(&data), prepared.as_ref() == Some(&data));
        Ok(())
    }

    async fn kill(&mut self) {
        let id = self.db.id();
        let killed = self.db.query_drop(format!("KILL {id}")).await.is_err();
        if killed || self.db.query_drop("SELECT 1").await.is_err() {
            println!("killed");
        }
    }

    async fn step(&mut self, verb: &str, argument: &str, values: Vec<Value>) -> Result {
        let size = || argument.parse().expect("a size");
        match verb {
            "connect" => {
                self.db = Conn::new(options(argument)).await?;
                println!("connected");
            }
            "refused" => Conn::new(options(argument)).await?.disconnect().await?,
            "query" => self.query(argument).await?,
            "load" => self.query(&argument.replace("@FILE@", &env("ROUNDS_FILE"))).await?,
            "execute" => {
                let values = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
                results(self.db.exec_iter(argument, values).await?).await?;
            }
            "batch" => self.batch(argument, values).await?,
            "begin" | "commit" | "rollback" => self.query(verb).await?,
            "stream" => self.stream(argument).await?,
            "large" => self.large(size()).await?,
            "reset" => println!("reset {}", self.db.reset().await?),
            "kill" => self.kill().await,
            "pool" => pool(size()).await?,
            _ => {}
        }
        Ok(())
    }
}

async fn pool(statements: usize) -> Result {
    let pool = Pool::new(options("schema=scenario"));
    let tasks: Vec<_> = (0..statements)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.get_conn().await?.exec_first::<usize, _, _>("SELECT ? + 0", (n,)).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.expect("a task that ends")?, Some(n));
    }
    pool.disconnect().await
}

#[tokio::main]
async fn main() -> Result {
    let mut scenario = Scenario { db: Conn::new(options("")).await? };
    let steps = std::fs::read_to_string(env("ROUNDS_SCENARIO")).expect("the scenario");
    for line in steps.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        println!("> {line}");
        let mut parts = line.split('\t');
        let (verb, argument) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let Err(error) = scenario.step(verb, argument, parts.map(parameter).collect()).await {
            println!("error {error}");
        }
    }
    Ok(())
}
