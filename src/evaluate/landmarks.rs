use crate::align::Landmarks;
use std::collections::HashMap;

/// Five landmarks for each picture, by the picture's path below the folder of images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LandmarkTable(HashMap<String, Landmarks>);

/// What is wrong with a `landmarks.tsv`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("landmarks, line {line}: {problem}")]
pub struct LandmarksError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what is wanted.
    pub problem: &'static str,
}

impl LandmarkTable {
    /// Reads lines of a path and ten numbers, `path x1 y1 … x5 y5` with tabs between, in pixels and
    /// in the order of [`Landmarks`]. Empty lines are ignored.
    ///
    /// # Errors
    /// [`LandmarksError`] with the line's number.
    pub fn parse(text: &str) -> Result<Self, LandmarksError> {
        let mut table = HashMap::new();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |problem| LandmarksError { line: i + 1, problem };
            let (path, numbers) = line.split_once('\t').ok_or(wrong("wanted tabs between"))?;
            let numbers: Option<Vec<f32>> = numbers
                .split('\t')
                .map(|v| v.trim().parse().ok().filter(|v: &f32| v.is_finite()))
                .collect();
            let points = numbers.as_deref().unwrap_or(&[]).as_chunks::<2>();
            let (Ok(points), []) = (points.0.try_into(), points.1) else {
                return Err(wrong("wanted ten numbers after the path"));
            };
            if table.insert(path.to_owned(), Landmarks(points)).is_some() {
                return Err(wrong("a second line for one picture"));
            }
        }
        Ok(Self(table))
    }

    /// Sets the landmarks of one picture.
    pub fn insert(&mut self, path: String, landmarks: Landmarks) {
        self.0.insert(path, landmarks);
    }

    /// The landmarks of one picture.
    pub fn get(&self, path: &str) -> Option<&Landmarks> {
        self.0.get(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_path_and_five_points() {
        let table =
            LandmarkTable::parse("A/A_0001.jpg\t1\t2\t3\t4.5\t5\t6\t7\t8\t9\t10\n\n").unwrap();
        let expected = Landmarks([[1.0, 2.0], [3.0, 4.5], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]);
        assert_eq!(table.get("A/A_0001.jpg"), Some(&expected));
        assert_eq!(table.get("A/A_0002.jpg"), None);
    }

    #[test]
    fn errors_name_the_line() {
        let good = "a\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10";
        for (name, second) in [
            ("twice", good),
            ("nine", "b\t1\t2\t3\t4\t5\t6\t7\t8\t9"),
            ("eleven", "b\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11"),
            ("a word", "b\t1\t2\t3\t4\t5\t6\t7\t8\t9\tx"),
            ("not finite", "b\t1\t2\t3\t4\t5\t6\t7\t8\t9\tNaN"),
            ("spaces", "b 1 2 3 4 5 6 7 8 9 10"),
        ] {
            let error = LandmarkTable::parse(&format!("{good}\n{second}")).unwrap_err();
            assert_eq!(error.line, 2, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = LandmarkTable::parse(&text);
        }
    }
}
