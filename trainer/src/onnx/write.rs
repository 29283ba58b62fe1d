//! The network in f32.

use super::layers::{self, INPUT, OUTPUT};
use super::proto::Emitter;
use super::{Error, Folded, Layer, fold::check};
use crate::net::{Activation, Graph, Node, NodeId, Op};
use tract_onnx::pb::ModelProto;

/// The f32 model, with `props` as its metadata: `image` [N, 3, H, W], RGB in [0, 1] → of an embedder
/// `embedding` [N, 128] of unit length, of a detector each output convolution by its node's name.
/// Opset 13; dropout is left out.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Length`] where the layers are not the graph's, and
/// [`Error::Unsupported`] for outputs that are neither one dense layer nor convolutions without
/// activation.
pub fn write(
    graph: &Graph,
    folded: &Folded,
    props: &[(String, String)],
) -> Result<ModelProto, Error> {
    let mut e = Emitter::default();
    let mut values: Vec<String> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let inputs: Vec<_> = node.inputs.iter().map(|&i| values[i].clone()).collect();
        values.push(emit(&mut e, graph, id, node, folded, &inputs)?);
    }
    finish(e, graph, &values[graph.outputs[0]], props)
}

/// Closes the file; `first` is the first output's value, which of an embedder gets its L2 norm.
pub(super) fn finish(
    mut e: Emitter,
    graph: &Graph,
    first: &str,
    props: &[(String, String)],
) -> Result<ModelProto, Error> {
    let sides = graph.input_sides();
    if let (Op::Dense { out, .. }, [_]) = (&graph.output().op, &graph.outputs[..]) {
        layers::unit_length(&mut e, first);
        return Ok(e.finish((INPUT, sides), &[(OUTPUT, vec![*out])], props));
    }
    let outputs: Vec<_> = graph.outputs.iter().map(|&id| &graph.nodes[id]).collect();
    let plain = |node: &&Node| matches!(&node.op, Op::Conv(c) if c.activation == Activation::None);
    if let Some(node) = outputs.iter().find(|node| !plain(node)) {
        let problem = "outputs are one dense layer, or convolutions without activation";
        return Err(Error::Unsupported { node: node.name.clone(), problem });
    }
    let outputs: Vec<_> =
        outputs.iter().map(|node| (node.name.as_str(), node.shape.to_vec())).collect();
    Ok(e.finish((INPUT, sides), &outputs, props))
}

/// Name of what a convolution gives before its activation: of an output, the output's.
pub(super) fn sum_name(graph: &Graph, id: NodeId, node: &Node) -> String {
    match (&node.op, graph.is_output(id)) {
        (Op::Conv(_), true) => node.name.clone(),
        _ => format!("{}.sum", node.name),
    }
}

/// Name of a node's value, which must be neither the graph's input nor its output.
pub(super) fn value_name(node: &Node) -> String {
    format!("{}.value", node.name)
}

/// The layer of a node.
pub(super) fn layer_of<'a>(
    graph: &Graph,
    node: &Node,
    folded: &'a Folded,
) -> Result<&'a Layer, Error> {
    let layer = folded.get(&node.name).ok_or_else(|| Error::Missing(node.name.clone()))?;
    let spec = &graph.params_of(node)[0];
    check(&spec.name, &layer.weight, spec.count())?;
    check(&format!("{}.bias", node.name), &layer.bias, spec.shape[0])?;
    Ok(layer)
}

fn emit(
    e: &mut Emitter,
    graph: &Graph,
    id: NodeId,
    node: &Node,
    folded: &Folded,
    inputs: &[String],
) -> Result<String, Error> {
    let name = value_name(node);
    Ok(match &node.op {
        Op::Image => INPUT.into(),
        Op::Dropout { .. } => inputs[0].clone(),
        Op::Normalise { mean, std } => layers::normalise(e, &inputs[0], name, (mean, std)),
        Op::MaxPool { kernel, stride } => layers::max_pool(e, &inputs[0], name, *kernel, *stride),
        Op::Concat => layers::concat(e, inputs, name),
        Op::GlobalAveragePool => e.node("GlobalAveragePool", &[&inputs[0]], name, &[]),
        Op::Conv(conv) => {
            let [weight, bias] = floats(e, node, layer_of(graph, node, folded)?);
            let sum = sum_name(graph, id, node);
            let sum =
                layers::conv(e, [&inputs[0], &weight, &bias], sum, conv, graph.input_shape(node));
            layers::activation(e, sum, name, conv.activation)
        }
        Op::Dense { .. } => {
            let [weight, bias] = floats(e, node, layer_of(graph, node, folded)?);
            layers::dense(e, [&inputs[0], &weight, &bias], name)
        }
        Op::Add { scale, activation } => {
            let mut second = inputs[1].clone();
            if *scale != 1.0 {
                let factor = e.floats(format!("{}.scale", node.name), &[], &[*scale]);
                second = e.node("Mul", &[&second, &factor], format!("{}.scaled", node.name), &[]);
            }
            let sum = e.node("Add", &[&inputs[0], &second], format!("{}.sum", node.name), &[]);
            layers::activation(e, sum, name, *activation)
        }
    })
}

