use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Which triplets of a batch the loss looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mining {
    /// For every anchor one positive and one negative by chance: the FaceNet article's batches.
    Random,
    /// For every anchor and positive the nearest negative that is farther than the positive, or the
    /// farthest negative where none is (Schroff et al. 2015, arXiv 1503.03832).
    SemiHard,
    /// For every anchor its farthest positive and its nearest negative (Hermans et al. 2017,
    /// arXiv 1703.07737).
    BatchHard,
}

/// Row indices of anchors, positives and negatives, each `[T]` i64.
pub struct Triplets {
    /// The row compared.
    pub anchor: Tensor,
    /// A row of the same person.
    pub positive: Tensor,
    /// A row of another person.
    pub negative: Tensor,
}

/// Euclidean distance between all pairs of unit-length rows, [N, N], 0 to 2.
pub fn distances(embedding: &Tensor) -> Tensor {
    let cosines = embedding.matmul(&embedding.tr());
    // The root's slope is unbounded at 0: rows closer than 1e-4 count as that far apart.
    (cosines * -2.0 + 2.0).clamp_min(1e-8).sqrt()
}

/// Triplet loss (Schroff et al. 2015) with unsquared distances, as the article's code has it: the sum
/// of max(d(a, p) − d(a, n) + margin, 0) over the number of triplets where that is positive, at least 1.
pub fn triplet(distances: &Tensor, triplets: &Triplets, margin: f64) -> Tensor {
    let width = distances.size()[1];
    let flat = distances.view([-1]);
    let at = |column: &Tensor| flat.index_select(0, &(&triplets.anchor * width + column));
    let excess = (at(&triplets.positive) - at(&triplets.negative) + margin).relu();
    let active = excess.gt(0.0).sum(Kind::Float).clamp_min(1.0);
    excess.sum(Kind::Float) / active
}

/// Picks triplets. Rows whose person has no second row, or a batch of one person, give none.
pub fn mine(mining: Mining, distances: &Tensor, labels: &Tensor) -> Triplets {
    tch::no_grad(|| {
        let n = labels.size()[0];
        let d = distances.detach();
        let same = labels.unsqueeze(0).eq_tensor(&labels.unsqueeze(1));
        let itself = Tensor::eye(n, (Kind::Bool, d.device()));
        let positive = same.logical_and(&itself.logical_not());
        let negative = same.logical_not();
        match mining {
            Mining::Random => random(&positive, &negative),
            Mining::SemiHard => semi_hard(&d, &positive, &negative),
            Mining::BatchHard => batch_hard(&d, &positive, &negative),
        }
    })
}

/// Rows that have both a positive and a negative, [A].
fn anchors(positive: &Tensor, negative: &Tensor) -> Tensor {
    let any = |mask: &Tensor| mask.any_dim(1, false);
    any(positive).logical_and(&any(negative)).nonzero().squeeze_dim(1)
}

fn random(positive: &Tensor, negative: &Tensor) -> Triplets {
    let anchor = anchors(positive, negative);
    let pick = |mask: &Tensor| {
        let rows = mask.index_select(0, &anchor).to_kind(Kind::Float);
        match anchor.size()[0] {
            0 => anchor.shallow_clone(),
            _ => rows.multinomial(1, true).squeeze_dim(1),
        }
    };
    Triplets { positive: pick(positive), negative: pick(negative), anchor }
}

fn batch_hard(d: &Tensor, positive: &Tensor, negative: &Tensor) -> Triplets {
    let anchor = anchors(positive, negative);
    let farthest = d.masked_fill(&positive.logical_not(), -1.0).argmax(1, false);
    let nearest = d.masked_fill(&negative.logical_not(), 9.0).argmin(1, false);
    Triplets {
        positive: farthest.index_select(0, &anchor),
        negative: nearest.index_select(0, &anchor),
        anchor,
    }
}

