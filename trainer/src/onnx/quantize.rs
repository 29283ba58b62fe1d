//! The network in int8, in QDQ form: f32 operations between `DequantizeLinear` and `QuantizeLinear`
//! pairs, from which an int8 engine reads off integer kernels and any other engine computes the same.

use super::fold::check;
use super::layers::{self, INPUT};
use super::proto::{Attribute::Int, Emitter};
use super::write::{finish, layer_of, sum_name};
use super::{
    ActivationQuant, Calibration, Error, Folded, Layer, QuantizedLayer, activation_quants,
};
use crate::net::{Graph, Node, NodeId, Op};
use std::collections::BTreeMap;
use tract_onnx::pb::ModelProto;

/// For each node's name, what to add to its folded bias, one value for each output channel.
pub type BiasCorrection = BTreeMap<String, Vec<f32>>;

/// The int8 model, with the inputs, outputs and metadata of [`write`](super::write):
///
/// * the image is quantized with scale 1/255 and zero point 0: its u8 values are the camera's bytes;
/// * every node's value is u8 with a scale and zero point of its own, quantized once for all that read
///   it; a ReLU or ReLU6 is the clipping of that quantization, not a node;
/// * weights are int8 with a scale for each output channel, biases int32 with scale
///   input scale · weight scale;
/// * the factor of a scaled sum is in the scale of its second input's `DequantizeLinear`;
/// * global pooling, dense layers, the L2 norm and the outputs are f32, the dense weights stored as int8.
///
/// Kernels that add pairs of u8 · int8 products in int16 saturate on such weights: onnxruntime on x86
/// without VNNI does.
///
/// # Errors
/// Those of [`write`](super::write) and [`activation_quants`]; [`Error::Length`] or [`Error::Value`] for
/// a damaged bias correction and [`Error::Unsupported`] for one of a node that has no bias.
pub fn quantize(
    graph: &Graph,
    folded: &Folded,
    calibration: &Calibration,
    bias_correction: Option<&BiasCorrection>,
    props: &[(String, String)],
) -> Result<ModelProto, Error> {
    let folded = match bias_correction {
        Some(correction) => &corrected(folded, correction)?,
        None => folded,
    };
    let mut writer = Writer {
        emitter: Emitter::default(),
        graph,
        folded,
        calibration,
        quants: activation_quants(graph, calibration)?,
        values: Vec::with_capacity(graph.nodes.len()),
        dequantized: BTreeMap::new(),
    };
    for id in 0..graph.nodes.len() {
        let value = writer.value(id)?;
        writer.values.push(value);
    }
    let first = writer.read(graph.outputs[0]);
    finish(writer.emitter, graph, &first, props)
}

/// The layers with a correction added to their biases.
///
/// # Errors
/// See [`quantize`].
pub fn corrected(folded: &Folded, correction: &BiasCorrection) -> Result<Folded, Error> {
    let mut folded = folded.clone();
    for (name, values) in correction {
        let problem = "there is a bias correction for it, but it has no bias";
        let layer = folded
            .get_mut(name)
            .ok_or_else(|| Error::Unsupported { node: name.clone(), problem })?;
        check(&format!("the bias correction of {name}"), values, layer.out())?;
        layer.bias.iter_mut().zip(values).for_each(|(bias, value)| *bias += value);
    }
    Ok(folded)
}

struct Writer<'a> {
    emitter: Emitter,
    graph: &'a Graph,
    folded: &'a Folded,
    calibration: &'a Calibration,
    /// Of each node.
    quants: Vec<Option<ActivationQuant>>,
    /// Name of each node's value: u8 where it has a quantization, else f32.
    values: Vec<String>,
    /// Name of the f32 form of a u8 value.
    dequantized: BTreeMap<String, String>,
}

