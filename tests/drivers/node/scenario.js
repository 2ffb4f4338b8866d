// The scenario through mariadb for node. See ../README.md for what it reads and prints.
// Run with NODE_PATH=target/npm/node_modules.
'use strict';
const fs = require('node:fs');
const mariadb = require('mariadb');

const address = {
  host: process.env.ROUNDS_HOST,
  port: Number(process.env.ROUNDS_PORT),
  user: process.env.ROUNDS_USER,
  password: process.env.ROUNDS_PASSWORD,
  charset: 'utf8mb4',
  multipleStatements: true,
  permitLocalInfile: true,
  rowsAsArray: true,
  dateStrings: true,
  maxAllowedPacket: 64 << 20,
  connectTimeout: 10000,
};

function options(more = '') {
  const { schema, ...rest } = Object.fromEntries(new URLSearchParams(more));
  return { ...address, ...(schema ? { database: schema } : {}), ...rest };
}

function text(value) {
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (typeof value === 'bigint') return `${value}n`;
  return JSON.stringify(value);
}

function parameter(said) {
  const [kind, value] = [said[0], said.slice(2)];
  switch (kind) {
    case 'i': return BigInt(value);
    case 'f': return Number(value);
    case 's': return value;
    case 'x': return Buffer.from(value, 'hex');
    default: return null;
  }
}

function column(meta) {
  const of = [meta.db(), meta.table(), meta.orgTable(), meta.name(), meta.orgName()];
  return [...of, meta.type, meta.columnLength, meta.scale, meta.flags, meta.collation?.name].join('/');
}

function print(result) {
  if (!Array.isArray(result)) {
    const { affectedRows, insertId, warningStatus } = result;
    console.log(`done ${affectedRows} id ${insertId} warnings ${warningStatus}`);
  } else if (result.meta) {
    console.log(`columns ${result.meta.map(column).join(' ')}`);
    for (const row of result) console.log(`row ${row.map(text).join(' | ')}`);
  } else {
    result.forEach(print);
  }
}

class Scenario {
  async open(more) {
    this.db?.destroy();
    this.db = await mariadb.createConnection(options(more));
    // A connection that is ended tells it here as well as where it is awaited.
    this.db.on('error', () => {});
  }

  async connect(more) {
    await this.open(more);
    console.log('connected');
  }

  async refused(more) {
    await (await mariadb.createConnection(options(more))).end();
    console.log('accepted');
  }

  round() {}

  async query(sql) {
    print(await this.db.query(sql));
  }

  async load(sql) {
    await this.query(sql.replace('@FILE@', process.env.ROUNDS_FILE));
  }

  async execute(sql, ...parameters) {
    const statement = await this.db.prepare(sql);
    try {
      print(await statement.execute(parameters.map(parameter)));
    } finally {
      statement.close();
    }
  }

  async batch(sql, ...parameters) {
    print(await this.db.batch(sql, parameters.map((said) => [parameter(said)])));
  }

  begin() {
    return this.db.beginTransaction();
  }

  commit() {
    return this.db.commit();
  }

  rollback() {
    return this.db.rollback();
  }

  async stream(sql) {
    let [rows, sum] = [0, 0n];
    for await (const [value] of this.db.queryStream(sql)) {
      rows += 1;
      sum += BigInt(value);
    }
    console.log(`rows and sum ${rows} ${sum}`);
  }

  async large(bytes) {
    const data = Buffer.alloc(Number(bytes), "x\0\xff'", 'latin1');
    await this.db.execute('INSERT INTO large (data) VALUES (?)', [data]);
    await this.db.query('INSERT INTO large (data) VALUES (?)', [data]);
    const select = 'SELECT data FROM large ORDER BY id DESC LIMIT 2';
    const [text, prepared] = [await this.db.query(select), await this.db.execute(select)];
    console.log(`came back as it went: ${[...text, ...prepared].map(([back]) => data.equals(back))}`);
  }

  async reset() {
    await this.db.reset();
    console.log('reset');
  }

  async kill() {
    try {
      await this.db.query(`KILL ${this.db.threadId}`);
      await this.db.query('SELECT 1');
    } catch {
      console.log('killed');
    }
  }

  async pool(statements) {
    const pool = mariadb.createPool({ ...options('schema=scenario'), connectionLimit: 10 });
    try {
      const numbers = Array.from({ length: Number(statements) }, (_, n) => n);
      const answers = await Promise.all(numbers.map((n) => pool.execute('SELECT ? + 0', [n])));
      console.log(`right ${answers.every(([[value]], n) => Number(value) === n)}`);
    } finally {
      await pool.end();
    }
  }
}

async function main() {
  const scenario = new Scenario();
  await scenario.open();
  for (const line of fs.readFileSync(process.env.ROUNDS_SCENARIO, 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    console.log(`> ${line}`);
    const [verb, ...rest] = line.split('\t');
    try {
      await scenario[verb](...rest);
    } catch (error) {
      if (!(error instanceof mariadb.SqlError)) throw error;
      console.log(`error ${error.errno} ${error.sqlState} ${error.code} ${error.sqlMessage}`);
    }
  }
  await scenario.db.end();
}

main();
