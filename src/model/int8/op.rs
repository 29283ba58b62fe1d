use super::region::{Bytes, Kind};
use facelatch_kernels::{Net, Run};
use std::sync::Arc;
use tract_core::internal::*;

/// A whole region of convolutions as one operation of a tract plan: the bytes of a picture in, u8
/// [1, height, width, 3]; f32 maps out, [1, channels, height, width].
#[derive(Clone)]
pub struct BytesOp(Arc<Inside>);

struct Inside {
    net: Net,
    outputs: Vec<Kind>,
    /// Nothing where every byte stays what it is.
    table: Option<[u8; 256]>,
}

impl BytesOp {
    /// An operation that runs `net` and gives the maps `outputs`, all of which must be kept by it.
    pub fn new(net: Net, outputs: Vec<Kind>, table: [u8; 256]) -> Self {
        let table = Some(table).filter(|t| t.iter().enumerate().any(|(i, &b)| i != usize::from(b)));
        Self(Arc::new(Inside { net, outputs, table }))
    }

    /// The network inside.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    fn shape(&self, kind: &Kind) -> [usize; 4] {
        let [height, width, channels] = self.0.net.size(kind.map());
        [1, channels, height, width]
    }

    fn read(&self, run: &Run<'_>, kind: &Kind) -> TractResult<TValue> {
        let shape = self.shape(kind);
        let mut tensor = Tensor::zero::<f32>(&shape)?;
        let mut view = tensor.to_plain_array_view_mut::<f32>()?;
        let planes = view.as_slice_mut().context("a map in pieces")?;
        match *kind {
            Kind::Floats(map) => spread(run.floats(map), shape[1], planes, |&value| value),
            Kind::Bytes(Bytes { map, scale, zero }) => {
                let value = |&byte: &u8| (f32::from(byte) - f32::from(zero)) * scale;
                spread(run.bytes(map), shape[1], planes, value);
            }
        }
        Ok(tensor.into())
    }
}

/// Pixel after pixel to plane after plane.
fn spread<T>(pixels: &[T], channels: usize, planes: &mut [f32], value: impl Fn(&T) -> f32) {
    let size = pixels.len() / channels;
    for (at, pixel) in pixels.chunks_exact(channels).enumerate() {
        for (channel, number) in pixel.iter().enumerate() {
            planes[channel * size + at] = value(number);
        }
    }
}

impl std::fmt::Debug for BytesOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BytesOp({} MACs, {} outputs)", self.0.net.macs(), self.0.outputs.len())
    }
}

impl PartialEq for BytesOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for BytesOp {}

impl Op for BytesOp {
    fn name(&self) -> StaticName {
        "FacelatchBytes".into()
    }

    op_as_typed_op!();
}

impl EvalOp for BytesOp {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let picture = inputs[0].to_plain_array_view::<u8>()?;
        let picture = picture.to_slice().context("a picture in pieces")?;
        let run = self.0.net.run(picture, self.0.table.as_ref())?;
        self.0.outputs.iter().map(|kind| self.read(&run, kind)).collect()
    }
}

impl TypedOp for BytesOp {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.0.outputs.iter().map(|kind| f32::fact(self.shape(kind))).collect())
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(tvec!((Cost::FMA(i8::datum_type()), self.0.net.macs().into())))
    }

    as_op!();
}
