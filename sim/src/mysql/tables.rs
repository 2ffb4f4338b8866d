//! Committed data: schemas, tables and the versions of their rows.
//!
//! A row keeps an old version only while a snapshot may still see it. Uncommitted changes are not here: a transaction
//! carries them until it commits.

use super::named::Named;
use super::sql::{ColumnDef, ColumnKind};
use super::value::{Row, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Schema and table name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableRef {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
}

/// What a table is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDef {
    /// Its name.
    pub reference: Rc<TableRef>,
    /// Columns in order.
    pub columns: Vec<ColumnDef>,
    /// Index of the primary key's column; without one, rows have a hidden number.
    pub primary_key: Option<usize>,
    /// Its trigger, if it has one.
    pub trigger: Option<Trigger>,
}

/// A BEFORE INSERT trigger, which does the one thing that triggers do to a session: it sets a user variable, to a column's new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The variable.
    pub variable: String,
    /// The column's index.
    pub column: usize,
}

impl TableDef {
    /// Index of a column by name, whatever its case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether a column holds integers.
    #[must_use]
    pub fn is_integer(&self, column: usize) -> bool {
        matches!(self.columns[column].kind, ColumnKind::Int | ColumnKind::BigInt)
    }
}

/// A change of committed data: what the binary log carries, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A row that was not there.
    Insert(Rc<TableRef>, Value, Row),
    /// A row that was there, with its new content.
    Update(Rc<TableRef>, Value, Row),
    /// A row that is gone.
    Delete(Rc<TableRef>, Value),
    /// CREATE TABLE.
    CreateTable(Rc<TableDef>),
    /// CREATE TRIGGER.
    CreateTrigger(Rc<TableRef>, Trigger),
    /// DROP TABLE.
    DropTable(Rc<TableRef>),
    /// TRUNCATE.
    Truncate(Rc<TableRef>),
    /// CREATE DATABASE.
    CreateSchema(String),
    /// DROP DATABASE.
    DropSchema(String),
    /// A definition that found nothing to do; servers log it all the same.
    NoEffect,
}

/// Why a change does not fit the data it meets: histories have diverged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The table is not there.
    NoTable,
    /// The row to change is not there.
    NoRow,
    /// The row to insert is there.
    Duplicate,
    /// The thing to create is there, or the thing to drop is not.
    Definition,
}

/// A table with its rows.
#[derive(Clone, Debug)]
pub struct Table {
    /// Never used twice on a server, so that locks of a dropped table mean nothing to its successor.
    pub id: u32,
    /// What it is made of.
    pub def: Rc<TableDef>,
    /// The next AUTO_INCREMENT value, or hidden row number.
    pub next_auto: i64,
    rows: BTreeMap<Value, Versions>,
    /// Deleted rows that a snapshot may still see.
    dead: BTreeSet<Value>,
}

#[derive(Clone, Debug)]
struct Versions {
    current: Option<Row>,
    /// Commit that wrote the current version.
    since: u64,
    /// Older versions with the commits that wrote them, oldest first.
    older: Vec<(u64, Option<Row>)>,
}

/// Which version of a row is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The last committed one.
    Latest,
    /// The one that was last when this many transactions had committed.
    Snapshot(u64),
}

impl Versions {
    fn at(&self, view: View) -> Option<&Row> {
        match view {
            View::Snapshot(commit) if self.since > commit => {
                let version = self.older.iter().rev().find(|(since, _)| *since <= commit);
                version.and_then(|(_, row)| row.as_ref())
            }
            _ => self.current.as_ref(),
        }
    }
}

impl Table {
    /// A row, as a view shows it.
    #[must_use]
    pub fn row(&self, key: &Value, view: View) -> Option<&Row> {
        self.rows.get(key)?.at(view)
    }

    /// All rows in key order, as a view shows them.
    pub fn rows(&self, view: View) -> impl Iterator<Item = (&Value, &Row)> {
        self.rows.iter().filter_map(move |(key, versions)| Some((key, versions.at(view)?)))
    }

    fn put(&mut self, key: &Value, row: Option<Row>, commit: u64, keep_old: bool) {
        self.note_auto(key, row.as_ref());
        let Some(versions) = self.rows.get_mut(key) else {
            if row.is_some() {
                self.rows.insert(key.clone(), Versions { current: row, since: commit, older: Vec::new() });
            }
            return;
        };
        if keep_old {
            versions.older.push((versions.since, versions.current.take()));
        } else {
            versions.older.clear();
        }
        let gone = row.is_none();
        (versions.current, versions.since) = (row, commit);
        if gone && keep_old {
            self.dead.insert(key.clone());
        } else if gone {
            self.rows.remove(key);
        }
    }

