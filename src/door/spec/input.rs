use super::{
    SpecError, SpecFault,
    line::{Line, Wire},
    parse_time,
};
use std::{fmt, str::FromStr, time::Duration};

/// How long an input must stay as it is before that is believed. 30 ms: reed contacts and buttons
/// bounce for 1 to 10 ms, and nobody presses a button for less.
pub const DEFAULT_DEBOUNCE: Duration = Duration::from_millis(30);
/// What is slower than this is no switch.
pub const LONGEST_DEBOUNCE: Duration = Duration::from_millis(1000);

/// The resistor inside the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// To the supply: for a switch to ground.
    Up,
    /// To ground: for a switch to the supply.
    Down,
}

/// Which line an input is on, as text: a line as in a [`LockSpec`](super::LockSpec), and after commas
/// `active-low` and `even-uart` as there, and
///
/// - `pull-up`, `pull-down`: the resistor inside the chip. Without either, gpiocdev leaves it as it is
///   and rppal turns it off; an input with no resistor at all floats, and a button that floats presses
///   itself;
/// - `debounce=50ms`: 0 to 1000 ms, 30 ms where nothing is said.
///
/// An input is active when the door is open, the button pressed, the case open. So a reed contact to
/// ground that the closed door closes is `…,pull-up`, and a button to ground `…,active-low,pull-up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    wire: Wire,
    pull: Option<Pull>,
    debounce: Duration,
}

impl InputSpec {
    /// The line.
    pub fn line(&self) -> &Line {
        &self.wire.line
    }

    /// Whether the input is active while the line is low.
    pub fn active_low(&self) -> bool {
        self.wire.active_low
    }

    /// The resistor inside the chip; `None` where nothing was said.
    pub fn pull(&self) -> Option<Pull> {
        self.pull
    }

    /// How long the line must stay as it is before that is believed.
    pub fn debounce(&self) -> Duration {
        self.debounce
    }
}

impl FromStr for InputSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        const OPTIONS: [&str; 5] =
            ["active-low", "pull-up", "pull-down", "debounce=30ms", "even-uart"];
        let (mut pull, mut debounce) = (None, None);
        let wire = Wire::parse(text, &OPTIONS, |option| {
            let repeated = match option {
                "pull-up" => pull.replace(Pull::Up).is_some(),
                "pull-down" => pull.replace(Pull::Down).is_some(),
                _ => match option.strip_prefix("debounce=") {
                    Some(time) => debounce.replace(parse_debounce(time)?).is_some(),
                    None => return Ok(false),
                },
            };
            if repeated { Err(SpecFault::Repeated(option.into())) } else { Ok(true) }
        })?;
        Ok(Self { wire, pull, debounce: debounce.unwrap_or(DEFAULT_DEBOUNCE) })
    }
}

/// Whole milliseconds: what is finer means nothing to a switch.
fn parse_debounce(text: &str) -> Result<Duration, SpecFault> {
    parse_time(text)
        .filter(|time| *time <= LONGEST_DEBOUNCE && time.subsec_nanos() % 1_000_000 == 0)
        .ok_or_else(|| SpecFault::Debounce(text.into()))
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wire.write(f)?;
        match self.pull {
            Some(Pull::Up) => f.write_str(",pull-up")?,
            Some(Pull::Down) => f.write_str(",pull-down")?,
            None => {}
        }
        if self.debounce != DEFAULT_DEBOUNCE {
            write!(f, ",debounce={}ms", self.debounce.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_are_read_in_any_order_and_shown_in_one() {
        let spec: InputSpec =
            "gpiocdev:/dev/gpiochip0:27,debounce=50ms,pull-up,active-low".parse().unwrap();
        assert_eq!(spec.pull(), Some(Pull::Up));
        assert_eq!(spec.debounce(), Duration::from_millis(50));
        assert!(spec.active_low());
        assert_eq!(spec.to_string(), "gpiocdev:/dev/gpiochip0:27,active-low,pull-up,debounce=50ms");
    }

    #[test]
    fn an_input_of_which_nothing_is_said_is_debounced_by_30_ms() {
        let spec: InputSpec = "rppal:27".parse().unwrap();
        assert_eq!((spec.debounce(), spec.pull()), (Duration::from_millis(30), None));
    }

    #[test]
    fn options_that_make_no_sense_are_refused_for_their_reason() {
        let s = String::from;
        let cases = [
            ("pull-up,pull-down", SpecFault::Repeated(s("pull-down"))),
            ("pull-up,pull-up", SpecFault::Repeated(s("pull-up"))),
            ("debounce=1ms,debounce=2ms", SpecFault::Repeated(s("debounce=2ms"))),
            ("debounce=", SpecFault::Debounce(s(""))),
            ("debounce=50", SpecFault::Debounce(s("50"))),
            ("debounce=1001ms", SpecFault::Debounce(s("1001ms"))),
            ("debounce=0.5ms", SpecFault::Debounce(s("0.5ms"))),
            ("pullup", SpecFault::UnknownOption { option: s("pullup"), nearest: "pull-up" }),
            (
                "bounce=9ms",
                SpecFault::UnknownOption { option: s("bounce=9ms"), nearest: "debounce=30ms" },
            ),
        ];
        for (options, expected) in cases {
            let error = format!("rppal:27,{options}").parse::<InputSpec>().unwrap_err();
            assert_eq!(error.fault, expected, "{options}");
        }
        assert!("rppal:14".parse::<InputSpec>().is_err());
        assert!("sim:,pull-up".parse::<InputSpec>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(
            line in prop_oneof!["gpiocdev:/dev/[a-z0-9]{1,9}:[0-9]{1,3}", "rppal:[0-9]{1,2}", "sim:"],
            flags in prop::sample::subsequence(vec![",even-uart", ",active-low"], 0..=2),
            pull in prop::sample::select(vec!["", ",pull-up", ",pull-down"]),
            debounce in prop::option::of(0u32..=1000),
        ) {
            let debounce = debounce.map_or(String::new(), |ms| format!(",debounce={ms}ms"));
            if let Ok(spec) = format!("{line}{debounce}{pull}{}", flags.concat()).parse::<InputSpec>() {
                prop_assert_eq!(spec.to_string().parse::<InputSpec>().unwrap(), spec);
            }
        }
    }
}
