use super::{PersonId, sieve::Sieve};
use crate::embed::{EMBEDDING_LEN, Embedding, Score};
use facelatch_kernels::is_fast;
use std::{ops::Range, sync::Arc};

/// The gallery in memory: one probe against everybody, without allocating. Nothing in it changes, so
/// threads share it in an [`Arc`](std::sync::Arc); a changed gallery is another matcher.
#[derive(Clone, Default)]
pub struct Matcher {
    people: Vec<Entry>,
    /// All templates, each person's together, in the order of `people`.
    templates: Vec<[f32; EMBEDDING_LEN]>,
    /// In a large gallery, who needs to be looked at more closely.
    sieve: Option<Arc<Sieve>>,
}

/// Templates from which on a sieve is faster than looking at all of them.
const LARGE: usize = 256;

#[derive(Clone)]
struct Entry {
    id: PersonId,
    disabled: bool,
    /// Where their templates end; they begin where those of the one before end.
    end: usize,
}

/// Somebody found, with the best of their scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Who.
    pub id: PersonId,
    /// The cosine of the probe and the most similar one of their templates.
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
    /// out, for no probe is like nothing.
    pub fn new<'a>(people: impl IntoIterator<Item = (PersonId, bool, &'a [Embedding])>) -> Self {
        let mut matcher = Self::default();
        for (id, disabled, templates) in people {
            matcher.templates.extend(templates.iter().map(Embedding::values));
            if !templates.is_empty() {
                matcher.people.push(Entry { id, disabled, end: matcher.templates.len() });
            }
        }
        if matcher.templates.len() >= LARGE && is_fast() {
            matcher.sieve = Sieve::new(&matcher.templates).map(Arc::new);
        }
        matcher
    }

    /// The best score among one person's templates; `None` for whoever has none.
    pub fn score_of(&self, person: PersonId, probe: &Embedding) -> Option<Score> {
        let at = self.people.iter().position(|entry| entry.id == person)?;
        let begin = at.checked_sub(1).map_or(0, |before| self.people[before].end);
        let own = &self.templates[begin..self.people[at].end];
        Some(best_of(own, probe))
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
    /// A person's score is the highest over their templates: each template stands for one way they
    /// look (glasses, light, age), and a probe is one of these ways, so a mean would punish variety.
    /// Disabled people are found like others. They must stay rivals: without them, a disabled
    /// person's face would go to the enabled relative who looks like them most.
    pub fn search(&self, probe: &Embedding) -> Option<Match> {
        if let Some(sieve) = &self.sieve
            && let Some(sifted) = sieve.sift(probe)
        {
            let about = |own: Range<usize>| sifted.best_of(own);
            // Nobody below this can be the best or the second.
            let least = self.two_best(|own| Some(Score(about(own))))[1]
                .map_or(f32::MIN, |second| second.score.0 - sifted.margin());
            return matched(self.two_best(|own| {
                (about(own.clone()) >= least).then(|| best_of(&self.templates[own], probe))
            }));
        }
        matched(self.two_best(|own| Some(best_of(&self.templates[own], probe))))
    }

    /// The two people with the best scores; `score` is asked for each person's templates.
    fn two_best(&self, score: impl Fn(Range<usize>) -> Option<Score>) -> [Option<Found>; 2] {
        let mut found: [Option<Found>; 2] = [None; 2];
        let mut begin = 0;
        for &Entry { id, disabled, end } in &self.people {
            let own = begin..end;
            begin = end;
            let Some(score) = score(own) else { continue };
            let ahead = |other: Option<Found>| other.is_none_or(|f| score > f.score);
            if ahead(found[0]) {
                found = [Some(Found { id, score, disabled }), found[0]];
            } else if ahead(found[1]) {
                found[1] = Some(Found { id, score, disabled });
            }
        }
        found
    }
}

fn matched([best, second]: [Option<Found>; 2]) -> Option<Match> {
    best.map(|best| Match { best, second })
}

/// The score of a probe and the most similar one of a person's templates.
fn best_of(own: &[[f32; EMBEDDING_LEN]], probe: &Embedding) -> Score {
    let best = own.iter().map(|t| dot(probe.values(), t)).fold(f32::MIN, f32::max);
    Score(best.clamp(-1.0, 1.0))
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
                let scores = templates.iter().map(|t| dot(probe.values(), t.values()));
                let best = scores.max_by(f32::total_cmp)?.clamp(-1.0, 1.0);
                Some(Found { id: *id, score: Score(best), disabled: *disabled })
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
    fn a_search_of_many_finds_what_a_plain_loop_finds() {
        let mut state = 7;
        let mut random = || Embedding::new(std::array::from_fn(|_| noise(&mut state))).unwrap();
        let mut people: Vec<_> = (0..120)
            .map(|id| (PersonId(id), id % 9 == 0, (0..4).map(|_| random()).collect::<Vec<_>>()))
            .collect();
        // Twins, to the last bit, and somebody a hair's breadth away.
        people[100].2[3] = people[30].2[1];
        people[50].2[0] =
            people[30].2[1].halfway(&random()).unwrap().halfway(&people[30].2[1]).unwrap();
        let matcher = matcher(&people);
        assert_eq!(matcher.sieve.is_some(), is_fast());
        let probes = (0..300).map(|_| random()).chain(people.iter().map(|p| p.2[1]));
        for probe in probes.collect::<Vec<_>>() {
            assert_eq!(matcher.search(&probe), plain(&people, &probe));
        }
    }

    #[test]
    fn the_second_is_another_person_even_if_the_best_has_two_good_templates() {
        let near = axis(0).halfway(&axis(1)).unwrap();
        let people = [
            (PersonId(7), false, vec![axis(0), near]),
            (PersonId(9), false, vec![axis(2), axis(1).halfway(&axis(2)).unwrap()]),
        ];
        let found = matcher(&people).search(&near).unwrap();
        assert_eq!((found.best.id, found.second.unwrap().id), (PersonId(7), PersonId(9)));
        assert!((found.second.unwrap().score.0 - 0.5).abs() < 1e-6);
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
        let nobody = matcher(&[(PersonId(1), false, vec![])]);
        assert!(nobody.is_empty() && nobody.search(&axis(0)).is_none());
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
