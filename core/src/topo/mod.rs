//! Cells, keyspaces, shards, tablets and their roles.
