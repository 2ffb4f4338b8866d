"""The scenario through asyncmy. See ../README.md for what it reads and prints."""

import asyncio
import os
import urllib.parse

import asyncmy
from asyncmy.constants.CLIENT import MULTI_STATEMENTS
from asyncmy.cursors import SSCursor
from asyncmy.errors import MySQLError

ADDRESS = {
    "host": os.environ["ROUNDS_HOST"],
    "port": int(os.environ["ROUNDS_PORT"]),
    "user": os.environ["ROUNDS_USER"],
    "password": os.environ["ROUNDS_PASSWORD"],
    "charset": "utf8mb4",
    "autocommit": True,
    "max_allowed_packet": 64 << 20,
    "client_flag": MULTI_STATEMENTS,
}
POOL_CONNECTIONS = 10


def options(more=""):
    said = dict(urllib.parse.parse_qsl(more, keep_blank_values=True))
    if "schema" in said:
        said["database"] = said.pop("schema")
    return ADDRESS | said


def parameter(text):
    kind, value = text[0], text[2:]
    match kind:
        case "i":
            return int(value)
        case "f":
            return float(value)
        case "s":
            return value
        case "x":
            return bytes.fromhex(value)
    return None


def in_its_format(sql):
    """asyncmy puts parameters in on its own, where `%s` stands."""
    return sql.replace("%", "%%").replace("?", "%s")


class Scenario:
    async def open(self, more=""):
        if hasattr(self, "db"):
            self.db.close()
        self.db = await asyncmy.connect(**options(more))

    async def connect(self, more=""):
        await self.open(more)
        print("connected")

    async def refused(self, more):
        await (await asyncmy.connect(**options(more))).ensure_closed()
        print("accepted")

    async def round(self, _name):
        pass

    async def results(self, sql, parameters=None):
        async with self.db.cursor() as cursor:
            await cursor.execute(sql, parameters)
            while True:
                await self.result(cursor)
                if not await cursor.nextset():
                    return

    async def result(self, cursor):
        if cursor.description is None:
            print("done", cursor.rowcount, "id", cursor.lastrowid)
            return
        print("columns", *cursor.description)
        for row in await cursor.fetchall():
            print("row", *(repr(value) for value in row))

    async def query(self, sql):
        await self.results(sql)

    async def load(self, _sql):
        # asyncmy 0.2.18 takes the name of the file for bytes where it wants text, and gives up.
        print("skipped")

    async def execute(self, sql, *parameters):
        await self.results(in_its_format(sql), tuple(parameter(text) for text in parameters))

    async def batch(self, sql, *parameters):
        async with self.db.cursor() as cursor:
            done = await cursor.executemany(in_its_format(sql), [(parameter(text),) for text in parameters])
            print("done", done)

    async def begin(self):
        await self.db.begin()

    async def commit(self):
        await self.db.commit()

    async def rollback(self):
        await self.db.rollback()

    async def stream(self, sql):
        rows = total = 0
        async with self.db.cursor(SSCursor) as cursor:
            await cursor.execute(sql)
            while row := await cursor.fetchone():
                rows += 1
                total += row[0]
        print("rows and sum", rows, total)

    async def large(self, size):
        data = b"x\0\xff'" * (int(size) // 4)
        async with self.db.cursor() as cursor:
            await cursor.execute("INSERT INTO large (data) VALUES (%s)", (data,))
            # asyncmy 0.2.18 takes a row for the end of all rows when it begins with so long a value.
            await cursor.execute("SELECT id, data FROM large ORDER BY id DESC LIMIT 1")
            [(_id, back)] = await cursor.fetchall()
        print("came back as it went:", back == data)

    async def reset(self):
        print("skipped")

    async def kill(self):
        try:
            await self.query(f"KILL {self.db.thread_id()}")
            await self.query("SELECT 1")
        except (MySQLError, OSError):
            print("killed")

    async def pool(self, statements):
        async with asyncmy.create_pool(maxsize=POOL_CONNECTIONS, **options("schema=scenario")) as pool:

            async def one(number):
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute("SELECT %s + 0", (number,))
                    return await cursor.fetchone() == (number,)

            print("right", all(await asyncio.gather(*map(one, range(int(statements))))))


async def main():
    scenario = Scenario()
    await scenario.open()
    with open(os.environ["ROUNDS_SCENARIO"], encoding="utf-8") as steps:
        for line in steps.read().splitlines():
            if not line or line.startswith("#"):
                continue
            print(">", line)
            verb, *rest = line.split("\t")
            try:
                await getattr(scenario, verb)(*rest)
            except MySQLError as error:
                print("error", *error.args)
    scenario.db.close()


asyncio.run(main())
