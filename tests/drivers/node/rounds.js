// The rounds through mysql2 for node. See ../README.md for the environment they read.
// Run with NODE_PATH=target/npm/node_modules.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const mysql = require('mysql2/promise');

const address = {
  host: process.env.ROUNDS_HOST,
  port: Number(process.env.ROUNDS_PORT),
  user: process.env.ROUNDS_USER,
  password: process.env.ROUNDS_PASSWORD,
};
const lagMs = Number(process.env.ROUNDS_LAG_S ?? 0) * 1000;
const database = 'rounds_mysql2';
const options = { ...address, supportBigNumbers: true, bigNumberStrings: true, dateStrings: true };
// Over 16 MiB, so that it takes more than one packet.
const largeBytes = 20 * 1024 * 1024;

let db;
const connect = (more = {}) => mysql.createConnection({ ...options, ...more });
const run = async (sql, values) => (await db.query(sql, values))[0];
const rowsOf = (result) => result.map((row) => ({ ...row }));

// A read outside a transaction: right at once from a server, within lagMs through Weir.
async function reads(expected, sql, values, how = 'query') {
  const deadline = Date.now() + lagMs;
  for (;;) {
    try {
      const [result] = await db[how](sql, values);
      assert.deepEqual(rowsOf(result), expected, sql);
      return;
    } catch (error) {
      if (Date.now() >= deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

const fails = (code, state, action) =>
  assert.rejects(action, (error) => {
    assert.deepEqual([error.code, error.sqlState], [code, state]);
    return true;
  });

const rounds = {
  async create() {
    db = await connect();
    await run(`DROP DATABASE IF EXISTS ${database}`);
    await run(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
    await run(`USE ${database}`);
    await run(
      'CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE, price DECIMAL(20,4),' +
        ' made DATETIME(6), small BIGINT, big BIGINT UNSIGNED, data LONGBLOB)',
    );
  },

  async insertAndSelect() {
    const row = {
      name: "Grüße 🌊 'quoted\\'",
      price: '1234567890123456.7891',
      made: '2024-02-29 23:59:59.123456',
      small: '-9223372036854775808',
      big: '18446744073709551615',
      data: Buffer.from([0, 255, 10]),
    };
    const inserted = await run('INSERT INTO item SET ?', row);
    assert.deepEqual([inserted.affectedRows, inserted.insertId], [1, 1]);
    assert.equal((await run("INSERT INTO item (name) VALUES (NULL), ('')")).affectedRows, 2);
    await reads([row], 'SELECT name, price, made, small, big, data FROM item WHERE id = ?', [1]);
    await reads([{ name: null, data: null }, { name: '', data: null }], 'SELECT name, data FROM item WHERE id > 1 ORDER BY id');
    assert.equal((await run('UPDATE item SET price = price + 1 WHERE id = 1')).affectedRows, 1);
    assert.equal((await run('DELETE FROM item WHERE id > 1')).affectedRows, 2);
    await reads([{ id: 1, price: '1234567890123457.7891' }], 'SELECT id, price FROM item');
  },

  async transactions() {
    const all = 'SELECT id, balance FROM account ORDER BY id';
    await run('CREATE TABLE account (id INT PRIMARY KEY, balance INT)');
    await run('INSERT INTO account VALUES (1, 100), (2, 0)');
    await db.beginTransaction();
    await run('UPDATE account SET balance = balance - 10 WHERE id = 1');
    assert.deepEqual(rowsOf(await run(all)), [{ id: 1, balance: 90 }, { id: 2, balance: 0 }]);
    await run('UPDATE account SET balance = balance + 10 WHERE id = 2');
    await db.commit();
    await reads([{ id: 1, balance: 90 }, { id: 2, balance: 10 }], all);
    await db.beginTransaction();
    await run('DELETE FROM account');
    assert.deepEqual(rowsOf(await run(all)), []);
    await db.rollback();
    await reads([{ id: 1, balance: 90 }, { id: 2, balance: 10 }], all);
    await run('SET autocommit = 0');
    await run('INSERT INTO account VALUES (3, 3)');
    assert.equal((await run(all)).length, 3);
    await run('ROLLBACK');
    await run('SET autocommit = 1');
    await reads([{ id: 1, balance: 90 }, { id: 2, balance: 10 }], all);
  },

  async preparedStatements() {
    const insert = await db.prepare('INSERT INTO account (id, balance) VALUES (?, ?)');
    const select = await db.prepare('SELECT id, balance FROM account WHERE id = ?');
    for (const id of [10, 11, 12]) {
      const [done] = await insert.execute([id, id === 11 ? null : id * 2]);
      assert.equal(done.affectedRows, 1);
    }
    await db.beginTransaction();
    for (const id of [10, 11, 12]) {
      const [rows] = await select.execute([id]);
      assert.deepEqual(rowsOf(rows), [{ id, balance: id === 11 ? null : id * 2 }]);
    }
    await db.commit();
    await insert.close();
    await select.close();
    // Many statements at once, from the driver's own cache.
    for (let i = 0; i < 100; i += 1) {
      await reads([{ i, text: `t${i}` }], `SELECT ${i} AS i, ? AS text`, [`t${i}`], 'execute');
    }
  },

  async largeValues() {
    const data = crypto.randomBytes(1024 * 1024);
    const large = Buffer.concat(Array(largeBytes / data.length).fill(data));
    await run("INSERT INTO item (name, data) VALUES ('text', ?)", [large]);
    await db.execute("INSERT INTO item (name, data) VALUES ('binary', ?)", [large]);
    await db.beginTransaction();
    for (const [how, name] of [['query', 'text'], ['execute', 'binary']]) {
      const [[row]] = await db[how]('SELECT data, LENGTH(data) AS size FROM item WHERE name = ?', [name]);
      assert.equal(row.size, large.length);
      assert.ok(large.equals(row.data), 'a large value comes back as it went');
    }
    await db.commit();
    await run("DELETE FROM item WHERE name IN ('text', 'binary')");
  },

  async manyResults() {
    const multi = await connect({ multipleStatements: true });
    const [results] = await multi.query('SELECT 1 AS a; SET @x = 2; SELECT @x AS b, NULL AS c');
    assert.deepEqual(rowsOf(results[0]), [{ a: 1 }]);
    assert.deepEqual([Number(results[2][0].b), results[2][0].c], [2, null]);
    await multi.end();
  },

  async errors() {
    await fails('ER_DUP_ENTRY', '23000', run('INSERT INTO account VALUES (1, 1)'));
    await fails('ER_PARSE_ERROR', '42000', run('SELEKT 1'));
    await fails('ER_NO_SUCH_TABLE', '42S02', run('SELECT * FROM no_such_table'));
    await fails('ER_NO_SUCH_TABLE', '42S02', db.execute('SELECT * FROM no_such_table WHERE a = ?', [1]));
    await fails('ER_ACCESS_DENIED_ERROR', '28000', connect({ password: 'wrong' }));
    await reads([{ one: 1 }], 'SELECT 1 AS one');
  },

  async sessionState() {
    await run("SET @note = 'kept', SESSION sql_mode = 'ANSI_QUOTES'");
    assert.deepEqual(rowsOf(await run('SELECT @note AS note, @@sql_mode AS mode')), [{ note: 'kept', mode: 'ANSI_QUOTES' }]);
    await run('CREATE TEMPORARY TABLE mine (a INT)');
    await run('INSERT INTO mine VALUES (5)');
    assert.deepEqual(rowsOf(await run('SELECT a FROM mine')), [{ a: 5 }]);
    await db.ping();
    await db.changeUser({ user: address.user, password: address.password, database });
    assert.deepEqual(rowsOf(await run('SELECT @note AS note, DATABASE() AS d')), [{ note: null, d: database }]);
    await fails('ER_NO_SUCH_TABLE', '42S02', run('SELECT a FROM mine'));
  },

  async reconnects() {
    await db.end();
    for (let i = 0; i < 20; i += 1) {
      db = await connect({ database });
      assert.deepEqual(rowsOf(await run('SELECT @note AS note, DATABASE() AS d')), [{ note: null, d: database }]);
      await db.end();
    }
    const pool = mysql.createPool({ ...options, database, connectionLimit: 8 });
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => pool.query('SELECT ? AS i', [i])));
    answers.forEach(([[row]], i) => assert.equal(Number(row.i), i));
    await pool.query(`DROP DATABASE ${database}`);
    await pool.end();
  },
};

(async () => {
  for (const [name, round] of Object.entries(rounds)) {
    await round();
    console.log(`mysql2: ${name} ok`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
