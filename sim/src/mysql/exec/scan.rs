//! How rows are found, and locked on the way, for every statement that needs some.

use super::super::error::Clause;
use super::super::locks::LockKey;
use super::super::locks::Mode;
use super::super::server::{Server, Stop};
use super::super::session::{Isolation, Session};
use super::super::sql::{Expr, Operator, TableName};
use super::super::tables::{TableDef, View};
use super::super::value::{Row, Value};
use super::super::variables::known;
use super::Turn;
use super::eval::{Env, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A search for rows to lock.
pub(super) struct Scan<'a> {
    pub(super) def: &'a TableDef,
    pub(super) id: u32,
    pub(super) filter: Option<&'a Expr>,
    pub(super) mode: Mode,
    /// Rows are changed one by one as they are locked, so a wait comes after the rows before it were changed.
    pub(super) writes: bool,
    /// At READ COMMITTED, do not wait for rows whose committed version does not match: UPDATE does so.
    pub(super) semi_consistent: bool,
}

impl Server {
    /// Finds and locks rows, as they are once they are locked.
    ///
    /// Every row that is looked at is locked, in key order; READ COMMITTED lets those go again that do not match.
    pub(super) fn find_locked(
        &mut self,
        turn: Turn<'_>,
        session: &mut Session,
        scan: &Scan<'_>,
    ) -> Result<Vec<(Value, Row)>, Stop> {
        let committed = session.transaction().isolation == Isolation::ReadCommitted;
        let no_wait = session.values.int(const { known("innodb_lock_wait_timeout") }) == 0;
        let (keys, named) = self.looked_at(turn, session, scan);
        let mut found = Vec::new();
        for key in keys {
            let lock = (scan.id, key);
            let row = self.current(session, scan.def, &lock);
            let env = self.env(turn, session, Some(scan.def), Clause::Where);
            let matches = row.as_ref().map_or(Ok(false), |row| env.passes(scan.filter, row))?;
            let taken = self.locks.is_held_by_other(&lock, session.id, scan.mode);
            let may_pass_by = scan.semi_consistent && committed && !named && !no_wait;
            if !taken && row.is_none() || taken && !matches && may_pass_by {
                continue;
            }
            let before = self.locks.held(&lock, session.id);
            let locked = self.lock(turn.now, session, lock.clone(), scan.mode);
            if locked.is_err() && scan.writes && !found.is_empty() {
                session.transaction().logged = true;
            }
            locked?;
            if let Some(row) = row.filter(|_| matches) {
                found.push((lock.1, row));
            } else if committed {
                if before.is_none() {
                    session.transaction().locks.retain(|held| *held != lock);
                }
                let next = self.locks.put_back(&lock, session.id, before);
                self.ready.extend(next);
            }
        }
        Ok(found)
    }

    /// The keys that a search looks at, others' uncommitted rows among them; and whether the filter names them.
    fn looked_at(&self, turn: Turn<'_>, session: &Session, scan: &Scan<'_>) -> (Vec<Value>, bool) {
        let env = self.env(turn, session, Some(scan.def), Clause::Where);
        if let Some(keys) = scan.filter.and_then(|filter| points(&env, scan.def, filter)) {
            return (keys, true);
        }
        let mut keys: BTreeSet<Value> = self.locks.held_by_others(scan.id, session.id).cloned().collect();
        if let Some(table) = self.tables.get(&scan.def.reference.schema, &scan.def.reference.name) {
            keys.extend(table.rows(View::Latest).map(|(key, _)| key.clone()));
        }
        let own = session.trx.iter().flat_map(|trx| trx.overlay.keys());
        keys.extend(own.filter(|(table, _)| *table == scan.id).map(|(_, key)| key.clone()));
        (keys.into_iter().collect(), false)
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
        let env = self.env(turn, session, Some(def), Clause::Where);
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
