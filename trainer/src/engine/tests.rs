use super::*;
use crate::{
    loss::unit,
    net::{Architecture, Backbone, Graph, Node, NodeId},
    onnx::{
        self,
        testing::{Random, distance, params},
    },
};
use facelatch::{
    embed::{Contract, Network},
    model::weights_sha256,
};
use image::RgbImage;
use tch::{Device, Tensor};

/// Every backbone, narrow, and the teacher as published.
fn networks() -> [(&'static str, Graph); 4] {
    let small = |backbone, input_size| {
        Architecture { backbone, input_size, alpha: 0.25, dropout_keep: 0.4 }.graph().unwrap()
    };
    [
        ("mobilenet", small(Backbone::Mobilenet, 112)),
        ("mobilefacenet", small(Backbone::Mobilefacenet, 112)),
        ("inception_resnet_v1", small(Backbone::InceptionResnetV1, 112)),
        ("teacher", Architecture::teacher()),
    ]
}

/// Random parameters as a trained network has them, for libtorch and for the ONNX writer.
fn random(graph: &Graph) -> (Parameters, onnx::Params) {
    let values = params(graph, 11);
    let ours = Parameters::new(graph, &[], 0, Device::Cpu);
    let named = graph.params().into_iter().map(|spec| {
        let values = values[&spec.name].clone();
        (spec.name, (spec.shape, values))
    });
    assert!(ours.import("", &named.collect()).is_empty());
    (ours, values)
}

/// `count` pictures of stripes and noise.
fn pictures(side: u32, count: u64) -> Vec<RgbImage> {
    let picture = |seed| {
        let mut random = Random::new(seed);
        let slope = [0, 1, 2].map(|_| (random.uniform() - 0.5, random.uniform() - 0.5));
        RgbImage::from_fn(side, side, |x, y| {
            image::Rgb(slope.map(|(across, down)| {
                let wave = (x as f32 * across + y as f32 * down).sin();
                (128.0 + 90.0 * wave + 12.0 * random.normal()).clamp(0.0, 255.0) as u8
            }))
        })
    };
    (0..count).map(picture).collect()
}

fn tensor_of(pictures: &[RgbImage]) -> Tensor {
    let bytes: Vec<u8> = pictures.iter().flat_map(|p| p.as_raw()).copied().collect();
    images_from_bytes(&bytes, [pictures[0].width() as usize; 2], Device::Cpu)
}

fn embed(graph: &Graph, params: &Parameters, images: &Tensor, pass: Pass) -> Vec<f32> {
    to_vec(&unit(&tch::no_grad(|| forward(graph, params, images, pass, &mut NoHook))))
}

/// The network as the door would load it from an exported file.
fn exported(graph: &Graph, values: &onnx::Params) -> Network {
    let mut model = onnx::write(graph, &onnx::fold(graph, values).unwrap(), &[]).unwrap();
    let contract = Contract {
        input_size: graph.input_size() as u32,
        backbone: "test".into(),
        alpha: 0.25,
        training_data: "none: a test".into(),
        metrics: "{}".into(),
        weights_sha256: weights_sha256(model.graph.as_ref().unwrap()).unwrap(),
        created: "2025-01-01T00:00:00Z".into(),
    };
    model.metadata_props = onnx::metadata(&contract.to_props());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("network.onnx");
    std::fs::write(&path, onnx::to_bytes(&model)).unwrap();
    Network::load(&path).unwrap()
}

#[test]
fn libtorch_folded_weights_and_the_doors_engine_agree_on_every_backbone() {
    for (name, graph) in networks() {
        let (params, values) = random(&graph);
        let pictures = pictures(graph.input_size() as u32, 3);
        let images = tensor_of(&pictures);
        let trained = embed(&graph, &params, &images, Pass::Evaluate);
        let folded = embed(&graph, &params, &images, Pass::Folded);
        assert!(
            distance(&trained, &folded) < 1e-4,
            "{name}, folded: {}",
            distance(&trained, &folded)
        );
        let network = exported(&graph, &values);
        for (picture, trained) in pictures.iter().zip(trained.chunks_exact(128)) {
            let door = network.embed(picture).unwrap();
            let distance = distance(trained, door.values());
            assert!(distance < 1e-4, "{name}, at the door: {distance}");
        }
    }
}

/// Names the maps that do not lie channels-last in memory.
#[derive(Default)]
struct Layout {
    maps: usize,
    other: Vec<String>,
}

impl Hook for Layout {
    fn output(&mut self, _id: NodeId, node: &Node, value: Tensor) -> Tensor {
        let (size, stride) = (value.size(), value.stride());
        if size[1] > 1 && size[2] > 1 {
            self.maps += 1;
            let expected = [size[1] * size[2] * size[3], 1, size[1] * size[3], size[1]];
            if stride != expected {
                self.other.push(format!("{}: {size:?} by {stride:?}", node.name));
            }
        }
        value
    }
}

#[test]
fn the_trunk_stays_channels_last_in_every_pass() {
    for (name, graph) in networks() {
        let (params, _) = random(&graph);
        let images = tensor_of(&pictures(graph.input_size() as u32, 2));
        for pass in [Pass::Train, Pass::Evaluate, Pass::Folded] {
            let mut layout = Layout::default();
            _ = tch::no_grad(|| forward(&graph, &params, &images, pass, &mut layout));
            assert!(layout.maps > 10, "{name}: {} maps", layout.maps);
            assert!(layout.other.is_empty(), "{name}, {pass:?}: {:#?}", layout.other);
        }
    }
}