impl Writer<'_> {
    /// Writes a node and gives the name of its value.
    fn value(&mut self, id: NodeId) -> Result<String, Error> {
        let node = &self.graph.nodes[id];
        let sum = sum_name(self.graph, id, node);
        let result = match &node.op {
            Op::Image => INPUT.into(),
            Op::Dropout { .. } => return Ok(self.values[node.inputs[0]].clone()),
            Op::Dense { .. } => self.dense(node, sum)?,
            Op::Conv(conv) => {
                let (weight, bias) = self.conv_constants(node)?;
                let x = self.read(node.inputs[0]);
                let input = self.graph.input_shape(node);
                layers::conv(&mut self.emitter, [&x, &weight, &bias], sum, conv, input)
            }
            Op::Add { scale, .. } => {
                let first = self.read(node.inputs[0]);
                let second = self.read_scaled(node, *scale);
                self.emitter.node("Add", &[&first, &second], sum, &[])
            }
            Op::Normalise { mean, std } => {
                let x = self.read(node.inputs[0]);
                layers::normalise(&mut self.emitter, &x, sum, (mean, std))
            }
            Op::MaxPool { kernel, stride } => {
                let x = self.read(node.inputs[0]);
                layers::max_pool(&mut self.emitter, &x, sum, *kernel, *stride)
            }
            Op::Concat => {
                let inputs: Vec<_> = node.inputs.iter().map(|&i| self.read(i)).collect();
                layers::concat(&mut self.emitter, &inputs, sum)
            }
            Op::GlobalAveragePool => {
                let x = self.read(node.inputs[0]);
                self.emitter.node("GlobalAveragePool", &[&x], sum, &[])
            }
        };
        Ok(match self.quants[id] {
            Some(quant) => self.quantized(node, &result, quant),
            None => result,
        })
    }

    fn quantized(&mut self, node: &Node, x: &str, quant: ActivationQuant) -> String {
        let e = &mut self.emitter;
        let scale = e.floats(format!("{}.scale", node.name), &[], &[quant.scale]);
        let zero = e.u8(format!("{}.zero_point", node.name), quant.zero_point);
        e.node("QuantizeLinear", &[x, &scale, &zero], format!("{}.u8", node.name), &[])
    }

    /// The f32 form of a node's value; written once, however many nodes read it.
    fn read(&mut self, id: NodeId) -> String {
        let value = &self.values[id];
        if self.quants[id].is_none() {
            return value.clone();
        }
        if let Some(name) = self.dequantized.get(value) {
            return name.clone();
        }
        let owner = value.strip_suffix(".u8").expect("a quantized value's name").to_string();
        let (scale, zero) = (format!("{owner}.scale"), format!("{owner}.zero_point"));
        let inputs = [value.as_str(), &scale, &zero];
        let name = self.emitter.node("DequantizeLinear", &inputs, format!("{owner}.f32"), &[]);
        self.dequantized.insert(value.clone(), name.clone());
        name
    }

    /// The f32 form of the second input of a sum, times a factor.
    fn read_scaled(&mut self, node: &Node, factor: f32) -> String {
        let id = node.inputs[1];
        let quant = self.quants[id].expect("sums read quantized values");
        if factor == 1.0 {
            return self.read(id);
        }
        let value = &self.values[id];
        let scale = format!("{}.second.scale", node.name);
        let scale = self.emitter.floats(scale, &[], &[quant.scale * factor]);
        let zero =
            format!("{}.zero_point", value.strip_suffix(".u8").expect("a quantized value's name"));
        let output = format!("{}.second", node.name);
        self.emitter.node("DequantizeLinear", &[value, &scale, &zero], output, &[])
    }

    /// A convolution's int8 weight and int32 bias, dequantized.
    fn conv_constants(&mut self, node: &Node) -> Result<(String, String), Error> {
        let layer = layer_of(self.graph, node, self.folded)?;
        let input = self.quants[node.inputs[0]].expect("convolutions read quantized values");
        let quantized = QuantizedLayer::new(layer, input.scale, self.calibration.weight_scale);
        let weight = self.weight(node, layer, &quantized.weight, &quantized.weight_scales);
        let (e, name, out) = (&mut self.emitter, &node.name, &[layer.out()]);
        let values = e.i32s(format!("{name}.bias.i32"), out, &quantized.bias);
        let scale = e.floats(format!("{name}.bias.scale"), out, &quantized.bias_scales);
        let zero = e.i32s(format!("{name}.bias.zero_point"), out, &vec![0; layer.out()]);
        let inputs = [values.as_str(), &scale, &zero];
        let bias = e.node("DequantizeLinear", &inputs, format!("{name}.bias"), &[Int("axis", 0)]);
        Ok((weight, bias))
    }

    fn weight(&mut self, node: &Node, layer: &Layer, values: &[i8], scales: &[f32]) -> String {
        let (e, name, out) = (&mut self.emitter, &node.name, &[layer.out()]);
        let values = e.i8s(format!("{name}.weight.i8"), &layer.shape, values);
        let scale = e.floats(format!("{name}.weight.scale"), out, scales);
        let zero = e.i8s(format!("{name}.weight.zero_point"), out, &vec![0; layer.out()]);
        let inputs = [values.as_str(), &scale, &zero];
        e.node("DequantizeLinear", &inputs, format!("{name}.weight"), &[Int("axis", 0)])
    }

    fn dense(&mut self, node: &Node, output: String) -> Result<String, Error> {
        let layer = layer_of(self.graph, node, self.folded)?;
        let scales = layer.weight_scales(self.calibration.weight_scale);
        let weight = self.weight(node, layer, &layer.weights_i8(&scales), &scales);
        let x = self.read(node.inputs[0]);
        let bias = self.emitter.floats(format!("{}.bias", node.name), &[layer.out()], &layer.bias);
        Ok(layers::dense(&mut self.emitter, [&x, &weight, &bias], output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Architecture, Backbone, DetectorArchitecture};
    use crate::onnx::testing::{calibrate, cosine, distance, image, params, tract};
    use crate::onnx::{Method, WeightScale, fold, reference, to_bytes, write};
    use tract_onnx::pb::tensor_proto::DataType;

    struct Case {
        graph: Graph,
        folded: Folded,
        calibration: Calibration,
    }

    fn case(backbone: Backbone, input_size: usize) -> Case {
        let architecture = Architecture { backbone, input_size, alpha: 0.25, dropout_keep: 0.4 };
        let graph = architecture.graph().unwrap();
        let folded = fold(&graph, &params(&graph, 7)).unwrap();
        let calibration = calibrate(&graph, &folded, 0..4, Method::MinMax);
        Case { graph, folded, calibration }
    }

    impl Case {
        fn model(&self) -> ModelProto {
            quantize(&self.graph, &self.folded, &self.calibration, None, &[]).unwrap()
        }

        /// What the file's arithmetic gives, node by node.
        fn simulated(&self, image: &[f32]) -> Vec<f32> {
            let quants = activation_quants(&self.graph, &self.calibration).unwrap();
            let mut layers = self.folded.clone();
            for node in &self.graph.nodes {
                let Some(layer) = layers.get_mut(&node.name) else { continue };
                let input = quants[node.inputs[0]].filter(|_| matches!(node.op, Op::Conv(_)));
                let q =
                    QuantizedLayer::new(layer, input.map_or(1.0, |q| q.scale), WeightScale::MaxAbs);
                layer.weight = q.weight_f32();
                if input.is_some() {
                    layer.bias = q.bias_f32();
                }
            }
            let fake = |id: NodeId, values: Vec<f32>| match quants[id] {
                Some(quant) => values.into_iter().map(|x| quant.fake(x)).collect(),
                None => values,
            };
            reference::embedding(&reference::run_with(&self.graph, &layers, image, fake))
        }
    }

    const ALL: [(Backbone, usize); 3] = [
        (Backbone::Mobilenet, 64),
        (Backbone::Mobilefacenet, 80),
        (Backbone::InceptionResnetV1, 112),
    ];

    #[test]
    fn tract_computes_the_int8_file_as_the_simulation_does_and_close_to_f32() {
        // A random MobileFaceNet has no pooling that averages noise out, and amplifies it.
        for ((backbone, size), limit) in ALL.into_iter().zip([0.999, 0.85, 0.999]) {
            let case = case(backbone, size);
            let int8 = tract(&case.model(), [size; 2]);
            let f32 = tract(&write(&case.graph, &case.folded, &[]).unwrap(), [size; 2]);
            let mut same = 0;
            for seed in 10..13 {
                let image = image([size; 2], seed);
                let (got, exact, simulated) = (int8(&image), f32(&image), case.simulated(&image));
                let (to_simulated, to_exact) = (cosine(&got, &simulated), cosine(&got, &exact));
                // A sum in another order now and then tips a value over to the next step.
                assert!(
                    to_simulated > 0.99,
                    "{backbone:?} {seed}: {to_simulated} to the simulation"
                );
                assert!(to_exact > limit, "{backbone:?} {seed}: {to_exact} to f32");
                same += usize::from(distance(&got, &simulated) < 1e-6);
            }
            assert!(same > 0, "{backbone:?}: every image is off the simulation");
        }
    }

    #[test]
    fn a_detectors_grids_come_out_of_both_files_as_they_were_meant() {
        let architecture = DetectorArchitecture { width: 96, height: 72, alpha: 0.5 };
        let graph = architecture.graph().unwrap();
        let folded = fold(&graph, &params(&graph, 7)).unwrap();
        let calibration = calibrate(&graph, &folded, 0..4, Method::MinMax);
        let case = Case { graph, folded, calibration };
        let sides = case.graph.input_sides();
        let files = [write(&case.graph, &case.folded, &[]).unwrap(), case.model()];
        for file in &files {
            let outputs = file.graph.as_ref().unwrap().output.iter().map(|o| o.name.as_str());
            assert!(outputs.eq(facelatch::detect::OUTPUTS));
        }
        let image = image(sides, 3);
        let values = reference::run(&case.graph, &case.folded, &image);
        let expected: Vec<f32> =
            case.graph.outputs.iter().flat_map(|&id| &values[id]).copied().collect();
        let [f32, int8] = files.map(|file| tract(&file, sides)(&image));
        assert!(distance(&f32, &expected) < 1e-3 * spread(&expected));
        let off = int8.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let all = expected.iter().map(|v| v * v).sum::<f32>();
        assert!(off / all < 0.02, "{}", off / all);
    }

    fn spread(values: &[f32]) -> f32 {
        values.iter().fold(0.0, |most, v| v.abs().max(most))
    }

    #[test]
    fn the_file_holds_bytes_and_little_else() {
        let case = case(Backbone::Mobilenet, 64);
        let model = case.model();
        let graph = model.graph.as_ref().unwrap();
        for (name, layer) in &case.folded {
            let find = |suffix: &str| {
                let name = format!("{name}.{suffix}");
                graph.initializer.iter().find(|t| t.name == name)
            };
            let weight = find("weight.i8").unwrap();
            assert_eq!(weight.data_type, DataType::Int8 as i32);
            assert_eq!(weight.raw_data.len(), layer.weight.len());
            assert!(weight.raw_data.iter().all(|&b| b as i8 >= -127));
            assert_eq!(find("weight.scale").unwrap().dims, [layer.out() as i64]);
            let bias = if name == "embedding" { find("bias") } else { find("bias.i32") };
            let kind = if name == "embedding" { DataType::Float } else { DataType::Int32 };
            assert_eq!(bias.unwrap().data_type, kind as i32);
        }
        let channels: usize = case.folded.values().map(Layer::out).sum();
        let weights: usize = case.folded.values().map(|l| l.weight.len()).sum();
        let size = to_bytes(&model).len();
        let expected = weights + 17 * channels;
        assert!(
            (expected..expected + 1200 * case.folded.len()).contains(&size),
            "{size} {expected}"
        );
        assert_eq!(to_bytes(&model), to_bytes(&case.model()));
    }

    #[test]
    fn each_value_is_quantized_once_and_activations_are_its_clipping() {
        for (backbone, size) in ALL {
            let case = case(backbone, size);
            let model = case.model();
            let nodes = &model.graph.as_ref().unwrap().node;
            let count = |op: &str| nodes.iter().filter(|n| n.op_type == op).count();
            let quants = activation_quants(&case.graph, &case.calibration).unwrap();
            let dropouts = (case.graph.nodes.iter().zip(&quants))
                .filter(|(n, q)| matches!(n.op, Op::Dropout { .. }) && q.is_some())
                .count();
            assert_eq!(count("QuantizeLinear"), quants.iter().flatten().count() - dropouts);
            assert_eq!((count("Relu"), count("Clip"), count("Mul")), (0, 1, 0));
            let mut outputs: Vec<_> = nodes.iter().flat_map(|n| &n.output).collect();
            outputs.sort();
            assert!(
                outputs.is_sorted_by(|a, b| a < b),
                "{backbone:?}: a name stands for two values"
            );
        }
    }

    #[test]
    fn a_bias_correction_moves_the_bias_and_a_damaged_one_is_refused() {
        let case = case(Backbone::Mobilenet, 64);
        let with = |name: &str, values: Vec<f32>| {
            let correction = BTreeMap::from([(name.to_string(), values)]);
            quantize(&case.graph, &case.folded, &case.calibration, Some(&correction), &[])
        };
        let moved = with("conv1", vec![0.25; 8]).unwrap();
        let mut by_hand = case.folded.clone();
        by_hand.get_mut("conv1").unwrap().bias.iter_mut().for_each(|b| *b += 0.25);
        assert_eq!(moved, quantize(&case.graph, &by_hand, &case.calibration, None, &[]).unwrap());
        assert!(matches!(with("conv1", vec![0.25; 7]), Err(Error::Length { .. })));
        assert!(matches!(with("conv1", vec![f32::NAN; 8]), Err(Error::Value { .. })));
        assert!(matches!(with("pool", vec![0.0]), Err(Error::Unsupported { .. })));
    }
}
