// The scenario through MariaDB Connector/J, statements prepared by the server. See ../README.md for what it reads and prints.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.sql.Types;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

public class Scenario {
    private Connection db = connected("");

    private Scenario() throws SQLException {}

    private static Connection connected(String options) throws SQLException {
        Properties with = new Properties();
        with.setProperty("user", System.getenv("ROUNDS_USER"));
        with.setProperty("password", System.getenv("ROUNDS_PASSWORD"));
        for (String name : List.of("useServerPrepStmts", "allowMultiQueries", "allowLocalInfile")) {
            with.setProperty(name, "true");
        }
        String schema = "";
        for (String option : options.isEmpty() ? new String[0] : options.split("&")) {
            String[] pair = option.split("=", 2);
            if (pair[0].equals("schema")) {
                schema = pair[1];
            } else {
                with.setProperty(pair[0], pair[1]);
            }
        }
        String address = System.getenv("ROUNDS_HOST") + ":" + System.getenv("ROUNDS_PORT");
        return DriverManager.getConnection("jdbc:mariadb://" + address + "/" + schema, with);
    }

    private static String text(Object value) {
        return value instanceof byte[] bytes ? HexFormat.of().formatHex(bytes) : String.valueOf(value);
    }

    private static void rows(ResultSet result) throws SQLException {
        var about = result.getMetaData();
        int columns = about.getColumnCount();
        for (int i = 1; i <= columns; i++) {
            System.out.println(String.join(" ", "column", about.getColumnLabel(i), about.getColumnName(i), about.getTableName(i),
                about.getColumnTypeName(i), about.getColumnClassName(i), "" + about.getPrecision(i), "" + about.getScale(i),
                "" + about.isNullable(i), "" + about.isAutoIncrement(i)));
        }
        while (result.next()) {
            StringBuilder row = new StringBuilder("row");
            for (int i = 1; i <= columns; i++) {
                row.append(" | ").append(text(result.getObject(i)));
            }
            System.out.println(row);
        }
    }

