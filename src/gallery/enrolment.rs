//! Whether samples are fit to be somebody's templates: pure functions, before anything is written.

use super::{Matcher, PersonId};
use crate::embed::{Embedding, Score};

/// Why samples must not become templates. Samples are counted from 1, as a person counts pictures.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnrolmentError {
    /// No sample at all.
    #[error("there is no sample; take at least one picture")]
    NoSample,
    /// Two samples do not look like one person.
    #[error(
        "sample {sample} does not agree with sample {other} (similarity {score:.3}, at least \
         {limit:.3} is needed); take it again: the same person, looking at the camera, in good light"
    )]
    Disagrees {
        /// The sample that fits the others least.
        sample: usize,
        /// The one it is least like.
        other: usize,
        /// How alike the two are.
        score: Score,
        /// The least that would do.
        limit: Score,
    },
    /// A sample does not look like the person that it is to be added to.
    #[error(
        "sample {sample} is not like person {id} as enrolled (similarity {score:.3}, at least \
         {limit:.3} is needed); leave it out, or remove the person and enrol afresh"
    )]
    Unlike {
        /// The first such sample.
        sample: usize,
        /// Whom it should look like.
        id: PersonId,
        /// How much it does.
        score: Score,
        /// The least that would do.
        limit: Score,
    },
    /// A sample looks like somebody who is enrolled already.
    #[error(
        "sample {sample} looks like person {id} (similarity {score:.3}, at most {limit:.3} is \
         allowed); add it to that person if it is the same one, or else the door cannot tell them apart"
    )]
    Resembles {
        /// The most alarming sample.
        sample: usize,
        /// Whom it looks like.
        id: PersonId,
        /// How much.
        score: Score,
        /// The most that would do.
        limit: Score,
    },
}

impl EnrolmentError {
    /// Who the samples are, or are not, like.
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Self::NoSample | Self::Disagrees { .. } => None,
            Self::Unlike { id, .. } | Self::Resembles { id, .. } => Some(*id),
        }
    }
}

/// Whether the samples of one enrolment are of one person: every pair at least `limit` alike. Returns
/// the lowest similarity there is; of a single sample, 1.
///
/// # Errors
/// [`EnrolmentError::NoSample`], or [`EnrolmentError::Disagrees`] with the worst pair, of which
/// `sample` is the one that is less like all the others.
pub fn check_agreement(samples: &[Embedding], limit: Score) -> Result<Score, EnrolmentError> {
    if samples.is_empty() {
        return Err(EnrolmentError::NoSample);
    }
    let pairs = (0..samples.len()).flat_map(|a| (a + 1..samples.len()).map(move |b| (a, b)));
    let worst = pairs
        .map(|(a, b)| (a, b, samples[a].cosine(&samples[b])))
        .min_by(|(.., x), (.., y)| x.0.total_cmp(&y.0));
    let Some((a, b, score)) = worst else { return Ok(Score(1.0)) };
    if score >= limit {
        return Ok(score);
    }
    let fit = |i: usize| samples.iter().map(|s| samples[i].cosine(s).0).sum::<f32>();
    let (sample, other) = if fit(a) < fit(b) { (a, b) } else { (b, a) };
    Err(EnrolmentError::Disagrees { sample: sample + 1, other: other + 1, score, limit })
}

/// Whether every sample looks at least `limit` like somebody who is enrolled, before it is added to them.
///
/// # Errors
/// [`EnrolmentError::Unlike`] with the first sample that does not.
pub fn check_same(
    samples: &[Embedding],
    enrolled: &Matcher,
    id: PersonId,
    limit: Score,
) -> Result<(), EnrolmentError> {
    for (sample, probe) in (1..).zip(samples) {
        // Who has no template looks like nobody.
        let score = enrolled.score_of(id, probe).unwrap_or(Score(-1.0));
        if score < limit {
            return Err(EnrolmentError::Unlike { sample, id, score, limit });
        }
    }
    Ok(())
}

