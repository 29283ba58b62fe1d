use super::{SpecError, SpecFault, nearest::nearest};
use std::fmt;

/// The kinds of lines, as they are written.
const KINDS: [&str; 3] = ["gpiocdev", "rppal", "sim"];
/// More lines than any chip has that a door is wired to (a Raspberry Pi's has 58); the chip itself is
/// asked when it is opened.
const LAST_OFFSET: u32 = 1023;
/// The last GPIO of a BCM2711; 27 is the last on the 40-pin header. rppal knows fewer on other boards
/// and says so when the pin is opened.
const LAST_PIN: u8 = 57;
/// TXD0 and RXD0, where a Raspberry Pi has its serial console.
const UART: [u32; 2] = [14, 15];

/// The path of a GPIO chip, below /dev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipPath(String);

impl ChipPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A line's number on its chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineOffset(u32);

impl LineOffset {
    /// The number, 0 to 1023.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// A GPIO of a Raspberry Pi by its BCM number, which is not its place on the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BcmPin(u8);

impl BcmPin {
    /// The number, 0 to 57.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Which line, and who drives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// By the kernel's GPIO character device: `gpiocdev:/dev/gpiochip0:17`.
    Gpiocdev {
        /// The chip.
        chip: ChipPath,
        /// The line of it.
        offset: LineOffset,
    },
    /// By the registers of a Raspberry Pi: `rppal:17`.
    Rppal(BcmPin),
    /// By nobody: `sim:`.
    Sim,
}

impl Line {
    /// Whether a Raspberry Pi has its serial console on this line, where it is a Raspberry Pi's.
    fn uart(&self) -> Option<u32> {
        let number = match self {
            Self::Gpiocdev { offset, .. } => offset.0,
            Self::Rppal(pin) => u32::from(pin.0),
            Self::Sim => return None,
        };
        UART.contains(&number).then_some(number)
    }

    fn parse(text: &str) -> Result<Self, SpecFault> {
        let (kind, place) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "gpiocdev" => parse_gpiocdev(place),
            "rppal" => match number(place).and_then(|n| u8::try_from(n).ok()) {
                Some(pin @ 0..=LAST_PIN) => Ok(Self::Rppal(BcmPin(pin))),
                _ => Err(SpecFault::Pin(place.into())),
            },
            "sim" if place.is_empty() => Ok(Self::Sim),
            "sim" => Err(SpecFault::NotAlone),
            _ => Err(SpecFault::UnknownKind { kind: kind.into(), nearest: nearest(kind, &KINDS) }),
        }
    }
}

fn parse_gpiocdev(place: &str) -> Result<Line, SpecFault> {
    let (chip, offset) = place.rsplit_once(':').ok_or(SpecFault::NoLine)?;
    let name = chip.strip_prefix("/dev/").unwrap_or("");
    let is_step = |step: &str| !matches!(step, "" | "." | "..");
    if !name.split('/').all(is_step) || name.chars().any(char::is_control) {
        return Err(SpecFault::Chip(chip.into()));
    }
    match number(offset) {
        Some(offset @ 0..=LAST_OFFSET) => {
            Ok(Line::Gpiocdev { chip: ChipPath(chip.into()), offset: LineOffset(offset) })
        }
        _ => Err(SpecFault::Offset(offset.into())),
    }
}

/// Digits and nothing else: what `u32::from_str` takes, without its plus sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpiocdev { chip, offset } => write!(f, "gpiocdev:{}:{}", chip.0, offset.0),
            Self::Rppal(pin) => write!(f, "rppal:{}", pin.0),
            Self::Sim => f.write_str("sim:"),
        }
    }
}

/// What the options of both kinds of specs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub line: Line,
    pub active_low: bool,
    pub even_uart: bool,
}

impl Wire {
    /// Reads LINE,OPTION,OPTION…; an option that is not one of every wire goes to `own`, which says
    /// whether it is one of its own. `options` are all that may stand here, for advice.
    pub fn parse(
        text: &str,
        options: &[&'static str],
        own: impl FnMut(&str) -> Result<bool, SpecFault>,
    ) -> Result<Self, SpecError> {
        Self::read(text, options, own).map_err(|fault| SpecError { spec: text.into(), fault })
    }

    fn read(
        text: &str,
        options: &[&'static str],
        mut own: impl FnMut(&str) -> Result<bool, SpecFault>,
    ) -> Result<Self, SpecFault> {
        let mut parts = text.split(',');
        let line = Line::parse(parts.next().unwrap_or(""))?;
        let mut wire = Self { line, active_low: false, even_uart: false };
        for option in parts {
            let flag = match option {
                _ if wire.line == Line::Sim => return Err(SpecFault::NotAlone),
                "active-low" => &mut wire.active_low,
                "even-uart" => &mut wire.even_uart,
                _ if own(option)? => continue,
                _ => {
                    let nearest = nearest(option, options);
                    return Err(SpecFault::UnknownOption { option: option.into(), nearest });
                }
            };
            if std::mem::replace(flag, true) {
                return Err(SpecFault::Repeated(option.into()));
            }
        }
        match wire.line.uart() {
            Some(number) if !wire.even_uart => Err(SpecFault::Uart(number)),
            _ => Ok(wire),
        }
    }

    /// The line and the flags, to which a spec adds its own.
    pub fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |set, text| if set { text } else { "" };
        let (low, uart) =
            (flag(self.active_low, ",active-low"), flag(self.even_uart, ",even-uart"));
        write!(f, "{}{low}{uart}", self.line)
    }
}