    private static void results(Statement statement, boolean isRows) throws SQLException {
        while (true) {
            if (isRows) {
                rows(statement.getResultSet());
            } else if (statement.getUpdateCount() >= 0) {
                System.out.println("done " + statement.getUpdateCount());
                ResultSet ids = statement.getGeneratedKeys();
                while (ids.next()) {
                    System.out.println("id " + ids.getLong(1));
                }
            } else {
                break;
            }
            isRows = statement.getMoreResults();
        }
        for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
            System.out.println("warning " + warning.getErrorCode() + " " + warning.getMessage());
        }
    }

    private void query(String sql) throws SQLException {
        try (Statement statement = db.createStatement()) {
            results(statement, statement.execute(sql, Statement.RETURN_GENERATED_KEYS));
        }
    }

    private static void bind(PreparedStatement statement, int at, String parameter) throws SQLException {
        String value = parameter.substring(2);
        switch (parameter.charAt(0)) {
            case 'i' -> statement.setLong(at, Long.parseLong(value));
            case 'f' -> statement.setDouble(at, Double.parseDouble(value));
            case 's' -> statement.setString(at, value);
            case 'x' -> statement.setBytes(at, HexFormat.of().parseHex(value));
            case 'o' -> ((CallableStatement) statement).registerOutParameter(at, Types.INTEGER);
            default -> statement.setNull(at, Types.VARCHAR);
        }
    }

    private void execute(String sql, List<String> parameters) throws SQLException {
        boolean calls = sql.startsWith("CALL");
        try (PreparedStatement statement = calls ? db.prepareCall("{" + sql + "}") : db.prepareStatement(sql, 1)) {
            for (int i = 0; i < parameters.size(); i++) {
                bind(statement, i + 1, parameters.get(i));
            }
            results(statement, statement.execute());
            int out = parameters.indexOf("o:") + 1;
            if (out > 0) {
                System.out.println("out " + ((CallableStatement) statement).getInt(out));
            }
        }
    }

    private void batch(String sql, List<String> parameters) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (String parameter : parameters) {
                bind(statement, 1, parameter);
                statement.addBatch();
            }
            System.out.println("done " + Arrays.toString(statement.executeBatch()));
        }
    }

    private void stream(String sql) throws SQLException {
        try (Statement statement = db.createStatement()) {
            statement.setFetchSize(100);
            int count = 0;
            long sum = 0;
            for (ResultSet rows = statement.executeQuery(sql); rows.next(); count++) {
                sum += rows.getInt(1);
            }
            System.out.println("rows and sum " + count + " " + sum);
        }
    }

    private void large(int size) throws SQLException {
        byte[] data = new byte[size];
        for (int i = 0; i < size; i++) {
            data[i] = (byte) (i * 31);
        }
        try (PreparedStatement insert = db.prepareStatement("INSERT INTO large (data) VALUES (?)")) {
            insert.setBytes(1, data);
            insert.executeUpdate();
        }
        try (PreparedStatement select = db.prepareStatement("SELECT data FROM large WHERE id > ? ORDER BY id DESC LIMIT 1")) {
            select.setInt(1, 0);
            ResultSet row = select.executeQuery();
            System.out.println("came back as it went: " + (row.next() && Arrays.equals(row.getBytes(1), data)));
        }
    }

    private void kill() throws SQLException {
        try (Statement statement = db.createStatement()) {
            ResultSet id = statement.executeQuery("SELECT CONNECTION_ID()");
            id.next();
            statement.execute("KILL " + id.getLong(1));
            statement.execute("SELECT 1");
        } catch (SQLException e) {
            System.out.println("killed");
        }
    }

    private static void pool(int size) throws Exception {
        var threads = Executors.newFixedThreadPool(8);
        var tasks = IntStream.range(0, size).<Callable<Integer>>mapToObj(i -> () -> {
            try (Connection own = connected("pool=true&maxPoolSize=8&schema=scenario"); Statement statement = own.createStatement()) {
                ResultSet row = statement.executeQuery("SELECT " + i);
                row.next();
                return row.getInt(1) - i;
            }
        }).toList();
        int wrong = 0;
        for (var task : threads.invokeAll(tasks)) {
            wrong += task.get();
        }
        threads.shutdown();
        System.out.println("wrong " + wrong);
    }

    private void step(String verb, String argument, List<String> parameters) throws Exception {
        switch (verb) {
            case "connect" -> {
                db.close();
                db = connected(argument);
                System.out.println("connected");
            }
            case "refused" -> connected(argument).close();
            case "query" -> query(argument);
            case "load" -> query(argument.replace("@FILE@", System.getenv("ROUNDS_FILE")));
            case "execute" -> execute(argument, parameters);
            case "batch" -> batch(argument, parameters);
            case "stream" -> stream(argument);
            case "large" -> large(Integer.parseInt(argument));
            case "begin" -> db.setAutoCommit(false);
            case "commit" -> {
                db.commit();
                db.setAutoCommit(true);
            }
            case "rollback" -> {
                db.rollback();
                db.setAutoCommit(true);
            }
            case "kill" -> kill();
            case "pool" -> pool(Integer.parseInt(argument));
            case "reset" -> System.out.println("skipped");
            default -> {}
        }
    }

    public static void main(String[] arguments) throws Exception {
        Scenario scenario = new Scenario();
        System.setOut(new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, StandardCharsets.UTF_8));
        for (String line : Files.readAllLines(Path.of(System.getenv("ROUNDS_SCENARIO")))) {
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            System.out.println("> " + line);
            List<String> parts = List.of(line.split("\t", -1));
            try {
                scenario.step(parts.get(0), parts.size() > 1 ? parts.get(1) : "", parts.subList(Math.min(2, parts.size()), parts.size()));
            } catch (SQLException e) {
                // It numbers its own connections, and says so.
                String said = e.getMessage().replaceAll("\\(conn[^)]*\\) ", "").replaceAll("thread id: \\d+", "thread");
                System.out.println("error " + e.getErrorCode() + " " + e.getSQLState() + " " + said);
            }
        }
        System.exit(0);
    }
}
