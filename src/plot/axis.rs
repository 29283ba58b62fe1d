use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// Where an axis begins and ends and where its ticks stand, in plotted numbers: exponents of ten on a
/// logarithmic axis. The ends are ticks.
pub(super) struct Axis {
    ticks: Vec<f64>,
    step: f64,
    log: bool,
}

impl Axis {
    /// An axis over all `values`, which are exponents of ten if `log`.
    pub fn over(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let (mut low, mut high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Room around a single value, and no range so narrow that its ticks would coincide.
        let least = if log { 1.0 } else { low.abs().max(high.abs()).max(1e-9) * 1e-6 };
        if high - low < least {
            let room = if log { 0.5 } else { low.abs().max(1e-9) / 2.0 };
            (low, high) = (low - room, high + room);
        }
        let step = step(high / 8.0 - low / 8.0, log);
        // The thousandths keep a value that is a tick but for rounding from adding an empty step.
        let (first, last) = ((low / step + 1e-3).floor(), (high / step - 1e-3).ceil());
        let count = (last - first) as usize;
        let ticks = (0..=count).map(|i| (first + i as f64) * step).collect();
        Self { ticks, step, log }
    }

    /// What stands at a tick: as many decimals as the steps need.
    fn label(&self, value: f64) -> String {
        if self.log {
            let power = value.round() as i32;
            return match power {
                -4..=0 => format!("{:.*}", -power as usize, 10f64.powi(power)),
                1..=5 => format!("{:.0}", 10f64.powi(power)),
                _ => format!("1e{power}"),
            };
        }
        // + 0.0 makes -0.0 plain zero.
        let value = (value / self.step).round() * self.step + 0.0;
        let largest = self.ticks[0].abs().max(self.range().end.abs());
        if !(1e-4..1e7).contains(&largest) {
            return format!("{value:.1e}");
        }
        let decimals = (0..7).find(|&d| {
            let scaled = self.step * 10f64.powi(d);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        });
        format!("{value:.*}", decimals.unwrap_or(7) as usize)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let Range { start, end } = self.range();
        from + ((value - start) / (end - start) * f64::from(to - from)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.ticks[0]..self.ticks[self.ticks.len() - 1]
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `rough`; whole decades if `log`.
fn step(rough: f64, log: bool) -> f64 {
    if log {
        return rough.ceil().max(1.0);
    }
    let power = 10f64.powf(rough.log10().floor());
    let fitting = [1.0, 2.0, 5.0].into_iter().find(|m| m * power >= rough * 0.999_999);
    fitting.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        for (name, low, high, log, labels) in [
            ("rates", 0.0, 1.0, false, vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            ("high rates", 0.912, 1.0, false, vec!["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]),
            ("epochs", 0.0, 40.0, false, vec!["0", "5", "10", "15", "20", "25", "30", "35", "40"]),
            ("signs", -1.0, 1.0, false, vec!["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
            ("decades", -4.0, 0.0, true, vec!["0.0001", "0.001", "0.01", "0.1", "1"]),
            ("large", 3.2, 6.0, true, vec!["1000", "10000", "100000", "1e6"]),
        ] {
            let axis = Axis::over([low, high].into_iter(), log);
            let said: Vec<String> = axis.ticks.iter().map(|&t| axis.label(t)).collect();
            assert_eq!(said, labels, "{name}");
        }
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_values_with_few_ticks(a in any::<f64>(), b in any::<f64>(), log in any::<bool>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assume!(!log || (a.abs() < 330.0 && b.abs() < 330.0));
            let axis = Axis::over([a, b].into_iter(), log);
            let range = axis.range();
            let slack = axis.step * 0.01 + a.abs().max(b.abs()) * 1e-9;
            prop_assert!(range.start <= a.min(b) + slack && range.end >= a.max(b) - slack);
            prop_assert!((2..=12).contains(&axis.ticks.len()), "{:?}", axis.ticks);
        }
    }
}
