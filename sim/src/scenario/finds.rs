//! What orchestrators must find wrong in a scenario, and when.

use super::{Span, is_default};
use serde::{Deserialize, Serialize};
use weir_core::orch::analysis::Code;

/// A finding. Times count from the moment that clients begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finds {
    /// What.
    pub code: Code,
    /// With which server's tablet.
    pub tablet: u16,
    /// What is found only before this does not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Span,
    /// It has been found by then; when not said, at any time, also before clients begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Span>,
    /// It is over by then, for good. When not said, it may stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}
