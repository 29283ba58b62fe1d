//! Lines by the registers of a Raspberry Pi, through rppal.
//!
//! Unlike the kernel's interface it claims nothing: another process can drive the same pin at the same
//! time, and neither is told. gpiocdev is the default for that reason.

use super::{
    Debouncer, DoorError, InputRole, InputSpec, Lock, Pull,
    debounced::{Debounced, Edge, Source},
    spec::{BcmPin, Line},
};
use rppal::gpio::{Error, Gpio, InputPin, OutputPin, Trigger};
use std::{io, time::Duration};

/// A strike on a pin.
///
/// By default rppal puts a pin back to what it was when dropped (`reset_on_drop`): an input mostly, on
/// which the strike hangs by its pull alone; and if the pin was an output already, rppal leaves its
/// level. Here that is turned off, and dropping drives the pin inactive: it stays an output that says
/// so, after the process as well. No destructor of rppal runs when a process is killed either.
pub(super) struct RppalLock {
    pin: OutputPin,
    active_low: bool,
}

impl RppalLock {
    /// Drives the pin inactive; rppal sets the level before the direction.
    pub fn open(pin: BcmPin, active_low: bool) -> Result<Self, DoorError> {
        let gpio = Gpio::new().map_err(|error| diagnose(pin, error))?;
        let taken = gpio.get(pin.get()).map_err(|error| diagnose(pin, error))?;
        let mut pin = if active_low { taken.into_output_high() } else { taken.into_output_low() };
        pin.set_reset_on_drop(false);
        Ok(Self { pin, active_low })
    }

    fn set(&mut self, active: bool) {
        self.pin.write((active != self.active_low).into());
    }
}

impl Lock for RppalLock {
    fn unlock(&mut self) -> Result<(), DoorError> {
        self.set(true);
        Ok(())
    }

    fn lock(&mut self) -> Result<(), DoorError> {
        self.set(false);
        Ok(())
    }

    fn describe(&self) -> String {
        let level = if self.active_low { "low" } else { "high" };
        format!("GPIO{} by rppal, active {level}", self.pin.pin())
    }
}

impl Drop for RppalLock {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Takes the pins of all inputs. Every spec is of rppal.
pub(super) fn open_inputs(
    wired: &[(InputRole, &InputSpec)],
) -> Result<Debounced<RppalSource>, DoorError> {
    let mut opened = None;
    let mut pins = Vec::new();
    for (_, spec) in wired {
        let Line::Rppal(number) = spec.line() else { unreachable!("{spec} among the pins") };
        let wrong = |error| diagnose(*number, error);
        let gpio = Gpio::new().map_err(wrong)?;
        let pin = gpio.get(number.get()).map_err(wrong)?;
        let mut pin = match spec.pull() {
            Some(Pull::Up) => pin.into_input_pullup(),
            Some(Pull::Down) => pin.into_input_pulldown(),
            None => pin.into_input(),
        };
        // Bouncing is left to our debouncer: rppal reads levels from registers, past the kernel's.
        pin.set_interrupt(Trigger::Both, None).map_err(wrong)?;
        pins.push((pin, *number, spec.active_low()));
        opened = Some(gpio);
    }
    let gpio = opened.expect("one input at least");
    let debouncers = wired.iter().map(|(role, spec)| (*role, Debouncer::new(spec.debounce())));
    Debounced::new(RppalSource { gpio, pins }, debouncers.collect())
}

/// Edges of pins.
pub(super) struct RppalSource {
    gpio: Gpio,
    /// For each input its pin, the number of that, and whether it is active while low.
    pins: Vec<(InputPin, BcmPin, bool)>,
}

impl Source for RppalSource {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Edge>, DoorError> {
        // rppal waits for whole milliseconds and drops the rest, which would be waiting in circles.
        let timeout = Duration::from_millis(timeout.as_nanos().div_ceil(1_000_000) as u64);
        let pins: Vec<&InputPin> = self.pins.iter().map(|(pin, ..)| pin).collect();
        let (number, event) = match self.gpio.poll_interrupts(&pins, false, Some(timeout)) {
            Ok(Some((pin, event))) => (pin.pin(), event),
            Ok(None) => return Ok(None),
            // A signal is no edge; whoever waits looks at the time and waits again.
            Err(Error::Io(e)) if e.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(diagnose(self.pins[0].1, error)),
        };
        let input = self.pins.iter().position(|(_, pin, _)| pin.get() == number);
        Ok(input.map(|input| {
            let active = (event.trigger == Trigger::RisingEdge) != self.pins[input].2;
            Edge { input, active, at: event.timestamp }
        }))
    }

    fn is_active(&mut self, input: usize) -> Result<bool, DoorError> {
        let (pin, _, active_low) = &self.pins[input];
        Ok(pin.is_high() != *active_low)
    }
}

fn diagnose(pin: BcmPin, error: Error) -> DoorError {
    match error {
        Error::UnknownModel => DoorError::NotAPi(pin.get()),
        Error::PermissionDenied(path) => DoorError::Permission { path },
        source => DoorError::Line {
            line: format!("GPIO{} by rppal", pin.get()),
            doing: "use it",
            source: source.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{InputWiring, LockSpec};

    #[test]
    #[cfg(not(any(target_arch = "arm", target_arch = "aarch64")))]
    fn a_machine_that_is_no_raspberry_pi_is_told_the_other_way() {
        let error = "rppal:17".parse::<LockSpec>().unwrap().open().err().unwrap();
        assert!(matches!(error, DoorError::NotAPi(17)), "{error}");
        let tamper = Some("rppal:5".parse().unwrap());
        let wiring = InputWiring { tamper, ..InputWiring::default() };
        assert!(matches!(wiring.open(), Err(DoorError::NotAPi(5))));
    }

    #[test]
    fn a_device_file_that_may_not_be_opened_is_named_with_the_group() {
        let spec: LockSpec = "rppal:17".parse().unwrap();
        let Line::Rppal(pin) = spec.line() else { panic!("{spec}") };
        let error = diagnose(*pin, Error::PermissionDenied("/dev/gpiomem".into()));
        assert!(error.to_string().starts_with("/dev/gpiomem: no permission"), "{error}");
    }
}
