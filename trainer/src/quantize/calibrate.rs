use super::FakeQuant;
use crate::{
    engine::{Hook, NoHook, Parameters, Pass, forward, images_from_bytes, outputs, to_vec},
    net::{Graph, Node, NodeId, Op},
    onnx::{BiasCorrection, Calibration, Error, Histogram, Method, WeightScale, needs_range},
};
use tch::{Device, Kind, Tensor};

/// Pictures run through the network at once while observing.
const BATCH: usize = 32;

/// A histogram of each node's values over the calibration pictures, where its range is needed.
pub struct Observed(Vec<Option<Histogram>>);

impl Observed {
    /// The ranges that `method` chooses.
    pub fn calibration(&self, method: Method, weight_scale: WeightScale) -> Calibration {
        let ranges = self.0.iter().map(|h| h.as_ref().map(|h| h.range(method))).collect();
        Calibration { ranges, weight_scale }
    }
}

struct Observer {
    histograms: Vec<Option<Histogram>>,
    error: Option<Error>,
}

impl Hook for Observer {
    fn output(&mut self, id: NodeId, _node: &Node, value: Tensor) -> Tensor {
        if let Some(histogram) = &mut self.histograms[id]
            && let Err(e) = histogram.observe(&to_vec(&value))
        {
            self.error.get_or_insert(e);
        }
        value
    }
}

/// Runs pictures [N, H, W, 3], H and W in `sides`, through the network with its batch norms folded and counts every
/// activation. `progress` hears how many pictures are done.
///
/// # Errors
/// [`Error::Activation`]: the network gives values that are no numbers.
pub fn observe(
    graph: &Graph,
    params: &Parameters,
    (pixels, sides): (&[u8], [usize; 2]),
    device: Device,
    progress: &mut dyn FnMut(usize),
) -> Result<Observed, Error> {
    let _guard = tch::no_grad_guard();
    let wanted = |id| needs_range(graph, id).then(Histogram::default);
    let histograms = (0..graph.nodes.len()).map(wanted).collect();
    let mut observer = Observer { histograms, error: None };
    let mut done = 0;
    for batch in pixels.chunks(BATCH * sides[0] * sides[1] * 3) {
        let images = images_from_bytes(batch, sides, device);
        _ = outputs(graph, params, &images, Pass::Folded, &mut observer);
        done += images.size()[0] as usize;
        progress(done);
    }
    match observer.error {
        Some(error) => Err(error),
        None => Ok(Observed(observer.histograms)),
    }
}

/// Mean of each channel before the activation, by node.
#[derive(Default)]
struct Means(Vec<Option<Tensor>>);

impl Means {
    fn note(&mut self, id: NodeId, node: &Node, value: &Tensor) -> Option<&Tensor> {
        self.0.resize_with(self.0.len().max(id + 1), || None);
        if has_bias(node) {
            let sides: &[i64] = if value.dim() == 4 { &[0, 2, 3] } else { &[0] };
            self.0[id] = Some(value.mean_dim(sides, false, Kind::Float));
        }
        self.0[id].as_ref()
    }
}

impl Hook for Means {
    fn before_activation(&mut self, id: NodeId, node: &Node, value: Tensor) -> Tensor {
        self.note(id, node, &value);
        value
    }
}

fn has_bias(node: &Node) -> bool {
    matches!(node.op, Op::Conv(_) | Op::Dense { .. })
}

/// Simulates int8 and moves each layer's values by what its channels' means have drifted, in order of
/// execution, so that each layer is corrected for what the corrected layers before it still lose.
struct Corrector {
    float: Means,
    int8: Means,
    fake: FakeQuant,
    found: BiasCorrection,
}

impl Hook for Corrector {
    fn weight(&mut self, id: NodeId, node: &Node, weight: Tensor) -> Tensor {
        self.fake.weight(id, node, weight)
    }

    fn before_activation(&mut self, id: NodeId, node: &Node, value: Tensor) -> Tensor {
        let Some(ours) = self.int8.note(id, node, &value) else { return value };
        let theirs = self.float.0[id].as_ref().expect("the f32 pass went before");
        let drift = theirs - ours;
        self.found.insert(node.name.clone(), to_vec(&drift));
        let mut shape = vec![1; value.dim()];
        shape[1] = -1;
        value + drift.view(&shape[..])
    }

