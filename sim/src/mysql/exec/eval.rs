//! Expressions: three-valued logic, integers that do not overflow silently, and the functions of the subset.

use super::super::error::{Clause, SqlError};
use super::super::server::{Server, Stop};
use super::super::session::{Session, Wait};
use super::super::sql::{ColumnKind, Expr, Operator, Scope};
use super::super::tables::TableDef;
use super::super::value::{Row, Value};
use super::super::variables::{self, Kind, Lives};
use super::Turn;
use core::cell::{Cell, RefCell};
use core::cmp::Ordering;
use weir_core::gtid::{Flavor, Position};
use weir_core::time::Duration;

/// A wait without a timeout of its own (GET_LOCK with a negative one) lasts this long.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// The stored function that every model server has: `note(value)` sets `@noted`, and returns the value.
const NOTE: &str = "NOTE";

/// An operation on integers, and its sign.
type Arithmetic = (fn(i64, i64) -> Option<i64>, &'static str);

/// What an expression can see.
pub(super) struct Env<'a> {
    pub(super) turn: Turn<'a>,
    pub(super) server: &'a Server,
    pub(super) session: &'a Session,
    pub(super) def: Option<&'a TableDef>,
    /// Clause named by an error about an unknown column.
    pub(super) place: Clause,
    /// Waiting functions met so far: as many have returned before.
    pub(super) waits: Cell<usize>,
    /// What LAST_INSERT_ID(expr) has set.
    pub(super) insert_id: Cell<Option<i64>>,
    /// What [`NOTE`] has set.
    pub(super) noted: RefCell<Option<Value>>,
}

