//! What people look at: the causal story of a failure, and pictures of a run.
//!
//! Works on a run's trace, after the fact. [`messages`] pairs what was sent with what arrived, [`label`] says what a message was,
//! [`story`] follows an answer back to its request, and [`picture`] is what [`html`] and [`perfetto`] draw.

pub mod html;
pub mod label;
pub mod messages;
pub mod perfetto;
pub mod picture;
pub mod story;

#[cfg(test)]
mod tests;
