use super::Peek;
use crate::camera::{Frame, LARGEST_SIDE};
use rustix::{net::sockopt::socket_peercred, process::geteuid};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// The longest request, bytes: a reason of a few lines.
const LONGEST: u64 = 4096;

/// How long a client may take to ask, and the daemon to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known where the daemon is at it, and a disk keeps it.
const UNANSWERED: &str = "no answer yet; it may be done all the same, `facelatch status` says";

/// What a person at the board's own keyboard may ask of the running daemon: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How things stand.
    Status,
    /// Release the strike for one pulse.
    Unlock {
        /// Why, for the audit log.
        reason: String,
    },
    /// Lock at once.
    Lock,
    /// Open for nobody until released.
    Lockdown {
        /// Begin or end.
        on: bool,
    },
    /// Read the gallery again: somebody was enrolled, changed or removed.
    Reload,
    /// The next frame, to enrol somebody from; no face is recognised meanwhile.
    Frame,
}

/// The daemon's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Whether it was done.
    pub done: bool,
    /// What was done, or why it was not, in a sentence.
    pub text: String,
    /// How things stand after it.
    pub status: Option<Status>,
    /// The frame whose bytes follow, RGB row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameHead>,
}

impl Answer {
    fn refused(text: String) -> Self {
        Self { done: false, text, status: None, frame: None }
    }
}

/// What is said of a frame before its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameHead {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// When it was taken, by the daemon's clock.
    pub at_ms: u64,
    /// Which one it is.
    pub sequence: u64,
}

impl FrameHead {
    /// How many bytes follow; `None` for a size that no frame has.
    pub(super) fn bytes(&self) -> Option<usize> {
        let sides = [self.width, self.height];
        let fits = sides.iter().all(|side| (1..=LARGEST_SIDE).contains(side));
        fits.then(|| self.width as usize * self.height as usize * 3)
    }
}

/// How things stand at the door.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Whether the strike is released.
    pub unlocked: bool,
    /// Whether the door is closed to everybody.
    pub lockdown: bool,
    /// Alarms that are on.
    pub alarms: Vec<String>,
    /// Whether decisions are being recorded.
    pub audit_writable: bool,
    /// How many people can be recognised.
    pub people: usize,
    /// Why nobody can be recognised yet, where that is so.
    #[serde(default)]
    pub waiting: Option<String>,
}

/// A request is the first one's to take: the daemon does it then, or whoever asked gives it up. So nothing is done
/// late that somebody was told was not done.
#[derive(Debug, Clone, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether nobody took it before.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A request, who asks, and where the answer goes.
pub struct Asked {
    /// What.
    pub request: Request,
    /// The user number of the process that asks.
    pub uid: u32,
    /// To be taken before anything is done.
    pub claim: Claim,
    /// Takes one answer.
    pub answer: SyncSender<Answer>,
}

/// Where the daemon listens: in its state folder.
pub fn socket_path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Listens for requests and hands each to `ask`, which gives false when nobody is there to answer; frames
/// come from `peek`. The socket is for its owner alone (mode 0600), and only root and the daemon's own user
/// are heard.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(
    path: &Path,
    peek: Peek,
    ask: impl Fn(Asked) -> bool + Send + Sync + Clone + 'static,
) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (peek, ask) = (peek.clone(), ask.clone());
            thread::spawn(move || {
                if let Err(e) = serve(stream, &peek, &ask) {
                    log::debug!("control: {e}");
                }
            });
        }
    });
    Ok(())
}

fn serve(stream: UnixStream, peek: &Peek, ask: &impl Fn(Asked) -> bool) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let uid = socket_peercred(&stream)?.uid.as_raw();
    let (answer, pixels) = if uid != 0 && uid != geteuid().as_raw() {
        let text = format!("user {uid} may not ask this; only root and the daemon's own user may");
        (Answer::refused(text), None)
    } else {
        let mut line = String::new();
        BufReader::new((&stream).take(LONGEST)).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Request::Frame) => lend(peek),
            Ok(request) => (answered(request, uid, ask, PATIENCE)?, None),
            Err(e) => (Answer::refused(format!("no request that this version knows: {e}")), None),
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    (&stream).write_all(&text)?;
    pixels.map_or(Ok(()), |frame| (&stream).write_all(frame.pixels.as_raw()))
}

/// Hands a request over and waits for the answer. It is given up after `patience`, unless it is being done by then;
/// but the gallery is read however late, so that nobody comes in who was removed.
fn answered(
    request: Request,
    uid: u32,
    ask: &impl Fn(Asked) -> bool,
    patience: Duration,
) -> io::Result<Answer> {
    let busy = || Answer::refused("the daemon is busy or ending; ask again".into());
    let (answer, answers) = sync_channel(1);
    let (claim, may_be_late) = (Claim::default(), request == Request::Reload);
    if !ask(Asked { request, uid, claim: claim.clone(), answer }) {
        return Ok(busy());
    }
    match answers.recv_timeout(patience) {
        Ok(answer) => Ok(answer),
        Err(RecvTimeoutError::Timeout) if may_be_late => {
            let text = "the daemon is busy; the gallery is read once it is not".into();
            Ok(Answer { done: true, text, status: None, frame: None })
        }
        Err(_) if claim.take() => Ok(busy()),
        // Whether it was done, nobody can say where there is no answer, and then none is given.
        Err(_) => answers.recv().map_err(io::Error::other),
    }
}

