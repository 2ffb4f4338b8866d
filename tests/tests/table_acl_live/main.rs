//! Who may touch which tables: what Weir decides from a file, against what a server decides from grants that say the same, and as clients
//! of a gateway find it.

mod clients;
mod corpus;
mod differential;
