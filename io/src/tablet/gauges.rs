//! What a tablet shows of itself to operators.

/// What operators see of a tablet's pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Requests that got a connection, in all.
    pub granted: u64,
    /// Of these, after a wait.
    pub granted_waited: u64,
    /// Requests that got none, in all.
    pub refused: u64,
    /// Connections opened, in all.
    pub opened: u64,
    /// Connections that could not be opened.
    pub open_failed: u64,
    /// Connections that nobody has now.
    pub idle: u32,
    /// Connections that somebody has now.
    pub busy: u32,
    /// Connections that are being opened.
    pub opening: u32,
    /// Requests that wait now.
    pub waiting: u32,
    /// Kills that the server was told of.
    pub kills: u64,
    /// Kills that it could not be told of, or refused.
    pub kills_failed: u64,
    /// What is not as it should be, in words.
    pub note: Option<String>,
}
