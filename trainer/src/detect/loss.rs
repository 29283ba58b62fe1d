use super::{assign::Targets, config::DetectLoss};
use crate::{engine::send, loss::Terms};
use facelatch::detect::CHANNELS;
use tch::{Kind, Reduction, Tensor};

/// Logarithm of the largest size of a box, strides, while it is learned.
const LARGEST_LOG_SIZE: f64 = 4.0;

/// The loss of a batch: what the network said on its grids, [N, 15, h, w] each, against what was asked.
///
/// Scores: quality focal loss with exponent 2 (Li et al. 2020, arXiv 2006.04388): the score of a face's
/// cell is to be the overlap of its box with the face's. Boxes: 1 − generalised IoU (Rezatofighi et al.
/// 2019, arXiv 1902.09630). Landmarks: mean distance along an axis in shares of the face's size, squared
/// below 0.02. Boxes and landmarks are means over cells with a face; scores are a sum divided by their
/// number.
pub fn loss(config: &DetectLoss, outputs: &[Tensor], targets: &Targets) -> Terms {
    let device = outputs[0].device();
    let rows = |grid: &Tensor| grid.flatten(2, -1).permute([0, 2, 1]).to_kind(Kind::Float);
    let rows: Vec<_> = outputs.iter().map(rows).collect();
    let rows = Tensor::cat(&rows, 1).reshape([-1, CHANNELS as i64]);
    let weights = send(&Tensor::from_slice(&targets.weights), device);
    let cells = send(&Tensor::from_slice(&targets.cells), device);
    let wanted = Tensor::from_slice(&targets.values).view([-1, CHANNELS as i64 - 1]);
    let wanted = send(&wanted, device);
    let count = targets.cells.len().max(1) as f64;

    let own = rows.index_select(0, &cells);
    let (said, asked) = (corners(&own.narrow(1, 1, 4)), corners(&wanted.narrow(1, 0, 4)));
    let (iou, generalised) = overlap(&said, &asked);
    let bounds: Tensor = (generalised.ones_like() - generalised).sum(Kind::Float) / count;

    // In strides, so divided by the face's size in strides: √(e^(log w) · e^(log h)).
    let size = (wanted.narrow(1, 2, 2).sum_dim_intlist(&[1i64][..], true, Kind::Float) / 2.0).exp();
    let off = (own.narrow(1, 5, 10) - wanted.narrow(1, 4, 10)) / size;
    let landmarks = off.smooth_l1_loss(&off.zeros_like(), Reduction::Sum, 0.02) / (count * 10.0);

    let logits = rows.select(1, 0);
    let quality =
        logits.zeros_like().index_put(&[Some(&cells)], &iou.detach().clamp(0.0, 1.0), false);
    let gap = (logits.sigmoid() - &quality).square();
    let entropy =
        logits.binary_cross_entropy_with_logits::<Tensor>(&quality, None, None, Reduction::None);
    let score = (gap * entropy * weights).sum(Kind::Float) / count;

    let total = &score * config.score + &bounds * config.bounds + &landmarks * config.landmarks;
    let values = vec![
        ("score", score.detach()),
        ("bounds", bounds.detach()),
        ("landmarks", landmarks.detach()),
        ("overlap", iou.detach().sum(Kind::Float) / count),
    ];
    Terms { total, values }
}

/// Centre and logarithm of the size, [P, 4], to left, top, right and bottom, four tensors [P].
fn corners(rows: &Tensor) -> [Tensor; 4] {
    let half = rows.narrow(1, 2, 2).clamp_max(LARGEST_LOG_SIZE).exp() / 2.0;
    let centre = rows.narrow(1, 0, 2);
    let (low, high) = (&centre - &half, &centre + &half);
    [low.select(1, 0), low.select(1, 1), high.select(1, 0), high.select(1, 1)]
}

