"""Runs a stated part of a suite, and prints a line for each test: its outcome and its name.

    run.py <directory with the suite's source> django
    run.py <directory with the suite's source> sqlalchemy <driver>

What the suite itself says goes to standard error. See ../README.md for the environment.
"""

import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent

# The parts that are about databases. All of their tests; what a server has not is skipped by the suites themselves.
OF_SQLALCHEMY = "test/dialect/test_suite.py test/dialect/mysql".split()
OF_DJANGO = (
    "backends transactions transaction_hooks queries aggregation aggregation_regress annotations basic bulk_create constraints"
    " custom_columns datatypes dates datetimes db_functions db_typecasts defer delete delete_regress expressions expressions_case"
    " expressions_window field_defaults force_insert_update get_or_create indexes inspectdb introspection lookup many_to_many"
    " many_to_one multiple_database null_queries ordering prefetch_related raw_query schema select_for_update select_related"
    " timezones update"
).split()


def fresh(*schemas):
    import pymysql

    host, user, password = (os.environ["ROUNDS_" + name] for name in ("HOST", "USER", "PASSWORD"))
    with pymysql.connect(host=host, port=int(os.environ["ROUNDS_PORT"]), user=user, password=password) as connection:
        for schema in schemas:
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {schema}")
            connection.cursor().execute(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")


def output(command, directory, **environment):
    """What it prints, line by line; it may fail, as some tests do without a gateway."""
    merged = os.environ | environment
    kinds = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=directory, env=merged, text=True, errors="replace", **kinds) as process:
        for line in process.stdout:
            sys.stderr.write(line)
            yield line.rstrip("\n")


def sqlalchemy(source, driver):
    from sqlalchemy.engine import URL

    fresh("test", "test_schema", "test_schema_2")
    account = [os.environ["ROUNDS_" + name] for name in ("USER", "PASSWORD", "HOST", "PORT")]
    url = URL.create("mariadb+" + driver, *account[:3], int(account[3]), "test", {"charset": "utf8mb4"})
    url = url.render_as_string(hide_password=False)
    options = ["-q", "-rA", "--tb=short", "-p", "no:cacheprovider", "--maxfail=100000", "--dburi", url]
    for line in output([sys.executable, "-m", "pytest", *OF_SQLALCHEMY, *options], source):
        if found := re.match(r"(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (.*?)( - .*)?$", line):
            yield f"{found[1].lower()} {found[2]}"


def django(source):
    command = [sys.executable, "runtests.py", "--settings=django_settings", "--parallel=1", "--noinput", "-v2", *OF_DJANGO]
    before = ""
    for line in output(command, source / "tests", PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1"):
        if found := re.match(r"(.*) \.\.\. (ok|FAIL|ERROR|skipped .*|expected failure|unexpected success)$", line):
            # A test with a description has its name on the line before.
            name = found[1] if re.match(r"test\w* \(", found[1]) else f"{before} {found[1]}"
            yield f"{found[2].lower()} {name}"
        before = line


SUITES = {"sqlalchemy": sqlalchemy, "django": django}

source, suite, *arguments = sys.argv[1:]
print("\n".join(sorted(SUITES[suite](pathlib.Path(source), *arguments))))
