//! The protobuf messages of ONNX, filled in by hand.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

/// Operator set of the files: the first with per-channel `DequantizeLinear`.
const OPSET: i64 = 13;

/// The newest format version that every reader of opset 13 accepts.
const IR_VERSION: i64 = 8;

/// The file's bytes; the same model always gives the same bytes.
pub fn to_bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// An attribute of a node: its name and integers, as a list where `true`.
pub(super) enum Attribute<'a> {
    /// One integer.
    Int(&'a str, i64),
    /// A list of integers.
    Ints(&'a str, Vec<i64>),
}

/// A graph being written: nodes and constants in the order in which they were added.
#[derive(Default)]
pub(super) struct Emitter {
    graph: GraphProto,
}

impl Emitter {
    /// Adds a node named after its output, and gives that name back.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: String,
        attributes: &[Attribute],
    ) -> String {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: output.clone(),
            input: inputs.iter().map(|&s| s.into()).collect(),
            output: vec![output.clone()],
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        output
    }

    /// Adds f32 values and gives their name back.
    pub fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, DataType::Float, bytes)
    }

    /// Adds i8 values and gives their name back.
    pub fn i8s(&mut self, name: String, dims: &[usize], values: &[i8]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, DataType::Int8, bytes)
    }

    /// Adds i32 values and gives their name back.
    pub fn i32s(&mut self, name: String, dims: &[usize], values: &[i32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, DataType::Int32, bytes)
    }

    /// Adds one u8 and gives its name back.
    pub fn u8(&mut self, name: String, value: u8) -> String {
        self.tensor(name, &[], DataType::Uint8, vec![value])
    }

    fn tensor(
        &mut self,
        name: String,
        dims: &[usize],
        kind: DataType,
        raw_data: Vec<u8>,
    ) -> String {
        if self.graph.initializer.iter().all(|t| t.name != name) {
            self.graph.initializer.push(TensorProto {
                name: name.clone(),
                dims: dims.iter().map(|&d| d as i64).collect(),
                data_type: kind as i32,
                raw_data,
                ..TensorProto::default()
            });
        }
        name
    }

    /// The model that maps `input`, an image of this height and width, to outputs of these shapes
    /// after the batch.
    pub fn finish(
        mut self,
        (input, [height, width]): (&str, [usize; 2]),
        outputs: &[(&str, Vec<usize>)],
        props: &[(String, String)],
    ) -> ModelProto {
        self.graph.name = "facelatch".into();
        self.graph.input = vec![value_info(input, &[3, height, width])];
        self.graph.output = outputs.iter().map(|(name, shape)| value_info(name, shape)).collect();
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: "facelatch-train".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            metadata_props: metadata(props),
            ..ModelProto::default()
        }
    }
}

/// Keys and values as a file's metadata.
pub fn metadata(props: &[(String, String)]) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): &(String, String)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    };
    props.iter().map(entry).collect()
}

fn attribute(attribute: &Attribute) -> AttributeProto {
    match attribute {
        Attribute::Int(name, i) => AttributeProto {
            name: (*name).into(),
            r#type: AttributeType::Int as i32,
            i: *i,
            ..AttributeProto::default()
        },
        Attribute::Ints(name, ints) => AttributeProto {
            name: (*name).into(),
            r#type: AttributeType::Ints as i32,
            ints: ints.clone(),
            ..AttributeProto::default()
        },
    }
}

/// A float value of this shape after the batch, whose size stays open as `N`.
fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let batch = Value::DimParam("N".into());
    let rest = shape.iter().map(|&d| Value::DimValue(d as i64));
    let dim = std::iter::once(batch)
        .chain(rest)
        .map(|value| Dimension { value: Some(value), ..Dimension::default() })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
