use super::control::{Answer, FrameHead, Request, converse};
use crate::camera::{CameraError, Frame, FrameSource};
use image::RgbImage;
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Lends the daemon's frames to whoever enrols somebody meanwhile: the camera is open once only.
///
/// While frames are lent, no face is recognised: whoever is enrolled is a stranger yet, and would be
/// recorded and counted as one.
#[derive(Clone, Default)]
pub struct Peek(Arc<(Mutex<Slot>, Condvar)>);

#[derive(Default)]
struct Slot {
    wanted: Option<Instant>,
    frame: Option<Frame>,
    /// How many frames were lent, to tell a new one.
    lent: u64,
}

/// Who has not asked for this long is done. A slow board needs less between two frames.
const LEASE: Duration = Duration::from_secs(2);

impl Peek {
    /// Asks for the next frame and waits for it, at most for `patience`.
    pub fn next(&self, patience: Duration) -> Option<Frame> {
        let mut slot = self.slot();
        let before = slot.lent;
        let end = Instant::now() + patience;
        while slot.lent == before {
            let now = Instant::now();
            slot.wanted = Some(now);
            let left = end.checked_duration_since(now).filter(|left| !left.is_zero())?;
            slot = self.0.1.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        slot.frame.clone()
    }

    /// Offers a frame; whether somebody enrols, and it is not for the door.
    pub fn offer(&self, frame: &Frame) -> bool {
        let mut slot = self.slot();
        let is_wanted = slot.wanted.is_some_and(|asked| asked.elapsed() < LEASE);
        if !is_wanted {
            // A face that nobody asks for is not kept.
            (slot.wanted, slot.frame) = (None, None);
            return false;
        }
        slot.frame = Some(frame.clone());
        slot.lent += 1;
        self.0.1.notify_all();
        true
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running daemon's camera, a frame at a time.
pub struct Borrowed {
    socket: PathBuf,
}

impl Borrowed {
    /// Frames of the daemon that listens at `socket`; nothing is asked yet.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf() }
    }

    fn ask(&self) -> io::Result<Frame> {
        let (answer, mut rest) = converse(&self.socket, &Request::Frame)?;
        let Answer { done, text, frame, .. } = answer;
        let head = frame.filter(|_| done).ok_or_else(|| io::Error::other(text))?;
        let mut bytes = vec![0; head.bytes().ok_or(io::ErrorKind::InvalidData)?];
        rest.read_exact(&mut bytes)?;
        let FrameHead { width, height, at_ms, sequence } = head;
        let pixels = RgbImage::from_raw(width, height, bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Frame { pixels, at: Duration::from_millis(at_ms), sequence })
    }
}

impl FrameSource for Borrowed {
    fn next(&mut self) -> Result<Frame, CameraError> {
        let problem = |e: io::Error| CameraError::Daemon {
            socket: self.socket.clone(),
            problem: e.to_string(),
        };
        self.ask().map_err(problem)
    }

    fn describe(&self) -> String {
        format!("the running daemon's camera, by {}", self.socket.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::control::{listen, socket_path};
    use std::thread;

    fn frame(sequence: u64) -> Frame {
        let pixels = RgbImage::from_pixel(5, 3, image::Rgb([sequence as u8, 2, 3]));
        Frame { pixels, at: Duration::from_millis(sequence * 100), sequence }
    }

    #[test]
    fn frames_are_lent_whole_and_to_nobody_who_does_not_ask() {
        let folder = tempfile::tempdir().unwrap();
        let (peek, path) = (Peek::default(), socket_path(folder.path()));
        assert!(!peek.offer(&frame(0)), "nobody asks");
        listen(&path, peek.clone(), |_| false).unwrap();
        let eyes = thread::spawn(move || {
            let begun = Instant::now();
            let mut sequence = 1;
            while sequence < 4 && begun.elapsed() < Duration::from_secs(20) {
                sequence += u64::from(peek.offer(&frame(sequence)));
                thread::sleep(Duration::from_millis(10));
            }
            thread::sleep(LEASE);
            peek.offer(&frame(9))
        });
        let mut camera = Borrowed::new(&path);
        let (first, second) = (camera.next().unwrap(), camera.next().unwrap());
        assert_eq!(first, frame(first.sequence));
        assert_eq!(second, frame(second.sequence));
        assert!(first.sequence < second.sequence);
        assert!(!eyes.join().unwrap(), "who asks no more is done");
    }

    #[test]
    fn a_daemon_without_a_camera_lends_nothing_and_says_so() {
        let peek = Peek::default();
        assert_eq!(peek.next(Duration::from_millis(20)), None);
        let folder = tempfile::tempdir().unwrap();
        let error = Borrowed::new(&socket_path(folder.path())).next().unwrap_err();
        assert!(error.to_string().contains("control.sock"), "{error}");
    }
}
