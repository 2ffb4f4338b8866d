//! SELECT and DO, and how rows are found for every statement that needs some.

use super::super::error::{Clause, SqlError};
use super::super::locks::Mode;
use super::super::server::{Server, Stop};
use super::super::session::{Body, Column, Isolation, Rows, Session};
use super::super::sql::{ColumnDef, ColumnKind, Expr, Item, Locking, Select, TableName};
use super::super::tables::{TableDef, TableRef, View};
use super::super::value::{Row, Value};
use super::eval::{Env, Input, aggregates, kind_of};
use super::scan::Scan;
use super::{Done, Turn};
use core::cell::{Cell, RefCell};
use std::rc::Rc;

const INFORMATION_SCHEMA: &str = "information_schema";
const PERFORMANCE_SCHEMA: &str = "performance_schema";
const PROCESS_LIST: &str = "PROCESSLIST";

impl Server {
    pub(super) fn env<'a>(
        &'a self,
        turn: Turn<'a>,
        session: &'a Session,
        def: Option<&'a TableDef>,
        place: Clause,
    ) -> Env<'a> {
        Env {
            turn,
            server: self,
            session,
            def,
            place,
            waits: Cell::new(0),
            insert_id: Cell::new(None),
            noted: RefCell::new(None),
        }
    }

    pub(super) fn do_items(&mut self, turn: Turn<'_>, session: &mut Session, items: &[Item]) -> Done {
        let env = self.env(turn, session, None, Clause::Select);
        for item in items {
            env.eval(&item.expr, Input::Nothing)?;
        }
        let insert_id = env.insert_id.get();
        session.statement_insert_id = insert_id;
        Ok(Body::ok())
    }

    pub(super) fn select(&mut self, turn: Turn<'_>, session: &mut Session, select: &Select) -> Done {
        let Some(from) = &select.from else { return self.select_values(turn, session, select) };
        self.note_read(turn.now, session);
        let updates = from.locking == Some(Locking::Update);
        if updates && session.is_read_only_transaction() {
            return Err(SqlError::read_only_transaction(self.config.flavor).into());
        }
        if from.derived {
            return self.select_made_up(turn, session, select, &[], vec![Row::from(Vec::new())]);
        }
        if is_process_list(&from.table) {
            return self.select_processes(turn, session, select);
        }
        if is_of(&from.table, PERFORMANCE_SCHEMA)
            && let Some((columns, rows)) = self.group_tables(&from.table.name, &from.joined)
        {
            return self.select_made_up(turn, session, select, &columns, rows);
        }
        let def = self.table_def(session, &from.table)?;
        if updates {
            self.check_writable(session)?;
        }
        if !session.autocommit {
            session.transaction();
        }
        let serializable = |trx: &super::super::session::Trx| trx.isolation == Isolation::Serializable && trx.lasting;
        let shares = from.locking.is_some() || session.trx.as_ref().is_some_and(serializable);
        let mode = if updates { Some(Mode::Exclusive) } else { shares.then_some(Mode::Shared) };
        if mode.is_none() {
            self.take_snapshot_if_repeatable(session);
        }
        let mut rows = if let Some(mode) = mode {
            let id = self.tables.get(&def.reference.schema, &def.reference.name).map_or(0, |table| table.id);
            let filter = select.filter.as_ref();
            self.find_locked(
                turn,
                session,
                &Scan { def: &def, id, filter, mode, writes: false, semi_consistent: false },
            )?
        } else {
            let view = session.trx.as_ref().map_or(View::Latest, |trx| trx.view());
            self.find(turn, session, &from.table, &def, select.filter.as_ref(), view)?
        };
        let env = self.env(turn, session, Some(&def), Clause::Select);
        if !select.order.is_empty() {
            sort(&env, &mut rows, &select.order)?;
        }
        let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        let body = project(&env, select, &def, &rows)?;
        if session.trx.is_none() {
            // A statement on its own is a transaction, too: what SET TRANSACTION said is used up.
            (session.next_isolation, session.next_read_only) = (None, None);
        }
        Ok(Body::Rows(body))
    }

    /// SELECT from `information_schema.PROCESSLIST`.
    fn select_processes(&mut self, turn: Turn<'_>, session: &Session, select: &Select) -> Done {
        let text = ColumnKind::Text(64);
        let columns = [("ID", ColumnKind::BigInt), ("USER", text), ("DB", text), ("COMMAND", text)];
        let rows = self.processes(session);
        self.select_made_up(turn, session, select, &columns, rows)
    }

    /// SELECT from rows that are no table's.
    fn select_made_up(
        &mut self,
        turn: Turn<'_>,
        session: &Session,
        select: &Select,
        columns: &[(&str, ColumnKind)],
        rows: Vec<Row>,
    ) -> Done {
        let column = |(name, kind): &(&str, ColumnKind)| ColumnDef {
            name: (*name).to_owned(),
            kind: *kind,
            nullable: true,
            default: None,
            auto_increment: false,
        };
        let reference = Rc::new(TableRef { schema: String::new(), name: String::new() });
        let def =
            TableDef { reference, columns: columns.iter().map(column).collect(), primary_key: None, trigger: None };
        let env = self.env(turn, session, Some(&def), Clause::Where);
        let mut found = Vec::new();
        for row in rows {
            if env.passes(select.filter.as_ref(), &row)? {
                found.push(row);
            }
        }
        Ok(Body::Rows(project(&env, select, &def, &found)?))
    }

    /// SELECT without FROM.
    fn select_values(&mut self, turn: Turn<'_>, session: &mut Session, select: &Select) -> Done {
        let env = self.env(turn, session, None, Clause::Select);
        let mut values = Vec::with_capacity(select.items.len());
        for item in &select.items {
            values.push(env.eval(&item.expr, Input::Nothing)?);
        }
        let (insert_id, noted) = (env.insert_id.get(), env.noted.take());
        let column = |(item, value): (&Item, &Value)| Column {
            name: item.name.clone(),
            kind: kind_of(self.config.flavor, &item.expr, None, Some(value)),
        };
        let columns = select.items.iter().zip(&values).map(column).collect();
        if insert_id.is_some() {
            session.statement_insert_id = insert_id;
        }
        if let Some(value) = noted {
            session.user_variables.insert("noted".to_owned(), value);
            self.track_state(session);
        }
        self.release_named_locks(session, select, &values);
        let rows = if select.limit == Some(0) { Vec::new() } else { vec![Row::from(values)] };
        Ok(Body::Rows(Rows { columns, rows }))
    }

    /// RELEASE_LOCK has an effect, which an expression cannot have here: it follows the values.
    fn release_named_locks(&mut self, session: &Session, select: &Select, values: &[Value]) {
        for (item, released) in select.items.iter().zip(values) {
            match &item.expr {
                Expr::Call(name, _) if name == "RELEASE_ALL_LOCKS" => self.release_user_locks(session.id, None),
                Expr::Call(name, arguments) if name == "RELEASE_LOCK" && *released == Value::Int(1) => {
                    if let [Expr::Literal(lock)] = arguments.as_slice() {
                        self.release_user_locks(session.id, Some(&lock.display()));
                    }
                }
                _ => {}
            }
        }
    }

    /// The columns of a SELECT, without running it.
    pub(in super::super) fn columns_of(&self, session: &Session, select: &Select) -> Result<Vec<Column>, SqlError> {
        let def = select.from.as_ref().map(|from| self.table_def(session, &from.table)).transpose()?;
        let Some(def) = def.as_deref().filter(|_| select.items.is_empty()) else {
            let flavor = self.config.flavor;
            let column = |item: &Item| Column {
                name: item.name.clone(),
                kind: kind_of(flavor, &item.expr, def.as_deref(), None),
            };
            return Ok(select.items.iter().map(column).collect());
        };
        Ok(def.columns.iter().map(|column| Column { name: column.name.clone(), kind: column.kind }).collect())
    }

    fn take_snapshot_if_repeatable(&mut self, session: &mut Session) {
        let repeatable =
            session.trx.as_ref().is_some_and(|trx| trx.lasting && trx.isolation != Isolation::ReadCommitted);
        if repeatable {
            self.take_snapshot(session);
        }
    }
}

