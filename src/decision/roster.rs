use super::{event::PersonId, schedule::Schedule};

/// When somebody is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Never: unknown or disabled.
    Never,
    /// At any time.
    Always,
    /// At these times, and not while the clock is not synchronised.
    Scheduled(Schedule),
}

/// Who is let in when. Asked anew at every decision, so a change holds from the next frame on.
pub trait Roster {
    /// When `person` is let in; [`Permission::Never`] for whoever is unknown.
    fn permission(&self, person: PersonId) -> Permission;
}
