use super::DoorError;
use std::{fmt, time::Duration};

/// What a switch beside the door is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputRole {
    /// The door contact: active while the door stands open.
    DoorContact,
    /// The request-to-exit button (REX): active while it is pressed.
    RequestToExit,
    /// The tamper switch: active while the case is open.
    Tamper,
}

impl InputRole {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::DoorContact, Self::RequestToExit, Self::Tamper];

    /// What an active or inactive line means for this input.
    pub fn kind(self, active: bool) -> InputKind {
        match self {
            Self::DoorContact => InputKind::DoorContact { open: active },
            Self::RequestToExit => InputKind::RequestToExit { pressed: active },
            Self::Tamper => InputKind::Tamper { active },
        }
    }
}

impl fmt::Display for InputRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DoorContact => "the door contact",
            Self::RequestToExit => "the exit button",
            Self::Tamper => "the tamper switch",
        })
    }
}

/// The state that an input is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// The door contact.
    DoorContact {
        /// Whether the door stands open.
        open: bool,
    },
    /// The request-to-exit button (REX).
    RequestToExit {
        /// Whether it is pressed.
        pressed: bool,
    },
    /// The tamper switch.
    Tamper {
        /// Whether somebody is at the device.
        active: bool,
    },
}

impl InputKind {
    /// Whose state it is.
    pub fn role(self) -> InputRole {
        match self {
            Self::DoorContact { .. } => InputRole::DoorContact,
            Self::RequestToExit { .. } => InputRole::RequestToExit,
            Self::Tamper { .. } => InputRole::Tamper,
        }
    }
}

/// An input has come to a state, and stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputEvent {
    /// The state.
    pub kind: InputKind,
    /// When it came to it, by [`monotonic`](super::monotonic). That lies at least the debounce period
    /// before the event is reported, so events of two inputs can come out of the order of their times.
    pub at: Duration,
}

/// The switches beside the door.
pub trait Inputs: Send {
    /// The next change of an input, debounced, or `None` when there was none within `timeout`. The
    /// first call after opening begins with the state that every input is in, one event each.
    ///
    /// # Errors
    /// [`DoorError::Line`] when a line cannot be read any more.
    fn poll(&mut self, timeout: Duration) -> Result<Option<InputEvent>, DoorError>;
}
