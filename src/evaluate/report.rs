use super::{
    ProtocolError, Scored, TarAtFar, auc, equal_error_rate, protocol::Split, roc, tar_at_far,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// The false accept rates at which a report gives the true accept rate.
const RATES: [f64; 2] = [1e-2, 1e-3];

/// How well a network tells people apart. Rates and accuracies are shares, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Genuine pairs counted.
    pub genuine: usize,
    /// Impostor pairs counted.
    pub impostor: usize,
    /// Share of pairs told right, over the folds.
    pub accuracy: Accuracy,
    /// There was one fold only, so its threshold was chosen on the very pairs it is measured on and
    /// the accuracy flatters.
    pub threshold_from_same_fold: bool,
    /// False match rate over all pairs, each fold at its own threshold.
    pub fmr: f64,
    /// False non-match rate over all pairs, each fold at its own threshold.
    pub fnmr: f64,
    /// Area under the ROC curve of all pairs.
    pub auc: f64,
    /// Equal error rate of all pairs.
    pub eer: f64,
    /// True accept rates of all pairs at false accept rates of 1e-2 and 1e-3.
    pub tar_at_far: Vec<TarAtFar>,
    /// Fold by fold.
    pub folds: Vec<FoldReport>,
}

/// Mean and spread over folds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The mean of the folds' accuracies.
    pub mean: f64,
    /// Their sample standard deviation (over n − 1, as LFW's report defines it); none for one fold.
    pub std: Option<f64>,
}

/// One fold, measured at the threshold that makes fewest errors on all other folds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoldReport {
    /// Its number, from 1.
    pub fold: usize,
    /// Pairs in it.
    pub pairs: usize,
    /// Share of them told right.
    pub accuracy: f64,
    /// The threshold: a pair at or above it is accepted as one person.
    pub threshold: f32,
    /// False match rate: impostor pairs accepted.
    pub fmr: f64,
    /// False non-match rate: genuine pairs rejected.
    pub fnmr: f64,
}

impl Report {
    /// Measures scored pairs by LFW's protocol: each fold's threshold comes from the other folds.
    ///
    /// # Errors
    /// [`ProtocolError`]: a score that is not finite, or a fold without genuine or impostor pairs.
    pub fn of(scored: &[Scored]) -> Result<Self, ProtocolError> {
        if let Some(bad) = scored.iter().position(|s| !s.score.0.is_finite()) {
            return Err(ProtocolError::NotFinite(bad));
        }
        let all = Split::of(scored)?;
        let numbers: BTreeSet<usize> = scored.iter().map(|s| s.fold).collect();
        let single = numbers.len() == 1;
        let mut folds = Vec::new();
        let (mut accepted, mut rejected) = (0, 0);
        for fold in numbers {
            let test = Split::of(scored.iter().filter(|s| s.fold == fold))?;
            let others = Split::of(scored.iter().filter(|s| single || s.fold != fold))?;
            let threshold = others.best_threshold();
            let (a, r) = test.errors(threshold);
            (accepted, rejected) = (accepted + a, rejected + r);
            folds.push(FoldReport::of(fold, &test, threshold, a, r));
        }
        let curve = roc(scored)?;
        let rates = RATES.map(|far| tar_at_far(&all.genuine, &all.impostor, far));
        Ok(Self {
            genuine: all.genuine.len(),
            impostor: all.impostor.len(),
            accuracy: Accuracy::of(&folds),
            threshold_from_same_fold: single,
            fmr: accepted as f64 / all.impostor.len() as f64,
            fnmr: rejected as f64 / all.genuine.len() as f64,
            auc: auc(&curve),
            eer: equal_error_rate(&curve),
            tar_at_far: rates.into_iter().collect::<Result<_, _>>()?,
            folds,
        })
    }

    /// All pairs counted.
    pub fn pairs(&self) -> usize {
        self.genuine + self.impostor
    }
}

impl FoldReport {
    fn of(fold: usize, test: &Split, threshold: f32, accepted: usize, rejected: usize) -> Self {
        let pairs = test.genuine.len() + test.impostor.len();
        Self {
            fold,
            pairs,
            accuracy: (pairs - accepted - rejected) as f64 / pairs as f64,
            threshold,
            fmr: accepted as f64 / test.impostor.len() as f64,
            fnmr: rejected as f64 / test.genuine.len() as f64,
        }
    }
}

impl Accuracy {
    fn of(folds: &[FoldReport]) -> Self {
        let n = folds.len() as f64;
        let mean = folds.iter().map(|f| f.accuracy).sum::<f64>() / n;
        let squares: f64 = folds.iter().map(|f| (f.accuracy - mean).powi(2)).sum();
        Self { mean, std: (folds.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) }
    }
}

