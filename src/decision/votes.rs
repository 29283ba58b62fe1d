use super::{
    action::Denial,
    event::{Liveness, Observation, PersonId, Quality},
    policy::{LivenessPolicy, MAX_FRAMES, VotePolicy},
    time::Millis,
};
use heapless::Deque;

/// Whom one frame votes for, or why for nobody.
pub(super) fn vote(seen: &Observation, policy: &VotePolicy) -> Result<PersonId, Denial> {
    if let Quality::Poor(flaw) = seen.quality {
        return Err(Denial::PoorQuality(flaw));
    }
    let best = seen.best.filter(|best| best.score.meets(policy.threshold));
    let best = best.ok_or(Denial::NotRecognised)?;
    // A second score that is none makes no margin: -∞ would make any.
    let ahead = seen.second.is_none_or(|second| second.is_valid())
        && seen.margin().is_none_or(|margin| margin >= policy.margin);
    match () {
        () if !ahead => Err(Denial::Ambiguous),
        () if !lives(seen.liveness, policy.liveness) => Err(Denial::NotLive),
        () => Ok(best.person),
    }
}

fn lives(found: Liveness, policy: LivenessPolicy) -> bool {
    match (found, policy) {
        (Liveness::Spoof(_), _) => false,
        (Liveness::Unknown, LivenessPolicy::UnknownAccepted) => true,
        (Liveness::Unknown, LivenessPolicy::Required(_)) => false,
        (Liveness::Live(score), LivenessPolicy::UnknownAccepted) => (0.0..=1.0).contains(&score.0),
        (Liveness::Live(score), LivenessPolicy::Required(least)) => {
            (least.0..=1.0).contains(&score.0)
        }
    }
}

/// The last frames of one track, and which of them voted for the person that it shows now.
#[derive(Debug, Default)]
pub(super) struct Votes {
    person: Option<PersonId>,
    frames: Deque<Frame, MAX_FRAMES>,
}

#[derive(Debug)]
struct Frame {
    at: Millis,
    votes: bool,
}

impl Votes {
    /// Adds a frame that votes, or does not; whether there are enough votes now.
    ///
    /// A frame of good quality that is most like somebody else starts the count anew, even where it
    /// does not vote. One of poor quality does not: whom it is like is chance, and all that it does
    /// is to take one of the last places.
    pub(super) fn add(
        &mut self,
        at: Millis,
        seen: &Observation,
        votes: bool,
        policy: &VotePolicy,
    ) -> bool {
        let shown = seen.best.filter(|_| seen.quality == Quality::Good).map(|best| best.person);
        if shown.is_some() && shown != self.person {
            self.frames.clear();
            self.person = shown;
        }
        while self.frames.len() >= usize::from(policy.of).min(MAX_FRAMES) {
            self.frames.pop_front();
        }
        // There is room: the loop has just made it.
        let _ = self.frames.push_back(Frame { at, votes });
        self.count(at, policy) >= usize::from(policy.needed)
    }

    fn count(&self, now: Millis, policy: &VotePolicy) -> usize {
        let counts = |frame: &&Frame| frame.votes && now.since(frame.at) <= policy.within;
        self.frames.iter().filter(counts).count()
    }

    /// Forgets all frames.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::event::{Candidate, Flaw, LivenessScore, Score, TrackId};

    fn seen(score: f32) -> Observation {
        Observation {
            track: TrackId(1),
            best: Some(Candidate { person: PersonId(1), score: Score(score) }),
            second: Some(Score(0.2)),
            quality: Quality::Good,
            liveness: Liveness::Unknown,
        }
    }

    #[test]
    fn a_frame_votes_only_when_all_holds() {
        let open = VotePolicy::default();
        let strict = VotePolicy {
            liveness: LivenessPolicy::Required(LivenessScore(0.9)),
            ..VotePolicy::default()
        };
        let with = |change: fn(&mut Observation)| {
            let mut observation = seen(0.9);
            change(&mut observation);
            observation
        };
        let live =
            |score| Observation { liveness: Liveness::Live(LivenessScore(score)), ..seen(0.9) };
        let spoof = with(|o| o.liveness = Liveness::Spoof(LivenessScore(0.0)));
        let yes = Ok(PersonId(1));
        for (name, seen, policy, outcome) in [
            ("all is well", seen(0.9), &open, yes),
            ("just at the threshold", seen(0.46), &open, yes),
            ("just below it", seen(0.45), &open, Err(Denial::NotRecognised)),
            ("no number", seen(f32::NAN), &open, Err(Denial::NotRecognised)),
            ("infinite", seen(f32::INFINITY), &open, Err(Denial::NotRecognised)),
            ("over 1", seen(1.5), &open, Err(Denial::NotRecognised)),
            ("nobody enrolled", with(|o| o.best = None), &open, Err(Denial::NotRecognised)),
            ("only one enrolled", with(|o| o.second = None), &open, yes),
            (
                "a near second",
                with(|o| o.second = Some(Score(0.88))),
                &open,
                Err(Denial::Ambiguous),
            ),
            (
                "a second ahead",
                with(|o| o.second = Some(Score(0.95))),
                &open,
                Err(Denial::Ambiguous),
            ),
            (
                "a second that is no number",
                with(|o| o.second = Some(Score(f32::NAN))),
                &open,
                Err(Denial::Ambiguous),
            ),
            (
                "a second of minus infinity",
                with(|o| o.second = Some(Score(f32::NEG_INFINITY))),
                &open,
                Err(Denial::Ambiguous),
            ),
            (
                "poor quality",
                with(|o| o.quality = Quality::Poor(Flaw::Turned)),
                &open,
                Err(Denial::PoorQuality(Flaw::Turned)),
            ),
            ("a picture", spoof, &open, Err(Denial::NotLive)),
            ("alive by no number", live(f32::NAN), &open, Err(Denial::NotLive)),
            ("barely alive, where unknown will do", live(0.0), &open, yes),
            ("unknown, where life is required", seen(0.9), &strict, Err(Denial::NotLive)),
            ("surely alive", live(0.9), &strict, yes),
            ("not surely alive", live(0.89), &strict, Err(Denial::NotLive)),
            ("alive by no number, where required", live(f32::NAN), &strict, Err(Denial::NotLive)),
            ("a picture, where life is required", spoof, &strict, Err(Denial::NotLive)),
        ] {
            assert_eq!(vote(&seen, policy), outcome, "{name}");
        }
    }
}
