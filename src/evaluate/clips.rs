//! Clips against clips, as YouTube Faces has them (Wolf, Hassner and Maoz, "Face recognition in unconstrained
//! videos with matched background similarity", CVPR 2011): folds of pairs of clips, a folder of frames each.

use super::{ProtocolError, Report, Scored, dataset::picture, detected::nearest_to_the_middle};
use crate::{
    align::crop,
    decision::{Millis, VotePolicy},
    detect::{Decoder, Detector},
    embed::{Embedder, Embedding, Score},
    files::{Tree, is_picture},
    model::NetworkError,
    parallel,
    pipeline::Sighting,
};
use image::{RgbImage, imageops::flip_horizontal};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    path::Path,
};

/// A clip: somebody, and which of theirs. Its frames lie in a folder `PERSON/CLIP`, at any depth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClipId {
    /// The person's folder.
    pub person: String,
    /// The clip's folder in it.
    pub clip: String,
}

/// Two clips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipPair {
    /// Its fold, from 1.
    pub fold: usize,
    /// Whether they are of one person.
    pub same: bool,
    /// One.
    pub a: ClipId,
    /// The other.
    pub b: ClipId,
}

/// A line of a list of clips that says something else than it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("splits, line {line}: {problem}")]
pub struct SplitsError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what is wanted.
    pub problem: &'static str,
}

/// How the frames of two clips become one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// The cosine of the two clips' mean directions.
    Mean,
    /// The best of all frames against all frames.
    Best,
    /// As the door does: the first clip's frames are templates, the second's are looked at one after the other and
    /// compared with the templates' mean, each together with those before it ([`Sighting`]), and so many must qualify
    /// that the score of the last of these counts: 3 of 5 by default.
    Votes,
}

/// A frame's face, as it is and in the mirror.
#[derive(Debug, Clone, Copy)]
pub struct Sides {
    /// As it is.
    pub plain: Embedding,
    /// In the mirror.
    pub mirrored: Embedding,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClipReport {
    /// Clips that the pairs name.
    pub clips: usize,
    /// Clips in none of whose frames a face was found; a pair with one is refused by every threshold.
    pub without_face: usize,
    /// Frames looked at.
    pub frames: usize,
    /// Frames in which no face was found, left out of their clip.
    pub frames_without_face: usize,
    /// For each way to fuse.
    pub fused: Vec<FusedReport>,
}

/// How well a way to fuse tells clips apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FusedReport {
    /// Which.
    pub fusion: Fusion,
    /// The door's own threshold, as it is by default.
    pub threshold: f32,
    /// Share of the genuine pairs refused there.
    pub fnmr: f64,
    /// Share of the impostor pairs accepted there.
    pub fmr: f64,
    /// The protocol's figures, each fold at the threshold of the others.
    pub report: Report,
}

/// Why clips could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ClipsError {
    /// Clips that the list names and the folder does not have.
    #[error(
        "{} of the clips have no picture in a folder PERSON/CLIP: {}; name the folder that has them", .0.len(),
        .0.iter().take(3).map(ClipId::to_string).collect::<Vec<_>>().join(", ")
    )]
    Missing(Vec<ClipId>),
    /// A frame that cannot be read.
    #[error("{0}")]
    Frame(String),
    /// The detector failed.
    #[error(transparent)]
    Detector(#[from] NetworkError),
    /// The network failed.
    #[error("the network failed: {0}")]
    Embedder(Box<dyn Error + Send + Sync>),
    /// The scores cannot be evaluated.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl fmt::Display for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.person, self.clip)
    }
}

/// The score of a pair in which somebody has no face: no other is below.
const NOBODY: Score = Score(-1.0);

