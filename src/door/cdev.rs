//! Lines by the kernel's GPIO character device.

use super::{
    Debouncer, DoorError, InputRole, InputSpec, Lock, Pull,
    debounced::{Debounced, Edge, Source},
    spec::{ChipPath, Line, LineOffset},
};
use gpiocdev::{
    Chip, Request,
    line::{Bias, EdgeDetection, EdgeEvent, EdgeKind, Value},
    request::Builder,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{io, time::Duration};

/// What the kernel tells others who ask who holds a line.
const CONSUMER: &str = "facelatch";

/// A strike on a line of a GPIO chip, held for as long as this lives.
///
/// The kernel sets an output's level before its direction, so a line that opens is never active for a
/// moment. What becomes of the level after the line is given back is said in the module's
/// [documentation](super#what-a-destructor-cannot-promise).
pub(super) struct CdevLock {
    request: Request,
    name: String,
}

impl CdevLock {
    /// Takes the line and drives it inactive.
    pub fn open(chip: &ChipPath, offset: LineOffset, active_low: bool) -> Result<Self, DoorError> {
        let mut builder = builder(chip);
        builder.with_line(offset.get());
        if active_low {
            builder.as_active_low();
        }
        let request = builder
            .as_output(Value::Inactive)
            .request()
            .map_err(|error| diagnose(chip, &[offset.get()], error))?;
        let level = if active_low { "low" } else { "high" };
        let name = format!("line {} of {}, active {level}", offset.get(), chip.as_str());
        let mut lock = Self { request, name };
        // Says what the request said, to the line itself: a driver that ignores the level of a request
        // fails here or obeys here.
        lock.lock()?;
        Ok(lock)
    }

    fn set(&self, value: Value, doing: &'static str) -> Result<(), DoorError> {
        let set = self.request.set_lone_value(value);
        set.map_err(|error| DoorError::Line {
            line: self.name.clone(),
            doing,
            source: error.into(),
        })
    }
}

impl Lock for CdevLock {
    fn unlock(&mut self) -> Result<(), DoorError> {
        self.set(Value::Active, "energise the strike")
    }

    fn lock(&mut self) -> Result<(), DoorError> {
        self.set(Value::Inactive, "release the strike")
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl Drop for CdevLock {
    fn drop(&mut self) {
        if let Err(error) = self.lock() {
            log::error!("{error}");
        }
    }
}

/// Takes the lines of all inputs, a request for each chip. Every spec is of gpiocdev.
pub(super) fn open_inputs(
    wired: &[(InputRole, &InputSpec)],
) -> Result<Debounced<CdevSource>, DoorError> {
    let mut source = CdevSource { chips: Vec::new(), places: Vec::new() };
    let mut chips: Vec<&ChipPath> = Vec::new();
    for (_, spec) in wired {
        let (chip, offset) = place(spec);
        let index = chips.iter().position(|c| *c == chip).unwrap_or_else(|| {
            chips.push(chip);
            chips.len() - 1
        });
        source.places.push((index, offset.get()));
    }
    for chip in &chips {
        source.chips.push(request_inputs(chip, wired)?);
    }
    let debouncers = wired.iter().map(|(role, spec)| {
        let (chip, offset) = place(spec);
        let by_kernel = Chip::from_path(chip.as_str()).and_then(|c| c.line_info(offset.get()));
        let by_kernel = by_kernel.ok().and_then(|info| info.debounce_period);
        (*role, debouncer(spec.debounce(), by_kernel))
    });
    let debouncers = debouncers.collect();
    Debounced::new(source, debouncers)
}

fn place(spec: &InputSpec) -> (&ChipPath, LineOffset) {
    match spec.line() {
        Line::Gpiocdev { chip, offset } => (chip, *offset),
        line => unreachable!("{line} among the lines of chips"),
    }
}

/// Ours does it all where the kernel does not say that it does.
fn debouncer(period: Duration, by_kernel: Option<Duration>) -> Debouncer {
    if by_kernel.is_some_and(|kernel| kernel >= period) {
        Debouncer::behind_another(period)
    } else {
        Debouncer::new(period)
    }
}

fn request_inputs(
    chip: &ChipPath,
    wired: &[(InputRole, &InputSpec)],
) -> Result<Request, DoorError> {
    let mut builder = builder(chip);
    let mut offsets = Vec::new();
    for (_, spec) in wired.iter().filter(|(_, spec)| place(spec).0 == chip) {
        let offset = place(spec).1.get();
        offsets.push(offset);
        builder.with_line(offset).with_edge_detection(EdgeDetection::BothEdges);
        builder.with_bias(spec.pull().map(|pull| match pull {
            Pull::Up => Bias::PullUp,
            Pull::Down => Bias::PullDown,
        }));
        if spec.active_low() {
            builder.as_active_low();
        } else {
            builder.as_active_high();
        }
        builder.with_debounce_period(spec.debounce());
    }
    builder.request().map_err(|error| diagnose(chip, &offsets, error))
}

fn builder(chip: &ChipPath) -> Builder {
    let mut builder = Request::builder();
    builder.on_chip(chip.as_str()).with_consumer(CONSUMER);
    builder
}

/// Edges of lines on one or more chips.
pub(super) struct CdevSource {
    chips: Vec<Request>,
    /// For each input the chip, counted from 0, and the line on it.
    places: Vec<(usize, u32)>,
}

impl CdevSource {
    fn failed(&self, chip: usize, doing: &'static str, error: gpiocdev::Error) -> DoorError {
        let line = format!("the inputs on {}", self.chips[chip].chip_path().display());
        DoorError::Line { line, doing, source: error.into() }
    }

    /// The first chip that has an edge to read, or that went away, which reading then says.
    fn ready(&self, timeout: Duration) -> io::Result<Option<usize>> {
        let mut fds: Vec<_> =
            self.chips.iter().map(|chip| PollFd::new(chip, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            // A signal is no edge; whoever waits looks at the time and waits again.
            Ok(0) | Err(Errno::INTR) => Ok(None),
            Ok(_) => Ok(fds.iter().position(|fd| !fd.revents().is_empty())),
            Err(error) => Err(error.into()),
        }
    }
}

impl Source for CdevSource {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Edge>, DoorError> {
        const DOING: &str = "wait for an edge";
        let ready = self.ready(timeout).map_err(|error| DoorError::Line {
            line: "the inputs".into(),
            doing: DOING,
            source: error.into(),
        })?;
        let Some(chip) = ready else { return Ok(None) };
        let event = read_edge(&self.chips[chip]).map_err(|e| self.failed(chip, DOING, e))?;
        let input = self.places.iter().position(|place| *place == (chip, event.offset));
        let (active, at) =
            (event.kind == EdgeKind::Rising, Duration::from_nanos(event.timestamp_ns));
        Ok(input.map(|input| Edge { input, active, at }))
    }

    fn is_active(&mut self, input: usize) -> Result<bool, DoorError> {
        let (chip, offset) = self.places[input];
        let value = self.chips[chip].value(offset);
        Ok(value.map_err(|e| self.failed(chip, "read a line", e))? == Value::Active)
    }
}

/// One edge. Not by `Request::read_edge_event`, which in gpiocdev 0.8.0 reads up to eight of them from
/// the kernel, hands out the first and loses the others (its buffer counts bytes in words).
fn read_edge(request: &Request) -> gpiocdev::Result<EdgeEvent> {
    let mut words = vec![0; request.edge_event_u64_size()];
    let read = request.read_edge_events_into_slice(&mut words)?;
    request.edge_event_from_slice(&words[..read])
}

/// Why lines could not be had, which the kernel is asked once more, as an error number says little.
fn diagnose(path: &ChipPath, offsets: &[u32], error: gpiocdev::Error) -> DoorError {
    let chip = path.as_str().to_string();
    match &error {
        gpiocdev::Error::GpioChip(..) => return DoorError::NotAChip(chip),
        gpiocdev::Error::Os(errno) => match io::Error::from_raw_os_error(errno.0).kind() {
            io::ErrorKind::NotFound => return DoorError::NoChip { chip, found: chips_found() },
            io::ErrorKind::PermissionDenied => return DoorError::Permission { path: chip },
            _ => {}
        },
        _ => {}
    }
    if let Ok(opened) = Chip::from_path(path.as_str()) {
        for &line in offsets {
            match (opened.info(), opened.line_info(line)) {
                (Ok(info), _) if line >= info.num_lines => {
                    return DoorError::NoLine {
                        chip,
                        line,
                        last: info.num_lines.saturating_sub(1),
                    };
                }
                (_, Ok(info)) if info.used => {
                    return DoorError::Busy { chip, line, holder: info.consumer };
                }
                _ => {}
            }
        }
    }
    let lines = offsets.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let line = format!("line {lines} of {chip}");
    DoorError::Line { line, doing: "take it", source: error.into() }
}

fn chips_found() -> String {
    let chips = gpiocdev::chip::chips().unwrap_or_default();
    match chips.iter().map(|chip| chip.display().to_string()).collect::<Vec<_>>() {
        none if none.is_empty() => "this machine has none at all".into(),
        chips => format!("this machine has {}", chips.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{
        InputEvent,
        InputKind::{DoorContact, RequestToExit},
        InputWiring, Inputs, LockSpec,
    };
    use gpiosim::{Level, Simpleton};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_chip_that_is_not_there_is_said_to_be_missing_and_what_is_there_is_said() {
        let spec: LockSpec = "gpiocdev:/dev/gpiochip-of-nobody:17".parse().unwrap();
        let error = spec.open().err().unwrap();
        assert!(matches!(error, DoorError::NoChip { .. }), "{error}");
        assert!(error.to_string().contains("this machine has"), "{error}");
    }

    #[test]
    fn a_device_that_is_no_chip_is_refused() {
        let spec: LockSpec = "gpiocdev:/dev/null:17".parse().unwrap();
        assert!(matches!(spec.open(), Err(DoorError::NotAChip(path)) if path == "/dev/null"));
        let door_contact = Some("gpiocdev:/dev/null:27".parse().unwrap());
        let wiring = InputWiring { door_contact, ..InputWiring::default() };
        assert!(matches!(wiring.open(), Err(DoorError::NotAChip(_))));
    }

    #[test]
    fn what_the_kernel_debounces_is_not_debounced_again() {
        let (alone, behind) = (Debouncer::new(ms(30)), Debouncer::behind_another(ms(30)));
        let cases = [(None, &alone), (Some(29), &alone), (Some(30), &behind), (Some(40), &behind)];
        for (kernel, expected) in cases {
            assert_eq!(debouncer(ms(30), kernel.map(ms)), *expected, "{kernel:?}");
        }
    }

    // What follows needs the kernel's GPIO simulator and root:
    //     sudo modprobe gpio-sim && sudo -E cargo test --lib door::cdev -- --ignored

    fn spec(sim: &Simpleton, rest: &str) -> String {
        format!("gpiocdev:{}:{rest}", sim.dev_path().display())
    }

    #[test]
    #[ignore = "needs root and the module gpio-sim; the command is above"]
    fn a_strike_is_inactive_from_opening_to_dropping_but_between_unlock_and_lock() {
        let sim = Simpleton::new(8);
        for (rest, rest_level, open_level) in
            [("3", Level::Low, Level::High), ("4,active-low", Level::High, Level::Low)]
        {
            let offset = rest[..1].parse().unwrap();
            // The line is pulled to where it would be active, as a bad wiring might.
            match open_level {
                Level::High => sim.pullup(offset).unwrap(),
                Level::Low => sim.pulldown(offset).unwrap(),
            };
            let mut lock = spec(&sim, rest).parse::<LockSpec>().unwrap().open().unwrap();
            let level = || sim.get_level(offset).unwrap();
            assert_eq!(level(), rest_level);
            lock.unlock().unwrap();
            assert_eq!(level(), open_level);
            for _ in 0..2 {
                lock.lock().unwrap();
                assert_eq!(level(), rest_level);
            }
        }
    }

    #[test]
    #[ignore = "needs root and the module gpio-sim; the command is above"]
    fn a_line_that_is_held_says_by_whom_and_one_beyond_the_last_says_so() {
        let sim = Simpleton::new(8);
        let first: LockSpec = spec(&sim, "3").parse().unwrap();
        let _held = first.open().unwrap();
        assert!(matches!(first.open(), Err(DoorError::Busy { holder, .. }) if holder == CONSUMER));
        let beyond: LockSpec = spec(&sim, "8").parse().unwrap();
        assert!(matches!(beyond.open(), Err(DoorError::NoLine { last: 7, .. })));
    }

    #[test]
    #[ignore = "needs root and the module gpio-sim; the command is above"]
    fn inputs_on_two_chips_are_reported_at_the_start_and_when_they_change() {
        let (one, two) = (Simpleton::new(8), Simpleton::new(8));
        let wiring = InputWiring {
            door_contact: Some(spec(&one, "1,pull-up").parse().unwrap()),
            request_to_exit: Some(
                spec(&two, "2,active-low,pull-up,debounce=10ms").parse().unwrap(),
            ),
            tamper: None,
        };
        one.pulldown(1).unwrap();
        two.pullup(2).unwrap();
        let mut inputs = wiring.open().unwrap();
        let kinds = |inputs: &mut dyn Inputs| {
            let next = |_| inputs.poll(ms(300)).unwrap();
            (0..9).map_while(next).map(|event: InputEvent| event.kind).collect::<Vec<_>>()
        };
        let mut found = kinds(&mut *inputs);
        found.sort_by_key(|kind| format!("{kind:?}"));
        assert_eq!(found, [DoorContact { open: false }, RequestToExit { pressed: false }]);
        two.pulldown(2).unwrap();
        assert_eq!(kinds(&mut *inputs), [RequestToExit { pressed: true }]);
        // A burst that is read late: each edge must count.
        for _ in 0..2 {
            one.pullup(1).unwrap();
            std::thread::sleep(ms(60));
            one.pulldown(1).unwrap();
            std::thread::sleep(ms(60));
        }
        let door = [true, false, true, false].map(|open| DoorContact { open });
        assert_eq!(kinds(&mut *inputs), door);
    }
}
