//! The graph in plain loops: what every file and every engine is compared with.

use super::{Folded, Layer};
use crate::net::{Activation, Conv, Graph, Node, Op};

/// Every node's value for one image [3, S, S], without the final L2 norm.
pub fn run(graph: &Graph, folded: &Folded, image: &[f32]) -> Vec<Vec<f32>> {
    run_with(graph, folded, image, |_, values| values)
}

/// As [`run`], with `change` applied to each node's value before anything reads it.
pub fn run_with(
    graph: &Graph,
    folded: &Folded,
    image: &[f32],
    change: impl Fn(usize, Vec<f32>) -> Vec<f32>,
) -> Vec<Vec<f32>> {
    let mut values: Vec<Vec<f32>> = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let inputs: Vec<&[f32]> = node.inputs.iter().map(|&i| values[i].as_slice()).collect();
        let value = match &node.op {
            Op::Image => image.to_vec(),
            Op::Conv(_) | Op::Dense { .. } => layer(graph, node, &folded[&node.name], inputs[0]),
            _ => plain(node, graph.input_shape(node), &inputs),
        };
        values.push(change(id, value));
    }
    values
}

/// The last node's value, of unit length.
pub fn embedding(values: &[Vec<f32>]) -> Vec<f32> {
    let raw = values.last().unwrap();
    let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    raw.iter().map(|x| x / norm).collect()
}

/// A convolution with its activation, or a dense layer.
pub fn layer(graph: &Graph, node: &Node, layer: &Layer, x: &[f32]) -> Vec<f32> {
    match &node.op {
        Op::Conv(c) => conv(c, layer, x, graph.input_shape(node), node.shape),
        _ => (layer.channels().zip(&layer.bias))
            .map(|(w, &b)| {
                let product: f64 =
                    w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                (product + f64::from(b)) as f32
            })
            .collect(),
    }
}

fn conv(c: &Conv, layer: &Layer, x: &[f32], input: [usize; 3], output: [usize; 3]) -> Vec<f32> {
    let ([inputs, h, w], [outputs, oh, ow]) = (input, output);
    let [[top, _], [left, _]] = c.padding_of([inputs, h, w]);
    let (inner, per_group) = (inputs / c.groups, outputs / c.groups);
    let mut y = Vec::with_capacity(outputs * oh * ow);
    for (o, weights) in layer.channels().enumerate() {
        for (r, s) in (0..oh).flat_map(|r| (0..ow).map(move |s| (r, s))) {
            let mut sum = f64::from(layer.bias[o]);
            for i in 0..inner {
                let plane = o / per_group * inner + i;
                for (kr, ks) in (0..c.kernel[0]).flat_map(|a| (0..c.kernel[1]).map(move |b| (a, b)))
                {
                    let (row, col) = (r * c.stride + kr, s * c.stride + ks);
                    if (top..top + h).contains(&row) && (left..left + w).contains(&col) {
                        let pixel = x[(plane * h + row - top) * w + col - left];
                        let weight = weights[(i * c.kernel[0] + kr) * c.kernel[1] + ks];
                        sum += f64::from(weight) * f64::from(pixel);
                    }
                }
            }
            y.push(activate(c.activation, sum as f32));
        }
    }
    y
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
    }
}

fn plain(node: &Node, [_, h, w]: [usize; 3], inputs: &[&[f32]]) -> Vec<f32> {
    let x = inputs[0];
    match &node.op {
        Op::Normalise { mean, std } => {
            x.iter().enumerate().map(|(i, x)| (x - mean[i / (h * w)]) / std[i / (h * w)]).collect()
        }
        Op::MaxPool { kernel, stride } => {
            let [channels, oh, ow] = node.shape;
            let window = |c: usize, r: usize, s: usize| {
                (0..kernel * kernel)
                    .map(|k| x[(c * h + r * stride + k / kernel) * w + s * stride + k % kernel])
                    .fold(f32::NEG_INFINITY, f32::max)
            };
            (0..channels * oh * ow).map(|i| window(i / (oh * ow), i / ow % oh, i % ow)).collect()
        }
        Op::GlobalAveragePool => {
            x.chunks_exact(h * w).map(|plane| plane.iter().sum::<f32>() / (h * w) as f32).collect()
        }
        Op::Dropout { .. } => x.to_vec(),
        Op::Add { scale, activation } => {
            x.iter().zip(inputs[1]).map(|(a, b)| activate(*activation, a + scale * b)).collect()
        }
        Op::Concat => inputs.concat(),
        Op::Image | Op::Conv(_) | Op::Dense { .. } => unreachable!("run before"),
    }
}
