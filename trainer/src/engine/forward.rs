use super::{Parameters, send};
use crate::net::{Activation, Conv, Graph, Node, NodeId, Norm, Op};
use tch::{Device, Kind, Tensor};

/// How a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch statistics, which also move the moving ones; dropout on.
    Train,
    /// Moving statistics, no dropout.
    Evaluate,
    /// Batch norm folded into the weights with its moving statistics, so that weights are what the
    /// exported file will hold; dropout off.
    Folded,
}

/// Looks at, or replaces, what flows through a graph: calibration and fake quantization.
pub trait Hook {
    /// The weight of a convolution or dense layer as it is about to be used.
    fn weight(&mut self, _id: NodeId, _node: &Node, weight: Tensor) -> Tensor {
        weight
    }
    /// Value before the activation.
    fn before_activation(&mut self, _id: NodeId, _node: &Node, value: Tensor) -> Tensor {
        value
    }
    /// A node's finished output.
    fn output(&mut self, _id: NodeId, _node: &Node, value: Tensor) -> Tensor {
        value
    }
}

/// Leaves everything as it is.
pub struct NoHook;
impl Hook for NoHook {}

/// Pixels [N, H, W, 3] in bytes to the network's input: f32 [N, 3, H, W] in [0, 1], channels-last in
/// memory because that is how the bytes lie already.
pub fn images_from_bytes(pixels: &[u8], [height, width]: [usize; 2], device: Device) -> Tensor {
    let per_image = height * width * 3;
    assert!(
        per_image > 0 && pixels.len().is_multiple_of(per_image),
        "whole images of {height}×{width}×3"
    );
    let shape = [pixels.len() / per_image, height, width, 3].map(|n| n as i64);
    send(&Tensor::from_data_size(pixels, &shape, Kind::Uint8), device)
        .permute([0, 3, 1, 2])
        .to_kind(Kind::Float)
        .divide_scalar_(255.0)
}

/// Runs an embedder on images [N, 3, S, S]; gives the 128 values before L2 normalisation, [N, 128].
pub fn forward(
    graph: &Graph,
    params: &Parameters,
    images: &Tensor,
    pass: Pass,
    hook: &mut dyn Hook,
) -> Tensor {
    embedding_of(&outputs(graph, params, images, pass, hook))
}

/// The values before L2 normalisation, [N, 128], among an embedder's outputs.
pub fn embedding_of(outputs: &[Tensor]) -> Tensor {
    outputs[0].flatten(1, -1)
}

/// Runs a graph on images [N, 3, H, W], of any height and width that its windows fit; gives the values
/// of its outputs, [N, C, h, w] each.
pub fn outputs(
    graph: &Graph,
    params: &Parameters,
    images: &Tensor,
    pass: Pass,
    hook: &mut dyn Hook,
) -> Vec<Tensor> {
    let mut readers = vec![0; graph.nodes.len()];
    graph.outputs.iter().for_each(|&id| readers[id] += 1);
    graph.nodes.iter().flat_map(|node| &node.inputs).for_each(|&i| readers[i] += 1);
    let mut values: Vec<Option<Tensor>> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let value = {
            let input =
                |i: usize| values[node.inputs[i]].as_ref().expect("computed before its readers");
            match &node.op {
                Op::Image => images.shallow_clone(),
                Op::Normalise { mean, std } => {
                    let row = |v: &[f32; 3]| {
                        send(&Tensor::from_slice(v).view([1, 3, 1, 1]), images.device())
                    };
                    ((input(0) - row(mean)) / row(std)).to_kind(input(0).kind())
                }
                Op::Conv(conv) => convolve(id, node, conv, params, input(0), pass, hook),
                Op::Dense { norm, .. } => {
                    dense(id, node, norm.as_ref(), params, input(0), pass, hook)
                }
                Op::MaxPool { kernel, stride } => {
                    let (k, s) = (*kernel as i64, *stride as i64);
                    input(0).max_pool2d([k, k], [s, s], [0, 0], [1, 1], false)
                }
                Op::GlobalAveragePool => whole_mean(input(0)),
                Op::Dropout { keep } => input(0).dropout(1.0 - keep, pass == Pass::Train),
                Op::Add { scale, activation } => {
                    let sum = match scale {
                        1.0 => input(0) + input(1),
                        s => input(0) + input(1) * f64::from(*s),
                    };
                    activate(hook.before_activation(id, node, sum), *activation)
                }
                Op::Concat => {
                    let all: Vec<_> = (0..node.inputs.len()).map(input).collect();
                    Tensor::cat(&all, 1)
                }
            }
        };
        let value = hook.output(id, node, value);
        values.push(Some(value));
        for &i in &node.inputs {
            readers[i] -= 1;
            if readers[i] == 0 {
                values[i] = None;
            }
        }
    }
    let output = |&id: &usize| values[id].take().expect("an output has a reader left");
    graph.outputs.iter().map(output).collect()
}

