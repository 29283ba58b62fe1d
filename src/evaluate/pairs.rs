use std::{collections::BTreeSet, fmt, str::FromStr};

/// One picture of a person, numbered from 1 the way LFW does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId {
    /// The person, `First_Last`.
    pub name: String,
    /// Which of the person's pictures, from 1.
    pub number: u32,
}

impl fmt::Display for ImageId {
    /// Its path below the folder of images: `NAME/NAME_0001.jpg`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0}/{0}_{1:04}.jpg", self.name, self.number)
    }
}

/// Two pictures to tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The fold it belongs to, from 1.
    pub fold: usize,
    /// Whether both show the same person (a genuine pair) or not (an impostor pair).
    pub same: bool,
    /// One picture.
    pub a: ImageId,
    /// The other.
    pub b: ImageId,
}

/// The pairs of an evaluation, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs(pub Vec<Pair>);

/// What is wrong with a `pairs.txt` or a choice of folds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairsError {
    /// A line does not say what the format wants there.
    #[error("pairs, line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong and what is wanted.
        problem: &'static str,
    },
    /// The choice of folds cannot be read.
    #[error("`{0}` is no choice of folds; write 2 or 1-3 or 1,4-6, counting from 1")]
    Folds(String),
    /// A fold was chosen that is not there.
    #[error("there is no fold {0}; the pairs have folds 1 to {1}")]
    NoSuchFold(usize, usize),
}

impl Pairs {
    /// Reads LFW's `pairs.txt`. The first line is `folds n`, or `n` alone for one fold; then for each
    /// fold n genuine lines `name i j` and n impostor lines `name i name j`. Fields are separated by
    /// tabs or spaces, empty lines at the end are ignored.
    ///
    /// # Errors
    /// [`PairsError::Line`] with the line's number.
    pub fn parse(text: &str) -> Result<Self, PairsError> {
        let mut lines = text.lines().enumerate().map(|(i, text)| Line { number: i + 1, text });
        let header = lines.next().unwrap_or(Line { number: 1, text: "" });
        let (folds, per_fold) = header.header()?;
        let mut pairs = Vec::new();
        let mut last = header.number;
        for fold in 1..=folds {
            for same in [true, false] {
                for _ in 0..per_fold {
                    let end = Line { number: last + 1, text: "" };
                    let line = lines.next().unwrap_or(end);
                    last = line.number;
                    pairs.push(line.pair(fold, same)?);
                }
            }
        }
        match lines.find(|line| !line.text.trim().is_empty()) {
            Some(line) => Err(line.error("more pairs than the first line promises")),
            None => Ok(Self(pairs)),
        }
    }

    /// How many folds there are: the highest number of one.
    pub fn folds(&self) -> usize {
        self.0.iter().map(|pair| pair.fold).max().unwrap_or(0)
    }

    /// Only the pairs of the chosen folds, which keep their numbers.
    ///
    /// # Errors
    /// [`PairsError::NoSuchFold`].
    pub fn in_folds(&self, chosen: &Folds) -> Result<Self, PairsError> {
        let folds = self.folds();
        match chosen.0.iter().find(|&&fold| fold > folds) {
            Some(&fold) => Err(PairsError::NoSuchFold(fold, folds)),
            None => {
                let kept = self.0.iter().filter(|pair| chosen.0.contains(&pair.fold));
                Ok(Self(kept.cloned().collect()))
            }
        }
    }
}

struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn error(&self, problem: &'static str) -> PairsError {
        PairsError::Line { line: self.number, problem }
    }

    fn header(&self) -> Result<(usize, usize), PairsError> {
        let numbers: Result<Vec<usize>, _> =
            self.text.split_whitespace().map(str::parse::<usize>).collect();
        match numbers.as_deref() {
            Ok(&[per_fold]) if per_fold > 0 => Ok((1, per_fold)),
            Ok(&[folds, per_fold]) if folds > 0 && per_fold > 0 => Ok((folds, per_fold)),
            _ => Err(self.error("wanted `folds<TAB>pairs` or `pairs`, numbers above 0")),
        }
    }

    fn pair(&self, fold: usize, same: bool) -> Result<Pair, PairsError> {
        let fields: Vec<&str> = self.text.split_whitespace().collect();
        let (a, b) = match (same, &fields[..]) {
            (_, []) => return Err(self.error("the file ends before all pairs it promises")),
            (true, [name, i, j]) => (self.image(name, i)?, self.image(name, j)?),
            (false, [one, i, other, j]) => (self.image(one, i)?, self.image(other, j)?),
            (true, _) => return Err(self.error("wanted a genuine pair, `name i j`")),
            (false, _) => return Err(self.error("wanted an impostor pair, `name i name j`")),
        };
        if a == b {
            return Err(self.error("pairs a picture with itself"));
        }
        if !same && a.name == b.name {
            return Err(self.error("an impostor pair of one and the same person"));
        }
        Ok(Pair { fold, same, a, b })
    }

    fn image(&self, name: &str, number: &str) -> Result<ImageId, PairsError> {
        // Names become paths: none may lead out of the folder of images.
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(self.error("a name with a slash, or a dot in front"));
        }
        match number.parse() {
            Ok(number) if number > 0 => Ok(ImageId { name: name.to_owned(), number }),
            _ => Err(self.error("wanted the number of a picture, from 1")),
        }
    }
}

