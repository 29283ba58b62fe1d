//! The strike and the inputs beside it: lines that are written and read here and nowhere else.

mod clock;
mod debounce;
mod error;
mod input;
mod spec;

pub use clock::monotonic;
pub use debounce::{Debouncer, Settled};
pub use error::DoorError;
pub use input::{InputEvent, InputKind, InputRole, Inputs};
pub use spec::{
    BcmPin, ChipPath, DEFAULT_DEBOUNCE, InputSpec, LONGEST_DEBOUNCE, Line, LineOffset, LockSpec,
    Pull, SpecError, SpecFault,
};

/// The strike. Opening one drives its line inactive before anything else, and dropping one does so
/// again.
pub trait Lock: Send {
    /// Energises the strike, until [`lock`](Self::lock). Energising it again changes nothing.
    ///
    /// # Errors
    /// [`DoorError::Line`]; whether the strike is energised is not known then, so lock it.
    fn unlock(&mut self) -> Result<(), DoorError>;

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

    fn lock(&mut self) -> Result<(), DoorError> {
        (**self).lock()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
