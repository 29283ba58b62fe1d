use crate::{
    detect::{Pose, Refusal},
    embed::{Embedding, Score},
};
use std::time::Duration;

/// Which way a person looks, by their own left and right, while they are enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum View {
    /// Into the camera. The first one: the others are measured from it.
    #[error("look into the camera")]
    Straight,
    /// To their left.
    #[error("turn your head a little to your left")]
    Left,
    /// To their right.
    #[error("turn your head a little to your right")]
    Right,
    /// Up.
    #[error("raise your chin a little")]
    Up,
    /// Down.
    #[error("lower your chin a little")]
    Down,
    /// Into the camera once more, some time after the first.
    #[error("look into the camera again: smile, or take your glasses off or put them on")]
    Again,
}

impl View {
    /// All of them, in the order in which they are asked for.
    pub const ALL: [Self; 6] =
        [Self::Straight, Self::Left, Self::Right, Self::Up, Self::Down, Self::Again];
}

/// What the camera shows of whoever is being enrolled.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// No face.
    Nobody,
    /// A second face, nearly as large.
    Crowd,
    /// A face that is not fit.
    Unfit(Refusal),
    /// A face that is.
    Face(Pose, Box<Embedding>),
}

/// What to tell the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Advice {
    /// What the quality gate says.
    #[error("{0}")]
    Better(Refusal),
    /// Which view is wanted.
    #[error("{0}")]
    Show(View),
    /// The head is turned beyond what can be recognised.
    #[error("not so far")]
    NotSoFar,
    /// Two people are in the picture.
    #[error("one person at a time: step out of the picture, whoever is not meant")]
    OnePerson,
    /// This face is not like those taken before.
    #[error("this does not look like the pictures before; {0}")]
    SomebodyElse(View),
}

/// What one look brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet; this would help.
    Advise(Advice),
    /// A sample of this view.
    Took(View),
    /// All that is to be had: every view was taken or has had its time.
    Done,
}

/// Leads a person through the views that make good templates, one look after the other: decides what is
/// taken and what is said, by the frames' own time.
///
/// A view is taken from the first fit face that shows it and looks like those taken before, whether or
/// not it is the one that is asked for. One that does not come is given up after [`Guide::PATIENCE`], all
/// of it after [`Guide::LONGEST`].
#[derive(Debug)]
pub struct Guide {
    /// How alike the samples must be.
    agreement: Score,
    taken: Vec<Taken>,
    given_up: Vec<View>,
    begun: Option<Duration>,
    /// What is asked for, and since when.
    asked: (View, Duration),
}

#[derive(Debug)]
struct Taken {
    view: View,
    at: Duration,
    pose: Pose,
    embedding: Embedding,
}

/// Too few views to enrol from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "only {taken} of {least} pictures were good enough to enrol from{}; try again",
    .advice.map(|advice| format!(" (last: {advice})")).unwrap_or_default()
)]
pub struct TooFew {
    /// How many there are.
    pub taken: usize,
    /// How many there must be.
    pub least: usize,
    /// What would have helped last.
    pub advice: Option<Advice>,
}

/// A head is turned from here on, degrees: twice what two looks straight ahead differ by.
const TURNED: f32 = 12.0;
/// The same for the chin, which landmarks say less of.
const TILTED: f32 = 10.0;
/// Straight ahead is not beyond this, degrees. Pitch has more room, as noses differ by 7.
const STRAIGHT: (f32, f32) = (10.0, 18.0);
/// Two samples are no nearer in time: neighbouring frames say the same.
const APART: Duration = Duration::from_millis(400);
/// Time to smile or find the glasses.
const LATER: Duration = Duration::from_secs(3);

impl Guide {
    /// How long one view is asked for.
    pub const PATIENCE: Duration = Duration::from_secs(12);
    /// How long the whole takes at most.
    pub const LONGEST: Duration = Duration::from_secs(90);
    /// With fewer samples nobody is enrolled.
    pub const LEAST: usize = 2;

    /// A guide that takes samples at least `agreement` alike.
    pub fn new(agreement: Score) -> Self {
        let asked = (View::Straight, Duration::ZERO);
        Self { agreement, taken: Vec::new(), given_up: Vec::new(), begun: None, asked }
    }

