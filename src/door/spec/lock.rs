use super::{
    SpecError,
    line::{Line, Wire},
};
use std::{fmt, str::FromStr};

/// Which line the strike is on, as text: `gpiocdev:/dev/gpiochip0:17`, `rppal:17` or `sim:`, and after
/// commas
///
/// - `active-low`: the strike is energised while the line is low, as most relay boards are;
/// - `even-uart`: take GPIO14 or 15, which are refused otherwise, as a Raspberry Pi's serial console
///   toggles them at every boot.
///
/// On a Raspberry Pi take one of GPIO9 to 27 for an active-high strike and one of GPIO0 to 8 for an
/// active-low one: until facelatch opens the line, it is an input that the former pull down and the
/// latter pull up (BCM2835 ARM Peripherals, page 102).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockSpec(Wire);

impl LockSpec {
    /// The line.
    pub fn line(&self) -> &Line {
        &self.0.line
    }

    /// Whether the strike is energised while the line is low.
    pub fn active_low(&self) -> bool {
        self.0.active_low
    }
}

impl FromStr for LockSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Wire::parse(text, &["active-low", "even-uart"], |_| Ok(false)).map(Self)
    }
}

impl fmt::Display for LockSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::SpecFault;
    use proptest::prelude::*;

    fn fault(text: &str) -> SpecFault {
        text.parse::<LockSpec>().unwrap_err().fault
    }

    #[test]
    fn each_kind_is_read() {
        let cdev: LockSpec = "gpiocdev:/dev/gpiochip0:17,active-low".parse().unwrap();
        let Line::Gpiocdev { chip, offset } = cdev.line() else { panic!("{cdev:?}") };
        assert_eq!((chip.as_str(), offset.get(), cdev.active_low()), ("/dev/gpiochip0", 17, true));
        let rppal: LockSpec = "rppal:22".parse().unwrap();
        assert!(matches!(rppal.line(), Line::Rppal(pin) if pin.get() == 22) && !rppal.active_low());
        assert_eq!("sim:".parse::<LockSpec>().unwrap().line(), &Line::Sim);
    }

    #[test]
    fn what_makes_no_sense_is_refused_for_its_reason() {
        let s = String::from;
        let cases = [
            ("gpiocdev", SpecFault::NoLine),
            ("gpiocdev:17", SpecFault::NoLine),
            ("gpiocdev:gpiochip0:17", SpecFault::Chip(s("gpiochip0"))),
            ("gpiocdev:/dev/:17", SpecFault::Chip(s("/dev/"))),
            ("gpiocdev:/dev/../etc/x:17", SpecFault::Chip(s("/dev/../etc/x"))),
            ("gpiocdev:/dev/gpiochip0:", SpecFault::Offset(s(""))),
            ("gpiocdev:/dev/gpiochip0:+7", SpecFault::Offset(s("+7"))),
            ("gpiocdev:/dev/gpiochip0:1024", SpecFault::Offset(s("1024"))),
            ("rppal:", SpecFault::Pin(s(""))),
            ("rppal:58", SpecFault::Pin(s("58"))),
            ("rppal:273", SpecFault::Pin(s("273"))),
            ("rppal:GPIO17", SpecFault::Pin(s("GPIO17"))),
            ("sim:17", SpecFault::NotAlone),
            ("sim:,active-low", SpecFault::NotAlone),
            ("gpio:17", SpecFault::UnknownKind { kind: s("gpio"), nearest: "gpiocdev" }),
            ("", SpecFault::UnknownKind { kind: s(""), nearest: "sim" }),
            ("rppal:17,low", SpecFault::UnknownOption { option: s("low"), nearest: "active-low" }),
            ("rppal:17,", SpecFault::UnknownOption { option: s(""), nearest: "even-uart" }),
            ("rppal:17,active-low,active-low", SpecFault::Repeated(s("active-low"))),
        ];
        for (text, expected) in cases {
            assert_eq!(fault(text), expected, "{text}");
        }
    }

    #[test]
    fn the_console_lines_are_refused_with_the_reason_unless_asked_for() {
        for text in
            ["gpiocdev:/dev/gpiochip0:14", "gpiocdev:/dev/gpiochip0:15", "rppal:14", "rppal:15"]
        {
            let error = text.parse::<LockSpec>().unwrap_err();
            assert!(matches!(error.fault, SpecFault::Uart(14 | 15)), "{error}");
            assert!(error.to_string().contains("toggles it at every boot"), "{error}");
            assert!(format!("{text},even-uart").parse::<LockSpec>().is_ok());
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(
            line in prop_oneof![
                "gpiocdev:/dev/[a-z0-9:]{1,9}(/[a-z]{1,3})?:(1023|[0-9]{1,3})", "rppal:[0-9]{1,2}", "sim:",
            ],
            flags in prop::sample::subsequence(vec![",even-uart", ",active-low"], 0..=2).prop_shuffle(),
        ) {
            if let Ok(spec) = format!("{line}{}", flags.concat()).parse::<LockSpec>() {
                prop_assert_eq!(spec.to_string().parse::<LockSpec>().unwrap(), spec);
            }
        }
    }
}