fn is_of(table: &TableName, schema: &str) -> bool {
    table.schema.as_deref().unwrap_or_default().eq_ignore_ascii_case(schema)
}

fn is_process_list(table: &TableName) -> bool {
    is_of(table, INFORMATION_SCHEMA) && table.name.eq_ignore_ascii_case(PROCESS_LIST)
}

fn sort(env: &Env<'_>, rows: &mut [(Value, Row)], order: &[(Expr, bool)]) -> Result<(), Stop> {
    let mut failed = None;
    let mut key = |row: &Row, expr: &Expr| {
        env.eval(expr, Input::Row(row)).unwrap_or_else(|stop| {
            failed = Some(stop);
            Value::Null
        })
    };
    rows.sort_by(|(_, a), (_, b)| {
        for (expr, descending) in order {
            let compared = key(a, expr).cmp(&key(b, expr));
            if compared.is_ne() {
                return if *descending { compared.reverse() } else { compared };
            }
        }
        core::cmp::Ordering::Equal
    });
    failed.map_or(Ok(()), Err)
}

fn project(env: &Env<'_>, select: &Select, def: &TableDef, rows: &[Row]) -> Result<Rows, Stop> {
    let flavor = env.server.config.flavor;
    let limit = select.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if select.items.is_empty() {
        let columns =
            def.columns.iter().map(|column| Column { name: column.name.clone(), kind: column.kind }).collect();
        return Ok(Rows { columns, rows: rows.iter().take(limit).cloned().collect() });
    }
    let evaluate = |input: Input<'_>| -> Result<Row, Stop> {
        let values: Result<Vec<Value>, Stop> = select.items.iter().map(|item| env.eval(&item.expr, input)).collect();
        values.map(Row::from)
    };
    let projected: Vec<Row> = if select.items.iter().any(|item| aggregates(&item.expr)) {
        vec![evaluate(Input::Group(rows))?].into_iter().take(limit).collect()
    } else {
        rows.iter().take(limit).map(|row| evaluate(Input::Row(row))).collect::<Result<_, _>>()?
    };
    if projected.is_empty() {
        // Unknown columns are an error even when there is no row to evaluate them on.
        let nulls: Row = def.columns.iter().map(|_| Value::Null).collect();
        evaluate(Input::Row(&nulls))?;
    }
    let first = projected.first();
    let column = |(index, item): (usize, &Item)| Column {
        name: item.name.clone(),
        kind: kind_of(flavor, &item.expr, Some(def), first.map(|row| &row[index])),
    };
    Ok(Rows { columns: select.items.iter().enumerate().map(column).collect(), rows: projected })
}
