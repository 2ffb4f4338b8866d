//! The client's side: sessions, authentication, routing.