/// Reads YouTube Faces' `splits.txt`: a heading, and a line a pair, `fold, PERSON/CLIP, PERSON/CLIP, …, same` with
/// commas between; the last field is 1 for one person and 0 for two.
///
/// # Errors
/// [`SplitsError`] with the line's number.
pub fn parse_splits(text: &str) -> Result<Vec<ClipPair>, SplitsError> {
    let mut pairs = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem| SplitsError { line: i + 1, problem };
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        let fold: Option<usize> = fields[0].parse().ok();
        if fold.is_none() && i == 0 {
            continue;
        }
        let fold = fold.filter(|fold| *fold > 0).ok_or(wrong("wanted a fold from 1 on first"))?;
        let [_, a, b, .., last] = fields[..] else {
            return Err(wrong("wanted fold, two clips, and 1 or 0, with commas between"));
        };
        let clip = |text: &str| {
            let (person, clip) = text.split_once('/')?;
            let both = [person, clip].map(str::trim);
            let is_name = |name: &&str| !name.is_empty() && !name.contains('/');
            both.iter()
                .all(is_name)
                .then(|| ClipId { person: both[0].into(), clip: both[1].into() })
        };
        let (Some(a), Some(b)) = (clip(a), clip(b)) else {
            return Err(wrong("wanted clips as PERSON/CLIP"));
        };
        let same = match last {
            "1" => true,
            "0" => false,
            _ => return Err(wrong("wanted 1 (one person) or 0 (two) last")),
        };
        pairs.push(ClipPair { fold, same, a, b });
    }
    match pairs.is_empty() {
        false => Ok(pairs),
        true => Err(SplitsError { line: 1, problem: "there is no pair in it" }),
    }
}

/// Embeds at most `frames` frames of every clip, evenly spread, and measures each way to fuse. Of several faces the
/// one nearest to the middle of its frame counts. `progress` hears clips done and in all.
///
/// # Errors
/// [`ClipsError`].
pub fn evaluate_clips(
    tree: &Tree,
    pairs: &[ClipPair],
    (detector, decoder): (&Detector, &Decoder),
    embedder: &mut dyn Embedder,
    frames: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ClipReport, ClipsError> {
    let clips: BTreeSet<&ClipId> = pairs.iter().flat_map(|pair| [&pair.a, &pair.b]).collect();
    let paths = frames_of(tree, &clips);
    let missing: Vec<_> =
        clips.iter().filter(|clip| !paths.contains_key(*clip)).map(|c| (*c).clone()).collect();
    if !missing.is_empty() {
        return Err(ClipsError::Missing(missing));
    }
    let (size, mut embedded) = (embedder.input_size(), BTreeMap::new());
    let (mut looked, mut without) = (0, 0);
    for (clip, paths) in paths {
        let chosen = spread(&paths, frames);
        let crops = parallel::map(&chosen, |path| face(tree, path, detector, decoder, size));
        let crops = crops.into_iter().collect::<Result<Vec<_>, _>>()?;
        looked += crops.len();
        without += crops.iter().filter(|crop| crop.is_none()).count();
        let crops: Vec<_> = crops.into_iter().flatten().collect();
        let mirrored: Vec<_> = crops.iter().map(flip_horizontal).collect();
        let mut embed =
            |crops: &[RgbImage]| embedder.embed_all(crops).map_err(ClipsError::Embedder);
        let sides = embed(&crops)?.into_iter().zip(embed(&mirrored)?);
        let sides = sides.map(|(plain, mirrored)| Sides { plain, mirrored }).collect::<Vec<_>>();
        embedded.insert(clip, sides);
        progress(embedded.len(), clips.len());
    }
    let fused = [Fusion::Mean, Fusion::Best, Fusion::Votes].map(|fusion| {
        let scored: Vec<_> = (pairs.iter())
            .map(|pair| {
                let score = fusion.score(&embedded[&pair.a], &embedded[&pair.b]);
                Scored { fold: pair.fold, same: pair.same, score }
            })
            .collect();
        let threshold = VotePolicy::default().threshold.0;
        let accepted = |same| {
            let of = scored.iter().filter(|pair| pair.same == same);
            let accepted = of.clone().filter(|pair| pair.score.0 >= threshold).count();
            accepted as f64 / of.count().max(1) as f64
        };
        let (fnmr, fmr) = (1.0 - accepted(true), accepted(false));
        Ok(FusedReport { fusion, threshold, fnmr, fmr, report: Report::of(&scored)? })
    });
    Ok(ClipReport {
        clips: clips.len(),
        without_face: embedded.values().filter(|frames| frames.is_empty()).count(),
        frames: looked,
        frames_without_face: without,
        fused: fused.into_iter().collect::<Result<_, ClipsError>>()?,
    })
}

/// The pictures of each clip that is wanted, by number.
fn frames_of<'a>(tree: &'a Tree, wanted: &BTreeSet<&ClipId>) -> BTreeMap<ClipId, Vec<&'a String>> {
    let mut clips: BTreeMap<ClipId, Vec<&String>> = BTreeMap::new();
    for path in tree.paths().iter().filter(|path| is_picture(Path::new(path))) {
        let mut parts = path.rsplit('/').skip(1);
        let (Some(clip), Some(person)) = (parts.next(), parts.next()) else { continue };
        let id = ClipId { person: person.into(), clip: clip.into() };
        if wanted.contains(&id) {
            clips.entry(id).or_default().push(path);
        }
    }
    clips.values_mut().for_each(|paths| paths.sort_by_key(|path| (number(path), *path)));
    clips
}

