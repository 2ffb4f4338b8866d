//! INSERT, REPLACE, UPDATE and DELETE.

use super::super::error::{Clause, SqlError};
use super::super::locks::{LockKey, Mode};
use super::super::server::{Server, Stop};
use super::super::session::{Body, Session};
use super::super::sql::{ColumnKind, Delete, Expr, Insert, TableName, Update};
use super::super::tables::{Change, TableDef, View};
use super::super::value::{Row, Value};
use super::eval::Input;
use super::scan::Scan;
use super::{Done, Turn};
use std::rc::Rc;
use weir_core::gtid::Flavor;

impl Server {
    fn writable_table(&self, session: &mut Session, table: &TableName) -> Result<(Rc<TableDef>, u32), SqlError> {
        self.check_writable(session)?;
        if session.is_read_only_transaction() {
            return Err(SqlError::read_only_transaction(self.config.flavor));
        }
        let def = self.table_def(session, table)?;
        let id = self.tables.get(&def.reference.schema, &def.reference.name).map_or(0, |table| table.id);
        session.transaction();
        Ok((def, id))
    }

    /// A row as the writing transaction sees it: its own version, else the last committed one.
    pub(super) fn current(&self, session: &Session, def: &TableDef, lock: &LockKey) -> Option<Row> {
        if let Some((_, row)) = session.trx.as_ref().and_then(|trx| trx.overlay.get(lock)) {
            return row.clone();
        }
        self.tables.get(&def.reference.schema, &def.reference.name)?.row(&lock.1, View::Latest).cloned()
    }

    pub(super) fn insert(&mut self, turn: Turn<'_>, session: &mut Session, insert: &Insert) -> Done {
        let (def, id) = self.writable_table(session, &insert.table)?;
        let flavor = self.config.flavor;
        let mut targets = Vec::new();
        for name in &insert.columns {
            targets.push(def.column(name).ok_or_else(|| SqlError::unknown_column(flavor, name, Clause::Insert))?);
        }
        if insert.columns.is_empty() {
            targets = (0..def.columns.len()).collect();
        }
        let mut tally = Tally::default();
        for values in &insert.rows {
            if values.len() != targets.len() {
                return Err(SqlError::column_count().into());
            }
            let (row, generated) = self.new_row(turn, session, &def, &targets, values)?;
            if let Some(trigger) = &def.trigger {
                session.user_variables.insert(trigger.variable.clone(), row[trigger.column].clone());
                self.track_state(session);
            }
            self.insert_row(turn, session, insert, &def, id, row, generated, &mut tally)?;
        }
        if let Some(first) = tally.first_generated {
            session.statement_insert_id = Some(first);
        }
        let insert_id = tally.first_generated.or(tally.explicit).unwrap_or(0);
        let info = if insert.rows.len() > 1 {
            format!(
                "Records: {}  Duplicates: {}  Warnings: {}",
                insert.rows.len(),
                tally.duplicates,
                session.warning_count()
            )
        } else {
            String::new()
        };
        Ok(Body::Ok { affected: tally.affected, insert_id: u64::try_from(insert_id).unwrap_or(0), info })
    }

    /// The row that VALUES describes, and its generated AUTO_INCREMENT value.
    fn new_row(
        &mut self,
        turn: Turn<'_>,
        session: &Session,
        def: &TableDef,
        targets: &[usize],
        values: &[Expr],
    ) -> Result<(Row, Option<i64>), Stop> {
        let mut row: Vec<Option<Value>> = vec![None; def.columns.len()];
        let env = self.env(turn, session, Some(def), Clause::Insert);
        for (target, expr) in targets.iter().zip(values) {
            let is_default = matches!(expr, Expr::Call(name, arguments) if name == "DEFAULT" && arguments.is_empty());
            row[*target] = if is_default { None } else { Some(env.eval(expr, Input::Nothing)?) };
        }
        let mut generated = None;
        let mut full = Vec::with_capacity(row.len());
        for (index, (value, column)) in row.into_iter().zip(&def.columns).enumerate() {
            let value = match value {
                None | Some(Value::Null | Value::Int(0)) if column.auto_increment => {
                    let next = self.take_auto(def);
                    generated = Some(next);
                    Value::Int(next)
                }
                Some(value) => value,
                None => match &column.default {
                    Some(default) => default.clone(),
                    None if column.nullable => Value::Null,
                    None => return Err(SqlError::no_default(&column.name).into()),
                },
            };
            full.push(fit(self.config.flavor, def, index, value)?);
        }
        Ok((Row::from(full), generated))
    }

