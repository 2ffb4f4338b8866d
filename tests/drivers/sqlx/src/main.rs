//! The rounds through sqlx, which prepares every statement on the server. See ../README.md for the environment they read.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions};
use sqlx::{Connection, Executor, MySql, Pool, Row};
use std::error::Error;
use std::time::{Duration, Instant};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const DATABASE: &str = "rounds_sqlx";
/// Over 16 MiB, so that it takes more than one packet.
const LARGE_BYTES: usize = 20 * 1024 * 1024;

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn options() -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(&env("ROUNDS_HOST"))
        .port(env("ROUNDS_PORT").parse().expect("ROUNDS_PORT is a port"))
        .username(&env("ROUNDS_USER"))
        .password(&env("ROUNDS_PASSWORD"))
}

/// A read outside a transaction: right at once from a server, within ROUNDS_LAG_S through Weir.
async fn reads(db: &mut MySqlConnection, expected: i64, sql: &str, key: i64) -> Result {
    let lag = std::env::var("ROUNDS_LAG_S").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(lag);
    loop {
        let got = sqlx::query_scalar::<_, i64>(sql).bind(key).fetch_one(&mut *db).await;
        if matches!(got, Ok(value) if value == expected) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("{sql}: expected {expected}, got {got:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn create() -> Result<MySqlConnection> {
    let mut db = MySqlConnection::connect_with(&options()).await?;
    db.execute(format!("DROP DATABASE IF EXISTS {DATABASE}").as_str()).await?;
    db.execute(format!("CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4").as_str()).await?;
    db.close().await?;
    let mut db = MySqlConnection::connect_with(&options().database(DATABASE)).await?;
    db.execute(
        "CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE, small BIGINT, \
         big BIGINT UNSIGNED, ratio DOUBLE, data LONGBLOB); \
         CREATE TABLE account (id INT PRIMARY KEY, balance INT)",
    )
    .await?;
    Ok(db)
}

async fn insert_and_select(db: &mut MySqlConnection) -> Result {
    let name = "Grüße 🌊 'quoted\\'";
    let done = sqlx::query("INSERT INTO item (name, small, big, ratio, data) VALUES (?, ?, ?, ?, ?)")
        .bind(name)
        .bind(i64::MIN)
        .bind(u64::MAX)
        .bind(0.5)
        .bind(&b"\x00\xff\n"[..])
        .execute(&mut *db)
        .await?;
    assert_eq!((done.rows_affected(), done.last_insert_id()), (1, 1));
    sqlx::query("INSERT INTO item (name) VALUES (?), ('')").bind(None::<String>).execute(&mut *db).await?;
    reads(db, 3, "SELECT COUNT(*) FROM item WHERE id < ?", 10).await?;
    let mut tx = db.begin().await?;
    let row =
        sqlx::query("SELECT name, small, big, ratio, data FROM item WHERE id = ?").bind(1).fetch_one(&mut *tx).await?;
    assert_eq!(row.get::<String, _>(0), name);
    assert_eq!((row.get::<i64, _>(1), row.get::<u64, _>(2)), (i64::MIN, u64::MAX));
    assert_eq!((row.get::<f64, _>(3), row.get::<Vec<u8>, _>(4)), (0.5, b"\x00\xff\n".to_vec()));
    let row = sqlx::query("SELECT name, data FROM item WHERE id = ?").bind(2).fetch_one(&mut *tx).await?;
    assert_eq!((row.get::<Option<String>, _>(0), row.get::<Option<Vec<u8>>, _>(1)), (None, None));
    let changed = sqlx::query("UPDATE item SET small = 0 WHERE id = ?").bind(1).execute(&mut *tx).await?;
    let deleted = sqlx::query("DELETE FROM item WHERE id > ?").bind(1).execute(&mut *tx).await?;
    assert_eq!((changed.rows_affected(), deleted.rows_affected()), (1, 2));
    tx.commit().await?;
    Ok(())
}

async fn transactions(db: &mut MySqlConnection) -> Result {
    sqlx::query("INSERT INTO account VALUES (1, 100), (2, 0)").execute(&mut *db).await?;
    const BALANCE: &str = "SELECT CAST(balance AS SIGNED) FROM account WHERE id = ?";
    let mut tx = db.begin().await?;
    for (id, change) in [(1, -10), (2, 10)] {
        sqlx::query("UPDATE account SET balance = balance + ? WHERE id = ?")
            .bind(change)
            .bind(id)
            .execute(&mut *tx)
            .await?;
    }
    reads(&mut tx, 90, BALANCE, 1).await?;
    tx.commit().await?;
    reads(db, 10, BALANCE, 2).await?;
    let mut tx = db.begin().await?;
    tx.execute("DELETE FROM account").await?;
    let mut nested = tx.begin().await?;
    nested.execute("INSERT INTO account VALUES (3, 3)").await?;
    nested.rollback().await?;
    assert_eq!(sqlx::query("SELECT id FROM account").fetch_all(&mut *tx).await?.len(), 0);
    tx.rollback().await?;
    reads(db, 2, "SELECT COUNT(*) FROM account WHERE id < ?", 10).await?;
    // Dropped without a word: sqlx rolls back before the next use.
    let mut tx = db.begin().await?;
    tx.execute("DELETE FROM account").await?;
    drop(tx);
    reads(db, 2, "SELECT COUNT(*) FROM account WHERE id < ?", 10).await
}

/// More texts than sqlx keeps prepared (100 per connection), so that it closes some and prepares them again.
async fn prepared_statements(db: &mut MySqlConnection) -> Result {
    for _ in 0..2 {
        for n in 0..150_i64 {
            let sql = format!("SELECT CAST(? AS SIGNED) + {n}");
            let sum: i64 = sqlx::query_scalar(&sql).bind(1_i64).fetch_one(&mut *db).await?;
            assert_eq!(sum, n + 1);
        }
    }
    Ok(())
}

async fn large_values(db: &mut MySqlConnection) -> Result {
    let data: Vec<u8> = (0..LARGE_BYTES).map(|i| (i % 251) as u8).collect();
    sqlx::query("INSERT INTO item (name, data) VALUES ('large', ?)").bind(&data).execute(&mut *db).await?;
    let mut tx = db.begin().await?;
    let back: Vec<u8> = sqlx::query_scalar("SELECT data FROM item WHERE name = 'large'").fetch_one(&mut *tx).await?;
    assert!(back == data, "a large value comes back as it went");
    tx.commit().await?;
    Ok(())
}

async fn errors(db: &mut MySqlConnection) -> Result {
    for (sql, number, state) in [
        ("INSERT INTO account VALUES (1, 1)", 1062, "23000"),
        ("SELEKT 1", 1064, "42000"),
        ("SELECT * FROM no_such_table", 1146, "42S02"),
    ] {
        let error = sqlx::query(sql).execute(&mut *db).await.expect_err(sql);
        let error = error.as_database_error().ok_or("not an error of the server")?;
        let error = error.downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
        assert_eq!((error.number(), error.code()), (number, Some(state)), "{sql}");
    }
    let refused = MySqlConnection::connect_with(&options().password("wrong")).await;
    let error = refused.err().ok_or("a wrong password was accepted")?;
    assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("28000"));
    reads(db, 7, "SELECT CAST(? AS SIGNED)", 7).await
}

async fn reconnects(db: MySqlConnection) -> Result {
    db.close().await?;
    for _ in 0..20 {
        let mut db = MySqlConnection::connect_with(&options().database(DATABASE)).await?;
        db.ping().await?;
        reads(&mut db, 1, "SELECT COUNT(*) WHERE DATABASE() IS NOT NULL AND ? IS NOT NULL", 1).await?;
        db.close().await?;
    }
    let pool: Pool<MySql> =
        MySqlPoolOptions::new().max_connections(8).connect_with(options().database(DATABASE)).await?;
    let tasks: Vec<_> = (0..200_i64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                sqlx::query_scalar::<_, i64>("SELECT CAST(? AS SIGNED)").bind(n).fetch_one(&pool).await
            })
        })
        .collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.await??, n);
    }
    pool.execute(format!("DROP DATABASE {DATABASE}").as_str()).await?;
    pool.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let done = |round: &str| println!("sqlx: {round} ok");
    let mut db = create().await?;
    done("create");
    insert_and_select(&mut db).await?;
    done("insert_and_select");
    transactions(&mut db).await?;
    done("transactions");
    prepared_statements(&mut db).await?;
    done("prepared_statements");
    large_values(&mut db).await?;
    done("large_values");
    errors(&mut db).await?;
    done("errors");
    reconnects(db).await?;
    done("reconnects");
    Ok(())
}
