//! What the daemon needs of the system it runs on.

pub mod audit;