    /// Takes one look, of the time `at`, which never goes back.
    pub fn see(&mut self, at: Duration, look: &Look) -> Step {
        let begun = *self.begun.get_or_insert_with(|| {
            self.asked.1 = at;
            at
        });
        if at.saturating_sub(begun) >= Self::LONGEST {
            return Step::Done;
        }
        let Some(asked) = self.ask(at) else { return Step::Done };
        match look {
            Look::Nobody => Step::Advise(Advice::Better(Refusal::NoFace)),
            Look::Crowd => Step::Advise(Advice::OnePerson),
            Look::Unfit(Refusal::Turned) if asked != View::Straight && asked != View::Again => {
                Step::Advise(Advice::NotSoFar)
            }
            Look::Unfit(refusal) => Step::Advise(Advice::Better(*refusal)),
            Look::Face(pose, embedding) => self.consider(at, asked, *pose, embedding),
        }
    }

    /// How many samples there are.
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    /// The views that nobody showed.
    pub fn missing(&self) -> impl Iterator<Item = View> {
        View::ALL.into_iter().filter(|view| !self.has(*view))
    }

    /// The samples.
    ///
    /// # Errors
    /// [`TooFew`], with the advice that was not followed.
    pub fn finish(self, advice: Option<Advice>) -> Result<Vec<Embedding>, TooFew> {
        let (taken, least) = (self.taken.len(), Self::LEAST);
        if taken < least {
            return Err(TooFew { taken, least, advice });
        }
        Ok(self.taken.into_iter().map(|taken| taken.embedding).collect())
    }

    fn has(&self, view: View) -> bool {
        self.taken.iter().any(|taken| taken.view == view)
    }

    /// The view to ask for; `None` when there is none left.
    fn ask(&mut self, at: Duration) -> Option<View> {
        let (asked, since) = self.asked;
        // Without the first view there is nothing to measure the others from.
        let waited = at.saturating_sub(since) >= Self::PATIENCE;
        if waited && asked != View::Straight && !self.has(asked) {
            self.given_up.push(asked);
        }
        let open = |view: &View| !self.has(*view) && !self.given_up.contains(view);
        let next = View::ALL.into_iter().find(open)?;
        if next != asked {
            self.asked = (next, at);
        }
        Some(next)
    }

    fn consider(&mut self, at: Duration, asked: View, pose: Pose, embedding: &Embedding) -> Step {
        let Some(view) = View::ALL.into_iter().find(|view| self.shows(*view, at, &pose)) else {
            return Step::Advise(Advice::Show(asked));
        };
        let alike = |taken: &Taken| taken.embedding.cosine(embedding) >= self.agreement;
        if !self.taken.iter().all(alike) {
            return Step::Advise(Advice::SomebodyElse(asked));
        }
        self.taken.push(Taken { view, at, pose, embedding: *embedding });
        Step::Took(view)
    }

