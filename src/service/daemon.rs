use super::{
    Clock, House, Keeper, News, Peek,
    control::{Answer, Asked, Request, Status, listen},
};
use crate::{
    camera::{CameraError, Frame, FrameSource, Reopening, Seen as Look},
    decision::{Command, Event, Millis, Policy},
    detect::{Decoder, Limits},
    door::{DoorError, InputEvent, InputKind, Inputs},
    gallery::Matcher,
    model::NetworkError,
    pipeline::{Recogniser, events},
};
use std::{
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
enum Message {
    Event(Event, Millis),
    /// The eyes looked: the sign of life that the watchdog waits for.
    Looked(Eyes),
    Failed(DaemonError),
    Asked(Asked),
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

/// What came of a look through the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eyes {
    /// A frame, which was searched for faces.
    Open,
    /// There is no camera, and it is being waited for; the inputs and commands work all the same.
    Blind,
}

/// Messages that wait for the deciding thread at most: when it falls behind, eyes wait.
const QUEUE: usize = 32;

/// The longest that nothing is told: the clock's minute must be.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// The live loop: one thread looks, one feels the inputs, and this one decides.
pub struct Daemon {
    keeper: Keeper,
    clock: Clock,
    matcher: Arc<RwLock<Arc<Matcher>>>,
    stop: Arc<AtomicBool>,
    control: Option<PathBuf>,
    reload: Reload,
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

/// Reads the household anew.
type Reload = Box<dyn FnMut() -> Result<House, String>>;

impl Daemon {
    /// A daemon over a keeper that has locked the strike already.
    pub fn new(keeper: Keeper, clock: Clock, stop: Arc<AtomicBool>) -> Self {
        let matcher = Arc::new(RwLock::new(Arc::clone(keeper.house().matcher())));
        let nothing = || Err("this daemon has no gallery to read".to_owned());
        let unchanged = || Err("this daemon has no configuration to read".to_owned());
        Self {
            keeper,
            clock,
            matcher,
            stop,
            control: None,
            reload: Box::new(nothing),
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

    /// Also listens for requests at `socket`, and reads the household anew by `reload` when asked to.
    pub fn controlled(
        self,
        socket: PathBuf,
        reload: impl FnMut() -> Result<House, String> + 'static,
    ) -> Self {
        Self { control: Some(socket), reload: Box::new(reload), ..self }
    }

    /// Runs until told to stop, or until something is broken for good; the strike is locked then.
    /// `tell` hears what happens in which household, and `alive` each time the
    /// eyes looked, every ten seconds or so while there is no camera.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn run<F>(
        mut self,
        cameras: F,
        recogniser: Recogniser,
        inputs: Option<Box<dyn Inputs>>,
        tell: &mut dyn FnMut(Millis, &[News], &House),
        alive: &mut dyn FnMut(Eyes, &Status),
    ) -> Result<(), DaemonError>
    where
        F: FnMut() -> Result<Box<dyn FrameSource>, CameraError> + Send + 'static,
    {
        let (sender, receiver) = sync_channel(QUEUE);
        self.start_eyes(cameras, recogniser, sender.clone());
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
        drop(sender);
        let ended = self.decide(&receiver, tell, alive);
        self.stop.store(true, Ordering::Relaxed);
        let locked = self.keeper.lock();
        ended.and(locked.map_err(DaemonError::from))
    }

    fn decide(
        &mut self,
        receiver: &Receiver<Message>,
        tell: &mut dyn FnMut(Millis, &[News], &House),
        alive: &mut dyn FnMut(Eyes, &Status),
    ) -> Result<(), DaemonError> {
        let mut told_time = None;
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            if self.hangup.swap(false, Ordering::Relaxed) {
                self.take_over_rules(now);
            }
            if told_time.is_none_or(|at| now.since(at) >= HEARTBEAT) {
                self.keeper.tell(Event::Clock(self.clock.local()), now);
                self.keeper.try_again(now);
                told_time = Some(now);
            }
            let until = self.keeper.deadline().map_or(HEARTBEAT, |due| due.since(now));
            match receiver.recv_timeout(until.min(Duration::from_millis(500))) {
                Ok(Message::Event(event, at)) => self.keeper.tell(event, at),
                Ok(Message::Looked(eyes)) => alive(eyes, &self.keeper.status()),
                Ok(Message::Asked(asked)) => self.answer(asked),
                Ok(Message::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => self.keeper.tell(Event::Tick, self.clock.now()),
                Err(RecvTimeoutError::Disconnected) => return Err(DaemonError::Thread("looks")),
            }
            let news = self.keeper.news();
            if !news.is_empty() {
                tell(self.clock.now(), &news, self.keeper.house());
            }
        }
        Ok(())
    }

    fn answer(&mut self, Asked { request, uid, answer }: Asked) {
        let now = self.clock.now();
        let (done, text) = match request {
            Request::Status => (true, "as follows".to_owned()),
            Request::Unlock { reason } => {
                self.keeper.command(Command::Unlock, uid, Some(&reason), now);
                let Status { unlocked, lockdown, audit_writable, .. } = self.keeper.status();
                let recorded = if audit_writable { "" } else { "; it could not be recorded" };
                match (unlocked, lockdown) {
                    (true, _) => (true, format!("unlocked for one pulse{recorded}")),
                    (false, true) => (false, format!("not unlocked: in lockdown{recorded}")),
                    (false, false) => (false, format!("not unlocked: the strike failed{recorded}")),
                }
            }
            Request::Lock => {
                self.keeper.command(Command::Lock, uid, None, now);
                (true, "locked".to_owned())
            }
            Request::Lockdown { on } => {
                self.keeper.command(Command::Lockdown(on), uid, None, now);
                let text = if on { "in lockdown: open for nobody" } else { "lockdown over" };
                (true, text.to_owned())
            }
            Request::Reload => self.reload_house(),
            // Frames are lent without asking here.
            Request::Frame => (false, "no frame".to_owned()),
        };
        let status = Some(self.keeper.status());
        // Whoever asked may have gone.
        let _ = answer.try_send(Answer { done, text, status, frame: None });
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
            (true, people) => log::info!("the gallery was read again: {people}"),
            (false, why) => log::error!("{why}; the household stays as it was"),
        }
    }

    fn reload_house(&mut self) -> (bool, String) {
        match (self.reload)() {
            Ok(house) => {
                let matcher = Arc::clone(house.matcher());
                *self.matcher.write().unwrap_or_else(|e| e.into_inner()) = matcher;
                self.keeper.set_house(house);
                (true, format!("{} people", self.keeper.status().people))
            }
            Err(why) => (false, why),
        }
    }

    fn start_eyes<F>(&self, cameras: F, mut recogniser: Recogniser, sender: SyncSender<Message>)
    where
        F: FnMut() -> Result<Box<dyn FrameSource>, CameraError> + Send + 'static,
    {
        let (clock, stop) = (self.clock.clone(), Arc::clone(&self.stop));
        let (matcher, sight) = (Arc::clone(&self.matcher), Arc::clone(&self.sight));
        let mut lending = Lending { peek: self.peek.clone(), lent: false };
        thread::spawn(move || {
            let mut camera = Reopening::new(cameras);
            while !stop.load(Ordering::Relaxed) {
                let adjusted = sight.lock().unwrap_or_else(|e| e.into_inner()).take();
                if let Some((decoder, limits)) = adjusted {
                    recogniser.adjust(decoder, limits);
                }
                let looked =
                    look(&mut camera, &mut recogniser, &matcher, &mut lending, &clock, &sender);
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
            let mut button_known = false;
            while !stop.load(Ordering::Relaxed) {
                let message = match inputs.poll(Duration::from_millis(200)) {
                    Ok(None) => continue,
                    // A button that is held when the daemon starts is a stuck one, not a request.
                    Ok(Some(InputEvent { kind, .. })) if first_press(kind, &mut button_known) => {
                        log::warn!("the exit button is pressed already; it counts once released");
                        continue;
                    }
                    // The time of its edge may lie before what the core was told already.
                    Ok(Some(InputEvent { kind, .. })) => {
                        Message::Event(event_of(kind), clock.now())
                    }
                    Err(e) => Message::Failed(e.into()),
                };
                let failed = matches!(message, Message::Failed(_));
                if sender.send(message).is_err() || failed {
                    return;
                }
            }
        });
    }
}

/// Frames that go to an enrolment instead of to the door.
struct Lending {
    peek: Peek,
    lent: bool,
}

impl Lending {
    fn lends(&mut self, frame: &Frame) -> bool {
        let lends = self.peek.offer(frame);
        match (std::mem::replace(&mut self.lent, lends), lends) {
            (false, true) => {
                log::warn!("somebody is being enrolled: no face opens the door meanwhile")
            }
            (true, false) => log::info!("the enrolment is over: watching for faces again"),
            _ => {}
        }
        lends
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

/// One frame, or one wait for the camera to come back.
fn look<F>(
    camera: &mut Reopening<F>,
    recogniser: &mut Recogniser,
    matcher: &RwLock<Arc<Matcher>>,
    lending: &mut Lending,
    clock: &Clock,
    sender: &SyncSender<Message>,
) -> Result<(), DaemonError>
where
    F: FnMut() -> Result<Box<dyn FrameSource>, CameraError>,
{
    let say = |event| {
        let _ = sender.send(Message::Event(event, clock.now()));
    };
    let frame = match camera.next(Duration::from_millis(clock.now().0))? {
        Look::Frame(frame) => frame,
        Look::Back(frame) => {
            log::info!("the camera is there");
            say(Event::Camera { up: true });
            frame
        }
        Look::Lost { error, retry_in } => {
            log::warn!("no camera: {error}");
            say(Event::Camera { up: false });
            return wait(retry_in, sender);
        }
        Look::Absent { retry_in } => return wait(retry_in, sender),
    };
    if lending.lends(&frame) {
        say(Event::NoFace);
        let _ = sender.send(Message::Looked(Eyes::Open));
        return Ok(());
    }
    let now = clock.now();
    let matcher = Arc::clone(&matcher.read().unwrap_or_else(|e| e.into_inner()));
    let seen = recogniser.look(&frame.pixels, now, &matcher)?;
    for event in events(&seen) {
        let _ = sender.send(Message::Event(event, now));
    }
    let _ = sender.send(Message::Looked(Eyes::Open));
    Ok(())
}

/// A camera that is not there is no hang: the watchdog hears of it, and restarts nothing.
fn wait(time: Duration, sender: &SyncSender<Message>) -> Result<(), DaemonError> {
    let _ = sender.send(Message::Looked(Eyes::Blind));
    thread::sleep(time);
    Ok(())
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
