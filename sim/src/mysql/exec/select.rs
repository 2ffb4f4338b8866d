//! SELECT and DO, and how rows are found for every statement that needs some.

use super::super::error::SqlError;
use super::super::locks::LockKey;
use super::super::server::{Server, Stop};
use super::super::session::{Body, Column, Isolation, Rows, Session};
use super::super::sql::{Expr, Item, Operator, Select, TableName};
use super::super::tables::{TableDef, View};
use super::super::value::{Row, Value};
use super::eval::{Env, Input, aggregates, kind_of};
use super::{Done, Turn};
use core::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::time::Instant;

impl Server {
    pub(super) fn env<'a>(
        &'a self,
        turn: Turn<'a>,
        session: &'a Session,
        def: Option<&'a TableDef>,
        place: &'static str,
    ) -> Env<'a> {
        Env { turn, server: self, session, def, place, waits: Cell::new(0), insert_id: Cell::new(None) }
    }

    pub(super) fn do_items(&mut self, turn: Turn<'_>, session: &mut Session, items: &[Item]) -> Done {
        let env = self.env(turn, session, None, "field list");
        for item in items {
            env.eval(&item.expr, Input::Nothing)?;
        }
        let insert_id = env.insert_id.get();
        session.statement_insert_id = insert_id;
        Ok(Body::ok())
    }

    pub(super) fn select(&mut self, turn: Turn<'_>, session: &mut Session, select: &Select) -> Done {
        let Some(from) = &select.from else { return self.select_values(turn, session, select) };
        let def = self.table_def(session, &from.table)?;
        if !session.autocommit {
            session.transaction();
        }
        let serializable = |trx: &super::super::session::Trx| trx.isolation == Isolation::Serializable && trx.lasting;
        let locking = from.locking || session.trx.as_ref().is_some_and(serializable);
        if !locking {
            self.take_snapshot_if_repeatable(session);
        }
        let view = if locking { View::Latest } else { session.trx.as_ref().map_or(View::Latest, |trx| trx.view()) };
        let mut rows = self.find(turn, session, &from.table, &def, select.filter.as_ref(), view)?;
        if locking {
            self.lock_found(turn.now, session, &def, &rows)?;
        }
        let env = self.env(turn, session, Some(&def), "field list");
        if !select.order.is_empty() {
            sort(&env, &mut rows, &select.order)?;
        }
        let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        let body = project(&env, select, &def, &rows)?;
        Ok(Body::Rows(body))
    }

    /// SELECT without FROM.
    fn select_values(&mut self, turn: Turn<'_>, session: &mut Session, select: &Select) -> Done {
        let env = self.env(turn, session, None, "field list");
        let mut values = Vec::with_capacity(select.items.len());
        for item in &select.items {
            values.push(env.eval(&item.expr, Input::Nothing)?);
        }
        let insert_id = env.insert_id.get();
        let column = |(item, value): (&Item, &Value)| Column {
            name: item.name.clone(),
            kind: kind_of(self.config.flavor, &item.expr, None, Some(value)),
        };
        let columns = select.items.iter().zip(&values).map(column).collect();
        if insert_id.is_some() {
            session.statement_insert_id = insert_id;
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

    fn lock_found(
        &mut self,
        now: Instant,
        session: &mut Session,
        def: &TableDef,
        rows: &[(Value, Row)],
    ) -> Result<(), Stop> {
        let Some(id) = self.tables.get(&def.reference.schema, &def.reference.name).map(|table| table.id) else {
            return Ok(());
        };
        for (key, _) in rows {
            self.lock(now, session, (id, key.clone()))?;
        }
        Ok(())
    }

    /// Rows that pass a filter, in key order, as the session's transaction sees them.
    pub(super) fn find(
        &self,
        turn: Turn<'_>,
        session: &Session,
        table: &TableName,
        def: &TableDef,
        filter: Option<&Expr>,
        view: View,
    ) -> Result<Vec<(Value, Row)>, Stop> {
        let env = self.env(turn, session, Some(def), "where clause");
        let schema = table.schema.as_deref().or(session.schema.as_deref()).unwrap_or_default();
        let Some(data) = self.tables.get(schema, &table.name) else { return Ok(Vec::new()) };
        let own = session.trx.as_ref().map(|trx| &trx.overlay).filter(|overlay| !overlay.is_empty());
        let mut found = Vec::new();
        let mut take = |key: &Value, row: &Row| -> Result<(), Stop> {
            if env.passes(filter, row)? {
                found.push((key.clone(), Rc::clone(row)));
            }
            Ok(())
        };
        if let Some(keys) = filter.and_then(|filter| points(&env, def, filter)) {
            for key in keys {
                let lock: LockKey = (data.id, key);
                let row = match own.and_then(|own| own.get(&lock)) {
                    Some((_, row)) => row.as_ref(),
                    None => data.row(&lock.1, view),
                };
                if let Some(row) = row {
                    take(&lock.1, row)?;
                }
            }
            return Ok(found);
        }
        let Some(own) = own else {
            for (key, row) in data.rows(view) {
                take(key, row)?;
            }
            return Ok(found);
        };
        let mut merged: BTreeMap<&Value, &Row> = data.rows(view).collect();
        for ((id, key), (_, row)) in own {
            if *id != data.id {
                continue;
            }
            match row {
                Some(row) => merged.insert(key, row),
                None => merged.remove(key),
            };
        }
        for (key, row) in merged {
            take(key, row)?;
        }
        Ok(found)
    }
}

/// The keys that a filter names, sorted, when it pins the primary key.
pub(super) fn points(env: &Env<'_>, def: &TableDef, filter: &Expr) -> Option<Vec<Value>> {
    let key = def.primary_key?;
    let is_key = |expr: &Expr| matches!(expr, Expr::Column(name) if def.column(name) == Some(key));
    let constant = |expr: &Expr| match expr {
        Expr::Literal(_) | Expr::Parameter(_) | Expr::UserVariable(_) => {
            let value = env.eval(expr, Input::Nothing).ok()?;
            match (def.is_integer(key), &value) {
                (true, _) => value.to_int().map(Value::Int),
                (false, Value::Text(_)) => Some(value),
                (false, _) => None,
            }
        }
        _ => None,
    };
    match filter {
        Expr::Binary(Operator::And, both) => points(env, def, &both.0).or_else(|| points(env, def, &both.1)),
        Expr::Binary(Operator::Equal, both) if is_key(&both.0) => constant(&both.1).map(|value| vec![value]),
        Expr::Binary(Operator::Equal, both) if is_key(&both.1) => constant(&both.0).map(|value| vec![value]),
        Expr::In(left, list, false) if is_key(left) => {
            let mut keys = list.iter().map(constant).collect::<Option<Vec<Value>>>()?;
            keys.sort_unstable();
            keys.dedup();
            Some(keys)
        }
        _ => None,
    }
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
