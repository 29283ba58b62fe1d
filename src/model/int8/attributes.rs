use crate::model::metadata::is_outside;
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

/// ONNX keeps numbers as raw bytes, little-endian, or in a field for their type; small integers share
/// the one for `i32`.
fn numbers<const N: usize, T: Copy>(
    tensor: &TensorProto,
    kind: DataType,
    read: fn([u8; N]) -> T,
    field: impl FnOnce(&TensorProto) -> Option<Vec<T>>,
) -> Option<Vec<T>> {
    if is_outside(tensor)
        || tensor.data_type != kind as i32
        || !tensor.raw_data.len().is_multiple_of(N)
    {
        return None;
    }
    if tensor.raw_data.is_empty() {
        return field(tensor);
    }
    Some(tensor.raw_data.as_chunks::<N>().0.iter().map(|&bytes| read(bytes)).collect())
}

fn integers<T: TryFrom<i32>>(tensor: &TensorProto) -> Option<Vec<T>> {
    tensor.int32_data.iter().map(|&i| T::try_from(i).ok()).collect()
}

impl Numbers for f32 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        numbers(tensor, DataType::Float, Self::from_le_bytes, |t| Some(t.float_data.clone()))
    }
}

impl Numbers for i8 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        numbers(tensor, DataType::Int8, Self::from_le_bytes, integers)
    }
}

impl Numbers for u8 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        numbers(tensor, DataType::Uint8, Self::from_le_bytes, integers)
    }
}

impl Numbers for i32 {
    fn of(tensor: &TensorProto) -> Option<Vec<Self>> {
        numbers(tensor, DataType::Int32, Self::from_le_bytes, integers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_raw_or_from_their_field_and_from_nowhere_else() {
        let raw = TensorProto {
            data_type: DataType::Int8 as i32,
            raw_data: vec![255, 3],
            ..Default::default()
        };
        let field = TensorProto {
            data_type: DataType::Int8 as i32,
            int32_data: vec![-1, 3],
            ..Default::default()
        };
        assert_eq!(i8::of(&raw), Some(vec![-1, 3]));
        assert_eq!(i8::of(&field), Some(vec![-1, 3]));
        assert_eq!(u8::of(&raw), None);
        assert_eq!(i8::of(&TensorProto { int32_data: vec![300], ..field }), None);
        assert_eq!(i8::of(&TensorProto { data_location: Some(1), ..raw }), None);
    }
}
