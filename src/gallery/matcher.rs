use super::PersonId;
use crate::embed::{EMBEDDING_LEN, Embedding, Score};

/// The gallery in memory: one probe against everybody, without allocating. Nothing in it changes, so
/// threads share it in an [`Arc`](std::sync::Arc); a changed gallery is another matcher.
#[derive(Clone, Default)]
pub struct Matcher {
    people: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    id: PersonId,
    disabled: bool,
    /// The direction of their templates' mean.
    mean: Embedding,
}

/// Somebody found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Who.
    pub id: PersonId,
    /// The cosine of the probe and the direction of their templates' mean.
    pub score: Score,
    /// Known, but not to be let in.
    pub disabled: bool,
}

/// Whom a probe looks like most, and whom next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// The most similar person; of two with the same score, the one given first.
    pub best: Found,
    /// The most similar of all the others; `None` in a gallery of one.
    pub second: Option<Found>,
}

impl Matcher {
    /// A matcher over people with their `disabled` flag and templates; who has no template is left
    /// out, for no probe is like nothing, and so is whose templates cancel.
    pub fn new<'a>(people: impl IntoIterator<Item = (PersonId, bool, &'a [Embedding])>) -> Self {
        let entry = |(id, disabled, templates): (PersonId, bool, &'a [Embedding])| {
            Embedding::mean(templates).map(|mean| Entry { id, disabled, mean })
        };
        Self { people: people.into_iter().filter_map(entry).collect() }
    }

    /// One person's score; `None` for whoever cannot be found.
    pub fn score_of(&self, person: PersonId, probe: &Embedding) -> Option<Score> {
        let entry = self.people.iter().find(|entry| entry.id == person)?;
        Some(score(probe, &entry.mean))
    }

    /// How many people can be found.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody can be found.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// The most similar person and the next; `None` if nobody is enrolled.
    ///
    /// A person is the mean of their templates: what light, pose and glasses add to each cancels, and what is
    /// theirs stays. Against the best of six templates it was measured to refuse fewer genuine frames, and in each of
    /// more templates a stranger has one more chance (docs/experiments.md).
    /// Disabled people are found like others. They must stay rivals: without them, a disabled
    /// person's face would go to the enabled relative who looks like them most.
    pub fn search(&self, probe: &Embedding) -> Option<Match> {
        let mut found: [Option<Found>; 2] = [None; 2];
        for &Entry { id, disabled, ref mean } in &self.people {
            let score = score(probe, mean);
            let ahead = |other: Option<Found>| other.is_none_or(|f| score > f.score);
            if ahead(found[0]) {
                found = [Some(Found { id, score, disabled }), found[0]];
            } else if ahead(found[1]) {
                found[1] = Some(Found { id, score, disabled });
            }
        }
        let [best, second] = found;
        best.map(|best| Match { best, second })
    }
}

fn score(probe: &Embedding, mean: &Embedding) -> Score {
    Score(dot(probe.values(), mean.values()).clamp(-1.0, 1.0))
}