fn semi_hard(d: &Tensor, positive: &Tensor, negative: &Tensor) -> Triplets {
    let has_negative = negative.any_dim(1, true);
    let pairs = positive.logical_and(&has_negative).nonzero();
    let (anchor, partner) = (pairs.select(1, 0), pairs.select(1, 1));
    let rows = d.index_select(0, &anchor);
    let own = rows.gather(1, &partner.unsqueeze(1), false);
    let allowed = negative.index_select(0, &anchor);
    let farther = allowed.logical_and(&rows.gt_tensor(&own));
    let none = farther.any_dim(1, true).logical_not();
    // Where no negative is farther than the positive, the farthest one: its negated distance is least.
    let beyond = rows.masked_fill(&farther.logical_not(), 9.0);
    let fallback = (-&rows).masked_fill(&allowed.logical_not(), 9.0);
    let choice = fallback.where_self(&none, &beyond);
    match anchor.size()[0] {
        0 => Triplets { positive: partner, negative: anchor.shallow_clone(), anchor },
        _ => Triplets { positive: partner, negative: choice.argmin(1, false), anchor },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on the unit circle, so that distances are 2·sin(angle / 2).
    fn circle(degrees: &[f32]) -> Tensor {
        let points: Vec<_> =
            degrees.iter().flat_map(|d| [d.to_radians().cos(), d.to_radians().sin()]).collect();
        Tensor::from_slice(&points).view([-1, 2])
    }

    fn chord(degrees: f64) -> f64 {
        2.0 * (degrees.to_radians() / 2.0).sin()
    }

    fn rows(t: &Triplets) -> Vec<[i64; 3]> {
        let v = |t: &Tensor| Vec::<i64>::try_from(t).unwrap();
        let (a, p, n) = (v(&t.anchor), v(&t.positive), v(&t.negative));
        (0..a.len()).map(|i| [a[i], p[i], n[i]]).collect()
    }

    // Person 0 at 0°, 20°, 50°; person 1 at 30° and 80°.
    const DEGREES: [f32; 5] = [0.0, 20.0, 50.0, 30.0, 80.0];
    const LABELS: [i64; 5] = [0, 0, 0, 1, 1];

    #[test]
    fn mining_picks_what_its_paper_says() {
        let d = distances(&circle(&DEGREES));
        let labels = Tensor::from_slice(&LABELS);
        let hard = rows(&mine(Mining::BatchHard, &d, &labels));
        assert_eq!(hard, [[0, 2, 3], [1, 2, 3], [2, 0, 3], [3, 4, 1], [4, 3, 2]]);
        let semi = rows(&mine(Mining::SemiHard, &d, &labels));
        let expected = [
            [0, 1, 3], // 20° away; negatives at 30° and 80°: the nearer of the farther
            [0, 2, 4], // 50° away; 30° is nearer than the positive, so 80°
            [1, 0, 4], // 20° away; negatives at 10° and 60°
            [1, 2, 4],
            [2, 0, 4], // 50° away; negatives at 20° and 30°: none farther, so the farthest
            [2, 1, 4], // 30° away; 30° is not farther, so the farthest
            [3, 4, 2], // 50° away; negatives at 30°, 10°, 20°: none farther
            [4, 3, 1], // 50° away; 80°, 60°, 30°: the nearer of the farther
        ];
        // The farthest from row 3 (30°) is row 0 at 30°, not row 2 at 20°.
        let mut expected = expected;
        expected[6] = [3, 4, 0];
        assert_eq!(semi, expected);
        tch::manual_seed(7);
        for [a, p, n] in rows(&mine(Mining::Random, &d, &labels)) {
            let of = |i: i64| LABELS[i as usize];
            assert!(a != p && of(a) == of(p) && of(a) != of(n));
        }
    }

    #[test]
    fn the_loss_is_the_mean_over_active_triplets() {
        let d = distances(&circle(&DEGREES));
        let t = |rows: &[[i64; 3]]| {
            let column = |i| Tensor::from_slice(&rows.iter().map(|r| r[i]).collect::<Vec<_>>());
            Triplets { anchor: column(0), positive: column(1), negative: column(2) }
        };
        // One active (20° against 30°, margin 0.2), one not (20° against 80°).
        let got = triplet(&d, &t(&[[0, 1, 3], [0, 1, 4]]), 0.2).double_value(&[]);
        let expected = chord(20.0) - chord(30.0) + 0.2;
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        // None active: nothing is divided by nothing.
        assert_eq!(triplet(&d, &t(&[[0, 1, 4]]), 0.2).double_value(&[]), 0.0);
    }

    #[test]
    fn a_batch_without_triplets_costs_nothing() {
        for labels in [[0i64, 1, 2], [0, 0, 0]] {
            for mining in [Mining::Random, Mining::SemiHard, Mining::BatchHard] {
                let d = distances(&circle(&DEGREES[..3]));
                let triplets = mine(mining, &d, &Tensor::from_slice(&labels));
                assert_eq!(triplet(&d, &triplets, 0.2).double_value(&[]), 0.0, "{mining:?}");
            }
        }
    }

    #[test]
    fn equal_rows_have_a_finite_gradient() {
        let raw = Tensor::ones([4, 8], tch::kind::FLOAT_CPU).set_requires_grad(true);
        let d = distances(&super::super::unit(&raw));
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1]);
        let loss = triplet(&d, &mine(Mining::BatchHard, &d, &labels), 0.2);
        loss.backward();
        assert!(bool::try_from(raw.grad().isfinite().all()).unwrap());
    }
}