    fn output(&mut self, id: NodeId, node: &Node, value: Tensor) -> Tensor {
        self.fake.output(id, node, value)
    }
}

/// What to add to each layer's bias so that every channel's mean before the activation is what it was
/// in f32 (Nagel et al. 2019, arXiv 1906.04721, empirical form), from pictures [N, H, W, 3] that
/// are run all at once.
///
/// # Errors
/// A calibration that lacks a range.
pub fn correct_biases(
    graph: &Graph,
    params: &Parameters,
    calibration: &Calibration,
    (pixels, sides): (&[u8], [usize; 2]),
    device: Device,
) -> Result<BiasCorrection, Error> {
    let _guard = tch::no_grad_guard();
    let images = images_from_bytes(pixels, sides, device);
    let mut float = Means::default();
    _ = outputs(graph, params, &images, Pass::Folded, &mut float);
    let fake = FakeQuant::new(graph, calibration)?;
    let mut corrector =
        Corrector { float, int8: Means::default(), fake, found: BiasCorrection::new() };
    _ = outputs(graph, params, &images, Pass::Folded, &mut corrector);
    Ok(corrector.found)
}

/// Mean cosine between the embeddings of the f32 network and of its int8 simulation.
///
/// # Errors
/// A calibration that lacks a range.
pub fn similarity(
    graph: &Graph,
    params: &Parameters,
    calibration: &Calibration,
    pixels: &[u8],
    device: Device,
) -> Result<f64, Error> {
    let _guard = tch::no_grad_guard();
    let images = images_from_bytes(pixels, graph.input_sides(), device);
    let unit = crate::loss::unit;
    let float = unit(&forward(graph, params, &images, Pass::Folded, &mut NoHook));
    let mut fake = FakeQuant::new(graph, calibration)?;
    let int8 = unit(&forward(graph, params, &images, Pass::Folded, &mut fake));
    Ok((float * int8)
        .sum_dim_intlist(&[1i64][..], false, Kind::Float)
        .mean(Kind::Float)
        .double_value(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Architecture;

    fn setting() -> (Graph, Parameters, Vec<u8>) {
        let a = Architecture {
            alpha: 0.25,
            input_size: 64,
            // What is dropped comes from libtorch's generator, which the tests beside this one draw from too.
            dropout_keep: 1.0,
            ..Default::default()
        };
        let graph = a.graph().unwrap();
        let params = Parameters::new(&graph, &[], 4, Device::Cpu);
        let mut state = 1u32;
        let pixels = (0..16 * 64 * 64 * 3)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect::<Vec<_>>();
        // Let the moving statistics settle on these pictures, so that activations are realistic.
        let images = images_from_bytes(&pixels, [64; 2], Device::Cpu);
        for _ in 0..200 {
            _ = tch::no_grad(|| forward(&graph, &params, &images, Pass::Train, &mut NoHook));
        }
        (graph, params, pixels)
    }

    #[test]
    fn the_simulation_stays_close_and_bias_correction_brings_the_means_back() {
        let (graph, params, pixels) = setting();
        let observed =
            observe(&graph, &params, (&pixels, [64; 2]), Device::Cpu, &mut |_| {}).unwrap();
        let calibration = observed.calibration(Method::MinMax, WeightScale::MaxAbs);
        let cosine = similarity(&graph, &params, &calibration, &pixels, Device::Cpu).unwrap();
        assert!(cosine > 0.97, "{cosine}");
        let found =
            correct_biases(&graph, &params, &calibration, (&pixels, [64; 2]), Device::Cpu).unwrap();
        assert_eq!(found.len(), 28, "27 convolutions and the dense layer");
        assert!(found.values().flatten().all(|v| v.is_finite()));
        assert!(found["block13.pw"].iter().any(|v| v.abs() > 1e-6));
    }

    #[test]
    fn a_network_that_gives_no_numbers_cannot_be_calibrated() {
        let (graph, params, pixels) = setting();
        tch::no_grad(|| _ = params.get("conv1.weight").detach().fill_(f64::NAN));
        assert!(observe(&graph, &params, (&pixels, [64; 2]), Device::Cpu, &mut |_| {}).is_err());
    }
}
