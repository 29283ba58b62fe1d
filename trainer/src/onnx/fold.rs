//! Batch norm folded into the layer before it, as every inference engine wants it.

use super::Error;
use crate::net::{Graph, Node, Norm, Op};
use std::collections::BTreeMap;

/// Named values of a checkpoint, row-major, with the names and shapes of [`Graph::params`].
pub type Params = BTreeMap<String, Vec<f32>>;

/// A convolution or dense layer with its batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Row-major, of the shape `shape`.
    pub weight: Vec<f32>,
    /// [out, in / groups, kh, kw] of a convolution, [out, in] of a dense layer.
    pub shape: Vec<usize>,
    /// One for each output channel.
    pub bias: Vec<f32>,
}

impl Layer {
    /// Number of output channels.
    pub fn out(&self) -> usize {
        self.shape[0]
    }

    /// The weights of each output channel in turn.
    pub fn channels(&self) -> std::slice::ChunksExact<'_, f32> {
        self.weight.chunks_exact(self.weight.len() / self.out())
    }
}

/// The layers of a graph, by the name of their node.
pub type Folded = BTreeMap<String, Layer>;

/// Folds each batch norm into the convolution or dense layer before it, in f64:
///
/// `w' = w · γ / √(σ² + ε)` and `b' = β + (b − μ) · γ / √(σ² + ε)` for each output channel
/// (Jacob et al. 2018, arXiv 1712.05877, equation 14). Names that the graph does not know are left alone.
///
/// # Errors
/// [`Error::Missing`], [`Error::Length`], and [`Error::Value`] for a value that is not finite (after
/// folding too) or a variance below 0.
pub fn fold(graph: &Graph, params: &Params) -> Result<Folded, Error> {
    let mut folded = Folded::new();
    for node in &graph.nodes {
        for spec in graph.params_of(node) {
            let values = params.get(&spec.name).ok_or_else(|| Error::Missing(spec.name.clone()))?;
            check(&spec.name, values, spec.count())?;
        }
        let norm = match &node.op {
            Op::Conv(conv) => conv.norm,
            Op::Dense { norm, .. } => *norm,
            _ => continue,
        };
        folded.insert(node.name.clone(), layer(graph, node, norm, params)?);
    }
    Ok(folded)
}

/// Refuses a wrong number of values and values that are not finite.
pub(super) fn check(name: &str, values: &[f32], expected: usize) -> Result<(), Error> {
    if values.len() != expected {
        return Err(Error::Length { name: name.into(), expected, found: values.len() });
    }
    match values.iter().find(|v| !v.is_finite()) {
        Some(&value) => Err(Error::Value { name: name.into(), value }),
        None => Ok(()),
    }
}

