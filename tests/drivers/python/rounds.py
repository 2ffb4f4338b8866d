"""The rounds through a Python driver: rounds.py pymysql | mysqlclient | connector | connector-pure.

Drivers differ in how they connect, prepare and report errors; that is what the classes below say. The rounds are the same
for all of them. See ../README.md for the environment they read.
"""

import datetime
import decimal
import hashlib
import os
import sys
import time

ADDRESS = {
    "host": os.environ["ROUNDS_HOST"],
    "port": int(os.environ["ROUNDS_PORT"]),
    "user": os.environ["ROUNDS_USER"],
    "password": os.environ["ROUNDS_PASSWORD"],
}
LAG_S = float(os.environ.get("ROUNDS_LAG_S", "0"))
# Over 16 MiB, so that it takes more than one packet.
LARGE_BYTES = 20 * 1024 * 1024

DUPLICATE_KEY, SYNTAX_ERROR, NO_SUCH_TABLE, ACCESS_DENIED = 1062, 1064, 1146, 1045


class PyMySQL:
    def __init__(self):
        import pymysql

        self.error = pymysql.MySQLError
        self.module = pymysql

    def connect(self, **options):
        return self.module.connect(**(ADDRESS | {"max_allowed_packet": 64 << 20} | options))

    def unbuffered(self, connection):
        return connection.cursor(self.module.cursors.SSCursor)

    def error_number(self, error):
        return error.args[0]


class MySQLClient:
    def __init__(self):
        import MySQLdb
        import MySQLdb.cursors

        self.error = MySQLdb.MySQLError
        self.module = MySQLdb

    def connect(self, **options):
        return self.module.connect(**(ADDRESS | {"charset": "utf8mb4"} | options))

    def unbuffered(self, connection):
        return connection.cursor(self.module.cursors.SSCursor)

    def error_number(self, error):
        return error.args[0]


