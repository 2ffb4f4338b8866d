// The scenario through Go's database/sql and go-sql-driver/mysql. See ../README.md for what it reads and prints.
package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"
)

var (
	background = context.Background()
	db         *sql.Conn
	tx         *sql.Tx
)

func pool(options string) *sql.DB {
	more, _ := url.ParseQuery(options)
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", os.Getenv("ROUNDS_HOST")+":"+os.Getenv("ROUNDS_PORT")
	config.User, config.Passwd = os.Getenv("ROUNDS_USER"), os.Getenv("ROUNDS_PASSWORD")
	config.MultiStatements, config.AllowAllFiles = true, true
	for name, field := range map[string]*string{"user": &config.User, "password": &config.Passwd, "schema": &config.DBName} {
		if more.Has(name) {
			*field = more.Get(name)
		}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		log.Fatal(err)
	}
	return sql.OpenDB(connector)
}

func text(value any) string {
	switch value := value.(type) {
	case nil:
		return "NULL"
	case []byte:
		if bytes.IndexFunc(value, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) >= 0 {
			return hex.EncodeToString(value)
		}
		return strconv.Quote(string(value))
	}
	return fmt.Sprint(value)
}

func results(rows *sql.Rows) error {
	defer rows.Close()
	for {
		types, err := rows.ColumnTypes()
		if err != nil {
			return err
		}
		for _, t := range types {
			length, _ := t.Length()
			precision, scale, _ := t.DecimalSize()
			nullable, _ := t.Nullable()
			fmt.Println("column", t.Name(), t.DatabaseTypeName(), length, precision, scale, nullable)
		}
		values := make([]any, len(types))
		pointers := make([]any, len(types))
		for i := range values {
			pointers[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(pointers...); err != nil {
				return err
			}
			var texts []string
			for _, value := range values {
				texts = append(texts, text(value))
			}
			fmt.Println("row", strings.Join(texts, " | "))
		}
		if !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

func affects(statement string) bool {
	word, _, _ := strings.Cut(statement, " ")
	return strings.Contains(" INSERT UPDATE DELETE REPLACE LOAD ", " "+word+" ")
}

func run(statement string, values ...any) error {
	if !affects(statement) || strings.Contains(statement, "; ") {
		query := db.QueryContext
		if tx != nil {
			query = tx.QueryContext
		}
		rows, err := query(background, statement, values...)
		if err != nil {
			return err
		}
		return results(rows)
	}
	exec := db.ExecContext
	if tx != nil {
		exec = tx.ExecContext
	}
	result, err := exec(background, statement, values...)
	if err == nil {
		rows, _ := result.RowsAffected()
		id, _ := result.LastInsertId()
		fmt.Println("done", rows, "id", id)
	}
	return err
}

func parameter(text string) any {
	kind, value, _ := strings.Cut(text, ":")
	switch kind {
	case "i":
		number, _ := strconv.ParseInt(value, 10, 64)
		return number
	case "f":
		number, _ := strconv.ParseFloat(value, 64)
		return number
	case "s":
		return value
	case "x":
		data, _ := hex.DecodeString(value)
		return data
	}
	return nil
}

func batch(statement string, values []any) error {
	prepared, err := db.PrepareContext(background, statement)
	if err != nil {
		return err
	}
	defer prepared.Close()
	for _, value := range values {
		if _, err := prepared.Exec(value); err != nil {
			return err
		}
	}
	return nil
}

func stream(statement string) error {
	rows, err := db.QueryContext(background, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	var count, sum, length int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id, &length); err != nil {
			return err
		}
		count, sum = count+1, sum+id
	}
	fmt.Println("rows and sum", count, sum)
	return rows.Err()
}

func large(size int) error {
	data := append(bytes.Repeat([]byte("x\x00\xff'"), size/4), bytes.Repeat([]byte("y"), size%4)...)
	for _, insert := range []string{"INSERT INTO large (data) VALUES (?)", "INSERT INTO large (data) VALUES (_binary x'" + hex.EncodeToString(data) + "')"} {
		var values []any
		if strings.HasSuffix(insert, "(?)") {
			values = []any{data}
		}
		if _, err := db.ExecContext(background, insert, values...); err != nil {
			return err
		}
		var got []byte
		if err := db.QueryRowContext(background, "SELECT data FROM large WHERE id > ? ORDER BY id DESC LIMIT 1", 0).Scan(&got); err != nil {
			return err
		}
		fmt.Println("came back as it went:", bytes.Equal(got, data))
	}
	return nil
}

func kill() error {
	var id int
	if err := db.QueryRowContext(background, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return err
	}
	_, err := db.ExecContext(background, fmt.Sprint("KILL ", id))
	if err == nil {
		_, err = db.ExecContext(background, "SELECT 1")
	}
	if err != nil {
		fmt.Println("killed")
	}
	return nil
}

// Several goroutines on the pool of database/sql, which resets a connection's session when it hands it out.
func many(size int) error {
	shared := pool("schema=scenario")
	defer shared.Close()
	shared.SetMaxOpenConns(8)
	var group sync.WaitGroup
	failures := make(chan error, size)
	for i := 0; i < size; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			var got int
			if err := shared.QueryRow("SELECT ? + 0", i).Scan(&got); err != nil || got != i {
				failures <- fmt.Errorf("asked for %d, got %d, %v", i, got, err)
			}
		}(i)
	}
	group.Wait()
	close(failures)
	return <-failures
}

func connect(options string) (err error) {
	db, err = pool(options).Conn(background)
	return err
}

func step(verb, argument string, rest []string) (err error) {
	var values []any
	for _, text := range rest {
		values = append(values, parameter(text))
	}
	size, _ := strconv.Atoi(argument)
	switch verb {
	case "connect":
		return connect(argument)
	case "refused":
		return pool(argument).Ping()
	case "query":
		return run(argument)
	case "load":
		return run(strings.Replace(argument, "@FILE@", os.Getenv("ROUNDS_FILE"), 1))
	case "execute":
		return run(argument, values...)
	case "batch":
		return batch(argument, values)
	case "stream":
		return stream(argument)
	case "large":
		return large(size)
	case "begin":
		tx, err = db.BeginTx(background, nil)
		return err
	case "commit", "rollback":
		end := tx.Commit
		if verb == "rollback" {
			end = tx.Rollback
		}
		tx = nil
		return end()
	case "kill":
		return kill()
	case "pool":
		return many(size)
	case "reset":
		fmt.Println("skipped")
	}
	return nil
}

func main() {
	mysql.SetLogger(log.New(io.Discard, "", 0))
	if err := connect(""); err != nil {
		log.Fatal(err)
	}
	file, err := os.Open(os.Getenv("ROUNDS_SCENARIO"))
	if err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		fmt.Println(">", line)
		verb, rest, _ := strings.Cut(line, "\t")
		parts := strings.Split(rest, "\t")
		if err := step(verb, parts[0], parts[1:]); err != nil {
			fmt.Println("error", err)
		}
	}
}
