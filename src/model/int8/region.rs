use super::attributes::{Numbers, int, ints};
use facelatch_kernels::{Builder, Conv, Map, Output};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{
    GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, tensor_proto::DataType,
    type_proto,
};

/// What of a network runs on bytes, and what is left.
pub struct Region {
    /// The convolutions, in order.
    pub net: Builder,
    /// What the rest reads, or the network gives: names and maps.
    pub outputs: Vec<(String, Kind)>,
    /// The byte of the network that a byte of the picture becomes.
    pub bytes: [u8; 256],
    /// The graph without what runs on bytes; its inputs are the `outputs` that it reads.
    pub rest: GraphProto,
    /// Convolutions that run on bytes.
    pub taken: usize,
}

/// How to read a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Floats.
    Floats(Map),
    /// Bytes.
    Bytes(Bytes),
}

/// A map of bytes, each standing for `scale` times its distance from `zero`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bytes {
    /// The map.
    pub map: Map,
    /// A step.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero: u8,
}

impl Kind {
    /// The map.
    pub fn map(&self) -> Map {
        let (Self::Floats(map) | Self::Bytes(Bytes { map, .. })) = *self;
        map
    }
}

/// Looks for what can run on bytes, from the input on: the convolutions between `QuantizeLinear` and
/// `DequantizeLinear`, with an activation that cuts in between, and a mean over all pixels. `size` is
/// the picture's width and height, of bytes that the network takes over 255. Nothing where the rest
/// would need the picture itself.
pub fn find(graph: &GraphProto, size: [usize; 2]) -> Option<Region> {
    let mut finder = Finder::new(graph, size)?;
    for node in &graph.node {
        // Whatever is not understood stays with tract.
        let _ = match node.op_type.as_str() {
            "QuantizeLinear" => finder.quantize(node),
            "DequantizeLinear" => finder.dequantize(node),
            "Conv" => finder.float_conv(node),
            "GlobalAveragePool" => finder.mean(node),
            _ => None,
        };
    }
    finder.finish()
}

struct Finder<'a> {
    graph: &'a GraphProto,
    constants: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, &'a NodeProto>,
    net: Builder,
    /// Tensors of bytes.
    bytes: HashMap<&'a str, Bytes>,
    /// Tensors of floats that stand for bytes or come out of the region.
    floats: HashMap<&'a str, Kind>,
    table: Option<[u8; 256]>,
    taken: usize,
}

/// The scale and the zero of a node that quantizes, or the other way.
struct Steps<'a> {
    scale: Vec<f32>,
    zero: Option<&'a TensorProto>,
}

