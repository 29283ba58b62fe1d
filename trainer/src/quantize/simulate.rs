use crate::{
    engine::Hook,
    net::{Graph, Node, NodeId, Op},
    onnx::{ActivationQuant, Calibration, Error, WEIGHT_MAX, activation_quants},
};
use tch::{Kind, Tensor};

/// Rounds weights and activations to what int8 can hold while they flow through [`crate::engine`], with
/// gradients passed straight through inside the range (Jacob et al. 2018, arXiv 1712.05877).
///
/// Weights: per output channel, symmetric, ±127, the largest magnitude at 127. Activations: u8 with the
/// scales of a [`Calibration`].
pub struct FakeQuant {
    quants: Vec<Option<ActivationQuant>>,
}

impl FakeQuant {
    /// # Errors
    /// A calibration that lacks a range.
    pub fn new(graph: &Graph, calibration: &Calibration) -> Result<Self, Error> {
        Ok(Self { quants: activation_quants(graph, calibration)? })
    }
}

impl Hook for FakeQuant {
    fn weight(&mut self, _id: NodeId, _node: &Node, weight: Tensor) -> Tensor {
        let scale = tch::no_grad(|| {
            let inner: Vec<i64> = (1..weight.dim() as i64).collect();
            (weight.abs().amax(&inner[..], false) / f64::from(WEIGHT_MAX)).clamp_min(1e-12)
        });
        let zero = Tensor::zeros(scale.size(), (Kind::Int, scale.device()));
        weight.fake_quantize_per_channel_affine(&scale, &zero, 0, -127, 127)
    }

    fn output(&mut self, id: NodeId, node: &Node, value: Tensor) -> Tensor {
        // The image is bytes already; pooling and dropout keep the scale of what they read.
        match (&node.op, self.quants[id]) {
            (Op::Image | Op::MaxPool { .. } | Op::Dropout { .. }, _) | (_, None) => value,
            (_, Some(q)) => value.fake_quantize_per_tensor_affine(
                f64::from(q.scale),
                i64::from(q.zero_point),
                0,
                255,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::Architecture,
        onnx::{Range, WeightScale, fake_quantize, needs_range, weight_scales},
    };

    #[test]
    fn libtorch_rounds_as_the_file_says() {
        let a = Architecture { alpha: 0.25, input_size: 64, ..Default::default() };
        let graph = a.graph().unwrap();
        let range = |id| needs_range(&graph, id).then_some(Range { min: 0.0, max: 3.7 });
        let ranges = (0..graph.nodes.len()).map(range).collect();
        let calibration = Calibration { ranges, weight_scale: WeightScale::MaxAbs };
        let mut fake = FakeQuant::new(&graph, &calibration).unwrap();
        let values: Vec<f32> = (0..60).map(|i| (i as f32 * 0.37).sin() * 5.0).collect();
        let weight = Tensor::from_slice(&values).view([4, 15, 1, 1]);
        let rounded = crate::engine::to_vec(&fake.weight(1, &graph.nodes[1], weight));
        let scales = weight_scales(&values, 4);
        for (i, (&got, &value)) in rounded.iter().zip(&values).enumerate() {
            let expected = fake_quantize(value, scales[i / 15], 0, -127, 127);
            assert!((got - expected).abs() < 1e-5, "weight {value}: {got} {expected}");
        }
        let q = fake.quants[1].unwrap();
        let out = fake.output(1, &graph.nodes[1], Tensor::from_slice(&values));
        for (got, value) in crate::engine::to_vec(&out).into_iter().zip(values) {
            let expected = q.fake(value);
            assert!((got - expected).abs() < 1e-5, "activation {value}: {got} {expected}");
        }
    }
}