/// The sum in 16 lanes, four SSE or NEON registers of f32: additions that do not wait for each other,
/// in an order that the compiler may keep in vectors without being allowed to reorder floats.
fn dot(a: &[f32; EMBEDDING_LEN], b: &[f32; EMBEDDING_LEN]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for i in 0..16 {
            lanes[i] += a[i] * b[i];
        }
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::{MAX_PEOPLE, MAX_TEMPLATES};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn axis(i: usize) -> Embedding {
        Embedding::new(std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 })).unwrap()
    }

    /// A unit vector in few dimensions, so that scores are far apart, near and now and then the same.
    fn embedding() -> impl Strategy<Value = Embedding> {
        prop::array::uniform4(-3i8..=3)
            .prop_filter("no direction", |v| v.iter().any(|&x| x != 0))
            .prop_map(|v| {
                Embedding::new(std::array::from_fn(|i| v.get(i / 32).map_or(0.0, |&x| x.into())))
                    .unwrap()
            })
    }

    /// The same by its definition: a score for everybody, sorted.
    fn plain(people: &[(PersonId, bool, Vec<Embedding>)], probe: &Embedding) -> Option<Match> {
        let mut scores: Vec<Found> = people
            .iter()
            .filter_map(|(id, disabled, templates)| {
                let score = dot(probe.values(), Embedding::mean(templates)?.values());
                Some(Found { id: *id, score: Score(score.clamp(-1.0, 1.0)), disabled: *disabled })
            })
            .collect();
        scores.sort_by(|a, b| b.score.0.total_cmp(&a.score.0));
        Some(Match { best: *scores.first()?, second: scores.get(1).copied() })
    }

    fn matcher(people: &[(PersonId, bool, Vec<Embedding>)]) -> Matcher {
        Matcher::new(people.iter().map(|(id, disabled, t)| (*id, *disabled, t.as_slice())))
    }

    proptest! {
        #[test]
        fn a_search_is_what_a_plain_loop_finds(
            people in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(embedding(), 0..=8)), 0..20),
            probe in embedding(),
        ) {
            let people: Vec<_> = (0..).zip(people)
                .map(|(id, (disabled, templates))| (PersonId(id), disabled, templates)).collect();
            prop_assert_eq!(matcher(&people).search(&probe), plain(&people, &probe));
        }

        #[test]
        fn a_score_is_the_cosine(a in embedding(), b in embedding()) {
            // Any order of summing 128 products of unit vectors is within 128 roundings of the truth.
            let tolerance = EMBEDDING_LEN as f32 * f32::EPSILON;
            prop_assert!((dot(a.values(), b.values()) - a.cosine(&b).0).abs() <= tolerance);
        }
    }

    #[test]
    fn a_person_is_the_mean_of_their_templates_and_the_second_is_another() {
        let people = [
            (PersonId(7), false, vec![axis(0), axis(1)]),
            (PersonId(9), false, vec![axis(1), axis(2), axis(2), axis(1)]),
        ];
        let found = matcher(&people).search(&axis(0).halfway(&axis(1)).unwrap()).unwrap();
        let second = found.second.unwrap();
        assert_eq!((found.best.id, second.id), (PersonId(7), PersonId(9)));
        assert!((found.best.score.0 - 1.0).abs() < 1e-6 && (second.score.0 - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_disabled_person_is_found_and_says_so() {
        let people = [(PersonId(1), true, vec![axis(0)]), (PersonId(2), false, vec![axis(1)])];
        let found = matcher(&people).search(&axis(0)).unwrap();
        assert!(found.best.disabled && !found.second.unwrap().disabled);
        let found = matcher(&people).search(&axis(1)).unwrap();
        assert!(!found.best.disabled && found.second.unwrap().disabled);
    }

    #[test]
    fn nobody_is_found_in_an_empty_gallery_and_no_second_in_one_of_one() {
        assert_eq!(matcher(&[]).search(&axis(0)), None);
        let back = Embedding::new(axis(0).values().map(|v| -v)).unwrap();
        for templates in [vec![], vec![axis(0), back]] {
            let nobody = matcher(&[(PersonId(1), false, templates)]);
            assert!(nobody.is_empty() && nobody.search(&axis(0)).is_none());
        }
        let one = matcher(&[(PersonId(1), false, vec![axis(3), axis(0)])]);
        assert_eq!(one.len(), 1);
        assert_eq!(one.search(&axis(0)).unwrap().second, None);
    }

    /// Numbers from −1 to 1 that need no seed kept: Knuth's MMIX generator.
    fn noise(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    #[test]
    #[ignore = "prints a time: cargo test --lib search_speed -- --ignored --nocapture"]
    fn search_speed() {
        let mut state = 1;
        let mut random = || Embedding::new(std::array::from_fn(|_| noise(&mut state))).unwrap();
        let people: Vec<_> = (0..MAX_PEOPLE as u32)
            .map(|id| (PersonId(id), false, (0..MAX_TEMPLATES).map(|_| random()).collect()))
            .collect();
        let (matcher, probe) = (matcher(&people), random());
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(matcher.search(std::hint::black_box(&probe)));
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("1:1000x8: median {:?}, fastest {:?}", times[100], times[0]);
    }
}
