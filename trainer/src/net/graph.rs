//! A network as data: nodes in order of execution, each with its operation, inputs and output shape.

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// Channels, height and width of one image's activation; a vector has height and width 1.
pub type Shape = [usize; 3];

/// A network whose first node is the image: an embedder, whose only output is a dense layer that is
/// L2-normalised after it, or a detector, whose outputs are convolutions.
#[derive(Clone, Debug)]
pub struct Graph {
    /// In order of execution: a node's inputs come before it.
    pub nodes: Vec<Node>,
    /// The nodes whose values are the result, which stay in f32 in int8 networks too.
    pub outputs: Vec<NodeId>,
}

/// One operation and what it reads.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique, and the prefix of its parameters' names.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// What it reads, one node for most operations.
    pub inputs: Vec<NodeId>,
    /// Shape of the output, without the batch.
    pub shape: Shape,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The input: RGB in [0, 1].
    Image,
    /// `(x - mean) / std` for each colour channel.
    Normalise {
        /// Subtracted from each channel.
        mean: [f32; 3],
        /// Then divided by this.
        std: [f32; 3],
    },
    /// Convolution, batch norm and activation, the unit that export folds and quantization fuses.
    Conv(Conv),
    /// Matrix product with a [out, in] weight, then batch norm; no activation.
    Dense {
        /// Length of the output.
        out: usize,
        /// Batch norm after the product.
        norm: Option<Norm>,
    },
    /// Largest value of each window, no padding.
    MaxPool {
        /// Side of the square window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
    },
    /// Mean of each channel over the map: [C, H, W] → [C, 1, 1].
    GlobalAveragePool,
    /// In training zeroes all but a share `keep` of the values and scales those by 1 / `keep`.
    Dropout {
        /// Probability that a value is kept.
        keep: f64,
    },
    /// `activation(a + scale · b)` of two inputs.
    Add {
        /// Factor of the second input.
        scale: f32,
        /// Applied to the sum.
        activation: Activation,
    },
    /// The inputs' channels, one after another.
    Concat,
}

/// A convolution with what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step of the window, the same in both directions.
    pub stride: usize,
    /// Border handling.
    pub padding: Padding,
    /// 1, or the number of input channels for a depthwise convolution.
    pub groups: usize,
    /// Whether a bias is added before the batch norm.
    pub bias: bool,
    /// Batch norm, if any.
    pub norm: Option<Norm>,
    /// Applied last.
    pub activation: Activation,
}

/// Border handling of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's `SAME`: output = ceil(input / stride), an odd row or column of padding at the
    /// bottom and right.
    Same,
    /// None.
    Valid,
    /// The same number of rows and columns on every side.
    Even(usize),
}

/// Batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Share of the moving statistics kept at each step, as TensorFlow counts it.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether a learned factor is applied after the normalisation (a learned offset always is).
    pub scale: bool,
}

/// Element-wise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    None,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
}

/// What a named parameter is for, which decides how it starts, whether it decays and whether a
/// gradient moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weights of a convolution or dense layer; the only role that weight decay touches.
    Weight,
    /// Bias of a convolution, or the offset of a batch norm.
    Offset,
    /// Factor of a batch norm.
    Scale,
    /// Moving mean of a batch norm; not trained by gradient.
    Mean,
    /// Moving variance of a batch norm; not trained by gradient.
    Variance,
}

impl Role {
    /// Whether a gradient moves it.
    pub fn trained(self) -> bool {
        !matches!(self, Role::Mean | Role::Variance)
    }
}

/// A parameter of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// `NODE.weight`, `NODE.bias`, `NODE.bn.weight`, `NODE.bn.bias`, `NODE.bn.running_mean` or
    /// `NODE.bn.running_var`.
    pub name: String,
    /// `[out, in / groups, kh, kw]` of a convolution, `[out, in]` of a dense layer, `[out]` of the
    /// others.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
}

impl ParamSpec {
    /// Number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Padding {
    /// Rows (or columns) added [before, after] a side of `length`.
    pub fn amounts(self, length: usize, kernel: usize, stride: usize) -> [usize; 2] {
        match self {
            Padding::Valid => [0, 0],
            Padding::Even(n) => [n, n],
            Padding::Same => {
                let output = length.div_ceil(stride);
                let total = ((output - 1) * stride + kernel).saturating_sub(length);
                [total / 2, total - total / 2]
            }
        }
    }
}

impl Conv {
    /// [[top, bottom], [left, right]] for an input of this shape.
    pub fn padding_of(&self, input: Shape) -> [[usize; 2]; 2] {
        let side = |i| self.padding.amounts(input[i + 1], self.kernel[i], self.stride);
        [side(0), side(1)]
    }

    fn output(&self, input: Shape) -> Shape {
        let padding = self.padding_of(input);
        let side = |i: usize| {
            let [before, after] = padding[i];
            (input[i + 1] + before + after - self.kernel[i]) / self.stride + 1
        };
        [self.out, side(0), side(1)]
    }
}

impl Graph {
    /// The first output: of an embedder the node whose L2-normalised value is the embedding.
    pub fn output(&self) -> &Node {
        &self.nodes[self.outputs[0]]
    }

