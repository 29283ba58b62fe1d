//! A network's file, from its bytes to an embedding.

#[allow(dead_code)]
mod tiny;

use facelatch::{
    embed::{Embedder, Network},
    model::NetworkError,
};
use image::RgbImage;
use std::path::Path;
use tract_onnx::pb::ModelProto;

fn load(change: impl FnOnce(&mut ModelProto)) -> Result<Network, NetworkError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.onnx");
    let mut model = tiny::model();
    change(&mut model);
    tiny::write(&model, &path);
    Network::load(&path)
}

fn crop(person: usize) -> RgbImage {
    image::imageops::crop_imm(&tiny::face(person, 1), 10, 10, tiny::SIZE, tiny::SIZE).to_image()
}

#[test]
fn a_network_loads_and_embeds_alone_and_in_parallel_alike() {
    let mut network = load(|_| {}).unwrap();
    assert_eq!(network.contract().backbone, "tiny");
    assert_eq!(network.input_size(), tiny::SIZE);
    let crops: Vec<RgbImage> = (0..9).map(crop).collect();
    let together = network.embed_all(&crops).unwrap();
    for (one, embedding) in crops.iter().zip(&together) {
        assert_eq!(&network.embed(one).unwrap(), embedding);
    }
    assert!(together[0].cosine(&together[3]).0 > 0.999, "the same colour");
    assert!(together[0].cosine(&together[1]).0 < 0.99, "another colour");
}

#[test]
fn the_first_channel_is_red_and_a_byte_counts_from_0_to_1() {
    // The mean of each channel, in the first three of 128 numbers.
    let network = load(|model| {
        let graph = model.graph.as_mut().unwrap();
        graph.node.drain(..2);
        graph.node[0].input[0] = "image".into();
        graph.initializer.remove(0);
        graph.initializer[0].raw_data = [0i64, 3].iter().flat_map(|v| v.to_le_bytes()).collect();
        graph.initializer[1].dims[0] = 3;
        let unit = |i: usize| if i % 128 == i / 128 { 1f32 } else { 0.0 };
        graph.initializer[1].raw_data = (0..3 * 128).flat_map(|i| unit(i).to_le_bytes()).collect();
        let hash = facelatch::model::weights_sha256(graph).unwrap();
        let props = model.metadata_props.iter_mut();
        props.filter(|p| p.key == "facelatch.weights_sha256").for_each(|p| p.value = hash.clone());
    })
    .unwrap();
    let orange = RgbImage::from_pixel(tiny::SIZE, tiny::SIZE, image::Rgb([240, 120, 80]));
    let values = network.embed(&orange).unwrap().values()[..4].to_vec();
    let expected = [6.0 / 7.0, 3.0 / 7.0, 2.0 / 7.0, 0.0];
    let off = values.iter().zip(expected).map(|(v, e): (&f32, f32)| (v - e).abs());
    assert!(off.fold(0.0, f32::max) < 1e-5, "{values:?}");
}

#[test]
fn a_file_that_breaks_the_contract_is_refused_with_its_name_and_a_way_out() {
    type Change = fn(&mut ModelProto);
    let short: Change = |m| {
        graph(m).output[0].name = "embedding".into();
        graph(m).node.pop();
        graph(m).node.pop();
        graph(m).node.last_mut().unwrap().output[0] = "embedding".into();
    };
    let unmade: Change = |m| graph(m).node.last_mut().unwrap().output[0] = "y".into();
    let cases: [(&str, Change, &str); 7] = [
        ("six numbers", short, "[1, 128]"),
        ("no metadata", |m| m.metadata_props.clear(), "no `facelatch.contract`"),
        ("a flipped bit", |m| graph(m).initializer[0].raw_data[5] ^= 1, "copy the file again"),
        ("another input", |m| graph(m).input[0].name = "x".into(), "`image`"),
        ("another output", |m| graph(m).output[0].name = "y".into(), "`embedding`"),
        ("an output that nothing makes", unmade, "nothing makes its output `embedding`"),
        ("an unknown operator", |m| graph(m).node[1].op_type = "Nope".into(), "not a network"),
    ];
    for (name, change, part) in cases {
        let error = load(change).err().unwrap_or_else(|| panic!("{name} was accepted")).to_string();
        assert!(error.contains("tiny.onnx") && error.contains(part), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
    }
}

fn graph(model: &mut ModelProto) -> &mut tract_onnx::pb::GraphProto {
    model.graph.as_mut().unwrap()
}

#[test]
fn what_is_no_onnx_or_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("junk.onnx");
    assert!(matches!(Network::load(&path), Err(NetworkError::Read { .. })));
    std::fs::write(&path, b"\xff\xff\xff junk").unwrap();
    assert!(matches!(Network::load(&path), Err(NetworkError::Unusable { .. })));
    assert!(Network::load(Path::new("/")).is_err());
}

#[test]
fn a_crop_of_another_size_is_refused() {
    let network = load(|_| {}).unwrap();
    let error = network.embed(&RgbImage::new(112, 112)).unwrap_err();
    assert!(error.to_string().contains("112x112"), "{error}");
}