impl<'a> Finder<'a> {
    fn new(graph: &'a GraphProto, [width, height]: [usize; 2]) -> Option<Self> {
        let (net, _) = Builder::new([height, width], 3).ok()?;
        let makers = graph.node.iter().flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n)));
        Some(Self {
            graph,
            constants: graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
            makers: makers.collect(),
            net,
            bytes: HashMap::new(),
            floats: HashMap::new(),
            table: None,
            taken: 0,
        })
    }

    fn constant(&self, name: &str) -> Option<&'a TensorProto> {
        self.constants.get(name).copied()
    }

    fn steps(&self, node: &NodeProto) -> Option<Steps<'a>> {
        let scale = f32::of(self.constant(node.input.get(1)?)?)?;
        let zero = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => Some(self.constant(name)?),
            None => None,
        };
        Some(Steps { scale, zero })
    }

    /// One scale and one zero, for activations in u8.
    fn activation(&self, node: &NodeProto) -> Option<(f32, u8)> {
        let Steps { scale, zero } = self.steps(node)?;
        let zero = zero.map_or(Some(vec![0]), u8::of)?;
        let (&[scale], &[zero]) = (&scale[..], &zero[..]) else { return None };
        (scale.is_finite() && scale > 0.0).then_some((scale, zero))
    }

    /// The picture's own bytes, or the end of a convolution.
    fn quantize(&mut self, node: &'a NodeProto) -> Option<()> {
        let (scale, zero) = self.activation(node)?;
        let input = node.input[0].as_str();
        let is_picture = self.graph.input.iter().any(|v| v.name == input);
        if is_picture && self.constant(input).is_none() {
            let byte = |i: usize| {
                let steps = (i as f32 / 255.0 / scale).round_ties_even();
                (steps + f32::from(zero)).clamp(0.0, 255.0) as u8
            };
            let table = std::array::from_fn(byte);
            if self.table.is_some_and(|other| other != table) {
                return None;
            }
            self.table = Some(table);
            let [.., name] = &node.output[..] else { return None };
            // The input is the builder's first map.
            self.bytes.insert(name, Bytes { map: Map::INPUT, scale, zero });
            return Some(());
        }
        let (conv, [low, high]) = self.conv_before(input)?;
        let byte = |limit: f32| {
            ((limit / scale).round_ties_even() + f32::from(zero)).clamp(0.0, 255.0) as u8
        };
        let output = Output::Bytes { zero, low: byte(low), high: byte(high) };
        let map = self.add(conv, scale, output)?;
        self.bytes.insert(node.output.first()?, Bytes { map, scale, zero });
        Some(())
    }

    /// The convolution that gives a tensor, and the limits of an activation after it.
    fn conv_before(&self, name: &str) -> Option<(&'a NodeProto, [f32; 2])> {
        let maker = *self.makers.get(name)?;
        let limits = match maker.op_type.as_str() {
            "Conv" => return Some((maker, [f32::NEG_INFINITY, f32::INFINITY])),
            "Relu" => [0.0, f32::INFINITY],
            "Clip" => {
                let limit = |i: usize, none: f32| match maker.input.get(i) {
                    Some(name) if !name.is_empty() => {
                        f32::of(self.constant(name)?)?.first().copied()
                    }
                    _ => Some(none),
                };
                [limit(1, f32::NEG_INFINITY)?, limit(2, f32::INFINITY)?]
            }
            _ => return None,
        };
        let conv = *self.makers.get(maker.input.first()?.as_str())?;
        (conv.op_type == "Conv").then_some((conv, limits))
    }

    /// Bytes that the network takes up again as floats.
    fn dequantize(&mut self, node: &'a NodeProto) -> Option<()> {
        let bytes = *self.bytes.get(node.input.first()?.as_str())?;
        // Anything else would be another meaning of the same bytes.
        if self.activation(node)? != (bytes.scale, bytes.zero) {
            return None;
        }
        self.floats.insert(node.output.first()?, Kind::Bytes(bytes));
        Some(())
    }

    /// A convolution whose floats nobody quantizes: one of the network's outputs.
    fn float_conv(&mut self, node: &'a NodeProto) -> Option<()> {
        let name = node.output.first()?;
        let quantized = |n: &NodeProto| {
            n.input.first() == Some(name)
                && matches!(n.op_type.as_str(), "QuantizeLinear" | "Relu" | "Clip")
        };
        if self.graph.node.iter().any(quantized) {
            return None;
        }
        let map = self.add(node, 1.0, Output::Floats)?;
        self.floats.insert(name, Kind::Floats(map));
        Some(())
    }

    fn mean(&mut self, node: &'a NodeProto) -> Option<()> {
        let Bytes { map, scale, zero } = self.taken_up(node)?;
        let mean = self.net.mean(map, zero, scale).ok()?;
        self.floats.insert(node.output.first()?, Kind::Floats(mean));
        Some(())
    }

    /// The bytes that a node takes up as floats.
    fn taken_up(&self, node: &NodeProto) -> Option<Bytes> {
        match self.floats.get(node.input.first()?.as_str())? {
            Kind::Bytes(bytes) => Some(*bytes),
            Kind::Floats(_) => None,
        }
    }

    /// Adds a convolution whose outputs are steps of `scale`.
    fn add(&mut self, node: &NodeProto, scale: f32, output: Output) -> Option<Map> {
        let from = self.taken_up(node)?;
        let conv = self.conv(node, from, scale, output)?;
        let map = self.net.conv(from.map, conv).ok()?;
        self.taken += 1;
        Some(map)
    }

    fn conv(
        &self,
        node: &NodeProto,
        Bytes { map, scale: in_scale, zero: input_zero }: Bytes,
        out_scale: f32,
        output: Output,
    ) -> Option<Conv> {
        let (tensor, scales) = self.weights(node.input.get(1)?)?;
        let shape: Vec<usize> =
            tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
        let &[outputs, group_inputs, height, width] = &shape[..] else { return None };
        // Far beyond any network, and no product of two overflows.
        if shape.iter().any(|side| !(1..=16_384).contains(side)) {
            return None;
        }
        let inputs = self.net.size(map)[2];
        let group = usize::try_from(int(node, "group", 1)).ok()?;
        let depthwise = group == inputs && group > 1 && group_inputs == 1;
        let plain = ints(node, "dilations", &[1, 1]).iter().all(|&d| d == 1)
            && !node.attribute.iter().any(|a| a.name == "auto_pad" && a.s != b"NOTSET");
        if !plain || !(depthwise || group == 1 && group_inputs == inputs) {
            return None;
        }
        let scales: Vec<f32> = if scales.len() == 1 { vec![scales[0]; outputs] } else { scales };
        if scales.len() != outputs {
            return None;
        }
        let sums: Vec<f32> = scales.iter().map(|scale| in_scale * scale).collect();
        Some(Conv {
            kernel: [height, width],
            stride: ints(node, "strides", &[1, 1]).try_into().ok()?,
            pads: ints(node, "pads", &[0, 0, 0, 0]).try_into().ok()?,
            inputs,
            outputs,
            depthwise,
            weights: channels_last(&i8::of(tensor)?, [outputs, group_inputs, height * width])?,
            bias: self.bias(node.input.get(2).map_or("", String::as_str), &sums, outputs)?,
            scale: sums.iter().map(|sum| sum / out_scale).collect(),
            input_zero,
            output,
        })
    }

    /// Weights in i8 with zeros of 0, and the scale of each output or of all.
    fn weights(&self, name: &str) -> Option<(&'a TensorProto, Vec<f32>)> {
        let node = self.makers.get(name).filter(|n| n.op_type == "DequantizeLinear")?;
        let tensor = self.constant(node.input.first()?)?;
        let Steps { scale, zero } = self.steps(node)?;
        let no_zero = zero.is_none_or(|t| i8::of(t).is_some_and(|z| z.iter().all(|&z| z == 0)));
        let by_output = scale.len() == 1 || int(node, "axis", 1) == 0;
        (no_zero && by_output).then_some((tensor, scale))
    }

    /// The bias in steps of each sum.
    fn bias(&self, name: &str, sums: &[f32], outputs: usize) -> Option<Vec<i32>> {
        if name.is_empty() {
            return Some(vec![0; outputs]);
        }
        let in_steps = |(bias, sum): (f32, &f32)| {
            let steps = (f64::from(bias) / f64::from(*sum)).round_ties_even();
            (steps.abs() < f64::from(i32::MAX)).then_some(steps as i32)
        };
        if let Some(tensor) = self.constant(name) {
            return f32::of(tensor)?.into_iter().zip(sums).map(in_steps).collect();
        }
        let node = self.makers.get(name).filter(|n| n.op_type == "DequantizeLinear")?;
        let steps = i32::of(self.constant(node.input.first()?)?)?;
        let Steps { scale, zero } = self.steps(node)?;
        if zero.is_some_and(|t| i32::of(t).is_none_or(|z| z.iter().any(|&z| z != 0))) {
            return None;
        }
        let scale = |i: usize| scale.get(if scale.len() == 1 { 0 } else { i }).copied();
        let same = (0..outputs).all(|i| scale(i).is_some_and(|s| (s / sums[i] - 1.0).abs() < 1e-5));
        if same {
            return Some(steps);
        }
        let floats = steps.iter().enumerate().map(|(i, &step)| Some(step as f32 * scale(i)?));
        floats.zip(sums).map(|(bias, sum)| in_steps((bias?, sum))).collect()
    }

    /// What tract is left with: everything that the outputs need and the region does not give.
    fn finish(self) -> Option<Region> {
        let mut needed: Vec<&str> = self.graph.output.iter().map(|v| v.name.as_str()).collect();
        let mut outputs: Vec<(String, Kind)> = Vec::new();
        let (mut seen, mut kept) = (HashSet::new(), HashSet::new());
        while let Some(name) = needed.pop() {
            if name.is_empty() || !seen.insert(name) {
                continue;
            }
            if let Some(&kind) = self.floats.get(name) {
                outputs.push((name.to_owned(), kind));
            } else if let Some(maker) = self.makers.get(name) {
                kept.insert(maker.output.first()?.as_str());
                needed.extend(maker.input.iter().map(String::as_str));
            } else {
                // Only constants may be left; the picture itself is not there for tract.
                self.constant(name)?;
            }
        }
        if self.taken == 0 {
            return None;
        }
        outputs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let node = |n: &&NodeProto| n.output.first().is_some_and(|o| kept.contains(o.as_str()));
        let node = self.graph.node.iter().filter(node).cloned().collect();
        let constant = |t: &&TensorProto| seen.contains(t.name.as_str());
        let inputs = outputs.iter().map(|(name, _)| floats(name));
        let rest = GraphProto {
            node,
            name: self.graph.name.clone(),
            initializer: self.graph.initializer.iter().filter(constant).cloned().collect(),
            input: inputs.collect(),
            output: self.graph.output.clone(),
            ..Default::default()
        };
        Some(Region { net: self.net, outputs, bytes: self.table?, rest, taken: self.taken })
    }
}

/// A graph input of floats, of a shape that is said later.
fn floats(name: &str) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            denotation: String::new(),
        }),
        doc_string: String::new(),
    }
}

/// `[outputs][inputs][window]` as `[outputs][window][inputs]`.
fn channels_last(weights: &[i8], [outputs, inputs, window]: [usize; 3]) -> Option<Vec<i8>> {
    let len = outputs.checked_mul(inputs)?.checked_mul(window)?;
    if weights.len() != len || len == 0 {
        return None;
    }
    let one = |w: &[i8]| -> Vec<i8> {
        (0..window).flat_map(|at| (0..inputs).map(move |i| i * window + at)).map(|i| w[i]).collect()
    };
    Some(weights.chunks(inputs * window).flat_map(one).collect())
}
