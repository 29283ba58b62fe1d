use crate::{
    align::Landmarks,
    detect::{Bounds, DetectionScore, Face},
};
use serde::Deserialize;
use std::collections::HashSet;

/// What is known of the faces in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureTruth {
    /// The picture's path beside the file of annotations.
    pub image: String,
    /// px.
    pub width: u32,
    /// px.
    pub height: u32,
    /// What the picture is set aside for: `train` or `test`.
    pub split: String,
    /// Its faces, px of the picture; the score is the labeller's.
    pub faces: Vec<Face>,
    /// Where there may be a face or not.
    pub ignore: Vec<Bounds>,
    /// The landmarks of the main face as a person set them.
    pub manual_landmarks: Option<Landmarks>,
}

/// The pictures that a detector is measured on, in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectionSet(pub Vec<PictureTruth>);

/// What is wrong with an `annotations.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotations, line {line}: {problem}")]
pub struct DetectionSetError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what is wanted.
    pub problem: String,
}

impl DetectionSet {
    /// Reads one JSON object a line, a picture each: `image`, `width`, `height`, `split`, `faces` (each
    /// `box` [x, y, w, h], `landmarks` five [x, y], `score`), `ignore` (boxes), and where there are any
    /// `manual_landmarks`. Other fields and empty lines are passed over.
    ///
    /// The file counts the edges of its boxes from the corner of the first pixel and landmarks from its
    /// centre. [`Bounds`] count from the centre too, so a box is moved by half a pixel.
    ///
    /// # Errors
    /// [`DetectionSetError`] with the line's number.
    pub fn parse(text: &str) -> Result<Self, DetectionSetError> {
        let (mut pictures, mut seen) = (Vec::new(), HashSet::new());
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |problem| DetectionSetError { line: i + 1, problem };
            let read: Line = serde_json::from_str(line).map_err(|e| wrong(in_line(&e)))?;
            let picture = read.checked().map_err(|problem| wrong(problem.to_owned()))?;
            if !seen.insert(picture.image.clone()) {
                return Err(wrong(format!("a second line for `{}`", picture.image)));
            }
            pictures.push(picture);
        }
        Ok(Self(pictures))
    }
}

#[derive(Deserialize)]
struct Line {
    image: String,
    width: u32,
    height: u32,
    split: String,
    faces: Vec<Labelled>,
    ignore: Vec<[f32; 4]>,
    manual_landmarks: Option<[[f32; 2]; 5]>,
}

#[derive(Deserialize)]
struct Labelled {
    r#box: [f32; 4],
    landmarks: [[f32; 2]; 5],
    score: f32,
}

impl Line {
    fn checked(self) -> Result<PictureTruth, &'static str> {
        if self.width == 0 || self.height == 0 {
            return Err("wanted a width and a height above 0");
        }
        Ok(PictureTruth {
            image: self.image,
            width: self.width,
            height: self.height,
            split: self.split,
            faces: self.faces.iter().map(Labelled::face).collect::<Result<_, _>>()?,
            ignore: self.ignore.into_iter().map(bounds).collect::<Result<_, _>>()?,
            manual_landmarks: self.manual_landmarks.map(landmarks).transpose()?,
        })
    }
}

impl Labelled {
    fn face(&self) -> Result<Face, &'static str> {
        if !(0.0..=1.0).contains(&self.score) {
            return Err("wanted a score from 0 to 1");
        }
        Ok(Face {
            bounds: bounds(self.r#box)?,
            landmarks: landmarks(self.landmarks)?,
            score: DetectionScore(self.score),
        })
    }
}

fn bounds([x, y, width, height]: [f32; 4]) -> Result<Bounds, &'static str> {
    let finite = [x, y, width, height].iter().all(|v| v.is_finite());
    if !finite || width <= 0.0 || height <= 0.0 {
        return Err("wanted boxes [x, y, w, h] with w and h above 0");
    }
    Ok(Bounds { x: x - 0.5, y: y - 0.5, width, height })
}