/// The rows an expression is about: one, or a group for aggregates.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Nothing,
    Row(&'a Row),
    Group(&'a [Row]),
}

impl Env<'_> {
    pub(super) fn eval(&self, expr: &Expr, input: Input<'_>) -> Result<Value, Stop> {
        Ok(match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Parameter(n) => {
                self.turn.job.parameters.get(*n).cloned().ok_or_else(|| SqlError::wrong_arguments("EXECUTE"))?
            }
            Expr::UserVariable(name) => self.session.user_variables.get(name).cloned().unwrap_or(Value::Null),
            Expr::SystemVariable(scope, name) => self.server.variable(self.session, *scope, name)?,
            Expr::Column(name) => self.column(name, input)?,
            Expr::Not(inner) => match self.eval(inner, input)?.truth() {
                None => Value::Null,
                Some(truth) => Value::bool(!truth),
            },
            Expr::Minus(inner) => match self.eval(inner, input)?.to_int() {
                None => Value::Null,
                Some(n) => Value::Int(n.checked_neg().ok_or_else(|| SqlError::bigint_range(&format!("-({n})")))?),
            },
            Expr::Binary(operator, both) => self.binary(*operator, &both.0, &both.1, input)?,
            Expr::In(left, list, not) => self.is_in(left, list, *not, input)?,
            Expr::IsNull(inner, not) => Value::bool((self.eval(inner, input)? == Value::Null) != *not),
            Expr::Call(name, arguments) => self.call(name, arguments, input)?,
        })
    }

    /// Whether a row passes a WHERE clause.
    pub(super) fn passes(&self, filter: Option<&Expr>, row: &Row) -> Result<bool, Stop> {
        let Some(filter) = filter else { return Ok(true) };
        Ok(self.eval(filter, Input::Row(row))?.truth() == Some(true))
    }

    fn column(&self, name: &str, input: Input<'_>) -> Result<Value, Stop> {
        let index = self
            .def
            .and_then(|def| def.column(name))
            .ok_or_else(|| SqlError::unknown_column(self.flavor(), name, self.place))?;
        Ok(match input {
            Input::Row(row) => row[index].clone(),
            Input::Group(rows) => rows.first().map_or(Value::Null, |row| row[index].clone()),
            Input::Nothing => return Err(SqlError::unknown_column(self.flavor(), name, self.place).into()),
        })
    }

    fn binary(&self, operator: Operator, left: &Expr, right: &Expr, input: Input<'_>) -> Result<Value, Stop> {
        if matches!(operator, Operator::And | Operator::Or) {
            return self.logic(operator == Operator::And, left, right, input);
        }
        let (left, right) = (self.eval(left, input)?, self.eval(right, input)?);
        let arithmetic: Option<Arithmetic> = match operator {
            Operator::Add => Some((i64::checked_add, "+")),
            Operator::Subtract => Some((i64::checked_sub, "-")),
            Operator::Multiply => Some((i64::checked_mul, "*")),
            Operator::Modulo => Some((i64::checked_rem, "%")),
            _ => None,
        };
        if let Some((compute, sign)) = arithmetic {
            let (Some(a), Some(b)) = (left.to_int(), right.to_int()) else { return Ok(Value::Null) };
            if operator == Operator::Modulo && b == 0 {
                return Ok(Value::Null);
            }
            let result = compute(a, b).ok_or_else(|| {
                let sum = format!("{a} {sign} {b}");
                SqlError::bigint_range(&if self.flavor() == Flavor::MySql { format!("({sum})") } else { sum })
            })?;
            return Ok(Value::Int(result));
        }
        let Some(order) = left.compare(&right) else { return Ok(Value::Null) };
        Ok(Value::bool(match operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
            Operator::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }))
    }

    fn logic(&self, and: bool, left: &Expr, right: &Expr, input: Input<'_>) -> Result<Value, Stop> {
        let left = self.eval(left, input)?.truth();
        if left == Some(!and) {
            return Ok(Value::bool(!and));
        }
        let right = self.eval(right, input)?.truth();
        Ok(match (left, right) {
            (_, Some(right)) if right != and => Value::bool(!and),
            (Some(_), Some(_)) => Value::bool(and),
            _ => Value::Null,
        })
    }

    fn is_in(&self, left: &Expr, list: &[Expr], not: bool, input: Input<'_>) -> Result<Value, Stop> {
        let left = self.eval(left, input)?;
        let mut unknown = left == Value::Null;
        for expr in list {
            match left.compare(&self.eval(expr, input)?) {
                Some(Ordering::Equal) => return Ok(Value::bool(!not)),
                None => unknown = true,
                Some(_) => {}
            }
        }
        Ok(if unknown { Value::Null } else { Value::bool(not) })
    }

    fn call(&self, name: &str, arguments: &[Expr], input: Input<'_>) -> Result<Value, Stop> {
        if let (true, Input::Group(rows)) = (is_aggregate(name), input) {
            return self.aggregate(name, arguments, rows);
        }
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.eval(argument, input)?);
        }
        Ok(match (name, values.as_slice()) {
            ("CONNECTION_ID", []) => Value::Int(i64::try_from(self.session.id).unwrap_or(i64::MAX)),
            ("DATABASE" | "SCHEMA", []) => self.session.schema.as_ref().map_or(Value::Null, Value::text),
            ("VERSION", []) => Value::text(&self.server.config.version),
            ("USER" | "CURRENT_USER" | "SESSION_USER", []) => Value::text(format!("{}@%", self.session.user)),
            ("UNIX_TIMESTAMP", []) => Value::Int(i64::try_from(self.turn.now.0 / 1_000_000_000).unwrap_or(i64::MAX)),
            ("LAST_INSERT_ID", []) => Value::Int(self.session.last_insert_id),
            ("LAST_INSERT_ID", [value]) => {
                self.insert_id.set(value.to_int());
                value.clone()
            }
            ("FOUND_ROWS", []) => Value::Int(self.session.rows_found),
            ("ROW_COUNT", []) => Value::Int(self.session.row_count),
            ("CONCAT", values) => concat(values),
            ("IF", [condition, then, otherwise]) => {
                if condition.truth() == Some(true) {
                    then.clone()
                } else {
                    otherwise.clone()
                }
            }
            ("COALESCE" | "IFNULL", values) => {
                values.iter().find(|value| **value != Value::Null).cloned().unwrap_or(Value::Null)
            }
            ("SLEEP", [seconds]) => self.wait(Wait::Sleep, seconds.to_seconds())?,
            ("MASTER_GTID_WAIT", [position]) if self.flavor() == Flavor::MariaDb => {
                self.wait_for_position(position, None)?
            }
            ("MASTER_GTID_WAIT", [position, timeout]) if self.flavor() == Flavor::MariaDb => {
                self.wait_for_position(position, timeout.to_seconds())?
            }
            ("WAIT_FOR_EXECUTED_GTID_SET", [position]) if self.flavor() == Flavor::MySql => {
                self.wait_for_position(position, None)?
            }
            ("WAIT_FOR_EXECUTED_GTID_SET", [position, timeout]) if self.flavor() == Flavor::MySql => {
                self.wait_for_position(position, timeout.to_seconds())?
            }
            ("GET_LOCK", [name, timeout]) => self.get_lock(name, timeout)?,
            ("RELEASE_LOCK", [name]) => match self.server.user_locks.get(&name.display()) {
                None => Value::Null,
                Some(holder) => Value::bool(*holder == self.session.id),
            },
            ("RELEASE_ALL_LOCKS", []) => {
                let held = self.server.user_locks.values().filter(|holder| **holder == self.session.id);
                Value::Int(held.count() as i64)
            }
            (NOTE, [value]) => {
                *self.noted.borrow_mut() = Some(value.clone());
                value.clone()
            }
            ("IS_FREE_LOCK", [name]) => Value::bool(!self.server.user_locks.contains_key(&name.display())),
            _ => {
                let schema = self.session.schema.as_deref().unwrap_or_default();
                return Err(SqlError::no_such_function(schema, name).into());
            }
        })
    }

    fn flavor(&self) -> Flavor {
        self.server.config.flavor
    }

    fn aggregate(&self, name: &str, arguments: &[Expr], rows: &[Row]) -> Result<Value, Stop> {
        let Some(argument) = arguments.first() else { return Ok(Value::Int(rows.len() as i64)) };
        let mut values = Vec::new();
        for row in rows {
            let value = self.eval(argument, Input::Row(row))?;
            if value != Value::Null {
                values.push(value);
            }
        }
        Ok(match name {
            "COUNT" => Value::Int(values.len() as i64),
            "MAX" => values.into_iter().max().unwrap_or(Value::Null),
            "MIN" => values.into_iter().min().unwrap_or(Value::Null),
            _ if values.is_empty() => Value::Null,
            // DECIMAL, which is text on the wire.
            _ => Value::text(values.iter().filter_map(Value::to_int).map(i128::from).sum::<i128>().to_string()),
        })
    }

    /// A function that waits returns what the wait came to, once it is over.
    fn wait(&self, wait: Wait, seconds: Option<f64>) -> Result<Value, Stop> {
        let met = self.waits.get();
        self.waits.set(met + 1);
        if let Some(returned) = self.turn.job.returned.get(met) {
            return Ok(returned.clone());
        }
        let span = seconds.map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(FOREVER).min(FOREVER));
        Err(Stop::Wait(wait, span.map(|span| self.turn.now + span)))
    }

    fn wait_for_position(&self, position: &Value, seconds: Option<f64>) -> Result<Value, Stop> {
        let Value::Text(text) = position else { return Ok(Value::Null) };
        if let Some(returned) = self.turn.job.returned.get(self.waits.get()) {
            self.waits.set(self.waits.get() + 1);
            return Ok(returned.clone());
        }
        let wanted = Position::parse(self.flavor(), text).map_err(|_| SqlError::gtid_text())?;
        if self.server.reached().contains(&wanted).unwrap_or(false) {
            return Ok(Value::Int(0));
        }
        if seconds.is_some_and(|s| s < 0.0) && self.flavor() == Flavor::MariaDb {
            return self.wait(Wait::Position(wanted), None);
        }
        let endless = self.flavor() == Flavor::MySql && seconds == Some(0.0);
        self.wait(Wait::Position(wanted), if endless { None } else { seconds })
    }

    fn get_lock(&self, name: &Value, timeout: &Value) -> Result<Value, Stop> {
        let name = name.display();
        match self.server.user_locks.get(&name) {
            Some(holder) if *holder == self.session.id => Ok(Value::Int(1)),
            // Who finds it free takes it: the wait ends at once.
            _ => self.wait(
                Wait::UserLock(name),
                timeout.to_seconds().map(|s| if s < 0.0 { FOREVER.as_secs_f64() } else { s }),
            ),
        }
    }
}