/// Intersection over union and its generalisation, [P] each.
fn overlap(a: &[Tensor; 4], b: &[Tensor; 4]) -> (Tensor, Tensor) {
    let area = |[left, top, right, bottom]: [&Tensor; 4]| {
        (right - left).clamp_min(0.0) * (bottom - top).clamp_min(0.0)
    };
    let [al, at, ar, ab] = a.each_ref();
    let [bl, bt, br, bb] = b.each_ref();
    let shared = area([&al.maximum(bl), &at.maximum(bt), &ar.minimum(br), &ab.minimum(bb)]);
    let around = area([&al.minimum(bl), &at.minimum(bt), &ar.maximum(br), &ab.maximum(bb)]);
    let union = area(a.each_ref()) + area(b.each_ref()) - &shared;
    let iou = shared / (&union + 1e-9);
    let generalised = &iou - (&around - &union) / (&around + 1e-9);
    (iou, generalised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn boxes(rows: &[[f32; 4]]) -> [Tensor; 4] {
        corners(&Tensor::from_slice(rows.as_flattened()).view([-1, 4]))
    }

    #[test]
    fn overlaps_are_those_worked_out_by_hand() {
        let unit = [0.0, 0.0, 0.0, 0.0];
        for (other, iou, generalised) in [
            ([0.0, 0.0, 0.0, 0.0], 1.0, 1.0),
            ([0.5, 0.0, 0.0, 0.0], 1.0 / 3.0, 1.0 / 3.0),
            // Two unit squares two apart: a third of what is around both is empty.
            ([2.0, 0.0, 0.0, 0.0], 0.0, -1.0 / 3.0),
        ] {
            let (i, g) = overlap(&boxes(&[unit]), &boxes(&[other]));
            assert!((i.double_value(&[0]) - iou).abs() < 1e-6, "{other:?}");
            assert!((g.double_value(&[0]) - generalised).abs() < 1e-6, "{other:?}");
        }
    }

    fn grids(first: &[f32; CHANNELS], others: f32) -> Vec<Tensor> {
        let grid = Tensor::zeros([1, CHANNELS as i64, 2, 2], (Kind::Float, Device::Cpu));
        _ = grid.select(1, 0).fill_(f64::from(others));
        for (channel, &v) in first.iter().enumerate() {
            _ = grid.select(1, channel as i64).select(1, 0).select(1, 0).fill_(f64::from(v));
        }
        vec![grid]
    }

    #[test]
    fn a_network_that_says_what_is_asked_has_no_loss_and_each_mistake_has_its_term() {
        let values: Vec<f32> = (0..14).map(|i| 0.1 * i as f32).collect();
        let targets = Targets { weights: vec![1.0; 4], cells: vec![0], values: values.clone() };
        let mut right = [12.0; CHANNELS];
        right[1..].copy_from_slice(&values);
        let terms = |first: &[f32; CHANNELS], others| {
            let terms = loss(&DetectLoss::default(), &grids(first, others), &targets);
            let value =
                |name| terms.values.iter().find(|(n, _)| *n == name).unwrap().1.double_value(&[]);
            [value("score"), value("bounds"), value("landmarks")]
        };
        assert!(terms(&right, -12.0).iter().all(|v| v.abs() < 1e-3));
        let mut unsure = right;
        unsure[0] = -3.0;
        assert!(terms(&unsure, -12.0)[0] > 1.0);
        assert!(terms(&right, 3.0)[0] > 1.0, "false faces cost");
        let mut moved = right;
        moved[1] += 0.5;
        let [score, bounds, landmarks] = terms(&moved, -12.0);
        assert!(bounds > 0.1 && score > 1e-3 && landmarks < 1e-3);
        let mut smile = right;
        smile[14] += 1.0;
        assert!(terms(&smile, -12.0)[2] > 0.05);
    }

    #[test]
    fn a_batch_without_a_face_has_a_loss_too() {
        let targets = Targets { weights: vec![1.0; 4], ..Targets::default() };
        let terms = loss(&DetectLoss::default(), &grids(&[0.0; CHANNELS], 0.0), &targets);
        assert!(terms.total.double_value(&[]).is_finite());
    }
}
