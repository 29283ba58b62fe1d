//! MobileFaceNet (Chen et al. 2018, arXiv 1804.07573), in the form of the teacher: ReLU6 instead of
//! PReLU inside the blocks, and the widths of its published checkpoint.

use super::graph::{
    Activation::{self, None as Linear, Relu, Relu6},
    Builder, Conv, Graph, NodeId, Norm, Op,
    Padding::{Even, Valid},
};

/// Input width, expanded width, output width and stride of each inverted residual.
const BLOCKS: [(usize, usize, usize); 15] = [
    (128, 64, 2),
    (128, 64, 1),
    (128, 64, 1),
    (128, 64, 1),
    (128, 64, 1),
    (256, 128, 2),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (512, 128, 2),
    (256, 128, 1),
    (256, 128, 1),
];

const NORM: Norm = Norm { momentum: 0.9, epsilon: 1e-5, scale: true };

/// The statistics of ImageNet that the teacher's input is normalised with.
pub const IMAGENET: Op = Op::Normalise { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

struct Net(Builder, f64);

impl Net {
    fn width(&self, channels: usize) -> usize {
        ((channels as f64 * self.1).round() as usize).max(8)
    }

    fn pointwise(&mut self, name: &str, out: usize, act: Activation, x: NodeId) -> NodeId {
        self.conv(name, out, 1, 1, 1, 0, act, x)
    }

    fn depthwise(&mut self, name: &str, stride: usize, act: Activation, x: NodeId) -> NodeId {
        let channels = self.0.channels(x);
        self.conv(name, channels, 3, stride, channels, 1, act, x)
    }

    #[allow(clippy::too_many_arguments)]
    fn conv(
        &mut self,
        name: &str,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        pad: usize,
        activation: Activation,
        x: NodeId,
    ) -> NodeId {
        let padding = if pad == 0 { Valid } else { Even(pad) };
        let kernel = [kernel; 2];
        let norm = Some(NORM);
        let op = Conv { out, kernel, stride, padding, groups, bias: false, norm, activation };
        self.0.add(name, Op::Conv(op), &[x])
    }
}

/// The backbone; `normalise` says whether the first step is [`IMAGENET`] (the teacher) or none, and
/// `size` must be one whose last map is at least 1×1 after the global depthwise window.
pub fn graph(size: usize, alpha: f64, embedding: usize, normalise: bool) -> Graph {
    let mut net = Net(Builder::new([size; 2]), alpha);
    let mut x = 0;
    if normalise {
        x = net.0.add("normalise", IMAGENET, &[x]);
    }
    x = net.conv("conv1", net.width(64), 3, 2, 1, 1, Relu6, x);
    x = net.depthwise("dw_conv.dw", 1, Relu, x);
    x = net.pointwise("dw_conv.pw", net.width(64), Relu, x);
    for (i, (expand, out, stride)) in BLOCKS.into_iter().enumerate() {
        let (input, name) = (x, |part: &str| format!("features.{i}.{part}"));
        x = net.pointwise(&name("expand"), net.width(expand), Relu6, x);
        x = net.depthwise(&name("dw"), stride, Relu6, x);
        x = net.pointwise(&name("project"), net.width(out), Linear, x);
        if stride == 1 {
            let add = Op::Add { scale: 1.0, activation: Linear };
            x = net.0.add(name("add"), add, &[input, x]);
        }
    }
    x = net.pointwise("conv2", net.width(512), Relu6, x);
    let (channels, side) = (net.0.channels(x), size.div_ceil(16));
    x = net.conv("gdconv", channels, side, 1, channels, 0, Linear, x);
    net.0.add("embedding", Op::Dense { out: embedding, norm: Some(NORM) }, &[x]);
    net.0.finish()
}
