//! What the daemon needs of the system it runs on, and the loops that join all stages.

pub mod audit;
mod clock;
mod daemon;
mod entry;
mod house;
mod keeper;
mod replay;
mod timetable;

pub use clock::{Clock, wall};
pub use daemon::{Daemon, DaemonError, stop_on_signals};
pub use house::House;
pub use keeper::{Keeper, News};
pub use replay::replay;
pub use timetable::{TimetableError, timetable};
