use crate::{
    decision::{Millis, TrackId},
    detect::{Bounds, Face, MAX_FACES},
};
use heapless::Vec;
use std::time::Duration;

/// Follows faces from frame to frame: the same face keeps its [`TrackId`], and a number once given is
/// never given again.
///
/// Two boxes are of one face where they overlap enough or their centres are near; the nearest pairs
/// find each other first. A person's turn or a missed detection is bridged for [`Tracker::BRIDGED`].
#[derive(Debug, Default)]
pub struct Tracker {
    next: u64,
    tracks: Vec<Track, MAX_FACES>,
}

#[derive(Debug, Clone, Copy)]
struct Track {
    id: TrackId,
    bounds: Bounds,
    seen: Millis,
}

/// How far a face's centre may move between two sightings, in shares of its size: half of it is a quick
/// step aside at five frames a second.
const REACH: f32 = 0.5;

/// How much larger or smaller it may have become: nobody doubles from one frame to the next.
const GROWTH: f32 = 1.6;

impl Tracker {
    /// A face not seen for longer is a new one when it comes back.
    pub const BRIDGED: Duration = Duration::from_millis(700);

    /// The track of each face, in the faces' order.
    pub fn follow(&mut self, faces: &[Face], now: Millis) -> Vec<TrackId, MAX_FACES> {
        self.tracks.retain(|track| now.since(track.seen) <= Self::BRIDGED);
        let mut ids: Vec<Option<TrackId>, MAX_FACES> =
            faces.iter().take(MAX_FACES).map(|_| None).collect();
        let mut taken = [false; MAX_FACES];
        while let Some((face, track)) = self.nearest(faces, &ids, &taken) {
            taken[track] = true;
            let known = &mut self.tracks[track];
            (known.bounds, known.seen) = (faces[face].bounds, now);
            ids[face] = Some(known.id);
        }
        ids.iter()
            .zip(faces)
            .map(|(id, face)| id.unwrap_or_else(|| self.begin(face, now)))
            .collect()
    }

    /// The face and the track, both still free, that are nearest to each other.
    fn nearest(
        &self,
        faces: &[Face],
        ids: &[Option<TrackId>],
        taken: &[bool; MAX_FACES],
    ) -> Option<(usize, usize)> {
        let free = ids.iter().enumerate().filter(|(_, id)| id.is_none());
        let pairs = free.flat_map(|(face, _)| {
            let tracks = self.tracks.iter().enumerate().filter(|(track, _)| !taken[*track]);
            tracks.filter_map(move |(track, known)| {
                Some((distance(&known.bounds, &faces[face].bounds)?, face, track))
            })
        });
        let nearest = pairs.min_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map(|(_, face, track)| (face, track))
    }

    fn begin(&mut self, face: &Face, now: Millis) -> TrackId {
        let id = TrackId(self.next);
        self.next += 1;
        if self.tracks.is_full() {
            // The one that has waited longest has the least chance to come back.
            let oldest = self.tracks.iter().enumerate().min_by_key(|(_, t)| t.seen);
            if let Some((oldest, _)) = oldest {
                self.tracks.swap_remove(oldest);
            }
        }
        let _ = self.tracks.push(Track { id, bounds: face.bounds, seen: now });
        id
    }
}

/// How far two boxes of one face are apart, in shares of its size; `None` where they cannot be of one.
fn distance(a: &Bounds, b: &Bounds) -> Option<f32> {
    let (small, large) = (a.size().min(b.size()), a.size().max(b.size()));
    let [ax, ay] = a.centre();
    let [bx, by] = b.centre();
    let distance = (ax - bx).hypot(ay - by) / large;
    (distance <= REACH && large <= small * GROWTH).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{align::template, detect::DetectionScore};
    use proptest::prelude::*;

    fn face(x: f32, size: f32) -> Face {
        let bounds = Bounds { x, y: 50.0, width: size, height: size };
        Face { bounds, landmarks: template(112), score: DetectionScore(0.9) }
    }

    fn ids(tracker: &mut Tracker, faces: &[Face], at: u64) -> std::vec::Vec<u64> {
        tracker.follow(faces, Millis(at)).iter().map(|id| id.0).collect()
    }

    #[test]
    fn a_face_that_moves_keeps_its_number_and_another_gets_a_new_one() {
        let mut t = Tracker::default();
        assert_eq!(ids(&mut t, &[face(0.0, 100.0)], 0), [0]);
        assert_eq!(ids(&mut t, &[face(30.0, 110.0)], 100), [0]);
        assert_eq!(ids(&mut t, &[face(300.0, 100.0), face(50.0, 105.0)], 200), [1, 0]);
        assert_eq!(ids(&mut t, &[face(55.0, 105.0), face(310.0, 100.0)], 300), [0, 1]);
    }

    #[test]
    fn a_missed_frame_is_bridged_and_a_long_absence_is_not() {
        let mut t = Tracker::default();
        assert_eq!(ids(&mut t, &[face(0.0, 100.0)], 0), [0]);
        assert_eq!(ids(&mut t, &[], 300), [0u64; 0]);
        assert_eq!(ids(&mut t, &[face(5.0, 100.0)], 600), [0]);
        assert_eq!(ids(&mut t, &[face(5.0, 100.0)], 1400), [1]);
    }

    #[test]
    fn a_face_that_jumps_or_doubles_is_another_one() {
        let mut t = Tracker::default();
        assert_eq!(ids(&mut t, &[face(0.0, 100.0)], 0), [0]);
        assert_eq!(ids(&mut t, &[face(90.0, 100.0)], 100), [1]);
        assert_eq!(ids(&mut t, &[face(60.0, 200.0)], 200), [2]);
    }

    proptest! {
        #[test]
        fn no_two_faces_of_a_frame_share_a_track(
            frames in prop::collection::vec(
                (0u64..500, prop::collection::vec((0f32..600.0, 10f32..200.0), 0..20)), 1..12),
        ) {
            let (mut tracker, mut now) = (Tracker::default(), 0);
            for (wait, faces) in frames {
                now += wait;
                let faces: std::vec::Vec<_> = faces.into_iter().map(|(x, s)| face(x, s)).collect();
                let mut found = ids(&mut tracker, &faces, now);
                prop_assert_eq!(found.len(), faces.len().min(MAX_FACES));
                found.sort_unstable();
                prop_assert!(found.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
