//! What a gateway asks of a tablet for one client command, and what comes back.
//!
//! Owns the messages; knows nothing of sessions, pools or sockets. In one process they are handed over as values;
//! between processes they are gRPC messages. Start with [`Request`], then [`Reply`].

mod collector;
mod digest;
mod interrupt;
mod left;
mod loan;
mod loss;
mod marks;
mod reply;
mod request;
mod settings;

pub use collector::{Collector, OWN_ANSWER_BYTES_MAX, OWN_FORMAT};
pub use digest::{Digest, Digesting};
pub use interrupt::Interrupt;
pub use left::{Asks, CONDITIONS_BYTES_MAX, Condition, Counts, Left, Level};
pub use loan::Loan;
pub use loss::Progress;
pub use marks::{MARKS_KEPT, MARKS_TABLE};
pub use reply::{Ended, Reply};
pub use request::{Caller, ClientFormat, ClientName, Command, LongData, Request, Statement, Wait};
pub use settings::{AccountId, ConnectionClass, ConnectionTraits, Settings};