    /// A value given for the AUTO_INCREMENT column moves the counter at once, whatever becomes of the transaction.
    fn note_auto(&mut self, def: &TableDef, row: &Row) {
        let given = def.columns.iter().position(|column| column.auto_increment).and_then(|column| row[column].to_int());
        let table = self.tables.get_mut(&def.reference.schema, &def.reference.name);
        if let (Some(given), Some(table)) = (given, table) {
            table.next_auto = table.next_auto.max(given.saturating_add(1));
        }
    }

    fn take_auto(&mut self, def: &TableDef) -> i64 {
        let Some(table) = self.tables.get_mut(&def.reference.schema, &def.reference.name) else { return 0 };
        table.next_auto += 1;
        table.next_auto - 1
    }

    #[expect(clippy::too_many_arguments, reason = "one row of a statement with many options")]
    fn insert_row(
        &mut self,
        turn: Turn<'_>,
        session: &mut Session,
        insert: &Insert,
        def: &Rc<TableDef>,
        id: u32,
        row: Row,
        generated: Option<i64>,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let key = match def.primary_key {
            Some(column) => row[column].clone(),
            None => Value::Int(self.take_auto(def)),
        };
        let lock = (id, key.clone());
        let taken = self.current(session, def, &lock).is_some() && !insert.replace && insert.on_duplicate.is_empty();
        let mode = if taken { Mode::Shared } else { Mode::Exclusive };
        self.lock(turn.now, session, lock.clone(), mode)?;
        let name = Rc::clone(&def.reference);
        let trx_change = |session: &mut Session, change| session.transaction().change(id, change);
        match self.current(session, def, &lock) {
            None => {
                trx_change(session, Change::Insert(name, key, Rc::clone(&row)));
                tally.affected += 1;
                self.note_auto(def, &row);
                tally.note_id(def, &row, generated);
            }
            Some(old) if insert.replace => {
                if old != row {
                    tally.affected += 1;
                    trx_change(session, Change::Update(name, key, Rc::clone(&row)));
                }
                tally.affected += 1;
                tally.duplicates += 1;
                self.note_auto(def, &row);
                tally.note_id(def, &row, generated);
            }
            Some(old) if !insert.on_duplicate.is_empty() => {
                let new = self.assigned(turn, session, def, &insert.on_duplicate, &old)?;
                tally.duplicates += 1;
                if new != old {
                    tally.affected += 2;
                    trx_change(session, Change::Update(name, key, new));
                } else if session.found_rows {
                    tally.affected += 1;
                }
            }
            Some(_) if insert.ignore => {
                tally.duplicates += 1;
                session.warn(&SqlError::duplicate(&key.display()));
            }
            Some(_) => return Err(SqlError::duplicate(&key.display()).into()),
        }
        Ok(())
    }

    /// A row after SET. Each assignment sees the ones before it, as in MySQL.
    fn assigned(
        &self,
        turn: Turn<'_>,
        session: &mut Session,
        def: &TableDef,
        set: &[(String, Expr)],
        row: &Row,
    ) -> Result<Row, Stop> {
        let mut row = Rc::clone(row);
        for (name, expr) in set {
            let column =
                def.column(name).ok_or_else(|| SqlError::unknown_column(self.config.flavor, name, Clause::Set))?;
            let env = self.env(turn, session, Some(def), Clause::Set);
            let value = fit(self.config.flavor, def, column, env.eval(expr, Input::Row(&row))?)?;
            let insert_id = env.insert_id.get();
            if insert_id.is_some() {
                session.statement_insert_id = insert_id;
            }
            let mut values = row.to_vec();
            values[column] = value;
            row = Row::from(values);
        }
        Ok(row)
    }

