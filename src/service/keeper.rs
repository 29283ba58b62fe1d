use super::{
    Clock, House, Status,
    audit::{AuditLog, Entry},
    entry,
};
use crate::{
    decision::{
        Action, Actions, AlarmKind, Cause, Command, Core, Event, Hint, Millis, Outcome, Policy,
        PolicyError, Record, SavedState,
    },
    door::{DoorError, Lock},
    files::write_atomically,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// So long after the core should have locked a strike that can time itself does: whatever keeps this thread
/// from it, a disk that hangs say.
pub const GUARD: Duration = Duration::from_secs(2);

/// Carries out what the decision core decides: the one place where a decision moves the strike.
///
/// Before the strike is released for a face, the grant is on the disk; where it cannot be, and the
/// policy asks for it, the strike stays locked. Whoever leaves by the exit button waits for no disk.
pub struct Keeper {
    core: Core,
    policy: Policy,
    lock: Box<dyn Lock>,
    house: House,
    audit: Option<AuditLog>,
    /// Opens the audit log, where it could not be opened before or had to be closed.
    reopen: Box<dyn FnMut() -> Option<AuditLog>>,
    /// Whether the last record is on the disk.
    recording: bool,
    clock: Clock,
    /// Whether what it is told happens by `clock`; a replay has a time of its own.
    is_live: bool,
    saved: PathBuf,
    /// What could not be saved yet.
    unsaved: Option<SavedState>,
    news: Vec<News>,
    unlocked: bool,
    alarms: Vec<AlarmKind>,
}

/// What happened, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A decision.
    Decision(Record),
    /// A decision to let a face in that was not carried out, because it could not be recorded.
    Unrecorded(Record),
    /// The strike was released.
    Unlocked,
    /// The strike was locked; it may have been before.
    Locked,
    /// What the person at the door should see.
    Hint(Hint),
    /// An alarm began or ended.
    Alarm(AlarmKind, bool),
}

/// [`SavedState`] as it lies on the disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    misses: u8,
    lockouts: u8,
    remaining_ms: u64,
    lockdown: bool,
}

