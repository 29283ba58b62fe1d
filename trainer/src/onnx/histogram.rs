//! What the values of one activation look like, and the range that serves them best.

use super::{ActivationQuant, Error, Method, Range};

/// Most bins of a histogram; 8 for each step of a u8.
pub const BINS: usize = 2048;

/// Bins are at least 2⁻⁶⁰ wide, so that a node which is 0 throughout has a histogram too.
const MIN_EXPONENT: i32 = -60;

/// Counts of values in bins of equal width.
///
/// Bins are a power of two wide and one begins at 0. When values fall outside the [`BINS`] that there
/// are, the width doubles and neighbours are added up, so that what a histogram holds depends only on
/// which values it has seen and not on their order or on how they were split before a merge.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Bins are 2^`exponent` wide.
    exponent: i32,
    /// Index of the first bin; bin `i` is [i · width, (i + 1) · width).
    first: i32,
    counts: Vec<u64>,
    /// Smallest value or 0.
    min: f32,
    /// Largest value or 0.
    max: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: MIN_EXPONENT, first: 0, counts: vec![0], min: 0.0, max: 0.0 }
    }
}

impl Histogram {
    /// Counts some values.
    ///
    /// # Errors
    /// [`Error::Activation`] for one that is NaN or infinite; nothing is counted then.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), Error> {
        if let Some(&value) = values.iter().find(|v| !v.is_finite()) {
            return Err(Error::Activation(value));
        }
        let min = values.iter().copied().fold(self.min, f32::min);
        let max = values.iter().copied().fold(self.max, f32::max);
        self.grow(min, max);
        let per_bin = 2f32.powi(-self.exponent);
        for value in values {
            let scaled = value * per_bin;
            let toward_zero = scaled as i32;
            let bin = toward_zero - i32::from(scaled < toward_zero as f32);
            self.counts[(bin - self.first) as usize] += 1;
        }
        Ok(())
    }

    /// Adds what another histogram has counted.
    pub fn merge(&mut self, other: &Self) {
        self.grow(self.min.min(other.min), self.max.max(other.max));
        other.add_to(self.exponent, self.first, &mut self.counts);
    }

    /// Number of values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The range that a method chooses; 0 always lies in it.
    pub fn range(&self, method: Method) -> Range {
        match method {
            Method::MinMax => Range { min: self.min, max: self.max },
            Method::Percentile(percent) => self.percentile(percent),
            Method::Mse => self.least_squares(),
        }
    }

    /// Mean squared difference that holding the values in u8 over this range makes.
    pub fn mean_squared_error(&self, range: Range) -> f64 {
        let quant = ActivationQuant::of(range);
        let sum: f64 = (self.bins())
            .map(|(value, count)| f64::from(quant.fake(value) - value).powi(2) * count as f64)
            .sum();
        sum / self.total().max(1) as f64
    }

    /// Makes room for values from `min` to `max`, which include all that were seen.
    fn grow(&mut self, min: f32, max: f32) {
        let bin = |x: f32, exponent: i32| (f64::from(x) * 2f64.powi(-exponent)).floor();
        let mut exponent = self.exponent;
        while bin(max, exponent) - bin(min, exponent) >= BINS as f64 {
            exponent += 1;
        }
        let (first, last) = (bin(min, exponent) as i32, bin(max, exponent) as i32);
        let mut counts = vec![0; (last - first + 1) as usize];
        self.add_to(exponent, first, &mut counts);
        *self = Self { exponent, first, counts, min, max };
    }

    /// Adds the counts to bins that are as wide or wider and reach as far or farther.
    fn add_to(&self, exponent: i32, first: i32, counts: &mut [u64]) {
        let shift = (exponent - self.exponent).min(31);
        for (bin, count) in (self.first..).zip(&self.counts) {
            if *count > 0 {
                counts[((bin >> shift) - first) as usize] += count;
            }
        }
    }

    /// The middle of each bin that is not empty, and its count.
    fn bins(&self) -> impl Iterator<Item = (f32, u64)> {
        let width = 2f32.powi(self.exponent);
        (self.first..).zip(&self.counts).filter(|(_, count)| **count > 0).map(
            move |(bin, &count)| (((bin as f32 + 0.5) * width).clamp(self.min, self.max), count),
        )
    }

    /// Bins' edges beyond which `100 − percent` percent of the values lie, half at either end; all of
    /// them at the upper end where no value is negative.
    fn percentile(&self, percent: f64) -> Range {
        let beyond = self.total() as f64 * (1.0 - percent / 100.0);
        let allowed = if self.min < 0.0 { beyond / 2.0 } else { beyond };
        // How many whole bins, from one end, hold no more than that.
        let skipped = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut sum = 0;
            counts
                .take_while(|&&n| {
                    sum += n;
                    sum as f64 <= allowed
                })
                .count() as i32
        };
        let low = if self.min < 0.0 { skipped(&mut self.counts.iter()) } else { 0 };
        let high = skipped(&mut self.counts.iter().rev());
        let edge = |bin: i32| (bin as f32 * 2f32.powi(self.exponent)).clamp(self.min, self.max);
        let end = self.first + self.counts.len() as i32;
        Range { min: edge(self.first + low).min(0.0), max: edge(end - high).max(0.0) }
    }

    /// The best of a grid of ranges, each end from a quarter of its extreme to all of it.
    fn least_squares(&self) -> Range {
        const STEPS: usize = 64;
        let ends = |extreme: f32| {
            let steps = if extreme == 0.0 { STEPS } else { STEPS / 4 };
            (steps..=STEPS).rev().map(move |i| extreme * i as f32 / STEPS as f32)
        };
        ends(self.min)
            .flat_map(|min| ends(self.max).map(move |max| Range { min, max }))
            .map(|range| (self.mean_squared_error(range), range))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .expect("there are steps")
            .1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::testing::Random;
    use proptest::prelude::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.observe(values).unwrap();
        histogram
    }

    fn normal(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..count).map(|_| random.normal()).collect()
    }

    proptest! {
        #[test]
        fn neither_order_nor_merging_changes_a_histogram(
            values in prop::collection::vec(-1e3f32..1e3, 1..200),
            exponents in prop::collection::vec(-20i32..10, 200),
            cut in 0usize..200,
        ) {
            let values: Vec<_> = values.iter().zip(exponents).map(|(v, e)| v * 2f32.powi(e)).collect();
            let whole = of(&values);
            let (a, b) = values.split_at(cut.min(values.len()));
            let mut merged = of(a);
            merged.merge(&of(b));
            prop_assert_eq!(&merged, &whole);
            let mut other_way = of(b);
            other_way.merge(&of(a));
            prop_assert_eq!(&other_way, &whole);
            let mut one_by_one = Histogram::default();
            values.iter().rev().for_each(|&v| one_by_one.observe(&[v]).unwrap());
            prop_assert_eq!(&one_by_one, &whole);
            prop_assert_eq!(whole.total(), values.len() as u64);
            prop_assert!(whole.counts.len() <= BINS);
            let Range { min, max } = whole.range(Method::MinMax);
            prop_assert!(values.iter().all(|v| (min..=max).contains(v)));
        }

        #[test]
        fn a_percentile_lies_within_a_bin_of_the_sorted_value(seed: u64, percent in 90f64..100.0, relu: bool) {
            let mut values = normal(5000, seed);
            if relu {
                values.iter_mut().for_each(|v| *v = v.abs());
            }
            let histogram = of(&values);
            let range = histogram.range(Method::Percentile(percent));
            values.sort_by(f32::total_cmp);
            let beyond = values.len() as f64 * (1.0 - percent / 100.0) / if relu { 1.0 } else { 2.0 };
            let top = values[values.len() - 1 - beyond as usize];
            let bin = 1.01 * 2f32.powi(histogram.exponent);
            prop_assert!((range.max - top).abs() <= bin, "{} {top}", range.max);
            let bottom = if relu { 0.0 } else { values[beyond as usize] };
            prop_assert!((range.min - bottom).abs() <= bin, "{} {bottom}", range.min);
        }
    }

    #[test]
    fn mse_clips_a_lone_outlier_and_keeps_an_even_spread() {
        let mut values = normal(1_000_000, 1);
        values.push(15.0);
        let histogram = of(&values);
        let range = histogram.range(Method::Mse);
        assert!(range.max < 11.0 && range.min < -2.5, "{range:?}");
        let all = histogram.range(Method::MinMax);
        assert!(histogram.mean_squared_error(range) < 0.7 * histogram.mean_squared_error(all));

        let even: Vec<_> = (0..=60_000).map(|i| i as f32 / 10_000.0).collect();
        assert!(of(&even).range(Method::Mse).max > 5.8);
    }

    #[test]
    fn the_histograms_error_is_the_values_error() {
        let values = normal(50_000, 2);
        let range = Range { min: -3.0, max: 2.5 };
        let quant = ActivationQuant::of(range);
        let error = |v: &f32| f64::from(quant.fake(*v) - v).powi(2);
        let exact = values.iter().map(error).sum::<f64>() / values.len() as f64;
        let estimate = of(&values).mean_squared_error(range);
        assert!((estimate / exact - 1.0).abs() < 0.05, "{estimate} {exact}");
    }

    #[test]
    fn values_at_the_ends_of_f32_fit_and_others_are_refused() {
        let mut histogram = of(&[f32::MAX, f32::MIN, 1e-38, -1e-38, 0.0]);
        assert_eq!(histogram.total(), 5);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let before = histogram.clone();
            assert!(histogram.observe(&[1.0, bad]).is_err());
            assert_eq!(histogram, before);
        }
        let silent = of(&[0.0; 10]);
        for method in [Method::MinMax, Method::Mse, Method::Percentile(99.9)] {
            assert_eq!(silent.range(method), Range { min: 0.0, max: 0.0 });
            assert_eq!(Histogram::default().range(method), Range { min: 0.0, max: 0.0 });
        }
    }
}
