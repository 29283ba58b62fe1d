use super::{
    PictureTruth,
    matching::{Counts, Matches},
};
use crate::{
    align::Landmarks,
    detect::{Bounds, DetectionScore},
    evaluate::wilson_interval,
};
use serde::Serialize;
use std::{collections::HashSet, fmt};

/// False faces per picture at which a report gives the recall: one in 10 pictures, one in 100.
const FALSE_RATES: [f64; 2] = [0.1, 0.01];

/// Where one bin of face sizes ends and the next begins, px.
const SIZES: [f32; 3] = [24.0, 48.0, 96.0];

/// How well a detector finds faces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectionReport {
    /// Pictures counted.
    pub pictures: usize,
    /// Labelled faces in them.
    pub faces: usize,
    /// At the threshold that the detector is used with.
    pub operating: RecallAt,
    /// At the thresholds that give one false face in 10 pictures and one in 100.
    pub at_false_rates: Vec<RecallAt>,
    /// Area under the curve of precision over recall, precision made never to rise with recall (PASCAL
    /// VOC 2010). 0 to 1; none without labelled faces.
    pub average_precision: Option<f64>,
    /// Recall by the size of the labelled face, at the operating threshold.
    pub by_size: Vec<SizeBin>,
    /// Distance of the landmarks from the labels, over the faces found at the operating threshold.
    pub landmarks: Option<Nme>,
    /// The same from landmarks that a person set.
    pub manual: Option<ManualNme>,
    /// Pictures without a detection, at the operating threshold, of those that have neither a face nor
    /// an `ignore` box.
    pub empty: Share,
}

/// A share of something counted, with its 95 % [`wilson_interval`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub of: usize,
    /// `hits` over `of`, 0 to 1; none of none.
    pub share: Option<f64>,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Recall at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RecallAt {
    /// False faces per picture asked for; none where the threshold was.
    pub wanted: Option<f64>,
    /// The score from which on a detection counts.
    pub threshold: DetectionScore,
    /// False faces from there on.
    pub false_faces: usize,
    /// The same per picture.
    pub false_per_image: f64,
    /// Labelled faces found.
    pub recall: Share,
}

/// Recall of faces whose size, the root of their box's area, is from `from` to under `to` px.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SizeBin {
    /// px.
    pub from: f32,
    /// px; none for the last.
    pub to: Option<f32>,
    /// Labelled faces of these sizes found.
    pub recall: Share,
}

/// Normalised mean error of landmarks: of a face the mean distance of the five points from where they
/// should be, in percent of a length of the labelled face; of a set the mean over its faces.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Nme {
    /// Faces counted.
    pub faces: usize,
    /// In percent of the root of the box's area, as for AFLW, whose faces turn in all directions.
    pub percent_of_box: f64,
    /// In percent of the distance between the eyes, as for 300-W, or of a pixel where they are closer.
    /// Large where there are profiles: their eyes nearly coincide.
    pub percent_of_eyes: f64,
}

/// Against landmarks that a person set, on the same faces: those found at the operating threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ManualNme {
    /// The detector's.
    pub detected: Nme,
    /// The labels': what a detector reaches that has learned them perfectly.
    pub labels: Nme,
}

impl DetectionReport {
    pub(super) fn of(matches: &Matches, threshold: DetectionScore) -> Self {
        let at_rate = |wanted| RecallAt::of(matches, Some(wanted), matches.threshold_for(wanted));
        Self {
            pictures: matches.pictures.len(),
            faces: matches.faces,
            operating: RecallAt::of(matches, None, threshold),
            at_false_rates: FALSE_RATES.into_iter().map(at_rate).collect(),
            average_precision: average_precision(matches),
            by_size: by_size(matches, threshold),
            landmarks: landmarks(matches, threshold),
            manual: manual(matches, threshold),
            empty: empty(matches, threshold),
        }
    }
}

impl Share {
    /// `hits` of `of`.
    pub fn of(hits: usize, of: usize) -> Self {
        let (low, high) = wilson_interval(hits, of);
        Self { hits, of, share: (of > 0).then(|| hits as f64 / of as f64), low, high }
    }
}

impl RecallAt {
    fn of(matches: &Matches, wanted: Option<f64>, threshold: DetectionScore) -> Self {
        let Counts { right, wrong } = matches.counts(threshold);
        Self {
            wanted,
            threshold,
            false_faces: wrong,
            false_per_image: wrong as f64 / matches.pictures.len().max(1) as f64,
            recall: Share::of(right, matches.faces),
        }
    }
}

fn average_precision(matches: &Matches) -> Option<f64> {
    let (mut area, mut best, mut right_after) = (0.0, 0.0f64, 0);
    // From the lowest threshold up: the best precision at this recall or a higher one.
    for (_, Counts { right, wrong }) in matches.steps().rev() {
        area += best * right_after.max(right).saturating_sub(right) as f64;
        best = best.max(right as f64 / (right + wrong) as f64);
        right_after = right;
    }
    area += best * right_after as f64;
    (matches.faces > 0).then(|| area / matches.faces as f64)
}

fn by_size(matches: &Matches, threshold: DetectionScore) -> Vec<SizeBin> {
    let bin = |bounds: &Bounds| SIZES.iter().filter(|&&size| bounds.size() >= size).count();
    let (mut hits, mut of) = ([0; SIZES.len() + 1], [0; SIZES.len() + 1]);
    let labelled = matches.pictures.iter().flat_map(|(truth, _)| &truth.faces);
    labelled.for_each(|face| of[bin(&face.bounds)] += 1);
    for found in matches.from(threshold) {
        if let Some(face) = found.truth {
            hits[bin(&matches.pictures[found.picture].0.faces[face].bounds)] += 1;
        }
    }
    let bins = (0..=SIZES.len()).map(|i| SizeBin {
        from: if i == 0 { 0.0 } else { SIZES[i - 1] },
        to: SIZES.get(i).copied(),
        recall: Share::of(hits[i], of[i]),
    });
    bins.collect()
}