    fn note_auto(&mut self, key: &Value, row: Option<&Row>) {
        let Some(row) = row else { return };
        let auto = self.def.columns.iter().position(|column| column.auto_increment);
        let used = match auto {
            Some(column) => row[column].to_int(),
            None if self.def.primary_key.is_none() => key.to_int(),
            None => return,
        };
        self.next_auto = self.next_auto.max(used.unwrap_or(0).saturating_add(1));
    }

    fn purge_dead(&mut self) {
        for key in core::mem::take(&mut self.dead) {
            if self.rows.get(&key).is_some_and(|versions| versions.current.is_none()) {
                self.rows.remove(&key);
            }
        }
    }
}

/// All schemas.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    schemas: Named<Named<Table>>,
    tables_made: u32,
    /// Some table has dead rows.
    has_dead: bool,
}

impl Tables {
    /// A table by name.
    #[must_use]
    pub fn get(&self, schema: &str, name: &str) -> Option<&Table> {
        self.schemas.get(schema)?.get(name)
    }

    /// A table by name, to change its counter.
    pub fn get_mut(&mut self, schema: &str, name: &str) -> Option<&mut Table> {
        self.schemas.get_mut(schema)?.get_mut(name)
    }

    /// Whether a schema is there.
    #[must_use]
    pub fn has_schema(&self, schema: &str) -> bool {
        self.schemas.get(schema).is_some()
    }