/// The last number in a file's name: frames are counted without leading zeros.
fn number(path: &str) -> Option<u64> {
    let stem = Path::new(path).file_stem()?.to_str()?;
    let digits = stem.trim_end_matches(|c: char| !c.is_ascii_digit());
    let start = digits.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    digits.get(start..)?.parse().ok()
}

/// At most `count` of them, the first one of as many equal parts each.
fn spread<'a>(all: &[&'a String], count: usize) -> Vec<&'a String> {
    let count = count.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

fn face(
    tree: &Tree,
    path: &str,
    detector: &Detector,
    decoder: &Decoder,
    size: u32,
) -> Result<Option<RgbImage>, ClipsError> {
    let picture = picture(tree, path).map_err(|why| ClipsError::Frame(format!("{path}: {why}")))?;
    let faces = detector.detect(&picture, decoder)?;
    let Some(face) = nearest_to_the_middle(&faces, &picture) else { return Ok(None) };
    Ok(crop(&picture, &face.landmarks, size).ok())
}

impl Sides {
    fn both(&self) -> [&Embedding; 2] {
        [&self.plain, &self.mirrored]
    }

    fn halfway(&self) -> Embedding {
        self.plain.halfway(&self.mirrored).unwrap_or(self.plain)
    }
}

impl Fusion {
    /// The score of a clip enrolled and a clip at the door; −1 where one has no face.
    pub fn score(self, a: &[Sides], b: &[Sides]) -> Score {
        let mean = |clip: &[Sides]| Embedding::mean(clip.iter().flat_map(Sides::both));
        let (Some(known), Some(at_the_door)) = (mean(a), mean(b)) else {
            return NOBODY;
        };
        match self {
            Self::Mean => known.cosine(&at_the_door),
            Self::Best => {
                let probes = b.iter().map(Sides::halfway);
                let all = probes
                    .flat_map(|probe| a.iter().map(move |known| known.halfway().cosine(&probe).0));
                Score(all.fold(NOBODY.0, f32::max))
            }
            Self::Votes => {
                let mut sighting = Sighting::default();
                let look = |face: &Sides| {
                    let [plain, mirrored] = face.both();
                    let look = if sighting.mirror_next() { mirrored } else { plain };
                    known.cosine(&sighting.add(Millis(0), *look)).0
                };
                let scores: Vec<f32> = b.iter().map(look).collect();
                let VotePolicy { needed, of, .. } = VotePolicy::default();
                voted(&scores, usize::from(needed), usize::from(of))
            }
        }
    }
}

