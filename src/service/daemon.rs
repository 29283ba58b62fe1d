use super::{
    Clock, House, Keeper, News, Peek,
    clock::{HEARTBEAT, Telling},
    control::{Answer, Asked, Request, Status, listen},
    eyes::{Eyes, Lending, Reload, Sight, look, prepared},
    keeper::in_time,
};
use crate::{
    camera::{CameraError, FrameSource, Reopening},
    decision::{Command, Event, Millis, Policy},
    detect::{Decoder, Limits},
    door::{DoorError, InputEvent, InputKind, Inputs},
    gallery::Matcher,
    model::NetworkError,
};
use std::{
    fmt::Display,
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// What the threads tell the one that decides.
pub(super) enum Message {
    Event(Event, Millis),
    /// The networks are there, and whom they may know.
    Prepared(House, Reload),
    /// Why they cannot be had; they are tried again.
    Unprepared(String),
    /// The eyes looked: the sign of life that the watchdog waits for.
    Looked(Eyes),
    Failed(DaemonError),
    Asked(Asked),
}

/// A thread's way to the one that decides. Should the thread panic, that one hears of it: the others hold
/// senders as well, and a door with a dead button would go unnoticed.
struct Reports {
    sender: SyncSender<Message>,
    /// What the thread does.
    does: &'static str,
}

impl Drop for Reports {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.sender.send(Message::Failed(DaemonError::Thread(self.does)));
        }
    }
}

/// Why the daemon ends.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The camera, for a reason that trying again does not mend.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The strike or an input.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// A thread ended that should not have.
    #[error("the thread that {0} has ended; look for a panic above")]
    Thread(&'static str),
}

/// Messages that wait for the deciding thread at most: when it falls behind, eyes wait.
const QUEUE: usize = 32;

/// What is in force and not on the disk.
const NOT_SAVED: &str =
    "; it could not be saved: a restart would undo it, until a later try saves it";

/// The live loop: one thread looks, one feels the inputs, and this one decides.
pub struct Daemon {
    keeper: Keeper,
    clock: Clock,
    matcher: Arc<RwLock<Arc<Matcher>>>,
    stop: Arc<AtomicBool>,
    control: Option<PathBuf>,
    /// Why nobody can be recognised yet, until the networks are there.
    reload: Result<Reload, String>,
    /// Somebody was enrolled or changed meanwhile.
    is_stale: bool,
    hangup: Arc<AtomicBool>,
    reconfigure: Reconfigure,
    /// What the eyes are to take over before their next look.
    sight: Arc<Mutex<Option<(Decoder, Limits)>>>,
    peek: Peek,
}

/// All that may change while the daemon runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// What the decision core goes by.
    pub policy: Policy,
    /// What counts as a face.
    pub decoder: Decoder,
    /// Which face is fit to be recognised.
    pub limits: Limits,
}

/// Reads the configuration anew; why it cannot be used otherwise.
type Reconfigure = Box<dyn FnMut() -> Result<Rules, String>>;

impl Daemon {
    /// A daemon over a keeper that has locked the strike already.
    pub fn new(keeper: Keeper, clock: Clock, stop: Arc<AtomicBool>) -> Self {
        let matcher = Arc::new(RwLock::new(Arc::clone(keeper.house().matcher())));
        let unchanged = || Err("this daemon has no configuration to read".to_owned());
        Self {
            keeper: keeper.live(),
            clock,
            matcher,
            stop,
            control: None,
            reload: Err("the networks are being prepared".to_owned()),
            is_stale: false,
            hangup: Arc::default(),
            reconfigure: Box::new(unchanged),
            sight: Arc::default(),
            peek: Peek::default(),
        }
    }

    /// Also reads its rules by `reconfigure`, and the household, whenever `hangup` is set. Rules that cannot
    /// be read leave the old ones in place; the strike and what is under way are never touched.
    pub fn reconfigured(
        self,
        hangup: Arc<AtomicBool>,
        reconfigure: impl FnMut() -> Result<Rules, String> + 'static,
    ) -> Self {
        Self { hangup, reconfigure: Box::new(reconfigure), ..self }
    }

    /// Also listens for requests at `socket`.
    pub fn controlled(self, socket: PathBuf) -> Self {
        Self { control: Some(socket), ..self }
    }

