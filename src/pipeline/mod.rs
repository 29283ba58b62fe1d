//! One frame through all stages up to the decision: detect → judge → align → embed → match, and each
//! face's track from frame to frame.

mod guide;
mod sightings;
mod tracker;

pub use guide::{Advice, Guide, Look, Step, TooFew, View};
pub use sightings::{Sighting, Sightings};
pub use tracker::Tracker;

use crate::{
    align::{AlignError, crop, crop_into},
    decision::{Candidate, Event, Flaw, Liveness, Millis, Observation, Quality, TrackId},
    detect::{Decoder, Detector, Face, Faces, Limits, MAX_FACES, Refusal, assess},
    embed::{Embedding, Network},
    gallery::Matcher,
    model::{self, NetworkError, Pool},
};
use heapless::Vec;
use image::{RgbImage, imageops::flip_horizontal_in_place};
use std::{path::Path, sync::Arc};

/// Faces of one frame that are compared; of more, the largest. Each costs an embedding, and who wants
/// in stands in front.
const COMPARED: usize = 3;

/// A second face of at least this share of the first one's area stands beside it, not behind.
const CROWD: f32 = 0.25;

/// Both networks, and what is known of the faces seen so far.
pub struct Recogniser {
    detector: Detector,
    network: Network,
    decoder: Decoder,
    limits: Limits,
    tracker: Tracker,
    sightings: Sightings,
    pace: Pace,
    /// Where faces of a frame are aligned, one after another.
    aligned: RgbImage,
}

/// A face of a frame and what the decision core is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Where it is, px of the frame.
    pub face: Face,
    /// What is made of it.
    pub observation: Observation,
}

/// What the decision core is told of one frame.
pub fn events(seen: &[Seen]) -> impl Iterator<Item = Event> {
    let nobody = seen.is_empty().then_some(Event::NoFace);
    nobody.into_iter().chain(seen.iter().map(|seen| Event::Face(seen.observation)))
}

/// The face of a single picture, ready to be enrolled or compared.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where it is, px of the picture.
    pub face: Face,
    /// What stands for it.
    pub embedding: Embedding,
    /// How many faces there are in all.
    pub faces: usize,
}

