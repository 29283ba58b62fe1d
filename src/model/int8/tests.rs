//! Small networks written down by hand, on our kernels and on tract alone.

use crate::model::{Plan, int8::find};
use facelatch_kernels::Pool;
use std::{path::Path, sync::Arc};
use tract_onnx::{
    pb::{
        AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
        TensorShapeProto, TypeProto, ValueInfoProto,
        attribute_proto::AttributeType,
        tensor_proto::DataType,
        tensor_shape_proto::{Dimension, dimension},
        type_proto,
    },
    prelude::*,
};

/// Width and height of the pictures.
const SIZE: [usize; 2] = [13, 10];

#[derive(Default, Clone)]
struct Graph(GraphProto);

impl Graph {
    fn constant(&mut self, name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) {
        self.0.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            raw_data,
            ..Default::default()
        });
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) {
        let attribute = |&(name, values): &(&str, &[i64])| AttributeProto {
            name: name.into(),
            ints: values.to_vec(),
            i: values[0],
            r#type: if matches!(name, "group" | "axis") {
                AttributeType::Int as i32
            } else {
                AttributeType::Ints as i32
            },
            ..Default::default()
        };
        self.0.node.push(NodeProto {
            name: output.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            attribute: ints.iter().map(attribute).collect(),
            ..Default::default()
        });
    }

    /// Quantizes `from` and takes it up again as `to`.
    fn there_and_back(&mut self, from: &str, to: &str, scale: f32, zero: u8) {
        let name = |what: &str| format!("{to}.{what}");
        self.constant(&name("scale"), &[], DataType::Float, scale.to_le_bytes().to_vec());
        self.constant(&name("zero"), &[], DataType::Uint8, vec![zero]);
        let steps = [name("scale"), name("zero")];
        let bytes = name("bytes");
        self.node("QuantizeLinear", &[from, &steps[0], &steps[1]], &bytes, &[]);
        self.node("DequantizeLinear", &[&bytes, &steps[0], &steps[1]], to, &[]);
    }

    /// A convolution of `from` whose weights look random; `dims` as ONNX has them.
    fn conv(
        &mut self,
        from: &str,
        to: &str,
        dims: [usize; 4],
        in_scale: f32,
        ints: &[(&str, &[i64])],
    ) {
        let name = |what: &str| format!("{to}.{what}");
        let count = dims.iter().product::<usize>();
        let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as i32 % 255 - 127;
        self.constant(
            &name("w8"),
            &dims,
            DataType::Int8,
            (0..count).map(|i| number(i) as u8).collect(),
        );
        let scales: Vec<f32> = (0..dims[0]).map(|i| 0.004 + i as f32 * 0.0005).collect();
        let raw = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.constant(&name("ws"), &[dims[0]], DataType::Float, raw(&scales));
        self.constant(&name("wz"), &[dims[0]], DataType::Int8, vec![0; dims[0]]);
        let bias = (0..dims[0]).flat_map(|i| (i as i32 * 300 - 500).to_le_bytes()).collect();
        self.constant(&name("b32"), &[dims[0]], DataType::Int32, bias);
        let sums: Vec<f32> = scales.iter().map(|s| s * in_scale).collect();
        self.constant(&name("bs"), &[dims[0]], DataType::Float, raw(&sums));
        self.constant(&name("bz"), &[dims[0]], DataType::Int32, vec![0; 4 * dims[0]]);
        let [w8, ws, wz, b32, bs, bz] = ["w8", "ws", "wz", "b32", "bs", "bz"].map(name);
        self.node("DequantizeLinear", &[&w8, &ws, &wz], &name("w"), &[("axis", &[0])]);
        self.node("DequantizeLinear", &[&b32, &bs, &bz], &name("b"), &[("axis", &[0])]);
        self.node("Conv", &[from, &name("w"), &name("b")], to, ints);
    }

    /// Colours to six maps, depthwise at stride 2 with TensorFlow's padding, to twenty maps cut at 0
    /// and 3; the shape of a MobileNet.
    fn trunk() -> Self {
        let mut g = Self::default();
        g.there_and_back("image", "a", 1.0 / 255.0, 0);
        g.conv("a", "b", [6, 3, 3, 3], 1.0 / 255.0, &[("pads", &[1, 1, 1, 1])]);
        g.there_and_back("b", "c", 0.03, 100);
        let pads: &[i64] = &[0, 0, 1, 1];
        g.conv(
            "c",
            "d",
            [6, 1, 3, 3],
            0.03,
            &[("group", &[6]), ("strides", &[2, 2]), ("pads", pads)],
        );
        g.node("Relu", &["d"], "e", &[]);
        g.there_and_back("e", "f", 0.02, 0);
        g.conv("f", "g", [20, 6, 1, 1], 0.02, &[]);
        g.constant("0", &[], DataType::Float, 0f32.to_le_bytes().to_vec());
        g.constant("3", &[], DataType::Float, 3f32.to_le_bytes().to_vec());
        g.node("Clip", &["g", "0", "3"], "h", &[]);
        g.there_and_back("h", "i", 0.02, 0);
        g
    }

    fn model(mut self, output: &str) -> ModelProto {
        let [width, height] = SIZE;
        let dims = [1, 3, height, width].map(|d| Dimension {
            value: Some(dimension::Value::DimValue(d as i64)),
            ..Default::default()
        });
        let tensor = type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(TensorShapeProto { dim: dims.to_vec() }),
        };
        let r#type =
            TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        let value =
            |name: &str, r#type| ValueInfoProto { name: name.into(), r#type, ..Default::default() };
        self.0.input = vec![value("image", Some(r#type))];
        self.0.output = vec![value(output, None)];
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
            graph: Some(self.0),
            ..Default::default()
        }
    }
}

