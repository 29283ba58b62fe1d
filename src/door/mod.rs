//! The strike and the inputs beside it: lines that are written and read here and nowhere else.
//!
//! A [`LockSpec`] opens a [`Lock`], an [`InputWiring`] opens [`Inputs`]; both are texts in the
//! configuration. A [`BoundedLock`] goes around every strike that a person can be on either side of.
//!
//! # What a destructor cannot promise
//!
//! Every lock here locks when it is dropped, and [`BoundedLock`] locks by itself. Neither happens when
//! the process is killed with SIGKILL (`kill -9`, the kernel short of memory, systemd after
//! `TimeoutStopSec`), aborts, or hangs in the kernel, and on a board that has frozen nothing runs at
//! all. What the line does then is up to others:
//!
//! - **gpiocdev**: the kernel takes the line back, and its level is undefined from then on. The
//!   upstream drivers make it an input; the kernel of Raspberry Pi OS leaves it **driven as it was**,
//!   so an energised strike stays energised (raspberrypi/linux pull requests 6117 and 6150). There,
//!   `dtparam=strict_gpiod` in config.txt makes it an input as upstream does. After an orderly end it
//!   is inactive at first, then one of the two.
//! - **rppal**: registers stay as they were last written, energised included. After an orderly end the
//!   pin is an output that is driven inactive, as rppal's own reset on drop is turned off here.
//! - **Power**: from power-on until facelatch opens the line it is an input, with the pull that the
//!   board gives it.
//!
//! So a door needs two things that are no part of this program: a resistor outside the board that pulls
//! the line to where the strike is at rest (10 kΩ to ground for an active-high strike), and, in the
//! unit of the daemon, `ExecStopPost=facelatch lock`, which systemd runs after every end of it, a kill
//! as well, and which does no more than open the strike's line, and so drive it inactive.

mod bounded;
mod cdev;
mod clock;
mod debounce;
mod debounced;
mod error;
mod input;
mod open;
#[cfg(feature = "rppal")]
mod raspberry;
mod script;
mod sim;
mod spec;

use std::time::Duration;

pub use bounded::{BoundedLock, Interventions};
pub use clock::monotonic;
pub use debounce::{Debouncer, Settled};
pub use error::DoorError;
pub use input::{InputEvent, InputKind, InputRole, Inputs};
pub use open::InputWiring;
pub use script::{Script, ScriptError, ScriptFault, ScriptedInputs};
pub use sim::{SimInputs, SimLock, SimPanel, SimTimeline, StrikeState};
pub use spec::{
    BcmPin, ChipPath, DEFAULT_DEBOUNCE, InputSpec, LONGEST_DEBOUNCE, Line, LineOffset, LockSpec,
    Pull, SpecError, SpecFault,
};

/// The strike. Opening one drives its line inactive before anything else, and dropping one does so
/// again; see [what a destructor cannot promise](self#what-a-destructor-cannot-promise).
pub trait Lock: Send {
    /// Energises the strike, until [`lock`](Self::lock). Energising it again changes nothing.
    ///
    /// # Errors
    /// [`DoorError::Line`]; whether the strike is energised is not known then, so lock it.
    fn unlock(&mut self) -> Result<(), DoorError>;

    /// [`unlock`](Self::unlock) for `most` from now on: a strike that can time itself locks then, should
    /// nobody else have.
    ///
    /// # Errors
    /// As for [`unlock`](Self::unlock).
    fn unlock_for(&mut self, most: Duration) -> Result<(), DoorError> {
        let _ = most;
        self.unlock()
    }

    /// Drives the line inactive, whether or not it is.
    ///
    /// # Errors
    /// [`DoorError::Line`]; the strike may still be energised then.
    fn lock(&mut self) -> Result<(), DoorError>;

    /// Where the strike is, for the log.
    fn describe(&self) -> String;
}

impl<L: Lock + ?Sized> Lock for Box<L> {
    fn unlock(&mut self) -> Result<(), DoorError> {
        (**self).unlock()
    }

    fn unlock_for(&mut self, most: Duration) -> Result<(), DoorError> {
        (**self).unlock_for(most)
    }

    fn lock(&mut self) -> Result<(), DoorError> {
        (**self).lock()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