impl Keeper {
    /// A keeper over a strike, which is locked before anything else happens. `saved` is the file that
    /// the lockout survives a restart in; one that cannot be read counts as a lockdown, so that damage
    /// opens nothing.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(
        policy: Policy,
        lock: Box<dyn Lock>,
        house: House,
        audit: Option<AuditLog>,
        clock: Clock,
        saved: PathBuf,
        now: Millis,
    ) -> Result<Self, PolicyError> {
        let (core, actions) = Core::new(policy, &restore(&saved), now)?;
        let mut keeper = Self {
            core,
            policy,
            lock,
            house,
            audit,
            reopen: Box::new(|| None),
            recording: false,
            clock,
            is_live: false,
            saved,
            unsaved: None,
            news: Vec::new(),
            unlocked: false,
            alarms: Vec::new(),
        };
        keeper.carry_out(actions, now);
        keeper.recording = keeper.audit.is_some();
        keeper.tell(Event::Audit { writable: keeper.recording }, now);
        Ok(keeper)
    }

    /// What happens from now on happens by the machine's clock: a pulse counts from when the strike is
    /// released, which is later than what it is released for.
    pub fn live(self) -> Self {
        Self { is_live: true, ..self }
    }

    /// An audit log that could not be opened, or has to be opened anew, is tried again, by `reopen`.
    pub fn reopening(self, reopen: impl FnMut() -> Option<AuditLog> + 'static) -> Self {
        Self { reopen: Box::new(reopen), ..self }
    }

    /// Tells the core what happened, and does what it says. What had to wait for a disk that hung may be
    /// [too old](Event::told_late) by now.
    pub fn tell(&mut self, event: Event, now: Millis) {
        let told = self.later(now);
        let event = in_time(event, told.since(now));
        // Whoever waited at the door has a whole pulse from now on.
        let now = if matches!(event, Event::RequestToExit { .. }) { told } else { now };
        let actions = self.core.handle(event, now, &self.house);
        self.carry_out(actions, now);
    }

    /// To be called now and then: tries the audit log again after it could not be opened or written, and to save
    /// what could not be.
    pub fn try_again(&mut self, now: Millis) {
        self.save_again();
        if self.recording {
            return;
        }
        // It is dropped before it is opened: the log is one writer's at a time.
        if !self.notes_return(now) && self.audit.is_none() {
            self.audit = (self.reopen)();
            self.notes_return(now);
        }
        if self.recording {
            log::info!("the audit log can be written again");
            self.tell(Event::Audit { writable: true }, now);
        }
    }

    /// Whether the audit log, where there is one, takes a record again. One that never will is closed: its files
    /// are damaged, moved away or on another disk by now.
    fn notes_return(&mut self, now: Millis) -> bool {
        let Some(audit) = &mut self.audit else { return false };
        let noted = audit.append(&self.clock.moment(now), entry::of_return());
        self.recording = noted.is_ok();
        if noted.is_err_and(|e| !e.is_full()) {
            self.audit = None;
        }
        self.recording
    }

    /// Saves what could not be saved before, if there is such. A lockout is saved as long as it was then: a restart
    /// may make one longer, never shorter.
    pub fn save_again(&mut self) {
        if let Some(state) = self.unsaved {
            self.save(&state);
        }
    }

    /// Whether a restart would find lockdown and lockout as they are.
    pub fn is_saved(&self) -> bool {
        self.unsaved.is_none()
    }

    /// When to tell [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Millis> {
        self.core.next_deadline()
    }

    /// What has happened since this was asked last.
    pub fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The household.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Takes over a changed household.
    pub fn set_house(&mut self, house: House) {
        self.house = house;
    }

    /// Goes by other rules from now on, and records that first; the strike, its pulse and a lockout stay as
    /// they are.
    ///
    /// # Errors
    /// [`PolicyError`]; the old rules stay then.
    pub fn set_policy(&mut self, policy: Policy, now: Millis) -> Result<(), PolicyError> {
        policy.check()?;
        self.write([entry::of_rules(&policy)], now);
        self.core.set_policy(policy)?;
        self.policy = policy;
        Ok(())
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        Status {
            unlocked: self.unlocked,
            lockdown: self.core.is_lockdown(),
            alarms: self.alarms.iter().map(|kind| entry::snake(&format!("{kind:?}"))).collect(),
            audit_writable: self.recording,
            people: self.house.matcher().len(),
            waiting: None,
        }
    }

    /// Does what somebody with authority asks for, and records who and why first. Whether the core agreed.
    pub fn command(
        &mut self,
        command: Command,
        uid: u32,
        reason: Option<&str>,
        now: Millis,
    ) -> bool {
        self.write([entry::of_command(command, uid, reason)], now);
        let before = self.news.len();
        self.tell(Event::Command(command), now);
        let denied = |news: &News| {
            matches!(
                news,
                News::Decision(Record { cause: Cause::Command, outcome: Outcome::Denied(_), .. })
            )
        };
        !self.news[before..].iter().any(denied)
    }

    /// Locks whatever the core thinks, for the end of the program.
    ///
    /// # Errors
    /// The line cannot be driven.
    pub fn lock(&mut self) -> Result<(), DoorError> {
        self.lock.lock()
    }

    fn carry_out(&mut self, actions: Actions, now: Millis) {
        // Most frames decide nothing, and cost no more than that.
        if actions.is_empty() {
            return;
        }
        let entries: Vec<_> = actions.iter().filter_map(|action| self.entry_of(action)).collect();
        let by_face = |a: &Action| matches!(a, Action::Unlock { cause: Cause::Face, .. });
        let needs_record = self.policy.faces_need_audit && actions.iter().any(by_face);
        // Up to where somebody leaves nothing waits for the disk.
        let leaves = |a: &Action| matches!(a, Action::Unlock { cause: Cause::RequestToExit, .. });
        let at_once = actions.iter().position(leaves).map_or(0, |last| last + 1);
        let mut actions = actions.into_iter();
        self.act(actions.by_ref().take(at_once), false, now);
        let recorded = self.write(entries, now);
        self.act(actions, needs_record && !recorded, now);
    }

    /// Does what is decided; where `keeps_out`, no face opens, since it could not be recorded.
    fn act(&mut self, actions: impl Iterator<Item = Action>, keeps_out: bool, now: Millis) {
        for action in actions {
            match action {
                // The core believes that the door is open for the face now: it is told otherwise.
                Action::Unlock { cause: Cause::Face, .. } if keeps_out => {
                    self.tell(Event::Unrecorded, self.later(now));
                }
                Action::Unlock { .. } => self.unlock(now),
                Action::Lock => self.relock(),
                Action::Record(record) if keeps_out && record.outcome == Outcome::Granted => {
                    self.news.push(News::Unrecorded(record));
                }
                Action::Record(record) => self.news.push(News::Decision(record)),
                // What is to be seen instead, the core has said.
                Action::Hint(_) if keeps_out => {}
                Action::Hint(hint) => self.news.push(News::Hint(hint)),
                Action::Alarm { kind, raised } => {
                    self.alarms.retain(|on| *on != kind);
                    if raised {
                        self.alarms.push(kind);
                    }
                    self.news.push(News::Alarm(kind, raised));
                }
                Action::Save(state) => self.save(&state),
            }
        }
    }

    /// What is kept of an action.
    fn entry_of(&self, action: &Action) -> Option<Entry> {
        match action {
            Action::Record(record) => Some(entry::of_record(record, &self.house)),
            Action::Alarm { kind, raised } => Some(entry::of_alarm(*kind, *raised)),
            _ => None,
        }
    }

    /// Writes to the audit log; whether all of it is on the disk. The core hears of it when it can be
    /// written no more.
    fn write(&mut self, entries: impl IntoIterator<Item = Entry>, now: Millis) -> bool {
        let moment = self.clock.moment(now);
        let written = entries.into_iter().try_for_each(|entry| match &mut self.audit {
            Some(audit) => audit.append(&moment, entry).map(drop).map_err(|e| {
                log::error!("the audit log cannot be written: {e}");
            }),
            None => Err(()),
        });
        if written.is_err() && self.recording {
            self.recording = false;
            self.tell(Event::Audit { writable: false }, now);
        }
        written.is_ok()
    }

    /// The time by now, which a disk may have taken its share of since something happened.
    fn later(&self, happened: Millis) -> Millis {
        if self.is_live { self.clock.now() } else { happened }
    }

    fn unlock(&mut self, now: Millis) {
        // Read before the line is driven: whatever comes between makes the pulse shorter, never longer.
        let now = self.later(now);
        self.tell(Event::Energised, now);
        let Some(until) = self.core.released_until() else {
            log::error!("recording it took longer than the pulse: the strike stays locked");
            return;
        };
        match self.lock.unlock_for(until.since(now) + GUARD) {
            Ok(()) => {
                self.unlocked = true;
                self.news.push(News::Unlocked);
            }
            Err(e) => log::error!("the strike cannot be released: {e}"),
        }
    }

    fn relock(&mut self) {
        // A strike that does not lock is the worst there is: try again, then say so at the top of lungs.
        for attempt in 1..=3 {
            match self.lock.lock() {
                Ok(()) => {
                    self.unlocked = false;
                    return self.news.push(News::Locked);
                }
                Err(e) => log::error!("the strike cannot be locked (attempt {attempt} of 3): {e}"),
            }
        }
    }

    fn save(&mut self, state: &SavedState) {
        let saved = Saved {
            misses: state.misses,
            lockouts: state.lockouts,
            remaining_ms: u64::try_from(state.remaining.as_millis()).unwrap_or(u64::MAX),
            lockdown: state.lockdown,
        };
        let text = serde_json::to_vec(&saved).expect("plain data");
        let (path, was_saved) = (self.saved.display(), self.is_saved());
        let written = write_atomically(&self.saved, &text);
        match &written {
            Ok(()) if was_saved => {}
            Ok(()) => log::info!("{path}: saved, after it could not be"),
            Err(e) if was_saved => {
                log::error!("{path}: {e}; a restart would forget a lockout; it is tried again");
            }
            Err(_) => {}
        }
        self.unsaved = written.is_err().then_some(*state);
    }
}

/// What an event counts as that is told so late; that nobody is let out is said.
pub(super) fn in_time(event: Event, late: Duration) -> Event {
    let counted = event.told_late(late);
    let is_pressed = |event| matches!(event, Event::RequestToExit { pressed: true });
    if is_pressed(event) && !is_pressed(counted) {
        log::error!("the exit button was pressed {} s ago: too late to open", late.as_secs());
    }
    counted
}

/// What was saved; nothing was on the first start.
fn restore(path: &Path) -> SavedState {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return SavedState::default(),
        Err(e) => return damaged(path, &e.to_string()),
    };
    match serde_json::from_slice::<Saved>(&text) {
        Ok(saved) => SavedState {
            misses: saved.misses,
            lockouts: saved.lockouts,
            remaining: Duration::from_millis(saved.remaining_ms),
            lockdown: saved.lockdown,
        },
        Err(e) => damaged(path, &e.to_string()),
    }
}

fn damaged(path: &Path, why: &str) -> SavedState {
    log::error!(
        "{}: {why}; in lockdown until `facelatch lockdown off`, since a lockout may be lost",
        path.display()
    );
    SavedState { lockdown: true, ..SavedState::default() }
}
