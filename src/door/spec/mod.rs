//! Lines and their options as text, the same way on the command line and in the configuration.

mod input;
mod line;
mod lock;
mod nearest;

pub use input::{DEFAULT_DEBOUNCE, InputSpec, LONGEST_DEBOUNCE, Pull};
pub use line::{BcmPin, ChipPath, Line, LineOffset};
pub use lock::LockSpec;

use std::time::Duration;

/// What is wrong with the text of a [`LockSpec`] or an [`InputSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{spec:?}: {fault}")]
pub struct SpecError {
    /// The whole text.
    pub spec: String,
    /// What is wrong with it.
    pub fault: SpecFault,
}

/// See [`SpecError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    /// The part before the first colon is none of the known kinds.
    #[error(
        "there is no kind {kind:?}; did you mean {nearest}? (gpiocdev:/dev/gpiochip0:17, rppal:17, sim:)"
    )]
    UnknownKind {
        /// What was written.
        kind: String,
        /// The known one that is written most alike.
        nearest: &'static str,
    },
    /// gpiocdev without chip and line.
    #[error("gpiocdev wants a chip and a line, as in gpiocdev:/dev/gpiochip0:17")]
    NoLine,
    /// The chip is no path below /dev.
    #[error(
        "the chip {0:?} is no path below /dev; gpiodetect lists the chips, the first is /dev/gpiochip0"
    )]
    Chip(String),
    /// The line is no number, or one that no chip has.
    #[error("the line {0:?} is no whole number up to 1023; gpioinfo lists the lines of a chip")]
    Offset(String),
    /// The pin is no GPIO of a Raspberry Pi.
    #[error("the pin {0:?} is no BCM number from 0 to 57; pinout shows where which one is")]
    Pin(String),
    /// sim with something after its colon.
    #[error("sim: stands alone, without line and options")]
    NotAlone,
    /// The serial console's lines.
    #[error(
        "GPIO{0} is a line of the Raspberry Pi's serial console, which toggles it at every boot; wire to \
         another line, or add ,even-uart if the console is off"
    )]
    Uart(u32),
    /// There is no such option here.
    #[error("there is no option {option:?} here; did you mean {nearest}?")]
    UnknownOption {
        /// What was written.
        option: String,
        /// The known one that is written most alike.
        nearest: &'static str,
    },
    /// An option that is there already, or contradicts one that is.
    #[error("{0:?} is said twice or against another option; say each thing once")]
    Repeated(String),
    /// The time is no number with a unit, or too long.
    #[error("{0:?} is no time from 0ms to 1000ms, as in debounce=30ms")]
    Debounce(String),
}

/// A time such as `30ms`, `2s` or `12.5s`, to the nanosecond. `None` for anything else, for more than
/// 9 digits on either side of the point as well.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1_000_000),
        None => (text.strip_suffix('s')?, 1_000_000_000u64),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |d: &str| (1..=9).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let part_nanos = part.parse::<u64>().ok()? * unit / 10u64.pow(part.len() as u32);
    Some(Duration::from_nanos(whole.parse::<u64>().ok()? * unit + part_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_with_their_unit_and_never_without() {
        let cases = [
            ("0ms", Some(0)),
            ("30ms", Some(30_000_000)),
            ("2s", Some(2_000_000_000)),
            ("12.5s", Some(12_500_000_000)),
            ("0.000000001s", Some(1)),
            ("999999999.999999999s", Some(999_999_999_999_999_999)),
            ("30", None),
            ("ms", None),
            (".5s", None),
            ("1.s", None),
            ("-1s", None),
            ("+1s", None),
            ("1 s", None),
            ("1000000000s", None),
            ("1e3s", None),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_time(text), nanos.map(Duration::from_nanos), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_panic(text in "\\PC*", near in "(gpiocdev|rppal|sim)?:[/a-z0-9:,.=-]{0,40}") {
            for text in [&text, &near] {
                let errors = [text.parse::<LockSpec>().err(), text.parse::<InputSpec>().err()];
                for error in errors.into_iter().flatten() {
                    prop_assert!(!error.to_string().contains('\n'));
                }
                let _ = parse_time(text);
            }
        }
    }
}
