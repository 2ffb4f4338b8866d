#!/usr/bin/env bash
# The rounds through the `mariadb` command line client and mariadb-dump. See ../README.md for the environment they read.
set -euo pipefail

database=rounds_cli
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
options="$scratch/client.cnf"
umask 077
# The client reads \ as an escape in option files.
cat >"$options" <<END
[client]
host=$ROUNDS_HOST
port=$ROUNDS_PORT
protocol=tcp
user=$ROUNDS_USER
password="${ROUNDS_PASSWORD//\\/\\\\}"
max-allowed-packet=64M
default-character-set=utf8mb4
END

client() { mariadb --defaults-file="$options" --batch --skip-column-names "$@"; }

expect() { # expect <expected> <got> <what>
    [ "$1" = "$2" ] || { printf '%s: expected\n%s\ngot\n%s\n' "$3" "$1" "$2" >&2; exit 1; }
}

# A read outside a transaction: right at once from a server, within ROUNDS_LAG_S through Weir.
reads() { # reads <expected> <sql>
    local deadline=$((SECONDS + ${ROUNDS_LAG_S:-0})) got
    while :; do
        got=$(client -e "$2" "$database" 2>&1) || true
        [ "$got" = "$1" ] && return
        [ "$SECONDS" -lt "$deadline" ] || expect "$1" "$got" "$2"
        sleep 0.1
    done
}

fails() { # fails <error number> <client arguments...>
    local number=$1 said
    shift
    if said=$(client "$@" 2>&1); then echo "expected error $number from $*, got none" >&2; exit 1; fi
    [[ $said == *"ERROR $number "* ]] || { echo "expected error $number from $*, got $said" >&2; exit 1; }
}

done_with() { echo "mariadb: $1 ok"; }

client <<END
DROP DATABASE IF EXISTS $database;
CREATE DATABASE $database CHARACTER SET utf8mb4;
USE $database;
CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE, price DECIMAL(20,4), data LONGBLOB);
INSERT INTO item (name, price) VALUES ('Grüße 🌊 ''quoted''', 1.5), (NULL, NULL), ('', -0.0001);
END
done_with create

reads $'1\tGrüße 🌊 \'quoted\'\t1.5000\n2\tNULL\tNULL\n3\t\t-0.0001' 'SELECT id, name, price FROM item ORDER BY id'
expect $'2\n1' "$(client "$database" <<'END'
UPDATE item SET price = 0 WHERE id = 3;
DELETE FROM item WHERE id = 3;
INSERT INTO item (name) VALUES ('a'), ('b');
SELECT ROW_COUNT();
SELECT COUNT(*) FROM item WHERE id = LAST_INSERT_ID() + 1;
END
)" 'counts of the session'
done_with insert_and_select

expect $'150\n0\n100' "$(client "$database" <<'END'
CREATE TABLE account (id INT PRIMARY KEY, balance INT);
INSERT INTO account VALUES (1, 100);
BEGIN; UPDATE account SET balance = 150; SELECT balance FROM account; ROLLBACK;
BEGIN; DELETE FROM account; SELECT COUNT(*) FROM account; ROLLBACK;
BEGIN; SELECT balance FROM account FOR UPDATE; COMMIT;
END
)" transactions
done_with transactions

expect $'7\n8' "$(client "$database" <<'END'
PREPARE plus FROM 'SELECT ? + 1';
SET @n = 6; EXECUTE plus USING @n;
SET @n = 7; EXECUTE plus USING @n;
DEALLOCATE PREPARE plus;
END
)" 'prepared statements'
done_with prepared_statements

# 20 MiB in one statement, and as much back in one row.
{ printf "INSERT INTO item (name, data) VALUES ('large', '"; head -c 20971520 /dev/zero | tr '\0' 'x'; printf "');\n"; } | client "$database"
expect 20971521 "$(client "$database" -e "BEGIN; SELECT data FROM item WHERE name = 'large'; COMMIT" | wc -c)" 'a large value'
done_with large_values

seq 1 1000 >"$scratch/numbers"
client --local-infile=1 "$database" -e "CREATE TABLE number (n INT PRIMARY KEY); LOAD DATA LOCAL INFILE '$scratch/numbers' INTO TABLE number"
reads $'1000\t500500' 'SELECT COUNT(*), SUM(n) FROM number'
done_with load_data_local

fails 1062 "$database" -e "INSERT INTO account VALUES (1, 1)"
fails 1064 "$database" -e "SELEKT 1"
fails 1146 "$database" -e "SELECT * FROM no_such_table"
fails 1049 no_such_database -e "SELECT 1"
fails 1045 --password=wrong -e "SELECT 1"
expect $'1\n2' "$(printf 'SELECT 1;\nSELEKT;\nSELECT 2;\n' | client --force "$database" 2>/dev/null || true)" 'a session goes on after an error'
done_with errors

expect $'5\tkept' "$(client "$database" <<'END'
SET @note = 'kept';
CREATE TEMPORARY TABLE mine (a INT);
INSERT INTO mine VALUES (5);
SELECT a, @note FROM mine;
END
)" 'session state'
done_with session_state

mariadb-dump --defaults-file="$options" --single-transaction --routines --skip-comments "$database" account number >"$scratch/dump.sql"
client -e "CREATE DATABASE ${database}_copy"
client "${database}_copy" <"$scratch/dump.sql"
reads $'1000\t100' "SELECT (SELECT COUNT(*) FROM ${database}_copy.number), (SELECT balance FROM ${database}_copy.account)"
done_with dump_and_restore

for _ in $(seq 10); do expect "NULL	$database" "$(client "$database" -e 'SELECT @note, DATABASE()')" 'a new session'; done
client -e "DROP DATABASE $database; DROP DATABASE ${database}_copy"
done_with reconnects