/// A layer's weight and bias as f32 constants.
fn floats(e: &mut Emitter, node: &Node, layer: &Layer) -> [String; 2] {
    [
        e.floats(format!("{}.weight", node.name), &layer.shape, &layer.weight),
        e.floats(format!("{}.bias", node.name), &[layer.out()], &layer.bias),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Architecture, Backbone};
    use crate::onnx::testing::{calibrate, distance, image, params, tract};
    use crate::onnx::{Method, fold, quantize, reference, to_bytes};

    fn example(backbone: Backbone, input_size: usize, alpha: f64) -> (Graph, Folded) {
        let graph =
            Architecture { backbone, input_size, alpha, dropout_keep: 0.4 }.graph().unwrap();
        let folded = fold(&graph, &params(&graph, 7)).unwrap();
        (graph, folded)
    }

    #[test]
    fn tract_reads_the_file_as_the_graph_means_it() {
        let teacher = Architecture::teacher();
        let folded = fold(&teacher, &params(&teacher, 7)).unwrap();
        for (name, (graph, folded)) in [
            ("mobilenet 64", example(Backbone::Mobilenet, 64, 0.25)),
            ("mobilenet 112", example(Backbone::Mobilenet, 112, 0.25)),
            ("mobilefacenet 80", example(Backbone::Mobilefacenet, 80, 0.25)),
            ("inception_resnet_v1 112", example(Backbone::InceptionResnetV1, 112, 0.25)),
            ("teacher", (teacher, folded)),
        ] {
            let model = write(&graph, &folded, &[]).unwrap();
            let image = image(graph.input_sides(), 3);
            let expected = reference::embedding(&reference::run(&graph, &folded, &image));
            let got = tract(&model, graph.input_sides())(&image);
            assert!((got.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5, "{name}");
            let distance = distance(&got, &expected);
            assert!(distance < 1e-4, "{name}: {distance}");
        }
    }

    #[test]
    fn the_batch_stays_open_and_mixes_no_images() {
        use tract_onnx::prelude::*;
        let (graph, folded) = example(Backbone::Mobilenet, 64, 0.25);
        let calibration = calibrate(&graph, &folded, 0..2, Method::MinMax);
        for model in [
            write(&graph, &folded, &[]).unwrap(),
            quantize(&graph, &folded, &calibration, None, &[]).unwrap(),
        ] {
            let plan = tract_onnx::onnx()
                .model_for_read(&mut to_bytes(&model).as_slice())
                .and_then(|m| m.into_optimized())
                .and_then(|m| m.into_runnable())
                .unwrap();
            let images: Vec<_> = (0..3).map(|seed| image([64; 2], seed)).collect();
            let input = Tensor::from_shape(&[3, 3, 64, 64], &images.concat()).unwrap();
            let batch = plan.run(tvec!(input.into())).unwrap();
            let single = tract(&model, [64; 2]);
            let expected: Vec<f32> = images.iter().flat_map(|image| single(image)).collect();
            let batch: Vec<f32> =
                batch[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect();
            assert!(distance(&batch, &expected) < 5e-3);
        }
    }

    #[test]
    fn the_same_network_gives_the_same_bytes_and_keeps_its_metadata() {
        let (graph, folded) = example(Backbone::Mobilenet, 64, 0.25);
        let props = [("b".to_string(), "2".to_string()), ("a".into(), "1".into())];
        let model = write(&graph, &folded, &props).unwrap();
        assert_eq!(to_bytes(&model), to_bytes(&write(&graph, &folded, &props).unwrap()));
        let kept: Vec<_> =
            model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect();
        assert_eq!(kept, props);
    }

    #[test]
    fn layers_of_another_network_are_refused() {
        let (graph, _) = example(Backbone::Mobilenet, 64, 0.25);
        let (_, other) = example(Backbone::Mobilenet, 64, 0.5);
        assert!(matches!(write(&graph, &other, &[]), Err(Error::Length { .. })));
        assert_eq!(write(&graph, &Folded::new(), &[]), Err(Error::Missing("conv1".into())));
    }
}