/// Functions over groups of rows.
pub(super) fn is_aggregate(name: &str) -> bool {
    matches!(name, "COUNT" | "SUM" | "MAX" | "MIN")
}

/// Whether an expression aggregates.
pub(super) fn aggregates(expr: &Expr) -> bool {
    match expr {
        Expr::Call(name, arguments) => is_aggregate(name) || arguments.iter().any(aggregates),
        Expr::Binary(_, both) => aggregates(&both.0) || aggregates(&both.1),
        Expr::Not(inner) | Expr::Minus(inner) | Expr::IsNull(inner, _) => aggregates(inner),
        Expr::In(left, list, _) => aggregates(left) || list.iter().any(aggregates),
        _ => false,
    }
}

fn concat(values: &[Value]) -> Value {
    let mut text = Vec::new();
    for value in values {
        match value.to_bytes() {
            None => return Value::Null,
            Some(bytes) => text.extend_from_slice(&bytes),
        }
    }
    Value::text(text)
}

impl Server {
    /// The value of a system variable.
    pub(super) fn variable(&self, session: &Session, scope: Option<Scope>, name: &str) -> Result<Value, SqlError> {
        let variable = variables::find(self.config.flavor, name).ok_or_else(|| SqlError::unknown_variable(name))?;
        let computed = match variable.name {
            "gtid_executed" => Some(self.executed.to_string()),
            "gtid_binlog_pos" => Some(self.logged().to_string()),
            "gtid_owned" => Some(self.owned()),
            "gtid_slave_pos" => Some(self.slave_pos.to_string()),
            "gtid_current_pos" => Some(self.current_position().to_string()),
            "last_gtid" => Some(session.last_gtid.clone()),
            _ => None,
        };
        if let Some(text) = computed {
            return Ok(Value::text(text));
        }
        match (variable.name, variable.lives, scope) {
            ("autocommit", _, None | Some(Scope::Session)) => Ok(Value::bool(session.autocommit)),
            ("warning_count", ..) => Ok(count(session.warnings.len())),
            ("error_count", ..) => {
                let errors = session.warnings.iter().filter(|condition| condition.level == "Error").count();
                Ok(Value::Int(i64::try_from(errors).unwrap_or(i64::MAX)))
            }
            ("last_insert_id", ..) => Ok(Value::Int(session.last_insert_id)),
            (_, Lives::Session, Some(Scope::Global)) => Err(SqlError::session_only(variable.name)),
            (_, Lives::Global | Lives::Fixed, Some(Scope::Session)) => Err(SqlError::global_only(variable.name)),
            (_, Lives::Both | Lives::Session, None | Some(Scope::Session)) => Ok(session.values.get(variable)),
            _ => Ok(self.globals.get(variable)),
        }
    }
}