/// Why a picture gives no [`Probe`].
#[derive(Debug, thiserror::Error)]
pub enum NoProbe {
    /// No face was found.
    #[error("no face found; take a picture from the front, in better light")]
    NoFace,
    /// The face is not fit.
    #[error("the face is not fit: {0}")]
    Unfit(Refusal),
    /// Its landmarks are no face.
    #[error(transparent)]
    Align(#[from] AlignError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Recogniser {
    /// Loads both networks; the threads of `pool` share the work of a frame.
    ///
    /// # Errors
    /// [`NetworkError`]: a file that is missing, damaged or of another version.
    pub fn load(
        detector: &Path,
        network: &Path,
        decoder: Decoder,
        limits: Limits,
        pool: &Arc<Pool>,
    ) -> Result<Self, NetworkError> {
        let detector = Detector::parse(detector, model::bytes(detector)?, pool)?;
        let network = Network::parse(network, model::bytes(network)?, pool)?;
        let aligned = RgbImage::new(network.input_size(), network.input_size());
        Ok(Self {
            detector,
            network,
            decoder,
            limits,
            tracker: Tracker::default(),
            sightings: Sightings::default(),
            pace: Pace::default(),
            aligned,
        })
    }

    /// Goes by another least score and other limits from the next frame on.
    pub fn adjust(&mut self, decoder: Decoder, limits: Limits) {
        (self.decoder, self.limits) = (decoder, limits);
    }

    /// The embedding network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Everything about the faces in a frame taken at `now`, the largest first.
    ///
    /// A face that is not fit ([`Limits`]) is not compared: what it would score says nothing. One that is, is
    /// compared together with the looks at it before ([`Sightings`]).
    ///
    /// # Errors
    /// A network failed to run, or gave what is no result.
    pub fn look(
        &mut self,
        frame: &RgbImage,
        now: Millis,
        matcher: &Matcher,
    ) -> Result<Vec<Seen, MAX_FACES>, NetworkError> {
        let faces = self.largest_first(frame)?;
        if self.pace.falls_behind(now) {
            log::warn!(
                "looks are over {} ms apart: no face can be followed from one to the next, and nobody \
                 is let in by face; give the networks more threads, or the board less to do",
                Tracker::BRIDGED.as_millis()
            );
        }
        let tracks = self.tracker.follow(&faces, now);
        let mut seen = Vec::new();
        for (face, track) in faces.into_iter().zip(tracks) {
            let quality = match self.limits.judge(&assess(frame, &face)) {
                Ok(()) => Quality::Good,
                Err(refusal) => Quality::Poor(flaw(refusal)),
            };
            let compared = quality == Quality::Good && seen.len() < COMPARED;
            let found = match compared {
                true => {
                    let probe = self.follow(frame, &face, track, now)?;
                    probe.and_then(|probe| matcher.search(&probe))
                }
                false => None,
            };
            let observation = Observation {
                track,
                best: found.map(|m| Candidate { person: m.best.id, score: m.best.score }),
                second: found.and_then(|m| m.second).map(|second| second.score),
                quality,
                liveness: Liveness::Unknown,
            };
            // There are as many places as faces.
            let _ = seen.push(Seen { face, observation });
        }
        Ok(seen)
    }

    /// The largest face of a picture, held to the limits where `strict`.
    ///
    /// # Errors
    /// [`NoProbe`].
    pub fn probe(&self, picture: &RgbImage, strict: bool) -> Result<Probe, NoProbe> {
        let faces = self.detector.detect(picture, &self.decoder)?;
        let largest = |a: &&Face, b: &&Face| a.bounds.area().total_cmp(&b.bounds.area());
        let face = *faces.iter().max_by(largest).ok_or(NoProbe::NoFace)?;
        if strict {
            self.limits.judge(&assess(picture, &face)).map_err(NoProbe::Unfit)?;
        }
        let mut aligned = crop(picture, &face.landmarks, self.network.input_size())?;
        let embedding = both_sides(&self.network, &mut aligned)?;
        Ok(Probe { face, embedding, faces: faces.len() })
    }

    /// What a frame shows of somebody who is being enrolled: the largest face, unless another is nearly as
    /// large.
    ///
    /// # Errors
    /// A network failed to run, or gave what is no result.
    pub fn regard(&mut self, frame: &RgbImage) -> Result<Look, NetworkError> {
        let faces = self.largest_first(frame)?;
        let Some(face) = faces.first() else { return Ok(Look::Nobody) };
        if faces.get(1).is_some_and(|other| other.bounds.area() > CROWD * face.bounds.area()) {
            return Ok(Look::Crowd);
        }
        let quality = assess(frame, face);
        if let Err(refusal) = self.limits.judge(&quality) {
            return Ok(Look::Unfit(refusal));
        }
        Ok(match crop_into(frame, &face.landmarks, &mut self.aligned) {
            Ok(()) => {
                let embedding = both_sides(&self.network, &mut self.aligned)?;
                Look::Face(quality.pose, Box::new(embedding))
            }
            Err(_) => Look::Unfit(Refusal::NoFace),
        })
    }

    fn largest_first(&self, frame: &RgbImage) -> Result<Faces, NetworkError> {
        let mut faces = self.detector.detect(frame, &self.decoder)?;
        faces.sort_unstable_by(|a, b| b.bounds.area().total_cmp(&a.bounds.area()));
        Ok(faces)
    }

    /// What this look and the last ones at a track's face say together. `None` where the landmarks are no face,
    /// which the limits let through for no face that is one.
    fn follow(
        &mut self,
        frame: &RgbImage,
        face: &Face,
        track: TrackId,
        now: Millis,
    ) -> Result<Option<Embedding>, NetworkError> {
        if crop_into(frame, &face.landmarks, &mut self.aligned).is_err() {
            return Ok(None);
        }
        if self.sightings.mirror_next(track) {
            flip_horizontal_in_place(&mut self.aligned);
        }
        let look = self.network.embed(&self.aligned)?;
        Ok(Some(self.sightings.add(track, now, look)))
    }
}

/// The direction halfway between a face's and its mirror image's: a single picture shows no more.
fn both_sides(network: &Network, aligned: &mut RgbImage) -> Result<Embedding, NetworkError> {
    let plain = network.embed(aligned)?;
    flip_horizontal_in_place(aligned);
    // Opposite directions would have to be of two pictures that are not one face.
    Ok(plain.halfway(&network.embed(aligned)?).unwrap_or(plain))
}

/// How fast looks follow each other.
#[derive(Default)]
struct Pace {
    last: Option<Millis>,
    /// Looks in a row that came too late to follow a face from the one before.
    late: u32,
}

impl Pace {
    /// Late looks in a row that are no accident, as a camera that comes back is.
    const NO_ACCIDENT: u32 = 4;

    /// Notes a look; whether this one is the last of so many late ones that it should be said.
    fn falls_behind(&mut self, now: Millis) -> bool {
        let late = self.last.is_some_and(|last| now.since(last) > Tracker::BRIDGED);
        self.last = Some(now);
        self.late = if late { self.late.saturating_add(1) } else { 0 };
        self.late == Self::NO_ACCIDENT
    }
}

/// What the decision core is told of a refusal.
fn flaw(refusal: Refusal) -> Flaw {
    match refusal {
        Refusal::TooSmall => Flaw::TooSmall,
        Refusal::TooDark => Flaw::TooDark,
        Refusal::TooBright => Flaw::TooBright,
        Refusal::Flat | Refusal::Blurred => Flaw::Blurred,
        Refusal::Turned => Flaw::Turned,
        Refusal::Covered => Flaw::Covered,
        Refusal::NoFace | Refusal::CutOff => Flaw::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_come_too_late_again_and_again_are_said_once() {
        let mut pace = Pace::default();
        let said = |times: &[u64], pace: &mut Pace| -> usize {
            times.iter().filter(|&&ms| pace.falls_behind(Millis(ms))).count()
        };
        assert_eq!(said(&[0, 100, 200, 5_000, 5_100], &mut pace), 0, "a gap is an accident");
        assert_eq!(said(&[6_000, 7_000, 8_000, 9_000, 10_000, 11_000], &mut pace), 1);
        assert_eq!(said(&[11_100, 12_000, 13_000, 14_000, 15_000], &mut pace), 1, "again");
    }
}
