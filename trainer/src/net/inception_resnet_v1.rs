//! Inception-ResNet v1 (Szegedy et al. 2016, arXiv 1602.07261), the larger backbone that the FaceNet
//! article names beside MobileNet.

use super::graph::{
    Activation::{None as Linear, Relu},
    Builder, Conv, Graph, NodeId, Norm, Op,
    Padding::{Same, Valid},
};

const NORM: Norm = Norm { momentum: 0.995, epsilon: 1e-3, scale: false };

/// One convolution of a branch: output channels, window, stride, and whether it keeps the map's size.
type Step = (usize, [usize; 2], usize, bool);

struct Net(Builder, f64);

impl Net {
    fn branch(&mut self, name: &str, steps: &[Step], mut x: NodeId) -> NodeId {
        for (i, &(out, kernel, stride, same)) in steps.iter().enumerate() {
            let conv = Conv {
                out: self.width(out),
                kernel,
                stride,
                padding: if same { Same } else { Valid },
                groups: 1,
                bias: false,
                norm: Some(NORM),
                activation: Relu,
            };
            x = self.0.add(format!("{name}.{i}"), Op::Conv(conv), &[x]);
        }
        x
    }

    fn width(&self, channels: usize) -> usize {
        ((channels as f64 * self.1).round() as usize).max(8)
    }

    /// `x + scale · up(concat(branches))`, the `up` a 1×1 convolution with a bias and no norm.
    fn residual(
        &mut self,
        name: &str,
        scale: f32,
        last: bool,
        branches: &[&[Step]],
        x: NodeId,
    ) -> NodeId {
        let ends: Vec<_> = (branches.iter().enumerate())
            .map(|(i, steps)| self.branch(&format!("{name}.branch{i}"), steps, x))
            .collect();
        let mixed = self.0.add(format!("{name}.concat"), Op::Concat, &ends);
        let up = Conv {
            out: self.0.channels(x),
            kernel: [1, 1],
            stride: 1,
            padding: Valid,
            groups: 1,
            bias: true,
            norm: None,
            activation: Linear,
        };
        let up = self.0.add(format!("{name}.up"), Op::Conv(up), &[mixed]);
        let activation = if last { Linear } else { Relu };
        self.0.add(format!("{name}.add"), Op::Add { scale, activation }, &[x, up])
    }

    fn reduction(&mut self, name: &str, branches: &[&[Step]], x: NodeId) -> NodeId {
        let mut ends: Vec<_> = (branches.iter().enumerate())
            .map(|(i, steps)| self.branch(&format!("{name}.branch{i}"), steps, x))
            .collect();
        ends.push(self.0.add(format!("{name}.pool"), Op::MaxPool { kernel: 3, stride: 2 }, &[x]));
        self.0.add(format!("{name}.concat"), Op::Concat, &ends)
    }
}

const fn one(out: usize) -> Step {
    (out, [1, 1], 1, true)
}
const fn three(out: usize) -> Step {
    (out, [3, 3], 1, true)
}
const fn down(out: usize) -> Step {
    (out, [3, 3], 2, false)
}

/// The backbone for a `size`×`size` image (at least 112) with every width multiplied by `alpha`.
pub fn graph(size: usize, alpha: f64, keep: f64, embedding: usize) -> Graph {
    let mut net = Net(Builder::new([size; 2]), alpha);
    let mut x = net.branch("stem.a", &[down(32), (32, [3, 3], 1, false), three(64)], 0);
    x = net.0.add("stem.pool", Op::MaxPool { kernel: 3, stride: 2 }, &[x]);
    x = net.branch("stem.b", &[one(80), (192, [3, 3], 1, false), down(256)], x);
    for i in 0..5 {
        let branches: [&[Step]; 3] =
            [&[one(32)], &[one(32), three(32)], &[one(32), three(32), three(32)]];
        x = net.residual(&format!("a{i}"), 0.17, false, &branches, x);
    }
    x = net.reduction("reduce_a", &[&[down(384)], &[one(192), three(192), down(256)]], x);
    for i in 0..10 {
        let branches: [&[Step]; 2] =
            [&[one(128)], &[one(128), (128, [1, 7], 1, true), (128, [7, 1], 1, true)]];
        x = net.residual(&format!("b{i}"), 0.10, false, &branches, x);
    }
    let branches: [&[Step]; 3] =
        [&[one(256), down(384)], &[one(256), down(256)], &[one(256), three(256), down(256)]];
    x = net.reduction("reduce_b", &branches, x);
    for i in 0..6 {
        let branches: [&[Step]; 2] =
            [&[one(192)], &[one(192), (192, [1, 3], 1, true), (192, [3, 1], 1, true)]];
        let (scale, last) = if i < 5 { (0.20, false) } else { (1.0, true) };
        x = net.residual(&format!("c{i}"), scale, last, &branches, x);
    }
    x = net.0.add("pool", Op::GlobalAveragePool, &[x]);
    x = net.0.add("dropout", Op::Dropout { keep }, &[x]);
    net.0.add("embedding", Op::Dense { out: embedding, norm: Some(NORM) }, &[x]);
    net.0.finish()
}
