//! What the daemon's eyes do: prepare themselves, look, and wait for what there is not.

use super::{
    Clock, House, Peek,
    daemon::{DaemonError, Message},
};
use crate::{
    camera::{CameraError, Frame, FrameSource, Reopening, Seen as Look, next_wait},
    decision::Event,
    gallery::Matcher,
    pipeline::{Recogniser, events},
};
use std::{
    fmt::Display,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    thread,
    time::Duration,
};

/// What came of a look through the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eyes {
    /// A frame, which was searched for faces.
    Open,
    /// There is no camera, or no networks or household to look with, and it is being waited for; the inputs and
    /// commands work all the same.
    Blind,
}

/// What the eyes need, prepared while the inputs and commands work already.
pub struct Sight {
    /// Both networks.
    pub recogniser: Recogniser,
    /// Whom they may know.
    pub house: House,
    /// Reads the household anew; why it cannot be read otherwise.
    pub reload: Reload,
}

/// Reads the household anew; why it cannot be read otherwise.
pub type Reload = Box<dyn FnMut() -> Result<House, String> + Send>;

/// Frames that go to an enrolment instead of to the door.
pub(super) struct Lending {
    peek: Peek,
    lent: bool,
}

impl Lending {
    pub(super) fn new(peek: Peek) -> Self {
        Self { peek, lent: false }
    }

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

/// What the eyes need, tried again for as long as it takes; `None` once the daemon stops.
pub(super) fn prepared<E: Display>(
    mut prepare: impl FnMut() -> Result<Sight, E>,
    stop: &AtomicBool,
    sender: &SyncSender<Message>,
) -> Option<Sight> {
    let mut waited = None;
    while !stop.load(Ordering::Relaxed) {
        match prepare() {
            Ok(sight) => return Some(sight),
            Err(why) => {
                let _ = sender.send(Message::Unprepared(why.to_string()));
                let retry_in = next_wait(waited);
                wait(retry_in, sender);
                waited = Some(retry_in);
            }
        }
    }
    None
}

/// One frame, or one wait for the camera to come back.
pub(super) fn look<F>(
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
            wait(retry_in, sender);
            return Ok(());
        }
        Look::Absent { retry_in } => {
            wait(retry_in, sender);
            return Ok(());
        }
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

/// What is not there to look with is no hang: the watchdog hears of it, and restarts nothing.
fn wait(time: Duration, sender: &SyncSender<Message>) {
    let _ = sender.send(Message::Looked(Eyes::Blind));
    thread::sleep(time);
}
