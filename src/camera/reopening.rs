use super::{CameraError, Frame, FrameSource};
use std::time::Duration;

/// How long to wait after a camera was lost; each attempt that fails doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// A camera that is back should be seen within what a person at the door waits for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long to wait before what is missing is tried again, after so long a wait before.
pub(crate) fn next_wait(before: Option<Duration>) -> Duration {
    before.map_or(FIRST_WAIT, |wait| LONGEST_WAIT.min(2 * wait))
}

/// A source that is opened again when it is lost, for as long as it takes.
///
/// It never sleeps and reads no clock: [`Reopening::next`] is told the time, and says how long to wait.
pub struct Reopening<F> {
    open: F,
    state: State,
    /// The time of the last frame, and the number of the next, over all openings.
    last: Duration,
    sequence: u64,
}

enum State {
    Open {
        source: Box<dyn FrameSource>,
        since: Duration,
        first_sequence: u64,
        /// The wait that follows if it gives no frame; none once it has given one.
        wait: Option<Duration>,
    },
    Lost {
        until: Duration,
        wait: Duration,
    },
    New,
}

/// What came of a look at a source that may be lost.
#[derive(Debug)]
pub enum Seen {
    /// A frame.
    Frame(Frame),
    /// The first frame after a loss.
    Back(Frame),
    /// The source was lost, or is not there at the start. Said once for each loss.
    Lost {
        /// Why.
        error: CameraError,
        /// A call before this has passed does nothing.
        retry_in: Duration,
    },
    /// It is still lost.
    Absent {
        /// A call before this has passed does nothing.
        retry_in: Duration,
    },
}

impl<F: FnMut() -> Result<Box<dyn FrameSource>, CameraError>> Reopening<F> {
    /// Opens nothing yet.
    pub fn new(open: F) -> Self {
        Self { open, state: State::New, last: Duration::ZERO, sequence: 0 }
    }

    /// Waits for the next frame if the source is open; else opens it if it is time to. `now` is the time
    /// by the caller's monotonic clock, to which [`Frame::at`] is moved; sequence numbers go on after
    /// a loss.
    ///
    /// # Errors
    /// Those that opening again does not help, [`CameraError::Ended`] among them.
    pub fn next(&mut self, now: Duration) -> Result<Seen, CameraError> {
        let wait = match &self.state {
            State::Open { .. } => return self.look(now),
            State::Lost { until, .. } if now < *until => {
                return Ok(Seen::Absent { retry_in: *until - now });
            }
            State::Lost { wait, .. } => Some(*wait),
            State::New => None,
        };
        match (self.open)() {
            Ok(source) => {
                let first_sequence = self.sequence;
                self.state = State::Open { source, since: now, first_sequence, wait };
                self.look(now)
            }
            Err(error) => self.lost(error, wait, now),
        }
    }

    /// What the source is, while it is open.
    pub fn describe(&self) -> Option<String> {
        match &self.state {
            State::Open { source, .. } => Some(source.describe()),
            _ => None,
        }
    }

    fn look(&mut self, now: Duration) -> Result<Seen, CameraError> {
        let State::Open { source, since, first_sequence, wait } = &mut self.state else {
            unreachable!("called when open");
        };
        match source.next() {
            Ok(mut frame) => {
                frame.at = self.last.max(since.saturating_add(frame.at));
                frame.sequence += *first_sequence;
                self.last = frame.at;
                self.sequence = frame.sequence + 1;
                let was_lost = wait.take().is_some();
                Ok(if was_lost { Seen::Back(frame) } else { Seen::Frame(frame) })
            }
            Err(error) => {
                let wait = *wait;
                self.lost(error, wait, now)
            }
        }
    }