/// Whether no sample looks more than `limit` like somebody other than `own` (the person who gets
/// more templates, or `None` for a newcomer), disabled people included. Returns the highest similarity
/// to another person; `None` if there is nobody else.
///
/// # Errors
/// [`EnrolmentError::Resembles`] with the sample and the person that are most alike.
pub fn check_stranger(
    samples: &[Embedding],
    enrolled: &Matcher,
    own: Option<PersonId>,
    limit: Score,
) -> Result<Option<Score>, EnrolmentError> {
    let nearest = |probe: &Embedding| {
        let found = enrolled.search(probe)?;
        if Some(found.best.id) == own { found.second } else { Some(found.best) }
    };
    let worst = (1..)
        .zip(samples)
        .filter_map(|(sample, probe)| Some((sample, nearest(probe)?)))
        .max_by(|(_, x), (_, y)| x.score.0.total_cmp(&y.score.0));
    match worst {
        Some((sample, found)) if found.score > limit => {
            Err(EnrolmentError::Resembles { sample, id: found.id, score: found.score, limit })
        }
        worst => Ok(worst.map(|(_, found)| found.score)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A direction in a plane, by its angle in degrees: the cosine of two is that of the difference.
    fn at(degrees: f32) -> Embedding {
        let (y, x) = degrees.to_radians().sin_cos();
        Embedding::new(std::array::from_fn(|i| [x, y].get(i).copied().unwrap_or(0.0))).unwrap()
    }

    fn cos(degrees: f32) -> Score {
        Score(degrees.to_radians().cos())
    }

    #[test]
    fn samples_of_one_person_agree_and_the_odd_one_is_named() {
        for (name, angles, odd) in [
            ("one sample", &[10.0][..], None),
            ("all near", &[0.0, 20.0, 39.0], None),
            ("the last is off", &[0.0, 10.0, 70.0], Some((3, 1))),
            ("the first is off", &[80.0, 10.0, 0.0, 5.0], Some((1, 3))),
        ] {
            let samples: Vec<_> = angles.iter().map(|&a| at(a)).collect();
            match (check_agreement(&samples, cos(40.0)), odd) {
                (Ok(_), None) => {}
                (Err(EnrolmentError::Disagrees { sample, other, .. }), Some(odd)) => {
                    assert_eq!((sample, other), odd, "{name}");
                }
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
        assert_eq!(check_agreement(&[], cos(40.0)), Err(EnrolmentError::NoSample));
        let lowest = check_agreement(&[at(0.0), at(20.0), at(39.0)], cos(40.0)).unwrap();
        assert!((lowest.0 - cos(39.0).0).abs() < 1e-6);
    }

    #[test]
    fn what_is_added_must_look_like_the_person_as_enrolled() {
        let (first, second) = ([at(0.0), at(30.0)], [at(200.0)]);
        let matcher =
            Matcher::new([(PersonId(4), false, &first[..]), (PersonId(7), false, &second[..])]);
        let limit = cos(40.0);
        let same = |angles: &[f32], id| {
            let samples: Vec<_> = angles.iter().map(|&a| at(a)).collect();
            check_same(&samples, &matcher, PersonId(id), limit)
        };
        // Their mean is at 15 degrees.
        assert_eq!(same(&[54.0, -24.0], 4), Ok(()));
        assert_eq!(same(&[195.0], 7), Ok(()));
        for (angles, id, odd) in [(&[5.0, 75.0][..], 4, 2), (&[0.0], 7, 1), (&[0.0], 9, 1)] {
            let error = same(angles, id).unwrap_err();
            assert!(matches!(error, EnrolmentError::Unlike { sample, .. } if sample == odd));
        }
    }

    #[test]
    fn a_sample_that_looks_like_somebody_else_is_named_with_them() {
        let (one, two) = ([at(0.0)], [at(90.0), at(120.0)]);
        let enrolled = Matcher::new([
            (PersonId(1), false, one.as_slice()),
            (PersonId(2), true, two.as_slice()),
        ]);
        for (name, angles, own, expected) in [
            ("a stranger", &[-60.0, -70.0][..], None, None),
            ("like the first", &[-60.0, 20.0], None, Some((2, PersonId(1)))),
            ("like a disabled one", &[80.0, 50.0], None, Some((1, PersonId(2)))),
            ("like oneself", &[5.0, -10.0], Some(PersonId(1)), None),
            ("oneself, but like another", &[5.0, 70.0], Some(PersonId(1)), Some((2, PersonId(2)))),
        ] {
            let samples: Vec<_> = angles.iter().map(|&a| at(a)).collect();
            match (check_stranger(&samples, &enrolled, own, cos(40.0)), expected) {
                (Ok(Some(score)), None) => assert!(score <= cos(40.0), "{name}"),
                (Err(EnrolmentError::Resembles { sample, id, .. }), Some(expected)) => {
                    assert_eq!((sample, id), expected, "{name}");
                }
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
        let nobody = check_stranger(&[at(0.0)], &Matcher::default(), None, cos(40.0));
        assert_eq!(nobody, Ok(None));
    }
}