    pub(super) fn update(&mut self, turn: Turn<'_>, session: &mut Session, update: &Update) -> Done {
        let (def, id) = self.writable_table(session, &update.table)?;
        for (name, _) in &update.set {
            def.column(name).ok_or_else(|| SqlError::unknown_column(self.config.flavor, name, Clause::Set))?;
        }
        let scan = Scan {
            def: &def,
            id,
            filter: update.filter.as_ref(),
            mode: Mode::Exclusive,
            writes: true,
            semi_consistent: true,
        };
        let rows = self.find_locked(turn, session, &scan)?;
        let limit = update.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (mut matched, mut changed) = (0u64, 0u64);
        for (key, old) in rows.into_iter().take(limit) {
            matched += 1;
            let new = self.assigned(turn, session, &def, &update.set, &old)?;
            if new != old {
                changed += 1;
                self.write_row(turn, session, &def, id, key, new)?;
            }
        }
        let affected = if session.found_rows { matched } else { changed };
        let insert_id = session.statement_insert_id.and_then(|id| u64::try_from(id).ok()).unwrap_or(0);
        let numbers = &mut [itoa::Buffer::new(); 3];
        let [m, c, w] = numbers;
        let (m, c, w) = (m.format(matched), c.format(changed), w.format(session.warning_count()));
        let info = ["Rows matched: ", m, "  Changed: ", c, "  Warnings: ", w].concat();
        Ok(Body::Ok { affected, insert_id, info })
    }

    fn write_row(
        &mut self,
        turn: Turn<'_>,
        session: &mut Session,
        def: &Rc<TableDef>,
        id: u32,
        key: Value,
        new: Row,
    ) -> Result<(), Stop> {
        let name = Rc::clone(&def.reference);
        let new_key = def.primary_key.map_or_else(|| key.clone(), |column| new[column].clone());
        if new_key == key {
            session.transaction().change(id, Change::Update(name, key, new));
            return Ok(());
        }
        let lock = (id, new_key.clone());
        let taken = self.current(session, def, &lock).is_some();
        let mode = if taken { Mode::Shared } else { Mode::Exclusive };
        self.lock(turn.now, session, lock.clone(), mode)?;
        if self.current(session, def, &lock).is_some() {
            return Err(SqlError::duplicate(&new_key.display()).into());
        }
        session.transaction().change(id, Change::Delete(Rc::clone(&name), key));
        session.transaction().change(id, Change::Insert(name, new_key, new));
        Ok(())
    }

    pub(super) fn delete(&mut self, turn: Turn<'_>, session: &mut Session, delete: &Delete) -> Done {
        let (def, id) = self.writable_table(session, &delete.table)?;
        let scan = Scan {
            def: &def,
            id,
            filter: delete.filter.as_ref(),
            mode: Mode::Exclusive,
            writes: true,
            semi_consistent: false,
        };
        let rows = self.find_locked(turn, session, &scan)?;
        let limit = delete.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut affected = 0;
        for (key, _) in rows.into_iter().take(limit) {
            affected += 1;
            session.transaction().change(id, Change::Delete(Rc::clone(&def.reference), key));
        }
        Ok(Body::Ok { affected, insert_id: 0, info: String::new() })
    }
}

/// What an INSERT has done so far.
#[derive(Default)]
struct Tally {
    affected: u64,
    duplicates: u64,
    first_generated: Option<i64>,
    /// The last value that was given for the AUTO_INCREMENT column.
    explicit: Option<i64>,
}

impl Tally {
    fn note_id(&mut self, def: &TableDef, row: &Row, generated: Option<i64>) {
        if generated.is_some() {
            self.first_generated = self.first_generated.or(generated);
        } else if let Some(column) = def.columns.iter().position(|column| column.auto_increment) {
            self.explicit = row[column].to_int();
        }
    }
}

/// A value as a column stores it, in strict mode.
fn fit(flavor: Flavor, def: &TableDef, index: usize, value: Value) -> Result<Value, SqlError> {
    let column = &def.columns[index];
    let value = match (column.kind, value) {
        (_, Value::Null) if !column.nullable => return Err(SqlError::not_null(&column.name)),
        (_, Value::Null) => Value::Null,
        (ColumnKind::Text(limit), value) => {
            let text = value.to_bytes().unwrap_or_default();
            let chars = core::str::from_utf8(&text).map_or(text.len(), |text| text.chars().count());
            if chars > limit as usize {
                return Err(SqlError::too_long(&column.name));
            }
            Value::text(text)
        }
        (_, Value::Text(text)) => {
            let number = core::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            let name = &def.reference;
            Value::Int(number.ok_or_else(|| {
                let text = String::from_utf8_lossy(&text);
                SqlError::not_an_integer(flavor, &text, &name.schema, &name.name, &column.name)
            })?)
        }
        (_, number) => number,
    };
    match (column.kind, &value) {
        (ColumnKind::Int, Value::Int(n)) if i32::try_from(*n).is_err() => Err(SqlError::out_of_range(&column.name)),
        _ => Ok(value),
    }
}