    /// Whether a face shows a view that is still open.
    fn shows(&self, view: View, at: Duration, pose: &Pose) -> bool {
        let straight = pose.yaw.abs() <= STRAIGHT.0 && pose.pitch.abs() <= STRAIGHT.1;
        let Some(first) = self.taken.first() else { return view == View::Straight && straight };
        let soon = self.taken.last().is_some_and(|last| at.saturating_sub(last.at) < APART);
        if soon || self.has(view) {
            return false;
        }
        let (turn, tilt) = (pose.yaw - first.pose.yaw, pose.pitch - first.pose.pitch);
        match view {
            View::Straight => false,
            View::Left => turn >= TURNED,
            View::Right => turn <= -TURNED,
            View::Up => tilt <= -TILTED && turn.abs() < TURNED,
            View::Down => tilt >= TILTED && turn.abs() < TURNED,
            View::Again => straight && at.saturating_sub(first.at) >= LATER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::EMBEDDING_LEN;
    use proptest::prelude::*;

    /// Somebody's face at an angle of the embeddings' plane, the head turned by yaw and pitch.
    fn face(person: f32, yaw: f32, pitch: f32) -> Look {
        let (y, x) = person.to_radians().sin_cos();
        let values: [f32; EMBEDDING_LEN] =
            std::array::from_fn(|i| [x, y].get(i).copied().unwrap_or(0.0));
        Look::Face(Pose { roll: 0.0, yaw, pitch }, Box::new(Embedding::new(values).unwrap()))
    }

    fn guide() -> Guide {
        Guide::new(Score(0.8))
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_willing_person_is_led_through_all_views() {
        let mut guide = guide();
        let mut told = Vec::new();
        for (ms, look) in [
            (0, Look::Nobody),
            (100, Look::Unfit(Refusal::TooSmall)),
            (200, face(0.0, 2.0, 5.0)),
            (300, face(0.0, 3.0, 5.0)),
            (900, face(0.0, 20.0, 5.0)),
            (1000, Look::Unfit(Refusal::Turned)),
            (1500, face(5.0, -15.0, 4.0)),
            (2000, face(0.0, 0.0, -9.0)),
            (2500, face(0.0, 0.0, 16.0)),
            (3000, face(0.0, 0.0, 4.0)),
            (3300, face(0.0, 0.0, 4.0)),
            (3400, face(0.0, 0.0, 4.0)),
        ] {
            told.push(guide.see(at(ms), &look));
        }
        use Advice::{Better, NotSoFar, Show};
        assert_eq!(
            told,
            [
                Step::Advise(Better(Refusal::NoFace)),
                Step::Advise(Better(Refusal::TooSmall)),
                Step::Took(View::Straight),
                Step::Advise(Show(View::Left)),
                Step::Took(View::Left),
                Step::Advise(NotSoFar),
                Step::Took(View::Right),
                Step::Took(View::Up),
                Step::Took(View::Down),
                Step::Advise(Show(View::Again)),
                Step::Took(View::Again),
                Step::Done,
            ]
        );
        assert_eq!(guide.missing().count(), 0);
        assert_eq!(guide.finish(None).unwrap().len(), View::ALL.len());
    }

    #[test]
    fn a_second_person_is_neither_taken_nor_waited_for() {
        let mut guide = guide();
        guide.see(at(0), &face(0.0, 0.0, 0.0));
        assert_eq!(guide.see(at(500), &Look::Crowd), Step::Advise(Advice::OnePerson));
        let other = guide.see(at(1000), &face(90.0, 20.0, 0.0));
        assert_eq!(other, Step::Advise(Advice::SomebodyElse(View::Left)));
        assert_eq!(guide.taken(), 1);
    }

    #[test]
    fn views_that_do_not_come_are_given_up_and_too_few_are_no_enrolment() {
        let mut guide = guide();
        let mut asked = Vec::new();
        for second in 0..200 {
            match guide.see(at(second * 1000), &face(0.0, 0.0, 0.0)) {
                Step::Advise(Advice::Show(view)) => asked.push(view),
                Step::Took(_) => {}
                step => {
                    assert_eq!(step, Step::Done);
                    assert!(second <= 61, "bounded: {second}");
                    break;
                }
            }
        }
        asked.dedup();
        assert_eq!(asked, [View::Left, View::Right, View::Up, View::Down]);
        assert_eq!(guide.finish(None).unwrap().len(), 2, "straight, and again");
        let mut nobody = super::Guide::new(Score(0.8));
        let mut second = 0;
        while nobody.see(at(second * 1000), &Look::Nobody) != Step::Done {
            second += 1;
            assert!(second <= 90, "bounded");
        }
        let advice = Some(Advice::Better(Refusal::NoFace));
        let error = nobody.finish(advice).unwrap_err().to_string();
        assert!(error.contains("only 0 of 2") && error.contains("show your face"), "{error}");
    }

    fn any_look() -> impl Strategy<Value = Look> {
        prop_oneof![
            Just(Look::Nobody),
            Just(Look::Crowd),
            Just(Look::Unfit(Refusal::Blurred)),
            (0f32..360.0, -60f32..60.0, -60f32..60.0).prop_map(|(p, y, t)| face(p, y, t)),
            Just(face(0.0, f32::NAN, 0.0)),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_seen_it_ends_and_what_was_taken_agrees(
            looks in prop::collection::vec((0u64..3000, any_look()), 1..300),
        ) {
            let (mut guide, mut now) = (guide(), 0);
            for (wait, look) in &looks {
                now += wait;
                let step = guide.see(at(now), look);
                let over = at(now) - at(looks[0].0) >= Guide::LONGEST;
                prop_assert!(!over || step == Step::Done);
            }
            if let Ok(samples) = guide.finish(None) {
                prop_assert!((Guide::LEAST..=View::ALL.len()).contains(&samples.len()));
                for a in &samples {
                    prop_assert!(samples.iter().all(|b| a.cosine(b) >= Score(0.8)));
                }
            }
        }
    }
}
