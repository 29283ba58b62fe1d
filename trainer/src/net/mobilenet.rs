//! MobileNet v1 (Howard et al. 2017, arXiv 1704.04861) as the FaceNet article uses it.

use super::graph::{Activation::Relu6, Builder, Conv, Graph, Norm, Op, Padding::Same};

/// Width and stride of the pointwise half of each depthwise-separable block at alpha 1.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// Batch norm of the convolutions: Keras' ε, and moving statistics that settle within some
/// hundred steps, so that a short run evaluates what it has learned.
const NORM: Norm = Norm { momentum: 0.99, epsilon: 1e-3, scale: true };

/// Batch norm of the embedding: no factor, momentum 0.995, ε 0.001, as the source states them.
const BOTTLENECK: Norm = Norm { momentum: 0.995, epsilon: 1e-3, scale: false };

/// The backbone for a `size`×`size` image with every width multiplied by `alpha`.
pub fn graph(size: usize, alpha: f64, keep: f64, embedding: usize) -> Graph {
    let width = |channels: usize| ((channels as f64 * alpha).round() as usize).max(8);
    let mut b = Builder::new([size; 2]);
    let conv = |out, kernel, stride, groups| {
        Op::Conv(Conv {
            out,
            kernel: [kernel; 2],
            stride,
            padding: Same,
            groups,
            bias: false,
            norm: Some(NORM),
            activation: Relu6,
        })
    };
    let mut x = b.add("conv1", conv(width(32), 3, 2, 1), &[0]);
    for (i, (out, stride)) in BLOCKS.into_iter().enumerate() {
        let channels = b.channels(x);
        x = b.add(format!("block{}.dw", i + 1), conv(channels, 3, stride, channels), &[x]);
        x = b.add(format!("block{}.pw", i + 1), conv(width(out), 1, 1, 1), &[x]);
    }
    x = b.add("pool", Op::GlobalAveragePool, &[x]);
    x = b.add("dropout", Op::Dropout { keep }, &[x]);
    b.add("embedding", Op::Dense { out: embedding, norm: Some(BOTTLENECK) }, &[x]);
    b.finish()
}
