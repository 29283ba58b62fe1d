use super::{CameraError, Fps, Frame, FrameSource, Pace};
use image::RgbImage;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Pictures at a fixed rate, each of which can be passed over without decoding it.
pub(super) trait Stills: Send {
    /// Goes on to the next picture; false, and stays where it was, after the last one.
    fn advance(&mut self) -> Result<bool, CameraError>;
    /// The picture that [`Stills::advance`] went to.
    fn decode(&mut self) -> Result<RgbImage, CameraError>;
    fn fps(&self) -> Fps;
    fn describe(&self) -> String;
}

/// Time for a replay at a camera's pace.
pub(super) trait Clock: Send {
    /// Time since the first call.
    fn elapsed(&mut self) -> Duration;
    fn sleep(&mut self, time: Duration);
}

#[derive(Default)]
pub(super) struct WallClock(Option<Instant>);

impl Clock for WallClock {
    fn elapsed(&mut self) -> Duration {
        self.0.get_or_insert_with(Instant::now).elapsed()
    }

    fn sleep(&mut self, time: Duration) {
        thread::sleep(time);
    }
}

/// Stills as frames; frame i is at i / fps. A clock makes it a camera's pace.
pub(super) struct Replay<S, C = WallClock> {
    stills: S,
    clock: Option<C>,
    /// Of the next picture.
    sequence: u64,
}

impl<S: Stills> Replay<S> {
    pub fn new(stills: S, pace: Pace) -> Self {
        let clock = (pace == Pace::Real).then(WallClock::default);
        Self { stills, clock, sequence: 0 }
    }
}

impl<S: Stills, C: Clock> Replay<S, C> {
    /// Passes over pictures whose successor is due already, and waits for the time of the one that
    /// is left.
    fn keep_pace(&mut self, fps: Fps) -> Result<(), CameraError> {
        let Some(clock) = &mut self.clock else { return Ok(()) };
        let due = fps.frame_at(clock.elapsed());
        while self.sequence <= due && self.stills.advance()? {
            self.sequence += 1;
        }
        let time = fps.time_of(self.sequence - 1);
        let early = time.saturating_sub(clock.elapsed());
        clock.sleep(early);
        Ok(())
    }
}

impl<S: Stills, C: Clock> FrameSource for Replay<S, C> {
    fn next(&mut self) -> Result<Frame, CameraError> {
        if !self.stills.advance()? {
            return Err(CameraError::Ended);
        }
        self.sequence += 1;
        let fps = self.stills.fps();
        self.keep_pace(fps)?;
        let sequence = self.sequence - 1;
        Ok(Frame { pixels: self.stills.decode()?, at: fps.time_of(sequence), sequence })
    }

    fn describe(&self) -> String {
        self.stills.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use std::sync::{Arc, Mutex};

    /// As many pictures as it says, the i-th of colour i.
    struct Counter {
        length: u8,
        shown: u8,
        decoded: Arc<Mutex<Vec<u8>>>,
    }

    impl Stills for Counter {
        fn advance(&mut self) -> Result<bool, CameraError> {
            let more = self.shown < self.length;
            self.shown += u8::from(more);
            Ok(more)
        }

        fn decode(&mut self) -> Result<RgbImage, CameraError> {
            self.decoded.lock().unwrap().push(self.shown - 1);
            Ok(RgbImage::from_pixel(1, 1, Rgb([self.shown - 1; 3])))
        }

        fn fps(&self) -> Fps {
            Fps::new(10.0).unwrap()
        }

        fn describe(&self) -> String {
            "numbers".to_owned()
        }
    }

    #[derive(Clone, Default)]
    struct FakeClock(Arc<Mutex<Duration>>);

    impl FakeClock {
        fn pass(&self, milliseconds: u64) {
            *self.0.lock().unwrap() += Duration::from_millis(milliseconds);
        }
    }

    impl Clock for FakeClock {
        fn elapsed(&mut self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&mut self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }
    }

    fn replay(length: u8) -> (Replay<Counter, FakeClock>, FakeClock, Arc<Mutex<Vec<u8>>>) {
        let (clock, decoded) = (FakeClock::default(), Arc::default());
        let stills = Counter { length, shown: 0, decoded: Arc::clone(&decoded) };
        (Replay { stills, clock: Some(clock.clone()), sequence: 0 }, clock, decoded)
    }

    fn look(replay: &mut impl FrameSource) -> Option<(u64, u128, u8)> {
        match replay.next() {
            Ok(frame) => {
                let colour = frame.pixels.get_pixel(0, 0).0[0];
                Some((frame.sequence, frame.at.as_millis(), colour))
            }
            Err(CameraError::Ended) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn at_a_fast_pace_every_frame_comes_with_its_time() {
        let stills = Counter { length: 3, shown: 0, decoded: Arc::default() };
        let mut replay = Replay::new(stills, Pace::Fast);
        for i in 0..3 {
            assert_eq!(look(&mut replay), Some((i, 100 * u128::from(i), i as u8)));
        }
        assert_eq!(look(&mut replay), None);
        assert_eq!(look(&mut replay), None);
    }

    #[test]
    fn at_a_cameras_pace_a_frame_is_waited_for() {
        let (mut replay, mut clock, _) = replay(3);
        for i in 0..3 {
            assert_eq!(look(&mut replay), Some((i, 100 * u128::from(i), i as u8)));
            assert_eq!(clock.elapsed(), Duration::from_millis(100 * i));
            clock.pass(60);
        }
        assert_eq!(look(&mut replay), None);
    }

    #[test]
    fn a_slow_caller_gets_the_latest_frame_and_sees_the_gap() {
        let (mut replay, clock, decoded) = replay(10);
        assert_eq!(look(&mut replay), Some((0, 0, 0)));
        clock.pass(350);
        assert_eq!(look(&mut replay), Some((3, 300, 3)));
        clock.pass(20);
        assert_eq!(look(&mut replay), Some((4, 400, 4)));
        assert_eq!(*decoded.lock().unwrap(), [0, 3, 4], "what nobody sees is not decoded");
    }

    #[test]
    fn the_last_frame_is_seen_however_late() {
        let (mut replay, clock, _) = replay(4);
        assert_eq!(look(&mut replay), Some((0, 0, 0)));
        clock.pass(60_000);
        assert_eq!(look(&mut replay), Some((3, 300, 3)));
        assert_eq!(look(&mut replay), None);
    }
}
