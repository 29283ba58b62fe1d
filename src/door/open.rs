use super::{
    DoorError, InputRole, InputSpec, Inputs, Lock, LockSpec, SimInputs, SimLock, SimTimeline, cdev,
    spec::Line,
};
use std::mem::discriminant;

impl LockSpec {
    /// Takes the strike's line and drives it inactive. `facelatch lock` is no more than that.
    ///
    /// # Errors
    /// Every [`DoorError`] but those about inputs and bounds.
    pub fn open(&self) -> Result<Box<dyn Lock>, DoorError> {
        match self.line() {
            Line::Gpiocdev { chip, offset } => {
                Ok(Box::new(cdev::CdevLock::open(chip, *offset, self.active_low())?))
            }
            #[cfg(feature = "rppal")]
            Line::Rppal(pin) => {
                Ok(Box::new(super::raspberry::RppalLock::open(*pin, self.active_low())?))
            }
            #[cfg(not(feature = "rppal"))]
            Line::Rppal(pin) => Err(DoorError::NoRppal(pin.get())),
            Line::Sim => Ok(Box::new(SimLock::new(SimTimeline::default()))),
        }
    }
}

/// Which switches there are beside the door, and on which lines. All of them are of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputWiring {
    /// The door contact.
    pub door_contact: Option<InputSpec>,
    /// The request-to-exit button (REX).
    pub request_to_exit: Option<InputSpec>,
    /// The tamper switch.
    pub tamper: Option<InputSpec>,
}

impl InputWiring {
    /// Takes the lines. Simulated inputs stay as they are: a closed door, nothing pressed; so does a
    /// door without any.
    ///
    /// # Errors
    /// Every [`DoorError`] but those about strikes and bounds.
    pub fn open(&self) -> Result<Box<dyn Inputs>, DoorError> {
        let wired = self.wired();
        check(&wired)?;
        match wired.first().map(|(_, spec)| spec.line()) {
            Some(Line::Gpiocdev { .. }) => Ok(Box::new(cdev::open_inputs(&wired)?)),
            #[cfg(feature = "rppal")]
            Some(Line::Rppal(_)) => Ok(Box::new(super::raspberry::open_inputs(&wired)?)),
            #[cfg(not(feature = "rppal"))]
            Some(Line::Rppal(pin)) => Err(DoorError::NoRppal(pin.get())),
            Some(Line::Sim) | None => {
                let roles: Vec<_> = wired.iter().map(|(role, _)| *role).collect();
                Ok(Box::new(SimInputs::new(&roles).0))
            }
        }
    }

    fn wired(&self) -> Vec<(InputRole, &InputSpec)> {
        let specs = [&self.door_contact, &self.request_to_exit, &self.tamper];
        InputRole::ALL.into_iter().zip(specs).filter_map(|(r, s)| Some((r, s.as_ref()?))).collect()
    }
}

fn check(wired: &[(InputRole, &InputSpec)]) -> Result<(), DoorError> {
    for (i, (role, spec)) in wired.iter().enumerate() {
        for (other, earlier) in &wired[..i] {
            let (line, earlier) = (spec.line(), earlier.line());
            if discriminant(line) != discriminant(earlier) {
                return Err(DoorError::MixedKinds(*other, *role));
            }
            if line == earlier && *line != Line::Sim {
                return Err(DoorError::SharedLine(*other, *role));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::InputKind;
    use std::time::Duration;

    fn wiring(contact: &str, rex: &str) -> InputWiring {
        InputWiring {
            door_contact: Some(contact.parse().unwrap()),
            request_to_exit: Some(rex.parse().unwrap()),
            tamper: None,
        }
    }

    #[test]
    fn inputs_that_cannot_work_together_are_refused_before_a_line_is_touched() {
        use InputRole::{DoorContact, RequestToExit};
        assert!(matches!(
            wiring("rppal:5", "sim:").open(),
            Err(DoorError::MixedKinds(DoorContact, RequestToExit))
        ));
        assert!(matches!(
            wiring("gpiocdev:/dev/x:5", "gpiocdev:/dev/x:5,active-low").open(),
            Err(DoorError::SharedLine(DoorContact, RequestToExit))
        ));
    }

    #[test]
    fn a_simulated_door_stays_closed_and_only_wired_inputs_are_reported() {
        let mut inputs = wiring("sim:", "sim:").open().unwrap();
        let mut next = || inputs.poll(Duration::from_millis(1)).unwrap().map(|event| event.kind);
        assert_eq!(next(), Some(InputKind::DoorContact { open: false }));
        assert_eq!(next(), Some(InputKind::RequestToExit { pressed: false }));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_door_without_inputs_reports_nothing_and_waits() {
        let begun = std::time::Instant::now();
        let mut inputs = InputWiring::default().open().unwrap();
        assert!(inputs.poll(Duration::from_millis(20)).unwrap().is_none());
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }

    #[cfg(not(feature = "rppal"))]
    #[test]
    fn without_rppal_the_refusal_names_the_other_way() {
        let error = "rppal:17".parse::<LockSpec>().unwrap().open().err().unwrap();
        assert!(error.to_string().contains("gpiocdev:/dev/gpiochip0:17"), "{error}");
        assert!(matches!(wiring("rppal:5", "rppal:6").open(), Err(DoorError::NoRppal(5))));
    }
}
