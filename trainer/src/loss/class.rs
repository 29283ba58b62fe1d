use super::unit;
use tch::{Kind, Reduction, Tensor};

/// Cross-entropy of softmax(raw · weightᵀ + bias) against `labels`, averaged over the rows.
pub fn cross_entropy(
    raw: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    labels: &Tensor,
    smoothing: f64,
) -> Tensor {
    let logits = raw.linear(weight, Some(bias));
    logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, smoothing)
}

/// ArcFace (Deng et al. 2019, arXiv 1801.07698): the angle to the own class's unit-length weight is
/// enlarged by `margin` radians, and all cosines are multiplied by `scale`. Where the enlarged angle
/// would pass π, the cosine falls on linearly instead, so that it stays monotonic.
pub fn margin_cross_entropy(
    embedding: &Tensor,
    weight: &Tensor,
    labels: &Tensor,
    margin: f64,
    scale: f64,
) -> Tensor {
    let cosines = embedding.linear(&unit(weight), None::<&Tensor>);
    let index = labels.unsqueeze(1);
    let own = cosines.gather(1, &index, false).clamp(-1.0 + 1e-6, 1.0 - 1e-6);
    let sine = (-own.square() + 1.0).sqrt();
    let enlarged = &own * margin.cos() - sine * margin.sin();
    let beyond = &own - margin * margin.sin();
    let target = enlarged.where_self(&own.gt((std::f64::consts::PI - margin).cos()), &beyond);
    let logits = cosines.scatter(1, &index, &target) * scale;
    logits
        .cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)
        .to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margin_enlarges_the_own_angle() {
        // One row at 60° from its class and 90° from the other; margin 30° makes both 90°: log 2.
        let row = Tensor::from_slice2(&[[0.5f32, 0.75f32.sqrt(), 0.0]]);
        let weight = Tensor::from_slice2(&[[2.0f32, 0.0, 0.0], [0.0, 0.0, 5.0]]);
        let labels = Tensor::from_slice(&[0i64]);
        for (margin, scale, expected) in [
            (std::f64::consts::FRAC_PI_6, 10.0, 2f64.ln()),
            // Without a margin: logits 5 and 0.
            (0.0, 10.0, (1.0 + (-5f64).exp()).ln()),
        ] {
            let got = margin_cross_entropy(&row, &weight, &labels, margin, scale).double_value(&[]);
            assert!((got - expected).abs() < 1e-4, "{margin}: {got} instead of {expected}");
        }
    }

    #[test]
    fn margin_stays_monotonic_past_a_half_turn() {
        let weight = Tensor::from_slice2(&[[1.0f32, 0.0], [0.0, 1.0]]);
        let labels = Tensor::from_slice(&[0i64]);
        let loss = |degrees: f32| {
            let a = degrees.to_radians();
            let row = Tensor::from_slice2(&[[a.cos(), -a.sin()]]);
            margin_cross_entropy(&row, &weight, &labels, 0.5, 1.0).double_value(&[])
        };
        let at: Vec<_> = [100.0, 140.0, 160.0, 179.0].map(loss).to_vec();
        // The other class is at 90° + d, so its own cosine rises too; the own term still dominates.
        assert!(at.windows(2).all(|w| w[0] < w[1]), "{at:?}");
    }
}
