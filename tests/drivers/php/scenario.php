<?php
// The scenario through PHP: scenario.php mysqli | pdo. See ../README.md for what it reads and prints.
declare(strict_types=1);

function address(array $more = []): array
{
    return $more + [
        'host' => getenv('ROUNDS_HOST'), 'port' => (int) getenv('ROUNDS_PORT'), 'user' => getenv('ROUNDS_USER'),
        'password' => getenv('ROUNDS_PASSWORD'), 'schema' => '', 'ca' => '',
    ];
}

/** A value as text: NULL, text in quotes, anything that is not UTF-8 in hexadecimal. */
function text(mixed $value): string
{
    return match (true) {
        $value === null => 'NULL',
        is_string($value) => preg_match('//u', $value) ? json_encode($value, JSON_UNESCAPED_UNICODE) : bin2hex($value),
        default => json_encode($value),
    };
}

function row(array $values): void
{
    echo 'row ', implode(' | ', array_map(text(...), array_values($values))), "\n";
}

/** mysqlnd through its object interface, errors as exceptions. */
final class Mysqli_
{
    private mysqli $db;

    public function connect(array $address): void
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $db = mysqli_init();
        $db->options(MYSQLI_OPT_LOCAL_INFILE, true);
        if ($address['ca'] !== '') {
            $db->ssl_set(null, null, $address['ca'], null, null);
        }
        $flags = $address['ca'] === '' ? 0 : MYSQLI_CLIENT_SSL;
        $db->real_connect($address['host'], $address['user'], $address['password'], $address['schema'], $address['port'], null, $flags);
        $db->set_charset('utf8mb4');
        $this->db = $db;
    }

    private function result(mysqli_result|bool $result): void
    {
        if (!$result instanceof mysqli_result) {
            echo "done {$this->db->affected_rows} id {$this->db->insert_id} warnings {$this->db->warning_count} {$this->db->info}\n";
            return;
        }
        foreach ($result->fetch_fields() as $f) {
            echo "column $f->name $f->orgname $f->table $f->type $f->length $f->charsetnr $f->flags $f->decimals\n";
        }
        foreach ($result->fetch_all() as $values) {
            row($values);
        }
    }

    public function query(string $sql): void
    {
        $this->db->multi_query($sql);
        do {
            $this->result($this->db->store_result());
        } while ($this->db->more_results() && $this->db->next_result());
    }

    public function execute(string $sql, array $values): void
    {
        $statement = $this->db->prepare($sql);
        $types = implode('', array_map(fn ($v) => is_int($v) ? 'i' : (is_float($v) ? 'd' : 's'), $values));
        if ($values !== []) {
            $statement->bind_param($types, ...$values);
        }
        $statement->execute();
        do {
            $result = $statement->get_result();
            if ($result === false) {
                echo "done $statement->affected_rows id $statement->insert_id\n";
            } else {
                $this->result($result);
            }
        } while ($statement->more_results() && $statement->next_result());
    }

    public function batch(string $sql, array $values): void
    {
        $statement = $this->db->prepare($sql);
        foreach ($values as $value) {
            $statement->execute([$value]);
        }
    }

    public function stream(string $sql): array
    {
        $result = $this->db->query($sql, MYSQLI_USE_RESULT);
        for ($rows = $sum = 0; $values = $result->fetch_row(); ++$rows) {
            $sum += $values[0];
        }
        return [$rows, $sum];
    }

    public function large(string $data): array
    {
        $insert = $this->db->prepare('INSERT INTO large (data) VALUES (?)');
        $null = null;
        $insert->bind_param('b', $null);
        foreach (str_split($data, 1 << 20) as $piece) {
            $insert->send_long_data(0, $piece);
        }
        $insert->execute();
        $this->db->query("INSERT INTO large (data) VALUES ('" . $this->db->real_escape_string($data) . "')");
        return [
            $this->db->query('SELECT data FROM large ORDER BY id DESC LIMIT 1')->fetch_row()[0],
            $this->db->execute_query('SELECT data FROM large WHERE id > ? ORDER BY id DESC LIMIT 1, 1', [0])->fetch_row()[0],
        ];
    }

    public function begin(): void { $this->db->begin_transaction(); }
    public function commit(): void { $this->db->commit(); }
    public function rollback(): void { $this->db->rollback(); }
    public function reset(): void { $this->db->change_user(getenv('ROUNDS_USER'), getenv('ROUNDS_PASSWORD'), 'scenario'); }
    public function error(Exception $e): string { return $e->getCode() . ' ' . $e->getSqlState() . ' ' . $e->getMessage(); }
    public function id(): int { return $this->db->thread_id; }
}

/** PDO with statements prepared by the server. */
final class Pdo_
{
    private PDO $db;

    public function connect(array $address): void
    {
        $options = [PDO::ATTR_EMULATE_PREPARES => false, PDO::MYSQL_ATTR_LOCAL_INFILE => true, PDO::ATTR_STRINGIFY_FETCHES => false];
        if ($address['ca'] !== '') {
            $options[PDO::MYSQL_ATTR_SSL_CA] = $address['ca'];
        }
        $name = "mysql:host={$address['host']};port={$address['port']};charset=utf8mb4";
        $name .= $address['schema'] === '' ? '' : ";dbname={$address['schema']}";
        $this->db = new PDO($name, $address['user'], $address['password'], $options);
    }