    /// Whether a node's value is part of the result.
    pub fn is_output(&self, id: NodeId) -> bool {
        self.outputs.contains(&id)
    }

    /// Height of the input in pixels, which of an embedder is its width too.
    pub fn input_size(&self) -> usize {
        self.nodes[0].shape[1]
    }

    /// Height and width of the input in pixels.
    pub fn input_sides(&self) -> [usize; 2] {
        [self.nodes[0].shape[1], self.nodes[0].shape[2]]
    }

    /// Shape that a node reads: its first input's.
    pub fn input_shape(&self, node: &Node) -> Shape {
        self.nodes[node.inputs[0]].shape
    }

    /// Every parameter, in order of execution.
    pub fn params(&self) -> Vec<ParamSpec> {
        self.nodes.iter().flat_map(|node| self.params_of(node)).collect()
    }

    /// The parameters of one node.
    pub fn params_of(&self, node: &Node) -> Vec<ParamSpec> {
        let (weight, bias, norm) = match &node.op {
            Op::Conv(c) => {
                let inner = self.input_shape(node)[0] / c.groups;
                (vec![c.out, inner, c.kernel[0], c.kernel[1]], c.bias, c.norm)
            }
            Op::Dense { out, norm } => {
                (vec![*out, self.input_shape(node).iter().product()], false, *norm)
            }
            _ => return Vec::new(),
        };
        let out = vec![weight[0]];
        let spec = |suffix: &str, shape: &[usize], role| ParamSpec {
            name: format!("{}.{suffix}", node.name),
            shape: shape.to_vec(),
            role,
        };
        let mut specs = vec![spec("weight", &weight, Role::Weight)];
        if bias {
            specs.push(spec("bias", &out, Role::Offset));
        }
        if let Some(norm) = norm {
            if norm.scale {
                specs.push(spec("bn.weight", &out, Role::Scale));
            }
            specs.push(spec("bn.bias", &out, Role::Offset));
            specs.push(spec("bn.running_mean", &out, Role::Mean));
            specs.push(spec("bn.running_var", &out, Role::Variance));
        }
        specs
    }

    /// Multiply-accumulates of one image.
    pub fn macs(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| match &node.op {
                Op::Conv(c) => {
                    let inner = self.input_shape(node)[0] / c.groups;
                    node.shape.iter().product::<usize>() * inner * c.kernel[0] * c.kernel[1]
                }
                Op::Dense { out, .. } => out * self.input_shape(node).iter().product::<usize>(),
                _ => 0,
            })
            .sum()
    }
}

/// Adds nodes one after another and works out their shapes.
pub struct Builder {
    nodes: Vec<Node>,
}

impl Builder {
    /// Starts with an RGB image of this height and width.
    pub fn new([height, width]: [usize; 2]) -> Self {
        let image = Node {
            name: "image".into(),
            op: Op::Image,
            inputs: Vec::new(),
            shape: [3, height, width],
        };
        Self { nodes: vec![image] }
    }

    /// The node added last.
    pub fn last(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Channels of a node's output.
    pub fn channels(&self, node: NodeId) -> usize {
        self.nodes[node].shape[0]
    }

    /// Adds a node and gives its index.
    ///
    /// # Panics
    /// A window larger than its padded input, or branches of different height: a mistake in the backbone.
    pub fn add(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        let input = self.nodes[inputs[0]].shape;
        let shape = match &op {
            Op::Image => unreachable!("the builder starts with the image"),
            Op::Normalise { .. } | Op::Dropout { .. } | Op::Add { .. } => input,
            Op::Conv(conv) => conv.output(input),
            Op::Dense { out, .. } => [*out, 1, 1],
            Op::MaxPool { kernel, stride } => {
                let side = |n: usize| (n - kernel) / stride + 1;
                [input[0], side(input[1]), side(input[2])]
            }
            Op::GlobalAveragePool => [input[0], 1, 1],
            Op::Concat => {
                let channels = inputs.iter().map(|&i| self.channels(i)).sum();
                [channels, input[1], input[2]]
            }
        };
        for &i in inputs {
            assert_eq!(self.nodes[i].shape[1..], input[1..], "inputs of one node share a map size");
        }
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), shape });
        self.last()
    }

    /// The finished graph, whose output is the node added last.
    pub fn finish(self) -> Graph {
        let outputs = vec![self.last()];
        self.finish_with(outputs)
    }

    /// The finished graph with these outputs.
    pub fn finish_with(self, outputs: Vec<NodeId>) -> Graph {
        Graph { nodes: self.nodes, outputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        for (length, kernel, stride, expected) in [
            (160, 3, 2, [0, 1]),
            (7, 3, 2, [1, 1]),
            (10, 3, 1, [1, 1]),
            (8, 1, 1, [0, 0]),
            (5, 2, 2, [0, 1]),
            (8, 7, 1, [3, 3]),
        ] {
            let got = Padding::Same.amounts(length, kernel, stride);
            assert_eq!(got, expected, "length {length}, kernel {kernel}, stride {stride}");
        }
    }
}