/// The highest threshold at which some `of` looks in a row hold `needed` that meet it; where there are fewer looks
/// than are needed, at which all meet it.
fn voted(scores: &[f32], needed: usize, of: usize) -> Score {
    let windows = scores.windows(of.min(scores.len()));
    let lasts = windows.map(|looks| {
        let mut looks = looks.to_vec();
        looks.sort_unstable_by(|x, y| y.total_cmp(x));
        looks[needed.min(looks.len()) - 1]
    });
    Score(lasts.fold(NOBODY.0, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> ClipId {
        let (person, clip) = text.split_once('/').unwrap();
        ClipId { person: person.into(), clip: clip.into() }
    }

    #[test]
    fn a_list_is_read_with_and_without_its_heading_and_with_further_fields() {
        let expected = vec![
            ClipPair { fold: 1, same: true, a: id("Ann_Bo/0"), b: id("Ann_Bo/3") },
            ClipPair { fold: 2, same: false, a: id("Ann_Bo/0"), b: id("Cy/1") },
        ];
        for text in [
            "split number, first name, second name, is same\n1, Ann_Bo/0, Ann_Bo/3, 1\n2, Ann_Bo/0, Cy/1, 0\n",
            "1,Ann_Bo/0,Ann_Bo/3,0.5,1\r\n\n2,Ann_Bo/0,Cy/1,0.1,0",
        ] {
            assert_eq!(parse_splits(text), Ok(expected.clone()));
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line, words) in [
            ("", 1, "no pair"),
            ("heading\n", 1, "no pair"),
            ("heading\nheading\n", 2, "a fold"),
            ("0, A/1, A/2, 1", 1, "a fold"),
            ("1, A/1, A/2, 1\n1, A/1, 1", 2, "two clips"),
            ("1, A1, A/2, 1", 1, "PERSON/CLIP"),
            ("1, A/1/x, A/2, 1", 1, "PERSON/CLIP"),
            ("1, A/1, A/2, yes", 1, "1 (one person)"),
        ] {
            let error = parse_splits(text).unwrap_err();
            assert!(error.line == line && error.problem.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn frames_are_spread_over_a_clip_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("frames/Ann/0");
        std::fs::create_dir_all(&clip).unwrap();
        for name in ["1.9.jpg", "1.10.jpg", "1.100.jpg", "1.2.jpg", "notes.txt"] {
            std::fs::write(clip.join(name), b"").unwrap();
        }
        let tree = Tree::open(folder.path()).unwrap();
        let ann = id("Ann/0");
        let frames = frames_of(&tree, &BTreeSet::from([&ann, &id("Bo/0")]));
        let name = |path: &&String| path.rsplit('/').next().unwrap().to_owned();
        let names = |paths: &[&String]| paths.iter().map(name).collect::<Vec<_>>();
        assert_eq!(names(&frames[&ann]), ["1.2.jpg", "1.9.jpg", "1.10.jpg", "1.100.jpg"]);
        assert_eq!(names(&spread(&frames[&ann], 2)), ["1.2.jpg", "1.10.jpg"]);
        assert_eq!(spread(&frames[&ann], 9).len(), 4);
        assert_eq!(frames.len(), 1);
    }

    #[test]
    fn votes_are_of_looks_in_a_row_as_at_the_door() {
        for (scores, score) in [
            (&[0.9, 0.2, 0.8, 0.1, 0.7][..], 0.7),
            // Three of the last five, though not three fifths of all eight.
            (&[0.1, 0.1, 0.1, 0.9, 0.1, 0.8, 0.7, 0.1], 0.7),
            // Three good looks too far apart.
            (&[0.9, 0.2, 0.1, 0.8, 0.1, 0.1, 0.1, 0.7], 0.2),
            (&[0.6, 0.9, 0.8], 0.6),
            (&[0.6, 0.9], 0.6),
        ] {
            assert_eq!(voted(scores, 3, 5), Score(score), "{scores:?}");
        }
    }

    #[test]
    fn scores_worked_by_hand() {
        // In the mirror they look two degrees further.
        let at = |degrees: f32| {
            let [plain, mirrored] = [degrees, degrees + 2.0].map(Embedding::at_degrees);
            Sides { plain, mirrored }
        };
        let (a, b) = ([0.0, 20.0].map(at), [10.0, 25.0, 50.0, 60.0, 90.0].map(at));
        let score = |fusion: Fusion| fusion.score(&a, &b).0;
        let cos = |degrees: f32| degrees.to_radians().cos();
        let towards = |looks: &[f32]| {
            let sums = looks.iter().map(|d| d.to_radians().sin_cos());
            let (y, x) = sums.fold((0.0, 0.0), |(y, x), s| (y + s.0, x + s.1));
            y.atan2(x).to_degrees()
        };
        assert!((score(Fusion::Best) - cos(5.0)).abs() < 1e-6);
        let apart = towards(&[10.0, 25.0, 50.0, 60.0, 90.0]) + 1.0 - 11.0;
        assert!((score(Fusion::Mean) - cos(apart)).abs() < 1e-5);
        // The templates' mean is at 11 degrees, and looks go on: 10, 27 (in the mirror), 50, 62 and 90. The third
        // of five is that of the first three together.
        let third = towards(&[10.0, 27.0, 50.0]) - 11.0;
        assert!((score(Fusion::Votes) - cos(third)).abs() < 1e-5);
        // Of one frame one must qualify.
        assert!((Fusion::Votes.score(&a, &b[2..3]).0 - cos(39.0)).abs() < 1e-6);
        for fusion in [Fusion::Mean, Fusion::Best, Fusion::Votes] {
            assert_eq!(fusion.score(&a, &[]), NOBODY);
            assert_eq!(fusion.score(&[], &b), NOBODY);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9A-Z/, \n]{0,80}") {
            let _ = parse_splits(&text);
        }

        #[test]
        fn any_name_has_a_number_or_none(name in any::<String>()) {
            let _ = number(&name);
        }
    }
}
