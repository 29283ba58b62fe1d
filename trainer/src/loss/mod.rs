//! The full loss: a weighted sum of terms, each a function of a batch's embeddings.
//!
//! Rows without a label (label −1) take part in distillation alone.

mod class;
mod distill;
mod triplet;

pub use class::{cross_entropy, margin_cross_entropy};
pub use distill::{bank, cosine};
pub use triplet::{Mining, Triplets, distances, mine, triplet};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Weights and settings of the terms; a weight of 0 switches its term off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Cross-entropy of the softmax over people, on the 128 values before normalisation.
    pub cross_entropy: f64,
    /// Share of the target spread over all classes, [0, 1).
    pub label_smoothing: f64,
    /// Triplet loss on the unit-length embedding.
    pub triplet: f64,
    /// By how much a negative must be farther than a positive, in Euclidean distance (0 to 2).
    pub triplet_margin: f64,
    /// Which triplets of a batch count.
    pub mining: Mining,
    /// Cross-entropy with an additive angular margin (ArcFace, arXiv 1801.07698).
    pub angular: f64,
    /// Its margin in radians.
    pub angular_margin: f64,
    /// Its factor on the cosines.
    pub angular_scale: f64,
    /// 1 − cosine to the teacher's embedding.
    pub distill_cosine: f64,
    /// Kullback–Leibler divergence between the teacher's and the student's similarities to the
    /// teacher's embeddings of every training picture.
    pub distill_bank: f64,
    /// Factor on the similarities before their softmax.
    pub bank_scale: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            cross_entropy: 1.0,
            label_smoothing: 0.0,
            triplet: 1.0,
            triplet_margin: 0.2,
            mining: Mining::SemiHard,
            angular: 0.0,
            angular_margin: 0.3,
            angular_scale: 32.0,
            distill_cosine: 0.0,
            distill_bank: 0.0,
            bank_scale: 12.0,
        }
    }
}

impl LossConfig {
    /// Whether any term needs to know who is in a picture.
    pub fn needs_labels(&self) -> bool {
        self.cross_entropy > 0.0 || self.triplet > 0.0 || self.angular > 0.0
    }

    /// Whether any term needs the class head.
    pub fn needs_head(&self) -> bool {
        self.cross_entropy > 0.0 || self.angular > 0.0
    }

    /// Whether any term needs the teacher's embeddings of the batch.
    pub fn needs_teacher(&self) -> bool {
        self.distill_cosine > 0.0 || self.distill_bank > 0.0
    }

    /// # Errors
    /// A sentence that names the first value out of range.
    pub fn check(&self) -> Result<(), String> {
        let weights = [
            ("cross_entropy", self.cross_entropy),
            ("triplet", self.triplet),
            ("angular", self.angular),
            ("distill_cosine", self.distill_cosine),
            ("distill_bank", self.distill_bank),
        ];
        for (name, value) in weights {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("loss.{name} is {value}; a weight is 0 or more"));
            }
        }
        if weights.iter().all(|(_, w)| *w == 0.0) {
            return Err("every loss weight is 0: nothing would be learned".into());
        }
        for (name, value, low, high) in [
            ("label_smoothing", self.label_smoothing, 0.0, 0.99),
            ("triplet_margin", self.triplet_margin, 0.0, 2.0),
            ("angular_margin", self.angular_margin, 0.0, 1.5),
            ("angular_scale", self.angular_scale, 1.0, 256.0),
            ("bank_scale", self.bank_scale, 0.1, 256.0),
        ] {
            if !(low..=high).contains(&value) {
                return Err(format!("loss.{name} is {value}; it goes from {low} to {high}"));
            }
        }
        Ok(())
    }
}

/// What a batch brings to the loss.
pub struct Inputs<'a> {
    /// The 128 values before normalisation, [N, 128].
    pub raw: &'a Tensor,
    /// Person of each row, −1 for none, `[N]` i64 on the same device.
    pub labels: &'a Tensor,
    /// Rows with a label, `[M]` i64.
    pub labelled: &'a Tensor,
    /// Weight `[classes, 128]` and bias `[classes]` of the class head.
    pub head: Option<(&'a Tensor, &'a Tensor)>,
    /// The teacher's unit-length embeddings of the rows, [N, 128].
    pub teacher: Option<&'a Tensor>,
    /// The teacher's unit-length embeddings of all training pictures, [R, 128].
    pub bank: Option<&'a Tensor>,
}