    /// Runs until told to stop, or until something is broken for good; the strike is locked then.
    /// Inputs and commands work from the start; `prepare` may take its time on the eyes' thread, and where it
    /// fails it is called again, every ten seconds in the end. `tell` hears what happens in which household, and
    /// `alive` each time the eyes looked, every ten seconds or so while they cannot.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn run<F, P, E>(
        mut self,
        cameras: F,
        prepare: P,
        inputs: Option<Box<dyn Inputs>>,
        tell: &mut dyn FnMut(Millis, &[News], &House),
        alive: &mut dyn FnMut(Eyes, &Status),
    ) -> Result<(), DaemonError>
    where
        F: FnMut() -> Result<Box<dyn FrameSource>, CameraError> + Send + 'static,
        P: FnMut() -> Result<Sight, E> + Send + 'static,
        E: Display,
    {
        let (sender, receiver) = sync_channel(QUEUE);
        if let Some(inputs) = inputs {
            self.start_inputs(inputs, sender.clone());
        }
        if let Some(path) = &self.control {
            let sender = sender.clone();
            let ask = move |asked| sender.try_send(Message::Asked(asked)).is_ok();
            if let Err(e) = listen(path, self.peek.clone(), ask) {
                log::error!(
                    "{}: {e}; `facelatch status` and `unlock` will not work",
                    path.display()
                );
            }
        }
        self.start_eyes(cameras, prepare, sender);
        let ended = self.decide(&receiver, tell, alive);
        self.stop.store(true, Ordering::Relaxed);
        let locked = self.keeper.lock();
        self.keeper.save_again();
        ended.and(locked.map_err(DaemonError::from))
    }

    fn decide(
        &mut self,
        receiver: &Receiver<Message>,
        tell: &mut dyn FnMut(Millis, &[News], &House),
        alive: &mut dyn FnMut(Eyes, &Status),
    ) -> Result<(), DaemonError> {
        let mut time = Telling::default();
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            if self.hangup.swap(false, Ordering::Relaxed) {
                self.take_over_rules(now);
            }
            let local = self.clock.local();
            if time.is_due(local, now) {
                self.keeper.tell(Event::Clock(local), now);
                self.keeper.try_again(now);
            }
            let until = self.keeper.deadline().map_or(HEARTBEAT, |due| due.since(now));
            match receiver.recv_timeout(until.min(Duration::from_millis(500))) {
                Ok(Message::Event(event, at)) => self.keeper.tell(event, at),
                Ok(Message::Prepared(house, reload)) => self.take_over_sight(house, reload),
                Ok(Message::Unprepared(why)) => self.is_kept_from_looking(why),
                Ok(Message::Looked(eyes)) => alive(eyes, &self.status()),
                Ok(Message::Asked(asked)) => self.answer(asked),
                Ok(Message::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => self.keeper.tell(Event::Tick, self.clock.now()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(DaemonError::Thread("looks"));
                }
            }
            let news = self.keeper.news();
            if !news.is_empty() {
                tell(self.clock.now(), &news, self.keeper.house());
            }
        }
        Ok(())
    }

    fn answer(&mut self, Asked { request, uid, claim, answer }: Asked) {
        // Whoever gave up was told that it is not done.
        if !claim.take() {
            return;
        }
        let now = self.clock.now();
        let (done, text) = match request {
            Request::Status => (true, "as follows".to_owned()),
            Request::Unlock { reason } => {
                let agreed = self.keeper.command(Command::Unlock, uid, Some(&reason), now);
                let Status { unlocked, audit_writable, .. } = self.keeper.status();
                let recorded = if audit_writable { "" } else { "; it could not be recorded" };
                match (agreed, unlocked) {
                    (false, _) => (false, format!("not unlocked: in lockdown{recorded}")),
                    (true, true) => (true, format!("unlocked for one pulse{recorded}")),
                    (true, false) => {
                        (false, format!("not unlocked, for a reason that is in the log{recorded}"))
                    }
                }
            }
            Request::Lock => {
                self.keeper.command(Command::Lock, uid, None, now);
                (true, "locked".to_owned())
            }
            Request::Lockdown { on } => {
                self.keeper.command(Command::Lockdown(on), uid, None, now);
                let text = if on { "in lockdown: open for nobody" } else { "lockdown over" };
                let saved = if self.keeper.is_saved() { "" } else { NOT_SAVED };
                (true, format!("{text}{saved}"))
            }
            Request::Reload => self.reload_house(),
            // Frames are lent without asking here.
            Request::Frame => (false, "no frame".to_owned()),
        };
        // Whoever asked may have gone.
        let _ = answer.try_send(Answer { done, text, status: Some(self.status()), frame: None });
    }

    fn status(&self) -> Status {
        Status { waiting: self.reload.as_ref().err().cloned(), ..self.keeper.status() }
    }

    /// Said once for each reason.
    fn is_kept_from_looking(&mut self, why: String) {
        if self.reload.as_ref().err() != Some(&why) {
            log::error!("{why}; no face opens the door until that is mended");
            self.reload = Err(why);
        }
    }

    fn take_over_rules(&mut self, now: Millis) {
        let rules = (self.reconfigure)().and_then(|rules| {
            self.keeper.set_policy(rules.policy, now).map_err(|e| e.to_string())?;
            Ok((rules.decoder, rules.limits))
        });
        match rules {
            Ok(sight) => {
                *self.sight.lock().unwrap_or_else(|e| e.into_inner()) = Some(sight);
                log::info!("the configuration was read again");
            }
            Err(why) => log::error!("{why}; the configuration stays as it was"),
        }
        match self.reload_house() {
            (true, how) => log::info!("{how}"),
            (false, why) => log::error!("{why}; the household stays as it was"),
        }
    }

    fn take_over_sight(&mut self, house: House, reload: Reload) {
        self.set_house(house);
        self.reload = Ok(reload);
        if std::mem::take(&mut self.is_stale)
            && let (false, why) = self.reload_house()
        {
            log::error!("{why}; the household stays as it was");
        }
    }

    fn reload_house(&mut self) -> (bool, String) {
        let Ok(reload) = &mut self.reload else {
            self.is_stale = true;
            return (true, "the gallery is read once the networks are prepared".to_owned());
        };
        match reload() {
            Ok(house) => {
                self.set_house(house);
                let people = self.keeper.status().people;
                (true, format!("the gallery was read again; people: {people}"))
            }
            Err(why) => (false, why),
        }
    }

    fn set_house(&mut self, house: House) {
        let matcher = Arc::clone(house.matcher());
        *self.matcher.write().unwrap_or_else(|e| e.into_inner()) = matcher;
        self.keeper.set_house(house);
    }

    fn start_eyes<F, P, E>(&self, cameras: F, prepare: P, sender: SyncSender<Message>)
    where
        F: FnMut() -> Result<Box<dyn FrameSource>, CameraError> + Send + 'static,
        P: FnMut() -> Result<Sight, E> + Send + 'static,
        E: Display,
    {
        let (clock, stop) = (self.clock.clone(), Arc::clone(&self.stop));
        let (matcher, sight) = (Arc::clone(&self.matcher), Arc::clone(&self.sight));
        let mut lending = Lending::new(self.peek.clone());
        thread::spawn(move || {
            let reports = Reports { sender, does: "looks" };
            let sender = &reports.sender;
            let Some(prepared) = prepared(prepare, &stop, sender) else { return };
            let Sight { mut recogniser, house, reload } = prepared;
            // Before the first look: nobody's face is a stranger's for want of the household.
            *matcher.write().unwrap_or_else(|e| e.into_inner()) = Arc::clone(house.matcher());
            let _ = sender.send(Message::Prepared(house, reload));
            let mut camera = Reopening::new(cameras);
            while !stop.load(Ordering::Relaxed) {
                let adjusted = sight.lock().unwrap_or_else(|e| e.into_inner()).take();
                if let Some((decoder, limits)) = adjusted {
                    recogniser.adjust(decoder, limits);
                }
                let looked =
                    look(&mut camera, &mut recogniser, &matcher, &mut lending, &clock, sender);
                if let Err(error) = looked {
                    let _ = sender.send(Message::Failed(error));
                    return;
                }
            }
        });
    }

    fn start_inputs(&self, mut inputs: Box<dyn Inputs>, sender: SyncSender<Message>) {
        let (stop, clock) = (Arc::clone(&self.stop), self.clock.clone());
        thread::spawn(move || {
            let reports = Reports { sender, does: "feels the inputs" };
            let mut button_known = false;
            while !stop.load(Ordering::Relaxed) {
                let message = match inputs.poll(Duration::from_millis(200)) {
                    Ok(None) => continue,
                    // A button that is held when the daemon starts is a stuck one, not a request.
                    Ok(Some(InputEvent { kind, .. })) if first_press(kind, &mut button_known) => {
                        log::warn!("the exit button is pressed already; it counts once released");
                        continue;
                    }
                    // The time of its edge may lie before what the core was told already; long before, where
                    // this thread had to wait.
                    Ok(Some(InputEvent { kind, at })) => {
                        let (now, edge) = (clock.now(), Millis::default().after(at));
                        Message::Event(in_time(event_of(kind), now.since(edge)), now)
                    }
                    Err(e) => Message::Failed(e.into()),
                };
                let failed = matches!(message, Message::Failed(_));
                if reports.sender.send(message).is_err() || failed {
                    return;
                }
            }
        });
    }
}

/// Whether this is the exit button's first report, and says that it is pressed.
fn first_press(kind: InputKind, known: &mut bool) -> bool {
    let InputKind::RequestToExit { pressed } = kind else { return false };
    !std::mem::replace(known, true) && pressed
}

/// What the decision core is told of an input.
pub fn event_of(kind: InputKind) -> Event {
    match kind {
        InputKind::DoorContact { open } => Event::DoorContact { open },
        InputKind::RequestToExit { pressed } => Event::RequestToExit { pressed },
        InputKind::Tamper { active } => Event::Tamper { active },
    }
}

/// A flag that SIGHUP sets.
///
/// # Errors
/// The handler cannot be installed.
pub fn hang_up_on_signal() -> std::io::Result<Arc<AtomicBool>> {
    let hangup = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&hangup))?;
    Ok(hangup)
}

/// A flag that SIGINT and SIGTERM set.
///
/// # Errors
/// The handlers cannot be installed.
pub fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