/// A number of things as a value.
pub(super) fn count(of: usize) -> Value {
    Value::Int(i64::try_from(of).unwrap_or(i64::MAX))
}

/// The type of a result column.
pub(super) fn kind_of(flavor: Flavor, expr: &Expr, def: Option<&TableDef>, value: Option<&Value>) -> ColumnKind {
    const TEXT: ColumnKind = ColumnKind::Text(1024);
    match expr {
        Expr::Column(name) => def.and_then(|def| Some(def.columns[def.column(name)?].kind)).unwrap_or(TEXT),
        Expr::Call(name, _) if name == "SUM" => ColumnKind::Decimal,
        Expr::Call(name, arguments) if name == "MAX" || name == "MIN" => {
            arguments.first().map_or(TEXT, |argument| kind_of(flavor, argument, def, value))
        }
        Expr::Call(name, _) if matches!(name.as_str(), "CONCAT" | "DATABASE" | "SCHEMA" | "VERSION" | "USER") => TEXT,
        Expr::SystemVariable(_, name) => match variables::find(flavor, name).map(|variable| variable.kind) {
            Some(Kind::Bool | Kind::Int(..)) => ColumnKind::BigInt,
            _ => TEXT,
        },
        Expr::Literal(_) | Expr::UserVariable(_) | Expr::Parameter(_) | Expr::Call(..) => match value {
            Some(Value::Int(_)) => ColumnKind::BigInt,
            _ => TEXT,
        },
        Expr::Not(_) | Expr::Minus(_) | Expr::Binary(..) | Expr::In(..) | Expr::IsNull(..) => ColumnKind::BigInt,
    }
}