    /// Names of all schemas.
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.names()
    }

    /// Names of a schema's tables.
    pub fn names(&self, schema: &str) -> impl Iterator<Item = &str> {
        self.schemas.get(schema).into_iter().flat_map(Named::names)
    }

    /// Whether a change fits what is here.
    ///
    /// # Errors
    /// How it does not fit.
    pub fn check(&self, change: &Change) -> Result<(), Misfit> {
        let table = |name: &TableRef| self.get(&name.schema, &name.name);
        let fits = |fits: bool, misfit| if fits { Ok(()) } else { Err(misfit) };
        match change {
            Change::Insert(name, key, _) => {
                let table = table(name).ok_or(Misfit::NoTable)?;
                fits(table.row(key, View::Latest).is_none(), Misfit::Duplicate)
            }
            Change::Update(name, key, _) | Change::Delete(name, key) => {
                let table = table(name).ok_or(Misfit::NoTable)?;
                fits(table.row(key, View::Latest).is_some(), Misfit::NoRow)
            }
            Change::Truncate(name) | Change::DropTable(name) | Change::CreateTrigger(name, _) => {
                fits(table(name).is_some(), Misfit::NoTable)
            }
            Change::CreateTable(def) => {
                let name = &def.reference;
                fits(self.has_schema(&name.schema) && table(name).is_none(), Misfit::Definition)
            }
            Change::CreateSchema(name) => fits(!self.has_schema(name), Misfit::Definition),
            Change::DropSchema(name) => fits(self.has_schema(name), Misfit::Definition),
            Change::NoEffect => Ok(()),
        }
    }

    /// Applies a change as part of commit number `commit`. Old versions stay when `keep_old`. A change that does not fit is applied as far as
    /// it can be, as a storage engine does that replays its log.
    pub fn apply(&mut self, change: &Change, commit: u64, keep_old: bool) {
        match change {
            Change::Insert(name, key, row) | Change::Update(name, key, row) => {
                if let Some(table) = self.get_mut(&name.schema, &name.name) {
                    table.put(key, Some(Rc::clone(row)), commit, keep_old);
                }
            }
            Change::Delete(name, key) => {
                if let Some(table) = self.get_mut(&name.schema, &name.name) {
                    table.put(key, None, commit, keep_old);
                }
                self.has_dead |= keep_old;
            }
            Change::CreateTable(def) => self.create(def),
            Change::CreateTrigger(name, trigger) => {
                if let Some(table) = self.get_mut(&name.schema, &name.name) {
                    Rc::make_mut(&mut table.def).trigger = Some(trigger.clone());
                }
            }
            Change::DropTable(name) => {
                if let Some(tables) = self.schemas.get_mut(&name.schema) {
                    tables.remove(&name.name);
                }
            }
            Change::Truncate(name) => {
                let def = self.get(&name.schema, &name.name).map(|table| Rc::clone(&table.def));
                def.iter().for_each(|def| self.create(def));
            }
            Change::CreateSchema(name) => {
                self.schemas.get_or_default(name);
            }
            Change::DropSchema(name) => {
                self.schemas.remove(name);
            }
            Change::NoEffect => {}
        }
    }

    fn create(&mut self, def: &Rc<TableDef>) {
        self.tables_made += 1;
        let table = Table {
            id: self.tables_made,
            def: Rc::clone(def),
            next_auto: 1,
            rows: BTreeMap::new(),
            dead: BTreeSet::new(),
        };
        let name = &def.reference;
        self.schemas.get_or_default(&name.schema).insert(&name.name, table);
    }

    /// Drops what only snapshots could see: there are none any more.
    pub fn purge_dead(&mut self) {
        if core::mem::take(&mut self.has_dead) {
            self.schemas.values_mut().flat_map(Named::values_mut).for_each(Table::purge_dead);
        }
    }

    /// What makes all of this out of nothing.
    #[must_use]
    pub fn as_changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.schemas.names().map(str::to_owned).map(Change::CreateSchema).collect();
        for table in self.schemas.values().flat_map(Named::values) {
            changes.push(Change::CreateTable(Rc::clone(&table.def)));
            let name = &table.def.reference;
            let rows = table.rows(View::Latest);
            changes.extend(rows.map(|(key, row)| Change::Insert(Rc::clone(name), key.clone(), Rc::clone(row))));
        }
        changes
    }

    /// All rows of all tables, for checkers that compare servers.
    pub fn contents(&self) -> impl Iterator<Item = (&TableRef, &Value, &Row)> {
        let tables = self.schemas.values().flat_map(Named::values);
        tables.flat_map(|table| table.rows(View::Latest).map(|(key, row)| (&*table.def.reference, key, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> (Tables, Rc<TableRef>) {
        let reference = Rc::new(TableRef { schema: "d".into(), name: "t".into() });
        let column = ColumnDef {
            name: "id".into(),
            kind: ColumnKind::Int,
            nullable: false,
            default: None,
            auto_increment: false,
        };
        let def =
            TableDef { reference: Rc::clone(&reference), columns: vec![column], primary_key: Some(0), trigger: None };
        let mut tables = Tables::default();
        tables.apply(&Change::CreateSchema("d".into()), 1, false);
        tables.apply(&Change::CreateTable(Rc::new(def)), 2, false);
        (tables, reference)
    }

    fn row(n: i64) -> Row {
        Rc::from([Value::Int(n)])
    }

    #[test]
    fn a_snapshot_sees_what_was_there_when_it_was_taken() {
        let (mut tables, t) = tables();
        let key = Value::Int(1);
        tables.apply(&Change::Insert(Rc::clone(&t), key.clone(), row(10)), 3, true);
        tables.apply(&Change::Update(Rc::clone(&t), key.clone(), row(20)), 4, true);
        tables.apply(&Change::Delete(Rc::clone(&t), key.clone()), 5, true);
        let table = tables.get("d", "t").unwrap();
        let at = |commit| table.row(&key, View::Snapshot(commit)).cloned();
        assert_eq!([at(2), at(3), at(4), at(5)], [None, Some(row(10)), Some(row(20)), None]);
        tables.purge_dead();
        assert_eq!(tables.get("d", "t").unwrap().row(&key, View::Snapshot(4)), None);
    }

    #[test]
    fn a_change_that_does_not_fit_is_told() {
        let (mut tables, t) = tables();
        let insert = Change::Insert(Rc::clone(&t), Value::Int(1), row(1));
        assert_eq!(tables.check(&insert), Ok(()));
        tables.apply(&insert, 3, false);
        assert_eq!(tables.check(&insert), Err(Misfit::Duplicate));
        assert_eq!(tables.check(&Change::Delete(Rc::clone(&t), Value::Int(2))), Err(Misfit::NoRow));
        assert_eq!(tables.check(&Change::DropSchema("x".into())), Err(Misfit::Definition));
    }

    #[test]
    fn a_recreated_table_has_a_new_id() {
        let (mut tables, t) = tables();
        let before = tables.get("d", "t").unwrap().id;
        tables.apply(&Change::Truncate(t), 3, false);
        assert_ne!(tables.get("d", "t").unwrap().id, before);
    }
}
