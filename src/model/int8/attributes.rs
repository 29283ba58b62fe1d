use tract_onnx::pb::{NodeProto, TensorProto, tensor_proto::DataType};

/// The integers of an attribute, or `default` where it is not there.
pub fn ints(node: &NodeProto, name: &str, default: &[i64]) -> Vec<usize> {
    let found = node.attribute.iter().find(|a| a.name == name);
    let ints = found.map_or(default, |a| &a.ints);
    ints.iter().map(|&i| usize::try_from(i).unwrap_or(usize::MAX)).collect()
}

/// The integer of an attribute, or `default` where it is not there.
pub fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|a| a.name == name).map_or(default, |a| a.i)
}

/// A tensor's numbers; nothing where it is of another type or kept in another way.
pub trait Numbers: Sized {
    /// The numbers of `tensor`.
    fn of(tensor: &TensorProto) -> Option<Vec<Self>>;
}

fn raw<const N: usize, T>(
    t: &TensorProto,
    kind: DataType,
    read: fn([u8; N]) -> T,
) -> Option<Vec<T>> {
    let whole = t.data_type == kind as i32 && t.raw_data.len().is_multiple_of(N);
    let inside = t.external_data.is_empty() && t.data_location.unwrap_or(0) == 0;
    (whole && inside).then(|| t.raw_data.as_chunks::<N>().0.iter().map(|&b| read(b)).collect())
}

impl Numbers for f32 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        let raw = raw(tensor, DataType::Float, f32::from_le_bytes)?;
        Some(if raw.is_empty() { tensor.float_data.clone() } else { raw })
    }
}

impl Numbers for i8 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        raw(tensor, DataType::Int8, i8::from_le_bytes)
    }
}

impl Numbers for u8 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        raw(tensor, DataType::Uint8, u8::from_le_bytes)
    }
}

impl Numbers for i32 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        raw(tensor, DataType::Int32, i32::from_le_bytes)
    }
}