/// The next frame, whose bytes follow the answer.
fn lend(peek: &Peek) -> (Answer, Option<Frame>) {
    let Some(frame) = peek.next(PATIENCE) else {
        return (Answer::refused("there is no frame; is the camera there?".into()), None);
    };
    let (width, height) = frame.pixels.dimensions();
    let at_ms = u64::try_from(frame.at.as_millis()).unwrap_or(u64::MAX);
    let head = FrameHead { width, height, at_ms, sequence: frame.sequence };
    let answer = Answer { done: true, text: "a frame".into(), status: None, frame: Some(head) };
    (answer, Some(frame))
}

/// Asks the running daemon.
///
/// # Errors
/// No daemon listens there, or it gives no answer.
pub fn ask(path: &Path, request: &Request) -> io::Result<Answer> {
    Ok(converse(path, request)?.0)
}

/// The daemon's answer, and what follows it.
pub(super) fn converse(path: &Path, request: &Request) -> io::Result<(Answer, impl Read)> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE * 2))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut text = String::new();
    let mut rest = BufReader::new(stream);
    (&mut rest).take(1 << 16).read_line(&mut text).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, UNANSWERED),
        _ => e,
    })?;
    Ok((serde_json::from_str(&text)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(request: Request) -> Answer {
        Answer {
            done: true,
            text: format!("{request:?}"),
            status: Some(Status::default()),
            frame: None,
        }
    }

    #[test]
    fn a_request_is_answered_and_rubbish_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket_path(folder.path());
        listen(&path, Peek::default(), |asked| asked.answer.send(answering(asked.request)).is_ok())
            .unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let request = Request::Unlock { reason: "parcel".into() };
        assert_eq!(ask(&path, &request).unwrap(), answering(request));
        for rubbish in ["", "{}\n", "{\"command\":\"open_sesame\"}\n"] {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(rubbish.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let answer: Answer = serde_json::from_str(&text).unwrap();
            assert!(!answer.done, "{rubbish}: {text}");
        }
        // A daemon that died left its socket: the next one takes its place.
        listen(&path, Peek::default(), |_| false).unwrap();
        assert!(!ask(&path, &Request::Status).unwrap().done);
    }

    /// What a daemon does with a request, whose answer comes `after` it was taken and which is taken `before` that.
    fn busy(before: Duration, after: Duration) -> (impl Fn(Asked) -> bool, Arc<AtomicBool>) {
        let done = Arc::new(AtomicBool::new(false));
        let does = Arc::clone(&done);
        let ask = move |asked: Asked| {
            let does = Arc::clone(&does);
            thread::spawn(move || {
                thread::sleep(before);
                if asked.claim.take() {
                    does.store(true, Ordering::Relaxed);
                    thread::sleep(after);
                    let _ = asked.answer.send(answering(asked.request));
                }
            });
            true
        };
        (ask, done)
    }

    #[test]
    fn what_was_refused_is_not_done_later_and_what_is_being_done_is_waited_for() {
        // Long enough for a thread to start on a machine that has other work.
        let patience = Duration::from_millis(500);
        let (short, long) = (Duration::ZERO, 2 * patience);
        let unlock = || Request::Unlock { reason: "parcel".into() };
        for (name, request, before, after, told, done) in [
            ("at once", unlock(), short, short, true, true),
            ("it takes long", unlock(), short, long, true, true),
            ("it comes to it too late", unlock(), long, short, false, false),
            ("a gallery to read, too late", Request::Reload, long, short, true, true),
        ] {
            let (ask, does) = busy(before, after);
            let answer = answered(request, 0, &ask, patience).unwrap();
            assert_eq!(answer.done, told, "{name}: {answer:?}");
            thread::sleep(before);
            assert_eq!(does.load(Ordering::Relaxed), done, "{name}");
        }
        assert!(!answered(unlock(), 0, &|_| false, patience).unwrap().done, "a full queue");
        let ends = |asked: Asked| std::mem::size_of_val(&asked) > 0;
        assert!(!answered(unlock(), 0, &ends, patience).unwrap().done, "ending");
        let dies = |asked: Asked| asked.claim.take();
        assert!(answered(unlock(), 0, &dies, patience).is_err(), "nobody knows");
    }

    #[test]
    fn whoever_gives_up_as_it_is_being_taken_is_told_the_truth() {
        let mut refused = 0;
        for i in 0..200 {
            let patience = Duration::from_millis(2);
            let (ask, does) = busy(patience + Duration::from_micros(10 * (i % 20)), Duration::ZERO);
            let answer = answered(Request::Lock, 0, &ask, patience).unwrap();
            assert!(answer.done || !does.load(Ordering::Relaxed), "done, and refused");
            refused += u32::from(!answer.done);
        }
        println!("{refused} of 200 refused");
    }
}
