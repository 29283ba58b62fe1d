use crate::embed::Score;
use serde::{Deserialize, Serialize};

/// One pair with its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The fold it belongs to, from 1.
    pub fold: usize,
    /// Whether it is genuine (one person) or an impostor pair (two).
    pub same: bool,
    /// How alike its faces are.
    pub score: Score,
}

/// Scores that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A NaN or infinite score, by its index.
    #[error("the score of pair {0} is not a finite number; the network is broken")]
    NotFinite(usize),
    /// No genuine or no impostor pairs, so one of the error rates has nothing to count.
    #[error("no {0} pairs; a measurement needs genuine and impostor pairs in every fold")]
    Missing(&'static str),
    /// A rate outside 0 to 1.
    #[error("a false accept rate must be from 0 to 1")]
    Rate,
}

/// The scores of one kind of pair each, all finite, neither kind empty.
pub(super) struct Split {
    pub genuine: Vec<f32>,
    pub impostor: Vec<f32>,
}

impl Split {
    pub fn of<'a>(scored: impl IntoIterator<Item = &'a Scored>) -> Result<Self, ProtocolError> {
        let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
        for pair in scored {
            if pair.same { &mut genuine } else { &mut impostor }.push(pair.score.0);
        }
        check(&genuine, &impostor)?;
        Ok(Self { genuine, impostor })
    }

    /// False accepts and false rejects at a threshold.
    pub fn errors(&self, threshold: f32) -> (usize, usize) {
        let accepted = self.impostor.iter().filter(|&&s| s >= threshold).count();
        let rejected = self.genuine.iter().filter(|&&s| s < threshold).count();
        (accepted, rejected)
    }

    /// The threshold of fewest errors: halfway between two neighbouring scores, or just outside all
    /// of them. Of equally good ones the highest, because a door errs on the side of staying shut.
    pub fn best_threshold(&self) -> f32 {
        let tagged =
            |scores: &[f32], same| scores.iter().map(move |&s| (s, same)).collect::<Vec<_>>();
        let mut all = [tagged(&self.genuine, true), tagged(&self.impostor, false)].concat();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        // Above every score all genuine pairs are rejected; each step down accepts one group of ties.
        let mut errors = self.genuine.len();
        let mut best = (errors, all[0].0.next_up());
        let mut groups = all.chunk_by(|a, b| a.0 == b.0).peekable();
        while let Some(group) = groups.next() {
            for (_, same) in group {
                if *same { errors -= 1 } else { errors += 1 }
            }
            if errors < best.0 {
                let here = group[0].0;
                best = (errors, groups.peek().map_or(here, |next| between(next[0].0, here)));
            }
        }
        best.1
    }
}

/// Every score is finite and there are some of both kinds.
pub(super) fn check(genuine: &[f32], impostor: &[f32]) -> Result<(), ProtocolError> {
    for (kind, scores) in [("genuine", genuine), ("impostor", impostor)] {
        if scores.is_empty() {
            return Err(ProtocolError::Missing(kind));
        }
        if let Some(i) = scores.iter().position(|s| !s.is_finite()) {
            return Err(ProtocolError::NotFinite(i));
        }
    }
    Ok(())
}

/// A number above `low` and at most `high`, near their middle.
fn between(low: f32, high: f32) -> f32 {
    let middle = low / 2.0 + high / 2.0;
    if middle > low && middle <= high { middle } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(genuine: &[f32], impostor: &[f32]) -> Split {
        Split { genuine: genuine.to_vec(), impostor: impostor.to_vec() }
    }

    #[test]
    fn the_best_threshold_of_small_sets_worked_by_hand() {
        for (name, genuine, impostor, threshold, errors) in [
            ("apart", &[0.8, 0.6][..], &[0.2, 0.0][..], 0.4, (0, 0)),
            ("one impostor high", &[0.9, 0.5, 0.4], &[0.6, 0.1], 0.25, (1, 0)),
            ("one genuine low", &[0.9, 0.7, 0.1], &[0.3, 0.3, 0.2], 0.5, (0, 1)),
            ("two ways as good, the stricter", &[0.8, 0.4], &[0.6, 0.2], 0.7, (0, 1)),
            ("a tie cannot be split", &[0.5], &[0.5], 0.5f32.next_up(), (0, 1)),
            ("all upside down", &[0.1], &[0.9], 0.9f32.next_up(), (0, 1)),
            ("neighbouring floats", &[0.5f32.next_up()], &[0.5], 0.5f32.next_up(), (0, 0)),
        ] {
            let set = split(genuine, impostor);
            let found = set.best_threshold();
            assert!((found - threshold).abs() < 1e-6, "{name}: {found}");
            assert_eq!(set.errors(found), errors, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert_eq!(check(&[], &[0.1]), Err(ProtocolError::Missing("genuine")));
        assert_eq!(check(&[0.1], &[]), Err(ProtocolError::Missing("impostor")));
        assert_eq!(check(&[0.1], &[0.2, f32::NAN]), Err(ProtocolError::NotFinite(1)));
    }
}
