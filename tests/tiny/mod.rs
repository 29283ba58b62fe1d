//! The smallest network that keeps to the contract, and a set of synthetic faces, made for tests.

use facelatch::{
    align::template,
    embed::{Contract, EMBEDDING_LEN},
    model::weights_sha256,
};
use image::{Rgb, RgbImage};
use prost::Message;
use std::{fs, path::Path};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// The side of the tiny network's input.
pub const SIZE: u32 = 32;

/// Convolution, ReLU, mean over the picture, one matrix, length 1: colours in, a direction out.
pub fn model() -> ModelProto {
    let side = i64::from(SIZE);
    let graph = GraphProto {
        name: "tiny".into(),
        node: vec![
            node("Conv", &["image", "kernel"], "maps", vec![ints("kernel_shape", &[3, 3])]),
            node("Relu", &["maps"], "positive", vec![]),
            node("GlobalAveragePool", &["positive"], "means", vec![]),
            node("Reshape", &["means", "flat"], "features", vec![]),
            node("MatMul", &["features", "matrix"], "raw", vec![]),
            node("LpNormalization", &["raw"], "embedding", vec![int("axis", 1), int("p", 2)]),
        ],
        initializer: vec![
            floats("kernel", &[6, 3, 3, 3]),
            TensorProto {
                name: "flat".into(),
                dims: vec![2],
                data_type: DataType::Int64 as i32,
                raw_data: [0i64, 6].iter().flat_map(|v| v.to_le_bytes()).collect(),
                ..Default::default()
            },
            floats("matrix", &[6, EMBEDDING_LEN as i64]),
        ],
        input: vec![value("image", &[None, Some(3), Some(side), Some(side)])],
        output: vec![value("embedding", &[None, Some(EMBEDDING_LEN as i64)])],
        ..Default::default()
    };
    let contract = Contract {
        input_size: SIZE,
        backbone: "tiny".into(),
        alpha: 1.0,
        training_data: "none: a test".into(),
        metrics: "{}".into(),
        weights_sha256: weights_sha256(&graph).unwrap(),
        created: "2025-01-01T00:00:00Z".into(),
    };
    let props = contract.to_props().into_iter();
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        metadata_props: props.map(|(key, value)| StringStringEntryProto { key, value }).collect(),
        ..Default::default()
    }
}

pub fn write(model: &ModelProto, path: &Path) {
    fs::write(path, model.encode_to_vec()).unwrap();
}

/// A face is a colour: the hue says who, the brightness which picture of them.
pub fn face(person: usize, number: usize) -> RgbImage {
    let side = SIZE + 20;
    let strength = |channel: usize| if person % 3 == channel { 200 } else { 20 };
    RgbImage::from_fn(side, side, |x, y| {
        let grain = ((x * 7 + y * 13) % 17 + number as u32 * 5) as u8;
        Rgb([0, 1, 2].map(|c| strength(c) as u8 + grain))
    })
}

/// Writes `pairs.txt`, `landmarks.tsv` and `images/` of three people and `folds` folds below `dir`.
pub fn write_faces(dir: &Path, folds: usize) {
    let people = ["Ann", "Bob", "Cid"];
    let (mut pairs, mut landmarks) = (format!("{folds}\t3\n"), String::new());
    for fold in 0..folds {
        let (one, other) = (2 * fold + 1, 2 * fold + 2);
        people.iter().for_each(|p| pairs += &format!("{p}\t{one}\t{other}\n"));
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            pairs += &format!("{}\t{one}\t{}\t{other}\n", people[a], people[b]);
        }
    }
    for (who, name) in people.iter().enumerate() {
        let folder = dir.join("images").join(name);
        fs::create_dir_all(&folder).unwrap();
        for number in 1..=2 * folds {
            let file = format!("{name}_{number:04}.jpg");
            face(who, number).save(folder.join(&file)).unwrap();
            let points = template(SIZE).0.map(|[x, y]| format!("\t{}\t{}", x + 10.0, y + 10.0));
            landmarks += &format!("{name}/{file}{}\n", points.concat());
        }
    }
    fs::write(dir.join("pairs.txt"), pairs).unwrap();
    fs::write(dir.join("landmarks.tsv"), landmarks).unwrap();
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: output.into(),
        op_type: op.into(),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), ints: values.to_vec(), r#type, ..Default::default() }
}

/// Numbers that look random and are the same every time, −1 to 1.
fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as u32;
    let number = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        raw_data: (1..=count).flat_map(|i| number(i).to_le_bytes()).collect(),
        ..Default::default()
    }
}

fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    let size = |d: &Option<i64>| {
        d.map_or(dimension::Value::DimParam("N".into()), dimension::Value::DimValue)
    };
    let dim = dims.iter().map(|d| Dimension { value: Some(size(d)), ..Default::default() });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    let tensor = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: tensor, ..Default::default() }),
        ..Default::default()
    }
}
