use super::{Chart, Series};
use crate::evaluate::RocPoint;

/// The false accept rate where a curve begins on the logarithmic axis: below any LFW can measure.
const LEFT_END: f64 = 1e-4;

/// ROC curves by name: true accept rate over false accept rate, the latter on a logarithmic axis.
///
/// A logarithm has no zero: what a curve reaches without a single false accept is drawn from 1e-4 on.
pub fn roc_chart(curves: &[(&str, &[RocPoint])]) -> Chart {
    let series = curves.iter().map(|(name, curve)| {
        let at = |p: &RocPoint| (p.far.max(LEFT_END), p.tar);
        Series { name: (*name).to_owned(), points: staircase(curve.iter().map(at)) }
    });
    Chart {
        title: "Telling faces apart".into(),
        x_label: "False accept rate (log scale)".into(),
        y_label: "True accept rate".into(),
        log_x: true,
        series: series.collect(),
    }
}

/// Along first, then up: a rate holds until the threshold lets the next pair in. Of points at one x
/// only the highest counts.
fn staircase(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (x, y) in points {
        match steps.last().copied() {
            Some((last_x, _)) if last_x == x => {
                if steps.len() == 1 {
                    steps.pop();
                }
                steps.push((x, y));
            }
            Some((_, last_y)) => steps.extend([(x, last_y), (x, y)]),
            None => steps.push((x, y)),
        }
    }
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_steps_and_starts_at_its_rate_without_false_accepts() {
        let point = |far, tar| RocPoint { far, tar, threshold: 0.0 };
        let curve =
            [point(0.0, 0.0), point(0.0, 0.5), point(0.1, 0.5), point(0.1, 1.0), point(1.0, 1.0)];
        let chart = roc_chart(&[("one", &curve)]);
        let expected = vec![(1e-4, 0.5), (0.1, 0.5), (0.1, 1.0), (1.0, 1.0)];
        assert_eq!(chart.series[0].points, expected);
    }
}
