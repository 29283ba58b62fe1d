use crate::{
    decision::{Millis, TrackId},
    detect::MAX_FACES,
    embed::{Embedding, Score},
};
use heapless::{Deque, Vec};
use std::time::Duration;

/// Looks at a face that count together.
const LOOKS: usize = 5;

/// What the last looks at each track's face say of it together: the direction of their mean. What light, blur and
/// the head's turn add to each look cancels, and what is the person's own stays.
#[derive(Debug, Default)]
pub struct Sightings {
    tracks: Vec<(TrackId, Sighting), MAX_FACES>,
}

/// One face's last looks. Every other one is of its mirror image: a face is nobody else in the mirror, but it is
/// another picture, and their mean is worth more than that of looks from one side. Doing this with every look would
/// cost an embedding more each time.
#[derive(Debug, Clone, Default)]
pub struct Sighting {
    looks: Deque<(Millis, Embedding), LOOKS>,
    mirror_next: bool,
}

impl Sightings {
    /// Whether the next look at this track's face is to be of its mirror image.
    pub fn mirror_next(&self, track: TrackId) -> bool {
        self.tracks.iter().any(|(id, sighting)| *id == track && sighting.mirror_next())
    }

    /// [`Sighting::add`] to the track's. Tracks not seen for [`Sighting::TOGETHER`] are forgotten.
    pub fn add(&mut self, track: TrackId, now: Millis, look: Embedding) -> Embedding {
        self.tracks.retain(|(_, sighting)| sighting.is_fresh(now));
        let known = self.tracks.iter().position(|(id, _)| *id == track);
        let at = known.unwrap_or_else(|| {
            if self.tracks.is_full() {
                // Retaining kept their order: the first is the one that came first.
                self.tracks.remove(0);
            }
            // There is room: the line above has made it.
            let _ = self.tracks.push((track, Sighting::default()));
            self.tracks.len() - 1
        });
        self.tracks[at].1.add(now, look)
    }
}

impl Sighting {
    /// Whether the next look is to be of the mirror image.
    pub fn mirror_next(&self) -> bool {
        self.mirror_next
    }

    /// Looks further apart than this do not count together.
    pub const TOGETHER: Duration = Duration::from_secs(2);

    /// A look less like those before it is at somebody else, who has taken the track over. Of 4,104 looks
    /// at views made of one picture two were less like those before them; of a million looks against another person's
    /// eleven were as like (docs/experiments.md).
    pub const ALIKE: Score = Score(0.5);

    /// Adds a look; the last ones together, this one among them.
    ///
    /// A look at somebody else ([`ALIKE`](Self::ALIKE)) begins anew: whoever takes a track over inherits nothing.
    pub fn add(&mut self, now: Millis, look: Embedding) -> Embedding {
        while self.looks.front().is_some_and(|(at, _)| now.since(*at) > Self::TOGETHER) {
            self.looks.pop_front();
        }
        if self.together().is_some_and(|so_far| so_far.cosine(&look) < Self::ALIKE) {
            self.looks.clear();
        }
        if self.looks.is_full() {
            self.looks.pop_front();
        }
        let _ = self.looks.push_back((now, look));
        self.mirror_next = !self.mirror_next;
        self.together().unwrap_or(look)
    }

    fn together(&self) -> Option<Embedding> {
        Embedding::mean(self.looks.iter().map(|(_, look)| look))
    }

    fn is_fresh(&self, now: Millis) -> bool {
        self.looks.back().is_some_and(|(at, _)| now.since(*at) <= Self::TOGETHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn degrees(e: &Embedding) -> f32 {
        e.values()[1].atan2(e.values()[0]).to_degrees()
    }

    /// Looks at one face, each (ms, degrees): what is made of each.
    fn followed(looks: &[(u64, f32)]) -> std::vec::Vec<i32> {
        let mut sighting = Sighting::default();
        let add = |&(now, look): &(u64, f32)| {
            (degrees(&sighting.add(Millis(now), Embedding::at_degrees(look))) * 10.0).round() as i32
        };
        looks.iter().map(add).collect()
    }

    #[test]
    fn looks_worked_by_hand() {
        for (name, looks, expected) in [
            ("a first look stands alone", &[(0, 20.0)][..], &[200][..]),
            ("two give the direction halfway", &[(0, 0.0), (100, 30.0)], &[0, 150]),
            (
                "the sixth pushes the first out",
                &[(0, 50.0), (1, 10.0), (2, 10.0), (3, 10.0), (4, 10.0), (5, 10.0)],
                &[500, 300, 231, 197, 177, 100],
            ),
            ("just alike enough", &[(0, 0.0), (100, 59.9)], &[0, 300]),
            (
                "somebody else begins anew",
                &[(0, 0.0), (100, 10.0), (200, 80.0), (300, 82.0)],
                &[0, 50, 800, 810],
            ),
            (
                "what is long ago does not count",
                &[(0, 0.0), (2_000, 30.0), (2_001, 30.0)],
                &[0, 150, 300],
            ),
        ] {
            let found = followed(looks);
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1);
            assert!(near && found.len() == expected.len(), "{name}: {found:?}");
        }
    }

    #[test]
    fn every_other_look_is_in_the_mirror_and_tracks_do_not_mix() {
        let mut all = Sightings::default();
        let (one, two) = (TrackId(1), TrackId(2));
        assert!(!all.mirror_next(one));
        all.add(one, Millis(0), Embedding::at_degrees(0.0));
        assert!(all.mirror_next(one) && !all.mirror_next(two));
        assert!(degrees(&all.add(two, Millis(0), Embedding::at_degrees(40.0))) > 39.9);
        assert!(degrees(&all.add(one, Millis(100), Embedding::at_degrees(10.0))) < 5.1);
        assert!(!all.mirror_next(one) && all.mirror_next(two));
    }

    proptest! {
        /// Whatever comes, what is made of a look is never less like it than halfway to somebody else: nobody
        /// hides behind a predecessor.
        #[test]
        fn what_is_made_of_a_look_is_like_it_and_of_looks_that_are_alike(
            looks in prop::collection::vec((0u64..40, 0u64..3_000, -180f32..180.0), 1..200),
        ) {
            let (mut all, mut now) = (Sightings::default(), 0);
            for (track, wait, look) in looks {
                now += wait;
                let look = Embedding::at_degrees(look);
                let made = all.add(TrackId(track), Millis(now), look);
                prop_assert!(made.cosine(&look).0 > 0.499, "{made:?} of {look:?}");
                prop_assert!(all.tracks.iter().all(|(_, sighting)| sighting.is_fresh(Millis(now))));
            }
        }
    }
}