/// A choice of folds, written `2`, `1-3` or `1,4-6`; counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds(BTreeSet<usize>);

impl FromStr for Folds {
    type Err = PairsError;

    fn from_str(spec: &str) -> Result<Self, PairsError> {
        select_folds(spec)
    }
}

/// Reads a choice of folds: numbers and ranges from 1 to 999 with commas between.
///
/// # Errors
/// [`PairsError::Folds`].
pub fn select_folds(spec: &str) -> Result<Folds, PairsError> {
    let number = |text: &str| text.trim().parse().ok().filter(|n| (1..1000).contains(n));
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (number(first)?, number(last)?);
        (first <= last).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = spec.split(',').map(range).collect();
    let wrong = || PairsError::Folds(spec.to_owned());
    Ok(Folds(ranges.ok_or_else(wrong)?.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO_FOLDS: &str = "2\t1\nAnn\t1\t4\nAnn\t1\tBob\t2\nCid\t2\t3\nCid\t2\tDee\t12\n\n";

    #[test]
    fn two_folds_are_read() {
        let pairs = Pairs::parse(TWO_FOLDS).unwrap();
        let said: Vec<_> =
            pairs.0.iter().map(|p| format!("{} {} {} {}", p.fold, p.same, p.a, p.b)).collect();
        assert_eq!(
            said,
            [
                "1 true Ann/Ann_0001.jpg Ann/Ann_0004.jpg",
                "1 false Ann/Ann_0001.jpg Bob/Bob_0002.jpg",
                "2 true Cid/Cid_0002.jpg Cid/Cid_0003.jpg",
                "2 false Cid/Cid_0002.jpg Dee/Dee_0012.jpg",
            ]
        );
        assert_eq!(pairs.folds(), 2);
    }

    #[test]
    fn a_lone_count_is_one_fold() {
        let pairs = Pairs::parse("1\nAnn 1 2\nAnn 1 Bob 1\n").unwrap();
        assert_eq!((pairs.folds(), pairs.0.len()), (1, 2));
    }

    #[test]
    fn errors_name_the_line() {
        for (name, text, line) in [
            ("empty", "", 1),
            ("no folds", "0\t3", 1),
            ("words", "three", 1),
            ("cut short", "2\t1\nAnn\t1\t4\nAnn\t1\tBob\t2\n", 4),
            ("an absurd count", "4294967295\t4294967295\nAnn\t1\t4\n", 3),
            ("impostor too early", "1\nAnn 1 Bob 2\nAnn 1 Bob 2", 2),
            ("genuine too late", "1\nAnn 1 2\nAnn 1 2", 3),
            ("no number", "1\nAnn 1 x\nAnn 1 Bob 2", 2),
            ("number zero", "1\nAnn 0 1\nAnn 1 Bob 2", 2),
            ("itself", "1\nAnn 1 1\nAnn 1 Bob 2", 2),
            ("one person", "1\nAnn 1 2\nAnn 1 Ann 2", 3),
            ("a path", "1\n../x 1 2\nAnn 1 Bob 2", 2),
            ("one too many", "1\nAnn 1 2\nAnn 1 Bob 2\nAnn 1 Bob 3", 4),
        ] {
            let error = Pairs::parse(text).unwrap_err();
            assert!(
                matches!(error, PairsError::Line { line: l, .. } if l == line),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn folds_are_chosen_by_number_and_range() {
        let folds = |spec: &str| select_folds(spec).map(|f| f.0.into_iter().collect::<Vec<_>>());
        assert_eq!(folds("1-3"), Ok(vec![1, 2, 3]));
        assert_eq!(folds("7, 2-3"), Ok(vec![2, 3, 7]));
        for wrong in ["", "0", "3-1", "a", "1-", "-1", "1-99999999999", "1,,2"] {
            assert!(folds(wrong).is_err(), "{wrong}");
        }
        let pairs = Pairs::parse(TWO_FOLDS).unwrap();
        let second = pairs.in_folds(&select_folds("2").unwrap()).unwrap();
        assert!(second.0.len() == 2 && second.0.iter().all(|p| p.fold == 2));
        let third = pairs.in_folds(&select_folds("1-3").unwrap());
        assert_eq!(third, Err(PairsError::NoSuchFold(3, 2)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([0-9A-Za-z_/.\t -]{0,12}\n?){0,12}", spec in ".{0,12}") {
            let _ = Pairs::parse(&text);
            let _ = select_folds(&spec);
        }

        #[test]
        fn any_characters_do_not_panic(text in any::<String>()) {
            let _ = Pairs::parse(&text);
        }
    }
}
