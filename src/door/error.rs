use super::InputRole;
use std::{error::Error, io, time::Duration};

/// Why the strike or an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The named chip is not there.
    #[error("{chip}: no such GPIO chip; {found} (gpiodetect lists them)")]
    NoChip {
        /// The path that was named.
        chip: String,
        /// What is there instead, as the end of a sentence.
        found: String,
    },
    /// The path leads to something else.
    #[error("{0}: not a GPIO chip; name one of those that gpiodetect lists")]
    NotAChip(String),
    /// The process may not open the chip.
    #[error(
        "{path}: no permission; put the user that facelatch runs as into its group (`sudo usermod -aG \
         gpio facelatch`) and start it again; in a systemd unit with DevicePolicy=closed allow \
         `DeviceAllow=char-gpiochip rw` as well"
    )]
    Permission {
        /// The device file.
        path: String,
    },
    /// The chip has fewer lines.
    #[error("{chip} has lines 0 to {last}, not {line}; `gpioinfo` shows what they are called")]
    NoLine {
        /// The chip.
        chip: String,
        /// The line that was named.
        line: u32,
        /// The last one there is.
        last: u32,
    },
    /// Another process or a driver of the kernel has the line.
    #[error(
        "line {line} of {chip} is held by {holder:?}; stop that (a second facelatch? an overlay in \
         config.txt?) or wire to another line"
    )]
    Busy {
        /// The chip.
        chip: String,
        /// The line.
        line: u32,
        /// What the holder calls itself, which the kernel passes on; may be empty.
        holder: String,
    },
    /// Something else went wrong with a line.
    #[error("{line}: cannot {doing}: {source}")]
    Line {
        /// Which.
        line: String,
        /// What was attempted.
        doing: &'static str,
        /// What the library below said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// rppal does not know this machine.
    #[error(
        "rppal:{0}: this is no Raspberry Pi that rppal knows; name the line as gpiocdev:/dev/gpiochip0:{0}"
    )]
    NotAPi(u8),
    /// The program was built without rppal.
    #[error(
        "rppal:{0}: this facelatch was built without rppal; name the line as \
         gpiocdev:/dev/gpiochip0:{0}, or build with --features rppal"
    )]
    NoRppal(u8),
    /// Inputs of different kinds were named together.
    #[error(
        "{0} and {1} are of different kinds (gpiocdev, rppal, sim); name all inputs by the same one"
    )]
    MixedKinds(InputRole, InputRole),
    /// Two inputs were put on the same line.
    #[error("{0} and {1} name the same line; give each its own")]
    SharedLine(InputRole, InputRole),
    /// A limit that is none.
    #[error("a strike that is bound to {0:?} is of no use; bind it to 1 ms up to 1 h")]
    Bound(Duration),
    /// The watching thread cannot be started.
    #[error("no thread for the strike's guard: {0}; look at the limits of the unit (TasksMax)")]
    Thread(#[source] io::Error),
}