    private function results(PDOStatement $statement): void
    {
        do {
            for ($i = 0; $i < $statement->columnCount(); ++$i) {
                echo 'column ', json_encode($statement->getColumnMeta($i)), "\n";
            }
            if ($statement->columnCount() === 0) {
                echo "done {$statement->rowCount()} id {$this->db->lastInsertId()}\n";
            } else {
                array_map(row(...), $statement->fetchAll(PDO::FETCH_NUM));
            }
        } while ($statement->nextRowset());
    }

    public function query(string $sql): void
    {
        // Its own query() prepares; text goes through emulation.
        $this->db->setAttribute(PDO::ATTR_EMULATE_PREPARES, true);
        try {
            $this->results($this->db->query($sql));
        } finally {
            $this->db->setAttribute(PDO::ATTR_EMULATE_PREPARES, false);
        }
    }

    public function execute(string $sql, array $values): void
    {
        $statement = $this->db->prepare($sql);
        foreach ($values as $i => $value) {
            $statement->bindValue($i + 1, $value, is_int($value) ? PDO::PARAM_INT : PDO::PARAM_STR);
        }
        $statement->execute();
        $this->results($statement);
    }

    public function batch(string $sql, array $values): void
    {
        $statement = $this->db->prepare($sql);
        foreach ($values as $value) {
            $statement->execute([$value]);
        }
    }

    public function stream(string $sql): array
    {
        $this->db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
        $result = $this->db->query($sql);
        for ($rows = $sum = 0; $values = $result->fetch(PDO::FETCH_NUM); ++$rows) {
            $sum += $values[0];
        }
        $result->closeCursor();
        $this->db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);
        return [$rows, $sum];
    }

    public function large(string $data): array
    {
        $this->db->prepare('INSERT INTO large (data) VALUES (?)')->execute([$data]);
        $this->db->exec('INSERT INTO large (data) VALUES (' . $this->db->quote($data) . ')');
        return $this->db->query('SELECT data FROM large ORDER BY id DESC LIMIT 2')->fetchAll(PDO::FETCH_COLUMN);
    }

    public function begin(): void { $this->db->beginTransaction(); }
    public function commit(): void { $this->db->commit(); }
    public function rollback(): void { $this->db->rollBack(); }
    public function error(Exception $e): string { return $e->getMessage(); }
    public function id(): int { return (int) $this->db->query('SELECT CONNECTION_ID()')->fetchColumn(); }
}

function parameter(string $text): mixed
{
    [$type, $value] = explode(':', $text, 2);
    return match ($type) { 'i' => (int) $value, 'f' => (float) $value, 's' => $value, 'x' => hex2bin($value), 'n', 'o' => null };
}

function options(string $text): array
{
    parse_str($text, $options);
    return $options;
}

function step(object $db, string $verb, string $argument, array $parameters): void
{
    switch ($verb) {
        case 'round': break;
        case 'connect': $db->connect(address(options($argument))); echo "connected\n"; break;
        case 'refused': (clone $db)->connect(address(options($argument))); echo "accepted\n"; break;
        case 'query': $db->query($argument); break;
        case 'load': $db->query(str_replace('@FILE@', getenv('ROUNDS_FILE'), $argument)); break;
        case 'stream': echo 'rows and sum ', implode(' ', $db->stream($argument)), "\n"; break;
        case 'large':
            $data = str_repeat("x\0\xff'", intdiv((int) $argument, 4)) . str_repeat('y', (int) $argument % 4);
            echo 'came back as it went: ', json_encode(array_map(fn ($got) => $got === $data, $db->large($data))), "\n";
            break;
        case 'kill':
            try {
                // Warnings of the client library name its process.
                @$db->query("KILL {$db->id()}");
                @$db->query('SELECT 1');
            } catch (Exception) {
                echo "killed\n";
            }
            break;
        case 'pool':
            for ($i = 0; $i < (int) $argument; ++$i) {
                $db->connect(address());
            }
            $db->query('SELECT CONNECTION_ID() > 0');
            break;
        case 'execute': case 'batch': $db->$verb($argument, array_map(parameter(...), $parameters)); break;
        default: method_exists($db, $verb) ? $db->$verb() : print("skipped\n");
    }
}

$db = ['mysqli' => new Mysqli_(), 'pdo' => new Pdo_()][$argv[1]];
$db->connect(address());
foreach (file(getenv('ROUNDS_SCENARIO'), FILE_IGNORE_NEW_LINES) as $line) {
    if ($line === '' || $line[0] === '#') {
        continue;
    }
    echo "> $line\n";
    $parts = explode("\t", $line);
    try {
        step($db, $parts[0], $parts[1] ?? '', array_slice($parts, 2));
    } catch (mysqli_sql_exception | PDOException $e) {
        echo 'error ', $db->error($e), "\n";
    }
}
