use super::action::{Action, Actions, AlarmKind, emit};

/// Which alarms are raised.
#[derive(Debug, Default)]
pub(super) struct Alarms([bool; 4]);

impl Alarms {
    /// Raises or clears one; says so only where that changes it.
    pub(super) fn set(&mut self, kind: AlarmKind, raised: bool, actions: &mut Actions) {
        let was = &mut self.0[kind as usize];
        if *was != raised {
            *was = raised;
            emit(actions, Action::Alarm { kind, raised });
        }
    }
}