fn landmarks(points: [[f32; 2]; 5]) -> Result<Landmarks, &'static str> {
    let finite = points.as_flattened().iter().all(|v| v.is_finite());
    finite.then_some(Landmarks(points)).ok_or("wanted landmarks that are finite numbers")
}

/// serde_json counts lines too, and of one it is always the first.
fn in_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"image":"a.webp","width":64,"height":48,"split":"test","faces":[{"box":[10.5,20,30,40],"landmarks":[[1,2],[3,4],[5,6],[7,8],[9,10.5]],"score":0.9,"pose":3}],"ignore":[[0,0,5,6]],"by":"hand"}"#;

    #[test]
    fn boxes_move_by_half_a_pixel_and_landmarks_do_not() {
        let set = DetectionSet::parse(&format!("{GOOD}\n\n")).unwrap();
        let points = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.5]];
        let expected = PictureTruth {
            image: "a.webp".into(),
            width: 64,
            height: 48,
            split: "test".into(),
            faces: vec![Face {
                bounds: Bounds { x: 10.0, y: 19.5, width: 30.0, height: 40.0 },
                landmarks: Landmarks(points),
                score: DetectionScore(0.9),
            }],
            ignore: vec![Bounds { x: -0.5, y: -0.5, width: 5.0, height: 6.0 }],
            manual_landmarks: None,
        };
        assert_eq!(set.0, [expected]);
    }

    #[test]
    fn landmarks_set_by_hand_are_read() {
        let by_hand = r#""manual_landmarks":[[1,1],[2,2],[3,3],[4,4],[5,5]],"by""#;
        let set = DetectionSet::parse(&GOOD.replace(r#""by""#, by_hand)).unwrap();
        let expected = Landmarks([1.0, 2.0, 3.0, 4.0, 5.0].map(|v| [v; 2]));
        assert_eq!(set.0[0].manual_landmarks, Some(expected));
    }

    #[test]
    fn errors_name_the_line() {
        for (name, from, to, part) in [
            ("twice", "a.webp", "a.webp", "a second line for `a.webp`"),
            ("cut short", r#","by":"hand"}"#, "", "EOF while parsing an object at column"),
            ("no split", r#""split":"test","#, "", "missing field `split`"),
            ("no width", r#""width":64"#, r#""width":0"#, "a width and a height"),
            ("half a width", r#""width":64"#, r#""width":6.5"#, "u32"),
            ("a flat box", "30,40]", "30,0]", "w and h above 0"),
            ("an endless box", "30,40]", "30,1e39]", "w and h above 0"),
            ("a flat ignore box", "5,6]", "-5,6]", "w and h above 0"),
            ("four landmarks", "[1,2],", "", "length 4"),
            ("an endless landmark", "[1,2],", "[1,2e39],", "finite"),
            ("a sure face", "0.9", "1.1", "score"),
        ] {
            let second = GOOD.replace("a.webp", "b.webp").replace(from, to);
            let second = if name == "twice" { GOOD } else { &second };
            let error = DetectionSet::parse(&format!("{GOOD}\n{second}")).unwrap_err();
            assert_eq!(error.line, 2, "{name}");
            assert!(error.problem.contains(part), "{name}: {error}");
            assert!(!error.problem.contains("at line"), "{name}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = DetectionSet::parse(&text);
        }

        #[test]
        fn no_damage_to_a_good_line_panics(at in 0..GOOD.len(), with in any::<char>()) {
            let mut text: Vec<char> = GOOD.chars().collect();
            text[at] = with;
            if let Ok(set) = DetectionSet::parse(&text.into_iter().collect::<String>()) {
                for face in set.0.iter().flat_map(|picture| &picture.faces) {
                    prop_assert!(face.bounds.area() > 0.0);
                }
            }
        }
    }
}