/// The value of each term that is on, by its name in [`LossConfig`], and their weighted sum.
pub struct Terms {
    /// The sum; gradients flow from here.
    pub total: Tensor,
    /// Unweighted values, without gradient.
    pub values: Vec<(&'static str, Tensor)>,
}

/// Rows scaled to unit length; a zero row stays zero.
pub fn unit(raw: &Tensor) -> Tensor {
    let length =
        raw.square().sum_dim_intlist(&[1i64][..], true, Kind::Float).clamp_min(1e-24).sqrt();
    raw / length
}

/// The full loss of a batch.
pub fn full(config: &LossConfig, inputs: &Inputs) -> Terms {
    let device = inputs.raw.device();
    let mut total = Tensor::zeros([], (Kind::Float, device));
    let mut values = Vec::new();
    let mut add = |name, weight: f64, term: &dyn Fn() -> Option<Tensor>| {
        if weight > 0.0
            && let Some(value) = term()
        {
            total = &total + &value * weight;
            values.push((name, value.detach()));
        }
    };
    let embedding = unit(inputs.raw);
    let any_labels = inputs.labelled.size()[0] > 0;
    let of = |t: &Tensor| t.index_select(0, inputs.labelled);
    add("cross_entropy", config.cross_entropy, &|| {
        let (weight, bias) = inputs.head.filter(|_| any_labels)?;
        Some(cross_entropy(
            &of(inputs.raw),
            weight,
            bias,
            &of(inputs.labels),
            config.label_smoothing,
        ))
    });
    add("triplet", config.triplet, &|| {
        any_labels.then(|| {
            let (rows, labels) = (of(&embedding), of(inputs.labels));
            let distances = distances(&rows);
            triplet(&distances, &mine(config.mining, &distances, &labels), config.triplet_margin)
        })
    });
    add("angular", config.angular, &|| {
        let (weight, _) = inputs.head.filter(|_| any_labels)?;
        let (margin, scale) = (config.angular_margin, config.angular_scale);
        Some(margin_cross_entropy(&of(&embedding), weight, &of(inputs.labels), margin, scale))
    });
    add("distill_cosine", config.distill_cosine, &|| Some(cosine(&embedding, inputs.teacher?)));
    add("distill_bank", config.distill_bank, &|| {
        Some(bank(&embedding, inputs.teacher?, inputs.bank?, config.bank_scale))
    });
    Terms { total, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_label_leave_the_identity_terms_alone() {
        let config = LossConfig { distill_cosine: 1.0, ..LossConfig::default() };
        let raw = Tensor::from_slice2(&[[3.0f32, 0.0], [0.0, 2.0], [1.0, 1.0]]);
        let head = (Tensor::eye(2, tch::kind::FLOAT_CPU), Tensor::zeros([2], tch::kind::FLOAT_CPU));
        let teacher = unit(&raw);
        let terms = |labels: [i64; 3], rows: &[i64]| {
            let labels = Tensor::from_slice(&labels);
            let labelled = Tensor::from_slice(rows);
            let inputs = Inputs {
                raw: &raw,
                labels: &labels,
                labelled: &labelled,
                head: Some((&head.0, &head.1)),
                teacher: Some(&teacher),
                bank: None,
            };
            full(&config, &inputs)
        };
        let names = |t: &Terms| t.values.iter().map(|v| v.0).collect::<Vec<_>>();
        let none = terms([-1, -1, -1], &[]);
        assert_eq!(names(&none), ["distill_cosine"]);
        let two = terms([0, 1, -1], &[0, 1]);
        assert_eq!(names(&two), ["cross_entropy", "triplet", "distill_cosine"]);
        // Logits (3, 0) and (0, 2): −log softmax is log(1+e⁻³) and log(1+e⁻²), 0.048587 and 0.126928.
        let value = two.values[0].1.double_value(&[]);
        assert!((value - 0.0877577).abs() < 1e-5, "{value}");
    }

    #[test]
    fn a_loss_of_nothing_or_of_nonsense_is_refused() {
        let off = LossConfig { cross_entropy: 0.0, triplet: 0.0, ..LossConfig::default() };
        assert!(off.check().unwrap_err().contains("nothing would be learned"));
        let negative = LossConfig { angular: -1.0, ..LossConfig::default() };
        assert!(negative.check().unwrap_err().contains("loss.angular"));
        let nan = LossConfig { bank_scale: f64::NAN, ..LossConfig::default() };
        assert!(nan.check().unwrap_err().contains("loss.bank_scale"));
        LossConfig::default().check().unwrap();
    }
}