fn picture() -> Vec<u8> {
    (0..SIZE[0] * SIZE[1] * 3).map(|i| (i * i * 31 + i * 7) as u8).collect()
}

/// What tract alone makes of it.
fn stock(model: &ModelProto) -> Vec<f32> {
    let [width, height] = SIZE;
    let pixels = picture();
    let planes: Vec<f32> = (0..3)
        .flat_map(|c| pixels.iter().skip(c).step_by(3).map(|&b| f32::from(b) / 255.0))
        .collect();
    let plan = tract_onnx::onnx()
        .model_for_proto_model(model)
        .and_then(|m| m.with_input_fact(0, f32::fact([1, 3, height, width]).into()))
        .and_then(|m| m.into_optimized()?.into_runnable())
        .unwrap();
    let input = Tensor::from_shape(&[1, 3, height, width], &planes).unwrap();
    let output = plan.run(tvec!(input.into())).unwrap().remove(0);
    output.to_plain_array_view::<f32>().unwrap().iter().copied().collect()
}

/// What our plan makes of it, and how many of its convolutions ran on bytes.
fn ours(model: &ModelProto, shape: &[usize]) -> (Vec<f32>, usize) {
    let taken = find(model.graph.as_ref().unwrap(), SIZE).map_or(0, |r| r.taken);
    let pool = Arc::new(Pool::new(2));
    let plan = Plan::new(Path::new("a test"), model.clone(), SIZE, &[shape], &pool).unwrap();
    let output = plan.run(&picture()).unwrap().remove(0);
    (output.to_plain_array_view::<f32>().unwrap().iter().copied().collect(), taken)
}

#[test]
fn networks_give_what_they_give_on_tract_alone_as_far_as_they_run_on_bytes() {
    type Case = (&'static str, fn(&mut Graph) -> &'static str, &'static [usize], usize, f32);
    // `step` is what one byte of the last map stands for in the output: sums that lie between two
    // steps may be rounded either way, and f32 sums do not lie where integers do.
    let cases: [Case; 5] = [
        ("a map taken up again", |_| "i", &[1, 20, 5, 6], 3, 0.02),
        (
            "the mean",
            |g| {
                g.node("GlobalAveragePool", &["i"], "j", &[]);
                "j"
            },
            &[1, 20, 1, 1],
            3,
            0.02,
        ),
        (
            "floats",
            |g| {
                g.conv("i", "j", [5, 20, 1, 1], 0.02, &[]);
                "j"
            },
            &[1, 5, 5, 6],
            4,
            0.1,
        ),
        (
            "something else in between",
            |g| {
                g.node("Sigmoid", &["i"], "j", &[]);
                g.there_and_back("j", "k", 1.0 / 255.0, 0);
                g.conv("k", "l", [5, 20, 1, 1], 1.0 / 255.0, &[]);
                "l"
            },
            &[1, 5, 5, 6],
            3,
            0.2,
        ),
        (
            "a sum of two maps",
            |g| {
                g.conv("i", "j", [20, 20, 1, 1], 0.02, &[]);
                g.there_and_back("j", "k", 0.1, 9);
                g.node("Add", &["i", "k"], "l", &[]);
                "l"
            },
            &[1, 20, 5, 6],
            4,
            0.1,
        ),
    ];
    for (what, build, shape, taken, step) in cases {
        let mut graph = Graph::trunk();
        let output = build(&mut graph);
        let model = graph.model(output);
        let (wanted, (found, on_bytes)) = (stock(&model), ours(&model, shape));
        assert_eq!(on_bytes, taken, "{what}");
        assert_eq!(wanted.len(), found.len(), "{what}");
        let (mut off, mut spread) = (0, (f32::MAX, f32::MIN));
        for (wanted, found) in wanted.iter().zip(&found) {
            assert!((wanted - found).abs() <= step * 1.01, "{what}: {found} in place of {wanted}");
            off += usize::from((wanted - found).abs() > 1e-4);
            spread = (spread.0.min(*wanted), spread.1.max(*wanted));
        }
        assert!(off * 20 <= wanted.len(), "{what}: {off} of {} differ", wanted.len());
        assert!(spread.1 - spread.0 > 10.0 * step.min(0.02), "{what}: says nothing ({spread:?})");
    }
}

#[test]
fn what_is_not_understood_is_left_to_tract() {
    type Change = (&'static str, fn(&mut GraphProto));
    let cases: [Change; 6] = [
        ("weights with a zero", |g| set(g, "b.wz", |t| t.raw_data[2] = 1)),
        ("a scale that is none", |g| {
            set(g, "c.scale", |t| t.raw_data = f32::NAN.to_le_bytes().to_vec())
        }),
        ("weights cut short", |g| set(g, "b.w8", |t| t.raw_data.truncate(20))),
        ("weights of an absurd shape", |g| set(g, "b.w8", |t| t.dims = vec![i64::MAX; 4])),
        ("scales cut short", |g| set(g, "b.ws", |t| t.raw_data.truncate(8))),
        ("a node without inputs", |g| g.node.iter_mut().for_each(|n| n.input.clear())),
    ];
    for (what, change) in cases {
        let mut model = Graph::trunk().model("i");
        let graph = model.graph.as_mut().unwrap();
        assert!(find(graph, SIZE).is_some());
        change(graph);
        assert!(find(graph, SIZE).is_none(), "{what}");
    }
}

fn set(graph: &mut GraphProto, name: &str, change: fn(&mut TensorProto)) {
    graph.initializer.iter_mut().filter(|t| t.name == name).for_each(change);
}