class Connector:
    """MySQL Connector/Python: the only one here that prepares on the server by itself."""

    def __init__(self, pure):
        import mysql.connector

        self.error = mysql.connector.Error
        self.module = mysql.connector
        self.pure = pure

    def connect(self, **options):
        # The collation it asks for by default is one of MySQL 8 only.
        defaults = {"use_pure": self.pure, "charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
        return self.module.connect(**(ADDRESS | defaults | options))

    def unbuffered(self, connection):
        return connection.cursor(buffered=False)

    def error_number(self, error):
        return error.errno


DRIVERS = {
    "pymysql": PyMySQL,
    "mysqlclient": MySQLClient,
    "connector": lambda: Connector(pure=False),
    "connector-pure": lambda: Connector(pure=True),
}


class Rounds:
    def __init__(self, name):
        self.driver = DRIVERS[name]()
        self.database = "rounds_" + name.replace("-", "_")
        self.db = self.driver.connect()
        self.db.autocommit(True) if callable(self.db.autocommit) else setattr(self.db, "autocommit", True)

    def run(self, sql, parameters=None):
        """Runs one statement and returns its cursor's rows as a list."""
        cursor = self.db.cursor()
        try:
            cursor.execute(sql, parameters)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def reads(self, expected, sql, parameters=None):
        """A read outside a transaction: right at once from a server, within LAG_S through Weir."""
        deadline = time.monotonic() + LAG_S
        while True:
            try:
                rows = self.run(sql, parameters)
            except self.driver.error as error:
                rows = error
            if rows == expected:
                return
            if time.monotonic() >= deadline:
                raise AssertionError(f"{sql}: expected {expected!r}, got {rows!r}")
            time.sleep(0.02)

    def fails(self, number, action):
        try:
            action()
        except self.driver.error as error:
            assert self.driver.error_number(error) == number, f"expected error {number}, got {error!r}"
            return
        raise AssertionError(f"expected error {number}, got none")

    def create(self):
        self.run(f"DROP DATABASE IF EXISTS {self.database}")
        self.run(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        self.db.select_db(self.database) if hasattr(self.db, "select_db") else self.run(f"USE {self.database}")
        self.run(
            "CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE, price DECIMAL(20,4),"
            " made DATETIME(6), small BIGINT, big BIGINT UNSIGNED, data LONGBLOB)"
        )

    def insert_and_select(self):
        made = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456)
        row = ("Grüße 🌊 'quoted\\'", decimal.Decimal("1234567890123456.7891"), made, -(2**63), 2**64 - 1, b"\x00\xff\n")
        cursor = self.db.cursor()
        insert = "INSERT INTO item (name, price, made, small, big, data) VALUES (%s, %s, %s, %s, %s, %s)"
        cursor.execute(insert, row)
        assert (cursor.rowcount, cursor.lastrowid) == (1, 1), (cursor.rowcount, cursor.lastrowid)
        cursor.execute("INSERT INTO item (name) VALUES (NULL), ('')")
        assert cursor.rowcount == 2
        cursor.close()
        self.reads([row], "SELECT name, price, made, small, big, data FROM item WHERE id = %s", (1,))
        self.reads([(None, None, None), ("", None, None)], "SELECT name, price, data FROM item WHERE id > 1 ORDER BY id")
        self.reads([], "SELECT * FROM item WHERE id = 99")

    def update_and_delete(self):
        cursor = self.db.cursor()
        cursor.execute("UPDATE item SET price = price + 1 WHERE id = 1")
        assert cursor.rowcount == 1
        cursor.execute("DELETE FROM item WHERE id > 1")
        assert cursor.rowcount == 2
        cursor.close()
        self.reads([(1, decimal.Decimal("1234567890123457.7891"))], "SELECT id, price FROM item")

    def transactions(self):
        self.run("CREATE TABLE account (id INT PRIMARY KEY, balance INT)")
        self.run("INSERT INTO account VALUES (1, 100), (2, 0)")
        total = "SELECT id, balance FROM account ORDER BY id"
        self.run("START TRANSACTION")
        self.run("UPDATE account SET balance = balance - 10 WHERE id = 1")
        assert self.run(total) == [(1, 90), (2, 0)], "a transaction reads its own writes"
        self.run("UPDATE account SET balance = balance + 10 WHERE id = 2")
        self.db.commit()
        self.reads([(1, 90), (2, 10)], total)
        self.run("BEGIN")
        self.run("DELETE FROM account")
        assert self.run(total) == []
        self.db.rollback()
        self.reads([(1, 90), (2, 10)], total)
        self.run("BEGIN")
        self.run("INSERT INTO account VALUES (3, 3)")
        self.run("SAVEPOINT here")
        self.run("INSERT INTO account VALUES (4, 4)")
        self.run("ROLLBACK TO SAVEPOINT here")
        self.db.commit()
        self.reads([(3,)], "SELECT id FROM account WHERE id > 2")

    def implicit_transactions(self):
        other = self.driver.connect(database=self.database)
        try:
            # PEP 249 drivers start with autocommit off: the first statement opens a transaction.
            cursor = other.cursor()
            cursor.execute("UPDATE account SET balance = 0")
            cursor.execute("SELECT SUM(balance) FROM account")
            assert cursor.fetchone()[0] == 0
            other.rollback()
            cursor.execute("SELECT SUM(balance) FROM account FOR UPDATE")
            assert cursor.fetchone()[0] == 103
            other.commit()
            cursor.close()
        finally:
            other.close()

    def prepared_statements(self):
        if not isinstance(self.driver, Connector):
            return self.prepared_by_sql()
        insert, select = self.db.cursor(prepared=True), self.db.cursor(prepared=True)
        for key in range(10, 13):
            insert.execute("INSERT INTO account (id, balance) VALUES (?, ?)", (key, None if key == 11 else key * 2))
            assert insert.rowcount == 1
        self.run("BEGIN")
        for key in range(10, 13):
            select.execute("SELECT id, balance FROM account WHERE id = ?", (key,))
            assert select.fetchall() == [(key, None if key == 11 else key * 2)]
        self.db.commit()
        insert.close()
        select.close()

    def prepared_by_sql(self):
        self.run("PREPARE put FROM 'INSERT INTO account (id, balance) VALUES (?, ?)'")
        self.run("PREPARE get FROM 'SELECT balance FROM account WHERE id = ?'")
        for key in range(10, 13):
            self.run(f"SET @id = {key}, @balance = {'NULL' if key == 11 else key * 2}")
            self.run("EXECUTE put USING @id, @balance")
            assert self.run("EXECUTE get USING @id") == [(None if key == 11 else key * 2,)]
        self.run("DEALLOCATE PREPARE put")
        self.run("DEALLOCATE PREPARE get")

    def large_values(self):
        block = hashlib.sha256(b"weir").digest()
        data = block * (LARGE_BYTES // len(block))
        self.run("INSERT INTO item (name, data) VALUES ('large', %s)", (data,))
        self.run("BEGIN")
        [(size, digest)] = self.run("SELECT LENGTH(data), SHA2(data, 256) FROM item WHERE name = 'large'")
        assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
        [(back,)] = self.run("SELECT data FROM item WHERE name = 'large'")
        assert back == data, "a large value comes back as it went"
        self.db.commit()
        self.run("DELETE FROM item WHERE name = 'large'")

    def many_rows(self):
        count = 5000
        self.run("CREATE TABLE many (id INT PRIMARY KEY, text VARCHAR(200))")
        cursor = self.db.cursor()
        cursor.executemany("INSERT INTO many VALUES (%s, %s)", [(i, "x" * (i % 200)) for i in range(count)])
        cursor.close()
        self.reads([(count,)], "SELECT COUNT(*) FROM many")
        self.run("BEGIN")
        stream = self.driver.unbuffered(self.db)
        stream.execute("SELECT id, LENGTH(text) FROM many ORDER BY id")
        for i, row in enumerate(stream):
            assert tuple(row) == (i, i % 200), row
        assert i == count - 1
        stream.close()
        self.db.commit()

    def errors(self):
        self.fails(DUPLICATE_KEY, lambda: self.run("INSERT INTO account VALUES (1, 1)"))
        self.fails(SYNTAX_ERROR, lambda: self.run("SELEKT 1"))
        self.fails(NO_SUCH_TABLE, lambda: self.run("SELECT * FROM no_such_table"))
        self.fails(ACCESS_DENIED, lambda: self.driver.connect(password="wrong"))
        self.reads([(1,)], "SELECT 1")

    def session_state(self):
        self.run("SET @note = 'kept'")
        self.run("SET SESSION sql_mode = 'ANSI_QUOTES'")
        assert self.run('SELECT @note, "name" FROM item WHERE id = 1')[0][0] == "kept"
        assert self.run("SELECT @@SESSION.sql_mode") == [("ANSI_QUOTES",)]
        self.run("CREATE TEMPORARY TABLE mine (a INT)")
        self.run("INSERT INTO mine VALUES (5)")
        assert self.run("SELECT a FROM mine") == [(5,)]
        self.run("DROP TEMPORARY TABLE mine")
        self.run("INSERT INTO item (name) VALUES ('last')")
        [(last,)] = self.run("SELECT LAST_INSERT_ID()")
        self.reads([("last",)], "SELECT name FROM item WHERE id = %s", (last,))
        assert self.run("SELECT DATABASE()") == [(self.database,)]
        self.run("SET SESSION sql_mode = DEFAULT")
        self.db.ping() if hasattr(self.db, "ping") else None

    def reconnects(self):
        self.db.close()
        for _ in range(20):
            self.db = self.driver.connect(database=self.database)
            assert self.run("SELECT @note, DATABASE()") == [(None, self.database)], "a new session starts clean"
            self.db.close()
        self.db = self.driver.connect(database=self.database)
        self.run(f"DROP DATABASE {self.database}")
        self.db.close()


def main(name):
    rounds = Rounds(name)
    for step in (
        rounds.create,
        rounds.insert_and_select,
        rounds.update_and_delete,
        rounds.transactions,
        rounds.implicit_transactions,
        rounds.prepared_statements,
        rounds.large_values,
        rounds.many_rows,
        rounds.errors,
        rounds.session_state,
        rounds.reconnects,
    ):
        step()
        print(f"{name}: {step.__name__} ok", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in DRIVERS:
        sys.exit(__doc__)
    main(sys.argv[1])
