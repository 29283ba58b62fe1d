//! Each operation of a graph as ONNX nodes; the f32 and the int8 file differ in what stands between.

use super::proto::{
    Attribute::{Int, Ints},
    Emitter,
};
use crate::net::{Activation, Conv};

/// Below this an embedding's norm is taken as this, so that nothing divides by 0.
const MIN_NORM: f32 = 1e-12;

/// Name of the graph's input: RGB in [0, 1], [N, 3, S, S].
pub(super) const INPUT: &str = "image";

/// Name of the graph's output: unit length, [N, 128].
pub(super) const OUTPUT: &str = "embedding";

/// A convolution without its activation.
pub(super) fn conv(
    e: &mut Emitter,
    [x, weight, bias]: [&str; 3],
    output: String,
    conv: &Conv,
    input: [usize; 3],
) -> String {
    let [[top, bottom], [left, right]] = conv.padding_of(input);
    let ints = |values: &[usize]| values.iter().map(|&v| v as i64).collect();
    let attributes = [
        Ints("dilations", vec![1, 1]),
        Int("group", conv.groups as i64),
        Ints("kernel_shape", ints(&conv.kernel)),
        Ints("pads", ints(&[top, left, bottom, right])),
        Ints("strides", ints(&[conv.stride; 2])),
    ];
    e.node("Conv", &[x, weight, bias], output, &attributes)
}

/// The activation of `x`; `x` itself where there is none.
pub(super) fn activation(
    e: &mut Emitter,
    x: String,
    output: String,
    activation: Activation,
) -> String {
    match activation {
        Activation::None => x,
        Activation::Relu => e.node("Relu", &[&x], output, &[]),
        Activation::Relu6 => {
            let min = e.floats("relu6.min".into(), &[], &[0.0]);
            let max = e.floats("relu6.max".into(), &[], &[6.0]);
            e.node("Clip", &[&x, &min, &max], output, &[])
        }
    }
}

/// `(x − mean) / std` of each colour channel.
pub(super) fn normalise(
    e: &mut Emitter,
    x: &str,
    output: String,
    (mean, std): (&[f32; 3], &[f32; 3]),
) -> String {
    let mean = e.floats(format!("{output}.mean"), &[1, 3, 1, 1], mean);
    let std = e.floats(format!("{output}.std"), &[1, 3, 1, 1], std);
    let centred = e.node("Sub", &[x, &mean], format!("{output}.centred"), &[]);
    e.node("Div", &[&centred, &std], output, &[])
}

/// Largest value of each window.
pub(super) fn max_pool(
    e: &mut Emitter,
    x: &str,
    output: String,
    kernel: usize,
    stride: usize,
) -> String {
    let both = |n: usize| vec![n as i64; 2];
    let attributes = [Ints("kernel_shape", both(kernel)), Ints("strides", both(stride))];
    e.node("MaxPool", &[x], output, &attributes)
}

/// The inputs' channels, one after another.
pub(super) fn concat(e: &mut Emitter, inputs: &[String], output: String) -> String {
    let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
    e.node("Concat", &inputs, output, &[Int("axis", 1)])
}

/// [N, C, H, W] → [N, C · H · W]
fn flatten(e: &mut Emitter, x: &str, output: String) -> String {
    e.node("Flatten", &[x], output, &[Int("axis", 1)])
}

/// Matrix product with a [out, in] weight, and a bias, of a flattened `x`.
pub(super) fn dense(e: &mut Emitter, [x, weight, bias]: [&str; 3], output: String) -> String {
    let flat = flatten(e, x, format!("{output}.flat"));
    e.node("Gemm", &[&flat, weight, bias], output, &[Int("transB", 1)])
}

/// The graph's output: `x`, [N, D], divided by its length.
pub(super) fn unit_length(e: &mut Emitter, x: &str) {
    let attributes = [Ints("axes", vec![1]), Int("keepdims", 1)];
    let norm = e.node("ReduceL2", &[x], format!("{OUTPUT}.norm"), &attributes);
    let min = e.floats(format!("{OUTPUT}.norm.min"), &[], &[MIN_NORM]);
    let norm = e.node("Clip", &[&norm, &min], format!("{OUTPUT}.norm.clipped"), &[]);
    e.node("Div", &[x, &norm], OUTPUT.into(), &[]);
}
