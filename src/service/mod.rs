//! What the daemon needs of the system it runs on, and the loops that join all stages.

pub mod audit;
mod clock;
mod control;
mod daemon;
mod entry;
mod eyes;
mod house;
mod keeper;
mod peek;
mod replay;
mod timetable;

pub use clock::{Clock, wall};
pub use control::{Answer, FrameHead, Request, Status, ask, socket_path};
pub use daemon::{Daemon, DaemonError, Rules, event_of, hang_up_on_signal, stop_on_signals};
pub use entry::KINDS;
pub use eyes::{Eyes, Reload, Sight};
pub use house::House;
pub use keeper::{GUARD, Keeper, News};
pub use peek::{Borrowed, Peek};
pub use replay::{ReplayError, replay};
/// How large the audit log may grow, as the configuration says.
pub fn audit_limits(config: &crate::config::Audit) -> audit::Limits {
    audit::Limits { file_bytes: config.file_kib << 10, files: config.files }
}

pub use timetable::{TimetableError, timetable};
