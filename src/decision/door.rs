use super::{policy::DoorPolicy, time::Millis};

/// The door as its contact reports it.
#[derive(Debug)]
pub(super) enum Door {
    /// Not reported yet, or there is no contact.
    Unknown,
    Closed,
    Open {
        since: Millis,
        forced: bool,
    },
}

/// What a report of the contact says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Movement {
    None,
    Opened { forced: bool },
    Closed,
}

impl Door {
    /// Takes a report. An opening is forced where the strike did not let it happen. The first
    /// report is no movement: a door found open at the start was opened before, by nobody knows
    /// whom, and is only watched for being held open.
    pub(super) fn report(&mut self, open: bool, now: Millis, strike_lets: bool) -> Movement {
        let movement = match (&*self, open) {
            (Self::Closed, true) => Movement::Opened { forced: !strike_lets },
            (Self::Open { .. }, false) => Movement::Closed,
            (Self::Unknown, _) | (Self::Closed, false) | (Self::Open { .. }, true) => {
                Movement::None
            }
        };
        match (&*self, open) {
            (Self::Open { .. }, true) => {}
            (_, true) => {
                let forced = movement == Movement::Opened { forced: true };
                *self = Self::Open { since: now, forced };
            }
            (_, false) => *self = Self::Closed,
        }
        movement
    }

    /// Whether it has been open for too long. A forced door is not held open: its alarm is louder.
    pub(super) fn is_held(&self, now: Millis, policy: &DoorPolicy) -> bool {
        self.held_times(policy).is_some_and(|[_, held]| held <= now)
    }

    /// Whether it will soon have been, or has.
    pub(super) fn is_nearly_held(&self, now: Millis, policy: &DoorPolicy) -> bool {
        self.held_times(policy).is_some_and(|[warning, _]| warning <= now)
    }

    /// When one of the two changes next.
    pub(super) fn deadline(&self, now: Millis, policy: &DoorPolicy) -> Option<Millis> {
        self.held_times(policy)?.into_iter().find(|&time| time > now)
    }

    /// When to warn and when to raise the alarm, should it stay open.
    fn held_times(&self, policy: &DoorPolicy) -> Option<[Millis; 2]> {
        match *self {
            Self::Open { since, forced: false } => Some([
                since.after(policy.held_open.saturating_sub(policy.held_open_warning)),
                since.after(policy.held_open),
            ]),
            Self::Open { forced: true, .. } | Self::Unknown | Self::Closed => None,
        }
    }
}
