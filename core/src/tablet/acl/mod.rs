//! Who may do what to which tables, where all clients share one account of the servers.
//!
//! Owns the rule: a file's groups of tables, a client, what its statement touches, and whether it may. It may not know files, connections or
//! time. Start with [`TableAcl::permits`]; [`ask`] says what of a request is judged.
//!
//! One group decides of a table: that which names it most closely. The rule does not know whether the server tells capital letters from small
//! ones, so a client has to have its right both by the name as it is written and by the name in any case.

mod ask;
mod places;
#[cfg(test)]
mod tests;

pub use ask::{Ask, Known, Server, Subject, ask};
pub use places::{Clash, Pattern};

use crate::error::{Component, Error, Kind};
use crate::link::{Caller, ClientName};
use crate::sql::is_system_schema;
use crate::sql::tables::{Need, Right, Touches};
use places::Places;
use std::collections::BTreeSet;

/// What every client may read: it tells of what there is, and of the server. Rows of tables, statements and the bodies of programs are elsewhere.
const OF_ALL: [&str; 20] = [
    "character_sets",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "columns",
    "engines",
    "global_status",
    "global_variables",
    "key_column_usage",
    "keywords",
    "partitions",
    "plugins",
    "referential_constraints",
    "schemata",
    "session_status",
    "session_variables",
    "sql_functions",
    "statistics",
    "table_constraints",
    "tables",
];
const INFORMATION_SCHEMA: &[u8] = b"information_schema";

/// Users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// All of them, whoever they are.
    pub all: bool,
    /// These.
    pub users: BTreeSet<Vec<u8>>,
}

impl Names {
    fn has(&self, client: Option<&ClientName>) -> bool {
        self.all || client.is_some_and(|client| self.users.contains(&client.user))
    }
}

/// What users may do to the tables of a group. None of it comes with another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// They may see rows and what tables look like.
    pub readers: Names,
    /// They may add, change and remove rows.
    pub writers: Names,
    /// They may make, change and remove tables.
    pub admins: Names,
}

impl Group {
    const fn names(&self, right: Right) -> &Names {
        match right {
            Right::Read => &self.readers,
            Right::Write => &self.writers,
            Right::Admin => &self.admins,
        }
    }
}

/// The rule of one file.
#[derive(Clone, Debug, Default)]
pub struct TableAcl {
    /// They may do anything.
    admins: Names,
    groups: Vec<Group>,
    places: Places,
}

impl TableAcl {
    /// `admins` may do anything; the groups say who else may do what.
    ///
    /// # Errors
    /// When two groups speak of the same.
    pub fn new(admins: Names, groups: Vec<(Vec<Pattern>, Group)>) -> Result<Self, Clash> {
        let mut places = Places::default();
        let mut all = Vec::with_capacity(groups.len());
        for (patterns, group) in groups {
            for pattern in patterns {
                places.add(pattern, all.len())?;
            }
            all.push(group);
        }
        Ok(Self { admins, groups: all, places })
    }

    /// Nothing need be known of what `caller` says.
    #[must_use]
    pub fn permits_all(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Weir => true,
            Caller::Client(client) => self.admins.has(Some(client)),
            Caller::Unknown => self.admins.has(None),
        }
    }

    /// Whether `caller` may run what touches this, where `schema` is the default one.
    ///
    /// # Errors
    /// What a server says of a right that is missing, with no more names than `caller` has given.
    pub fn permits(&self, caller: &Caller, schema: Schema<'_>, touches: &Touches) -> Result<(), Error> {
        if self.permits_all(caller) {
            return Ok(());
        }
        let client = match caller {
            Caller::Client(client) => Some(&**client),
            Caller::Unknown | Caller::Weir => None,
        };
        let Touches::Tables(needs) = touches else { return Err(not_certain()) };
        needs.iter().try_for_each(|need| self.permits_one(client, schema, need))
    }

    fn permits_one(&self, client: Option<&ClientName>, default: Schema<'_>, need: &Need) -> Result<(), Error> {
        let schema = match (&need.schema, default) {
            (Some(schema), _) => schema,
            (None, Schema::Default(schema)) => schema,
            (None, Schema::None) => return Err(Error::new(Component::Tablet, Kind::NoSchema, "No database selected")),
            (None, Schema::Untold) => return Err(not_certain()),
        };
        if is_of_all(schema, need) {
            return Ok(());
        }
        let may = |group: &usize| self.groups.get(*group).is_some_and(|group| group.names(need.right).has(client));
        match self.places.groups_of(schema, &need.table) {
            Some(groups) if groups.iter().all(may) => Ok(()),
            _ => Err(denied(client, schema, need)),
        }
    }
}

/// The schema that a name without one is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema<'a> {
    /// This.
    Default(&'a [u8]),
    /// None was chosen.
    None,
    /// The server does not tell.
    Untold,
}

fn is_of_all(schema: &[u8], need: &Need) -> bool {
    let is_told = || OF_ALL.iter().any(|table| need.table.eq_ignore_ascii_case(table.as_bytes()));
    need.right == Right::Read && schema.eq_ignore_ascii_case(INFORMATION_SCHEMA) && is_told()
}

/// Not meant by `*`, but by their names only.
fn is_apart(schema: &[u8]) -> bool {
    is_system_schema(schema)
}

fn denied(client: Option<&ClientName>, schema: &[u8], need: &Need) -> Error {
    let (user, host) = client.map_or((&b""[..], ""), |client| (&client.user, &client.host));
    let parts = [
        need.command.as_bytes(),
        b" command denied to user '",
        user,
        b"'@'",
        host.as_bytes(),
        b"' for table `",
        schema,
        b"`.`",
        &need.table,
        b"`",
    ];
    Error { message: parts.concat(), ..Error::new(Component::Tablet, Kind::TableAccessDenied, "") }
}

fn not_certain() -> Error {
    let message = "Access denied; what tables this statement touches is not certain, so you need to be among the top-level admins of the \
                   tablet's --table-acl for this operation";
    Error::new(Component::Tablet, Kind::MissingPrivilege, message)
}
