use super::{
    DoorError, InputEvent,
    InputKind::{self, DoorContact, RequestToExit, Tamper},
    InputRole, Inputs,
    clock::monotonic,
    spec::parse_time,
};
use std::{collections::VecDeque, fmt, str::FromStr, thread, time::Duration};

/// What happens at the door, and when: a line each, in the order of time, such as
///
/// ```text
/// 0s door closed      # what is said for 0 s is how it begins; the rest begins at rest
/// 12.5s door open
/// 14s door closed
/// 20s rex pressed
/// 20200ms rex released
/// 30s tamper active
/// 31s tamper clear
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script(Vec<(Duration, InputKind)>);

/// A line of a [`Script`] that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the script: {fault}")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ScriptFault,
}

/// See [`ScriptError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// Not three words, or others than there are.
    #[error(
        "{0:?} is none of door open, door closed, rex pressed, rex released, tamper active, tamper clear \
         after a time, as in 12.5s door open"
    )]
    Words(String),
    /// The first word is no time.
    #[error("{0:?} is no time; write 12.5s or 300ms")]
    Time(String),
    /// It happens before the line above.
    #[error("{0:?} is before the line above; put the lines in the order of time")]
    Order(Duration),
}

impl Script {
    /// What happens, and when, in the order of time.
    pub fn steps(&self) -> &[(Duration, InputKind)] {
        &self.0
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut steps: Vec<(Duration, InputKind)> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let wrong = |fault| ScriptError { line: i + 1, fault };
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let (at, kind) = parse_step(line).map_err(wrong)?;
            if steps.last().is_some_and(|(last, _)| *last > at) {
                return Err(wrong(ScriptFault::Order(at)));
            }
            steps.push((at, kind));
        }
        Ok(Self(steps))
    }
}

const WORDS: [(&str, &str, InputKind); 6] = [
    ("door", "open", DoorContact { open: true }),
    ("door", "closed", DoorContact { open: false }),
    ("rex", "pressed", RequestToExit { pressed: true }),
    ("rex", "released", RequestToExit { pressed: false }),
    ("tamper", "active", Tamper { active: true }),
    ("tamper", "clear", Tamper { active: false }),
];

fn parse_step(line: &str) -> Result<(Duration, InputKind), ScriptFault> {
    let mut words = line.split_whitespace();
    let (time, input, state) = (words.next(), words.next(), words.next());
    let known = WORDS.iter().find(|word| (Some(word.0), Some(word.1)) == (input, state));
    match (time, known, words.next()) {
        (Some(time), Some((.., kind)), None) => {
            Ok((parse_time(time).ok_or_else(|| ScriptFault::Time(time.into()))?, *kind))
        }
        _ => Err(ScriptFault::Words(line.into())),
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, kind) in &self.0 {
            let word = WORDS.iter().find(|word| word.2 == *kind);
            let (input, state, _) = word.expect("every state has its words");
            writeln!(f, "{}.{:09}s {input} {state}", at.as_secs(), at.subsec_nanos())?;
        }
        Ok(())
    }
}

/// Inputs that do what a [`Script`] says, in real time.
#[derive(Debug)]
pub struct ScriptedInputs {
    begun: Duration,
    steps: VecDeque<(Duration, InputKind)>,
}

impl ScriptedInputs {
    /// Starts the script now.
    pub fn new(script: Script) -> Self {
        let is_start = |step: &(Duration, InputKind)| step.0.is_zero();
        let (start, later): (Vec<_>, Vec<_>) = script.0.into_iter().partition(is_start);
        let first = InputRole::ALL.map(|role| {
            let said = start.iter().rev().find(|(_, kind)| kind.role() == role);
            said.copied().unwrap_or((Duration::ZERO, role.kind(false)))
        });
        Self { begun: monotonic(), steps: first.into_iter().chain(later).collect() }
    }

    /// Whether all of it has been reported; nothing will happen any more.
    pub fn is_over(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Inputs for ScriptedInputs {
    fn poll(&mut self, timeout: Duration) -> Result<Option<InputEvent>, DoorError> {
        let Some(&(after, kind)) = self.steps.front() else {
            thread::sleep(timeout);
            return Ok(None);
        };
        let at = self.begun + after;
        let wait = at.saturating_sub(monotonic());
        thread::sleep(wait.min(timeout));
        if wait > timeout {
            return Ok(None);
        }
        self.steps.pop_front();
        Ok(Some(InputEvent { kind, at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(text: &str) -> Script {
        text.parse().unwrap()
    }

    #[test]
    fn a_script_happens_in_its_order_at_its_times() {
        let mut inputs =
            ScriptedInputs::new(script("20ms rex pressed\n0.05s rex released # short\n"));
        let begun = inputs.begun;
        let mut found = Vec::new();
        while !inputs.is_over() {
            if let Some(event) = inputs.poll(Duration::from_secs(5)).unwrap() {
                assert!(monotonic() >= event.at);
                found.push(((event.at - begun).as_millis(), event.kind));
            }
        }
        let start = InputRole::ALL.map(|role| (0, role.kind(false)));
        let pressed =
            [(20, RequestToExit { pressed: true }), (50, RequestToExit { pressed: false })];
        assert_eq!(found, [&start[..], &pressed[..]].concat());
        assert!(inputs.poll(Duration::from_millis(1)).unwrap().is_none());
    }

    #[test]
    fn what_is_said_for_the_start_is_how_an_input_begins_and_no_change() {
        let mut inputs = ScriptedInputs::new(script("0s door open\n5s door closed"));
        let mut next = || inputs.poll(Duration::from_millis(1)).unwrap().map(|event| event.kind);
        assert_eq!(next(), Some(DoorContact { open: true }));
        assert_eq!(next(), Some(RequestToExit { pressed: false }));
        assert_eq!(next(), Some(Tamper { active: false }));
        assert_eq!(next(), None);
    }

    #[test]
    fn lines_that_make_no_sense_are_refused_by_number() {
        let words = |text: &str| ScriptFault::Words(text.into());
        let cases = [
            ("\n1s door ajar", 2, words("1s door ajar")),
            ("1s door", 1, words("1s door")),
            ("1s door open now", 1, words("1s door open now")),
            ("# a\nsoon door open", 2, ScriptFault::Time("soon".into())),
            ("2s door open\n1s door closed", 2, ScriptFault::Order(Duration::from_secs(1))),
        ];
        for (text, line, fault) in cases {
            assert_eq!(text.parse::<Script>(), Err(ScriptError { line, fault }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_panic_and_what_is_shown_reads_as_the_same(
            text in "\\PC*",
            steps in prop::collection::vec((0u64..1 << 59, 0..WORDS.len()), 0..9),
        ) {
            let _ = text.parse::<Script>();
            let mut steps: Vec<_> =
                steps.iter().map(|&(at, word)| (Duration::from_nanos(at), WORDS[word].2)).collect();
            steps.sort_by_key(|step| step.0);
            prop_assert_eq!(Script(steps.clone()).to_string().parse(), Ok(Script(steps)));
        }
    }
}