    /// `wait` is there if the source was lost before this attempt.
    fn lost(
        &mut self,
        error: CameraError,
        wait: Option<Duration>,
        now: Duration,
    ) -> Result<Seen, CameraError> {
        if !error.is_lost() {
            return Err(error);
        }
        let retry_in = next_wait(wait);
        // The source is dropped here: while its file is open, the device that comes back gets another.
        self.state = State::Lost { until: now + retry_in, wait: retry_in };
        if wait.is_none() {
            return Ok(Seen::Lost { error, retry_in });
        }
        log::debug!("still lost: {error}");
        Ok(Seen::Absent { retry_in })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use std::{collections::VecDeque, io};

    /// Gives as many frames as it says, then is lost.
    struct Flaky(VecDeque<u64>);

    impl FrameSource for Flaky {
        fn next(&mut self) -> Result<Frame, CameraError> {
            let sequence = self.0.pop_front().ok_or_else(gone)?;
            let at = Duration::from_millis(100 * sequence);
            Ok(Frame { pixels: RgbImage::new(1, 1), at, sequence })
        }

        fn describe(&self) -> String {
            "flaky".to_owned()
        }
    }

    fn gone() -> CameraError {
        let source = io::ErrorKind::NotFound.into();
        CameraError::Device { device: "/dev/video7".into(), doing: "opening it", source }
    }

    type Opened = Result<Box<dyn FrameSource>, CameraError>;

    fn opening(mut openings: Vec<Opened>) -> Reopening<impl FnMut() -> Opened> {
        openings.reverse();
        Reopening::new(move || openings.pop().expect("opened too often"))
    }

    fn frames(sequences: impl IntoIterator<Item = u64>) -> Opened {
        Ok(Box::new(Flaky(sequences.into_iter().collect())))
    }

    /// What was seen, in letters, with a frame's number or the wait in milliseconds.
    fn look(source: &mut Reopening<impl FnMut() -> Opened>, now: u64) -> (char, u64) {
        let milliseconds = |time: Duration| time.as_millis() as u64;
        match source.next(Duration::from_millis(now)) {
            Ok(Seen::Frame(frame)) => ('f', frame.sequence),
            Ok(Seen::Back(frame)) => ('b', frame.sequence),
            Ok(Seen::Lost { retry_in, .. }) => ('l', milliseconds(retry_in)),
            Ok(Seen::Absent { retry_in }) => ('a', milliseconds(retry_in)),
            Err(_) => ('e', 0),
        }
    }

    #[test]
    fn a_lost_source_is_said_to_be_lost_once_and_back_once() {
        let mut source = opening(vec![frames([0, 1]), Err(gone()), frames([0, 1, 4]), frames([0])]);
        for (now, seen) in [
            (0, ('f', 0)),
            (100, ('f', 1)),
            (200, ('l', 500)),
            (300, ('a', 400)),
            (700, ('a', 1000)),
            (1699, ('a', 1)),
            (1700, ('b', 2)),
            (1800, ('f', 3)),
            (1900, ('f', 6)),
            (2000, ('l', 500)),
            (2500, ('b', 7)),
        ] {
            assert_eq!(look(&mut source, now), seen, "at {now}");
        }
    }

    #[test]
    fn waits_double_up_to_ten_seconds() {
        let mut source = opening((0..9).map(|_| Err(gone())).collect());
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            let (_, wait) = look(&mut source, now);
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn a_source_that_opens_but_gives_nothing_is_still_lost() {
        let mut source = opening(vec![frames([]), frames([]), frames([0])]);
        assert_eq!(look(&mut source, 0), ('l', 500));
        assert_eq!(look(&mut source, 500), ('a', 1000));
        assert_eq!(look(&mut source, 1500), ('b', 0));
    }

    #[test]
    fn times_are_the_callers_and_never_go_back() {
        let mut source = opening(vec![frames([0, 50]), frames([0, 1])]);
        let mut times = Vec::new();
        for now in [1000, 1100, 1200, 1700, 1800] {
            if let Seen::Frame(f) | Seen::Back(f) = source.next(Duration::from_millis(now)).unwrap()
            {
                times.push(f.at.as_millis());
            }
        }
        // The second opening's frames were stamped before the first one's last, which ran ahead.
        assert_eq!(times, [1000, 6000, 6000, 6000]);
    }

    #[test]
    fn what_does_not_get_better_is_handed_on() {
        let mut source = opening(vec![Err(CameraError::NoPictures("x".into()))]);
        assert_eq!(look(&mut source, 0), ('e', 0));
        let mut source = opening(vec![frames([0])]);
        assert_eq!(source.describe(), None);
        assert_eq!(look(&mut source, 0), ('f', 0));
        assert_eq!(source.describe().as_deref(), Some("flaky"));
    }
}
