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
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// The longest request, bytes: a reason of a few lines.
const LONGEST: u64 = 4096;

/// How long a client may take to ask, and the daemon to answer.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// A request, who asks, and where the answer goes.
pub struct Asked {
    /// What.
    pub request: Request,
    /// The user number of the process that asks.
    pub uid: u32,
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
            Ok(request) => {
                let (sender, receiver) = sync_channel(1);
                let asked = ask(Asked { request, uid, answer: sender });
                let answer = asked.then(|| receiver.recv_timeout(PATIENCE).ok()).flatten();
                let busy = || Answer::refused("the daemon is busy or ending; ask again".into());
                (answer.unwrap_or_else(busy), None)
            }
            Err(e) => (Answer::refused(format!("no request that this version knows: {e}")), None),
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    (&stream).write_all(&text)?;
    pixels.map_or(Ok(()), |frame| (&stream).write_all(frame.pixels.as_raw()))
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
    (&mut rest).take(1 << 16).read_line(&mut text)?;
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
}
