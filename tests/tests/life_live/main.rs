//! What happens to processes that live long: certificates and options that change, questions for their health, and the replacement of
//! their program.

mod certificates;
mod farewell;
mod globals;
mod health;
mod replacement;
mod reread;