fn layer(graph: &Graph, node: &Node, norm: Option<Norm>, params: &Params) -> Result<Layer, Error> {
    let shape = graph.params_of(node)[0].shape.clone();
    let get = |suffix: &str| params.get(&format!("{}.{suffix}", node.name)).map(Vec::as_slice);
    let at = |values: Option<&[f32]>, i: usize, absent: f64| values.map_or(absent, |v| v[i].into());

    let weight = get("weight").expect("the parameters were checked");
    let bias = get("bias");
    let (scale, offset) = (get("bn.weight"), get("bn.bias"));
    let (mean, variance) = (get("bn.running_mean"), get("bn.running_var"));
    if let Some(&value) = variance.unwrap_or_default().iter().find(|&&v| v < 0.0) {
        return Err(Error::Value { name: format!("{}.bn.running_var", node.name), value });
    }
    let factor = |c: usize| match norm {
        Some(norm) => at(scale, c, 1.0) / (at(variance, c, 1.0) + norm.epsilon).sqrt(),
        None => 1.0,
    };
    let inner = weight.len() / shape[0];
    let folded = Layer {
        weight: (weight.iter().enumerate())
            .map(|(i, &w)| (f64::from(w) * factor(i / inner)) as f32)
            .collect(),
        bias: (0..shape[0])
            .map(|c| {
                (at(offset, c, 0.0) + (at(bias, c, 0.0) - at(mean, c, 0.0)) * factor(c)) as f32
            })
            .collect(),
        shape,
    };
    check(&format!("{}.weight (folded)", node.name), &folded.weight, folded.weight.len())?;
    check(&format!("{}.bias (folded)", node.name), &folded.bias, folded.bias.len())?;
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Activation, Builder, Conv, Padding};
    use crate::onnx::reference;
    use crate::onnx::testing::{Random, params};
    use proptest::prelude::*;

    fn small(bias: bool, norm: Option<bool>, groups: usize, kernel: usize) -> Graph {
        let mut b = Builder::new([6; 2]);
        let norm = norm.map(|scale| Norm { momentum: 0.9, epsilon: 1e-3, scale });
        let conv = Conv {
            out: 6,
            kernel: [kernel; 2],
            stride: 2,
            padding: Padding::Same,
            groups,
            bias,
            norm,
            activation: Activation::None,
        };
        let x = b.add("conv", Op::Conv(conv), &[0]);
        b.add("dense", Op::Dense { out: 4, norm }, &[x]);
        b.finish()
    }

    /// Batch norm as its definition reads, on the output of the bare layer.
    fn normalised(node: &str, params: &Params, epsilon: f64, channel: usize, x: f64) -> f64 {
        let get = |suffix: &str| params.get(&format!("{node}.bn.{suffix}"));
        let at = |suffix: &str| f64::from(get(suffix).unwrap()[channel]);
        let scale = get("weight").map_or(1.0, |v| v[channel].into());
        (x - at("running_mean")) / (at("running_var") + epsilon).sqrt() * scale + at("bias")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn folding_changes_no_output(
            seed: u64, bias: bool, norm: Option<bool>, depthwise: bool, wide: bool,
        ) {
            let graph = small(bias, norm, if depthwise { 3 } else { 1 }, if wide { 3 } else { 1 });
            let params = params(&graph, seed);
            let folded = fold(&graph, &params).unwrap();
            let mut random = Random::new(seed ^ 1);
            let input: Vec<_> = (0..3 * 6 * 6).map(|_| random.uniform()).collect();

            let mut bare = folded.clone();
            for (name, layer) in &mut bare {
                layer.weight.clone_from(&params[&format!("{name}.weight")]);
                let bias = params.get(&format!("{name}.bias")).cloned();
                layer.bias = bias.unwrap_or_else(|| vec![0.0; layer.out()]);
            }
            let got = reference::run(&graph, &folded, &input);
            let mut reads = input;
            for (id, node) in graph.nodes.iter().enumerate().skip(1) {
                let plain = reference::layer(&graph, node, &bare[&node.name], &reads);
                let map = node.shape[1] * node.shape[2];
                for (i, (&g, &x)) in got[id].iter().zip(&plain).enumerate() {
                    let expected = match norm {
                        Some(_) => normalised(&node.name, &params, 1e-3, i / map, x.into()),
                        None => x.into(),
                    };
                    prop_assert!((f64::from(g) - expected).abs() < 1e-4 * (1.0 + expected.abs()));
                }
                reads.clone_from(&got[id]);
            }
        }
    }

    #[test]
    fn damaged_parameters_are_refused_by_name() {
        let graph = small(true, Some(true), 1, 3);
        let good = params(&graph, 1);
        let with = |name: &str, change: fn(&mut Vec<f32>)| {
            let mut params = good.clone();
            change(params.get_mut(name).unwrap());
            fold(&graph, &params).unwrap_err().to_string()
        };
        for name in good.keys() {
            let mut missing = good.clone();
            missing.remove(name);
            assert_eq!(fold(&graph, &missing), Err(Error::Missing(name.clone())));
            assert!(with(name, |v| v.truncate(1)).contains(name.as_str()));
            assert!(with(name, |v| v.push(0.0)).contains(name.as_str()));
            assert!(with(name, |v| v[0] = f32::NAN).contains(name.as_str()));
            assert!(with(name, |v| v[0] = f32::INFINITY).contains(name.as_str()));
        }
        assert!(with("conv.bn.running_var", |v| v[2] = -0.5).contains("-0.5"));
        let overflow = with("conv.weight", |v| v.fill(f32::MAX));
        assert!(overflow.contains("conv.weight (folded) holds inf"), "{overflow}");
    }
}