impl fmt::Display for Report {
    /// A table of a few lines for a terminal, without a line end after the last one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        writeln!(
            f,
            "pairs      {} ({} genuine, {} impostor), folds: {}",
            self.pairs(),
            self.genuine,
            self.impostor,
            self.folds.len()
        )?;
        let spread = self.accuracy.std.map_or(String::new(), |s| format!(" ± {:.2}", s * 100.0));
        let origin = if self.threshold_from_same_fold {
            "FLATTERING: one fold, so the threshold was chosen on the pairs measured"
        } else {
            "each fold at the threshold chosen on the others"
        };
        writeln!(f, "accuracy   {}{spread}   {origin}", percent(self.accuracy.mean))?;
        writeln!(f, "FMR        {}   FNMR {}", percent(self.fmr), percent(self.fnmr))?;
        writeln!(f, "AUC        {:.5}", self.auc)?;
        writeln!(f, "EER        {}", percent(self.eer))?;
        for at in &self.tar_at_far {
            writeln!(
                f,
                "TAR        {} at FAR {:.0e}   95 % interval {:.2} to {:.2}, threshold {:.4}, \
                 measured FAR {}",
                percent(at.tar),
                at.far,
                at.low * 100.0,
                at.high * 100.0,
                at.threshold,
                percent(at.measured_far),
            )?;
        }
        write!(f, "\nfold   pairs   accuracy   threshold       FMR      FNMR")?;
        for fold in &self.folds {
            write!(
                f,
                "\n{:>4}{:>8}{:>11}{:>12.4}{:>10}{:>10}",
                fold.fold,
                fold.pairs,
                percent(fold.accuracy),
                fold.threshold,
                percent(fold.fmr),
                percent(fold.fnmr)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::Score;

    fn fold(fold: usize, genuine: &[f32], impostor: &[f32]) -> Vec<Scored> {
        let tag = |scores: &[f32], same| {
            scores.iter().map(|&s| Scored { fold, same, score: Score(s) }).collect::<Vec<_>>()
        };
        [tag(genuine, true), tag(impostor, false)].concat()
    }

    #[test]
    fn each_folds_threshold_comes_from_the_others() {
        // Fold 1 alone would choose 0.3, fold 2 alone 0.7: each is measured at the other's.
        let scored =
            [fold(1, &[0.5, 0.4], &[0.2, 0.1]), fold(2, &[0.9, 0.8], &[0.6, 0.2])].concat();
        let report = Report::of(&scored).unwrap();
        let [one, two] = report.folds[..] else { panic!("two folds") };
        assert!((one.threshold - 0.7).abs() < 1e-6 && (two.threshold - 0.3).abs() < 1e-6);
        assert_eq!((one.accuracy, one.fmr, one.fnmr), (0.5, 0.0, 1.0));
        assert_eq!((two.accuracy, two.fmr, two.fnmr), (0.75, 0.5, 0.0));
        assert_eq!((report.accuracy.mean, report.fmr, report.fnmr), (0.625, 0.25, 0.5));
        // √(2 · 0.125²) over n − 1 = 1.
        assert!((report.accuracy.std.unwrap() - 0.176_776_695).abs() < 1e-9);
        assert_eq!((report.genuine, report.impostor, report.pairs()), (4, 4, 8));
        assert!(!report.threshold_from_same_fold);
        // 16 couples; of the genuine, 0.5 and 0.4 lose to 0.6.
        assert!((report.auc - 14.0 / 16.0).abs() < 1e-12);
        // No impostor may pass at 1e-3 of 4: the threshold lies above 0.6, and 0.9 and 0.8 pass.
        assert_eq!((report.tar_at_far[1].tar, report.tar_at_far[1].measured_far), (0.5, 0.0));
    }

    #[test]
    fn a_single_fold_is_measured_on_itself_and_says_so() {
        let report = Report::of(&fold(4, &[0.9, 0.8], &[0.1, 0.2])).unwrap();
        assert_eq!((report.accuracy.mean, report.accuracy.std), (1.0, None));
        assert!(report.threshold_from_same_fold);
        assert!(report.to_string().contains("FLATTERING"), "{report}");
    }

    #[test]
    fn the_report_survives_json_and_prints_every_fold() {
        let scored = [fold(1, &[0.5], &[0.2]), fold(2, &[0.9], &[0.6])].concat();
        let report = Report::of(&scored).unwrap();
        let json = serde_json::to_string(&report).unwrap();
        // As text: serde_json may be off by a last bit when it reads numbers.
        let back: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(back.to_string(), report.to_string());
        assert_eq!(report.to_string().lines().count(), 11, "{report}");
    }

    #[test]
    fn broken_scores_and_lopsided_folds_are_refused() {
        let nan = fold(1, &[0.5], &[0.1, f32::NAN]);
        assert_eq!(Report::of(&nan), Err(ProtocolError::NotFinite(2)));
        let lopsided = [fold(1, &[0.5], &[0.2]), fold(2, &[0.9], &[])].concat();
        assert_eq!(Report::of(&lopsided), Err(ProtocolError::Missing("impostor")));
        assert_eq!(Report::of(&[]), Err(ProtocolError::Missing("genuine")));
    }
}