/// Mean over height and width, [N, C, 1, 1]. As a window as large as the map: the gradient of that is laid
/// out channels-last like all the others, where the gradient of a mean over two axes is not, and costs the
/// batch norm before it its fast path.
fn whole_mean(x: &Tensor) -> Tensor {
    let size = x.size();
    x.to_kind(Kind::Float).avg_pool2d([size[2], size[3]], [1, 1], [0, 0], false, true, None)
}

fn activate(mut x: Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::None => x,
        Activation::Relu => x.relu_(),
        Activation::Relu6 => x.relu6_(),
    }
}

/// Weight and bias with the batch norm folded in.
pub(super) fn folded(node: &Node, params: &Parameters, norm: Option<&Norm>) -> (Tensor, Tensor) {
    let of = |suffix: &str| params.find(&format!("{}.{suffix}", node.name));
    let weight = of("weight").expect("the node has a weight");
    let out = weight.size()[0];
    let zero = || Tensor::zeros([out], (Kind::Float, weight.device()));
    let bias = of("bias").map_or_else(zero, Tensor::shallow_clone);
    let Some(norm) = norm else { return (weight.shallow_clone(), bias) };
    let get = |suffix: &str| of(suffix).expect("a batch norm has its values");
    let inverse = (get("bn.running_var") + norm.epsilon).rsqrt();
    let factor = of("bn.weight").map_or_else(|| inverse.shallow_clone(), |scale| scale * &inverse);
    let mut shape = vec![1; weight.dim()];
    shape[0] = out;
    (weight * factor.view(&shape[..]), (bias - get("bn.running_mean")) * factor + get("bn.bias"))
}

fn normalise(node: &Node, params: &Parameters, norm: &Norm, x: &Tensor, pass: Pass) -> Tensor {
    let of = |suffix: &str| params.find(&format!("{}.{suffix}", node.name));
    // Without a factor, libtorch's CUDA backward gives the offset a gradient of no values.
    let one = || of("bn.bias").expect("a batch norm has an offset").detach().ones_like();
    let stand_in = (!norm.scale && x.device().is_cuda()).then(one);
    x.batch_norm(
        of("bn.weight").or(stand_in.as_ref()),
        of("bn.bias"),
        of("bn.running_mean"),
        of("bn.running_var"),
        pass == Pass::Train,
        1.0 - norm.momentum,
        norm.epsilon,
        true,
    )
}

fn convolve(
    id: NodeId,
    node: &Node,
    conv: &Conv,
    params: &Parameters,
    x: &Tensor,
    pass: Pass,
    hook: &mut dyn Hook,
) -> Tensor {
    let size = x.size();
    let shape = [size[1] as usize, size[2] as usize, size[3] as usize];
    let [[top, bottom], [left, right]] = conv.padding_of(shape).map(|p| p.map(|n| n as i64));
    let (stride, groups) = (conv.stride as i64, conv.groups as i64);
    let (padded, padding) = if top == bottom && left == right {
        (x.shallow_clone(), [top, left])
    } else {
        (x.constant_pad_nd([left, right, top, bottom]), [0, 0])
    };
    let run = |weight: &Tensor, bias: Option<&Tensor>| {
        padded.conv2d(weight, bias, [stride; 2], padding, [1, 1], groups)
    };
    let value = if pass == Pass::Folded {
        let (weight, bias) = folded(node, params, conv.norm.as_ref());
        let weight = hook.weight(id, node, weight);
        run(&weight, Some(&bias))
    } else {
        let weight = params.get(&format!("{}.weight", node.name)).to_kind(x.kind());
        let weight = hook.weight(id, node, weight);
        let bias = params.find(&format!("{}.bias", node.name)).map(|b| b.to_kind(x.kind()));
        let value = run(&weight, bias.as_ref());
        match &conv.norm {
            Some(norm) => normalise(node, params, norm, &value, pass),
            None => value,
        }
    };
    activate(hook.before_activation(id, node, value), conv.activation)
}

fn dense(
    id: NodeId,
    node: &Node,
    norm: Option<&Norm>,
    params: &Parameters,
    x: &Tensor,
    pass: Pass,
    hook: &mut dyn Hook,
) -> Tensor {
    // The embedding is worked out in f32, whatever the layers before it came in.
    let x = x.flatten(1, -1).to_kind(Kind::Float);
    let value = if pass == Pass::Folded {
        let (weight, bias) = folded(node, params, norm);
        let weight = hook.weight(id, node, weight);
        x.linear(&weight, Some(&bias))
    } else {
        let weight = params.get(&format!("{}.weight", node.name)).shallow_clone();
        let value = x.linear(&hook.weight(id, node, weight), None::<&Tensor>);
        match norm {
            Some(norm) => normalise(node, params, norm, &value, pass),
            None => value,
        }
    };
    let value = hook.before_activation(id, node, value);
    value.unsqueeze(-1).unsqueeze(-1)
}
