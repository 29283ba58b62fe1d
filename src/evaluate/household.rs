use super::{ProtocolError, TarAtFar, tar_at_far};
use crate::{
    embed::Embedding,
    gallery::{Matcher, PersonId},
};
use serde::Serialize;

/// How a household's own faces score, as the door would score them: each against the mean of the templates
/// of whoever it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HouseholdScores {
    /// Of each template, the score among the others of the same person. Nothing of whoever has but one.
    pub genuine: Vec<f32>,
    /// Of each template, the best score among everybody else: one resident taken for another.
    pub between: Vec<f32>,
    /// Of each stranger's face, the best score among all residents.
    pub strangers: Vec<f32>,
}

impl HouseholdScores {
    /// Scores everybody against everybody.
    pub fn of(household: &[(PersonId, Vec<Embedding>)], strangers: &[Embedding]) -> Self {
        let everybody = matcher(household.iter().map(|(id, own)| (*id, &own[..])));
        let best = |matcher: &Matcher, face| matcher.search(face).map(|found| found.best.score.0);
        let (mut genuine, mut between) = (Vec::new(), Vec::new());
        for (id, own) in household {
            let others = matcher(
                household.iter().filter(|(other, _)| other != id).map(|(id, t)| (*id, &t[..])),
            );
            for (i, template) in own.iter().enumerate() {
                let rest: Vec<Embedding> = [&own[..i], &own[i + 1..]].concat();
                genuine.extend(best(&matcher([(*id, &rest[..])]), template));
                between.extend(best(&others, template));
            }
        }
        let strangers = strangers.iter().filter_map(|face| best(&everybody, face)).collect();
        Self { genuine, between, strangers }
    }

    /// The lowest threshold at which at most `far` of the strangers would have passed, and how many of the
    /// household's own faces pass there.
    ///
    /// # Errors
    /// [`ProtocolError`]: no genuine or no stranger's score, or a rate outside 0 to 1.
    pub fn threshold(&self, far: f64) -> Result<TarAtFar, ProtocolError> {
        tar_at_far(&self.genuine, &self.strangers, far)
    }
}

fn matcher<'a>(people: impl IntoIterator<Item = (PersonId, &'a [Embedding])>) -> Matcher {
    Matcher::new(people.into_iter().map(|(id, templates)| (id, false, templates)))
}

/// The share of scores at or above each of `count` thresholds from `from` to `to`: (threshold, share).
pub fn share_above(scores: &[f32], from: f32, to: f32, count: usize) -> Vec<(f64, f64)> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let step = f64::from(to - from) / count.saturating_sub(1).max(1) as f64;
    (0..count)
        .map(|i| {
            let threshold = f64::from(from) + i as f64 * step;
            let below = sorted.partition_point(|&s| f64::from(s) < threshold);
            (threshold, (sorted.len() - below) as f64 / sorted.len().max(1) as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degrees(scores: &[f32]) -> Vec<i32> {
        scores.iter().map(|s| s.acos().to_degrees().round() as i32).collect()
    }

    #[test]
    fn every_face_is_scored_as_the_door_would() {
        let at = Embedding::at_degrees;
        let household =
            [(PersonId(1), vec![at(0.0), at(10.0), at(30.0)]), (PersonId(2), vec![at(90.0)])];
        let scores = HouseholdScores::of(&household, &[at(120.0), at(60.0), at(200.0)]);
        // The others' mean is at 20, 15 and 5 degrees; that of all three at 13.
        assert_eq!(degrees(&scores.genuine), [20, 5, 25], "whoever has one template has none");
        assert_eq!(degrees(&scores.between), [90, 80, 60, 77]);
        assert_eq!(degrees(&scores.strangers), [30, 30, 110]);
        let found = scores.threshold(0.0).unwrap();
        assert!(found.threshold > at(0.0).cosine(&at(30.0)).0 && found.tar == 1.0, "{found:?}");
        assert!(HouseholdScores::of(&household[1..], &[]).threshold(0.1).is_err());
    }

    #[test]
    fn shares_fall_from_all_to_none() {
        let shares = share_above(&[0.1, 0.5, 0.5, 0.9], 0.0, 1.0, 5);
        assert_eq!(shares, [(0.0, 1.0), (0.25, 0.75), (0.5, 0.75), (0.75, 0.25), (1.0, 0.0)]);
    }
}