fn landmarks(matches: &Matches, threshold: DetectionScore) -> Option<Nme> {
    let found = matches.from(threshold).iter().filter_map(|found| {
        let truth = &matches.pictures[found.picture].0.faces[found.truth?];
        Some((found.face.landmarks, truth.landmarks, truth.bounds))
    });
    Nme::of(found)
}

fn manual(matches: &Matches, threshold: DetectionScore) -> Option<ManualNme> {
    let (mut detected, mut labels) = (Vec::new(), Vec::new());
    for found in matches.from(threshold) {
        let truth = &matches.pictures[found.picture].0;
        let Some((by_hand, main)) = truth.manual_landmarks.zip(main_face(truth)) else { continue };
        if found.truth == Some(main) {
            let label = &truth.faces[main];
            detected.push((found.face.landmarks, by_hand, label.bounds));
            labels.push((label.landmarks, by_hand, label.bounds));
        }
    }
    Some(ManualNme { detected: Nme::of(detected)?, labels: Nme::of(labels)? })
}

/// The labelled face that the landmarks set by a person are nearest to.
fn main_face(truth: &PictureTruth) -> Option<usize> {
    let by_hand = truth.manual_landmarks?;
    let distances = truth.faces.iter().map(|face| mean_distance(&face.landmarks, &by_hand));
    let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    nearest.map(|(i, _)| i)
}

fn empty(matches: &Matches, threshold: DetectionScore) -> Share {
    let seen: HashSet<usize> = matches.from(threshold).iter().map(|f| f.picture).collect();
    let pictures = matches.pictures.iter().enumerate();
    let empty = pictures.filter(|(_, (t, _))| t.faces.is_empty() && t.ignore.is_empty());
    let quiet: Vec<bool> = empty.map(|(i, _)| !seen.contains(&i)).collect();
    Share::of(quiet.iter().filter(|quiet| **quiet).count(), quiet.len())
}

impl Nme {
    /// Of faces' landmarks as found, as they should be, and the labelled box; none of none.
    fn of(faces: impl IntoIterator<Item = (Landmarks, Landmarks, Bounds)>) -> Option<Self> {
        let (mut count, mut of_box, mut of_eyes) = (0, 0.0, 0.0);
        for (found, wanted, bounds) in faces {
            let off = mean_distance(&found, &wanted);
            count += 1;
            of_box += off / f64::from(bounds.size());
            of_eyes += off / distance(wanted.0[0], wanted.0[1]).max(1.0);
        }
        let mean = |sum: f64| 100.0 * sum / count as f64;
        let percent = (mean(of_box), mean(of_eyes));
        let nme = Self { faces: count, percent_of_box: percent.0, percent_of_eyes: percent.1 };
        (count > 0).then_some(nme)
    }
}

fn mean_distance(a: &Landmarks, b: &Landmarks) -> f64 {
    a.0.iter().zip(b.0).map(|(&p, q)| distance(p, q)).sum::<f64>() / 5.0
}

fn distance(p: [f32; 2], q: [f32; 2]) -> f64 {
    f64::from(p[0] - q[0]).hypot(f64::from(p[1] - q[1]))
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(share) = self.share else { return f.pad("none to find") };
        let (low, high) = (self.low * 100.0, self.high * 100.0);
        write!(f, "{:6.2} %  ({low:.2} to {high:.2})", share * 100.0)
    }
}

impl fmt::Display for Nme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of_box, of_eyes) = (self.percent_of_box, self.percent_of_eyes);
        write!(f, "{of_box:6.2} % of √(box area), {of_eyes:.2} % of eye distance")
    }
}

impl fmt::Display for RecallAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = match self.wanted {
            Some(wanted) => format!("1 false face in {:.0} pictures", 1.0 / wanted),
            None => "operating threshold".to_owned(),
        };
        let (threshold, per_image) = (self.threshold.0, self.false_per_image);
        write!(
            f,
            "recall     {}   {rate}: threshold {threshold:.4}, {} false, {per_image:.4} a picture",
            self.recall, self.false_faces
        )
    }
}

impl fmt::Display for DetectionReport {
    /// A table of a few lines for a terminal, without a line end after the last one. In parentheses 95 %
    /// intervals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pictures   {}, faces: {}", self.pictures, self.faces)?;
        for at in [&self.operating].into_iter().chain(&self.at_false_rates) {
            writeln!(f, "{at}")?;
        }
        if let Some(area) = self.average_precision {
            writeln!(f, "AP         {area:.5}")?;
        }
        writeln!(f, "no face    {}   of {} silent", self.empty, self.empty.of)?;
        if let Some(nme) = &self.landmarks {
            writeln!(f, "NME        {nme}, from the labels, faces: {}", nme.faces)?;
        }
        if let Some(ManualNme { detected, labels }) = &self.manual {
            writeln!(f, "NME        {detected}, from a person's, faces: {}", detected.faces)?;
            writeln!(f, "           {labels}, labels from a person's")?;
        }
        write!(f, "\nsize, px      faces   recall")?;
        for SizeBin { from, to, recall } in &self.by_size {
            let range = to.map_or(format!("{from} and up"), |to| format!("{from} to {to}"));
            write!(f, "\n{range:<11}{:>8}   {recall}", recall.of)?;
        }
        Ok(())
    }
}
