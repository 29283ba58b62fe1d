use super::{
    ContractError,
    int8::{self, BytesOp, Kind, Region},
};
use facelatch_kernels::{FORCE, Map, Net, Pool, is_fast, unknown_way, ways};
use prost::Message;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tract_onnx::{
    pb::{GraphProto, ModelProto},
    prelude::*,
};

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file cannot be read.
    #[error("{path}: {source}; check the path")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is read but is not a network for this version.
    #[error("{path}: {source}")]
    Contract {
        /// The file.
        path: PathBuf,
        /// What it does not keep to.
        source: ContractError,
    },
    /// The file is no ONNX, or one that tract cannot run.
    #[error("{path}: not a network that can run here ({reason}); export it again")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What tract said.
        reason: String,
    },
    /// The crop does not fit.
    #[error("a crop of {0}x{1} pixels for a network that takes {2}x{2}; align it to that size")]
    CropSize(u32, u32, u32),
    /// Running it failed.
    #[error("the network failed to run: {0}")]
    Run(String),
    /// It ran, and what came out is not what it is for.
    #[error("the network gave {0}; copy the file again, and say so if that does not help")]
    Output(String),
}

/// A file's bytes.
///
/// # Errors
/// [`NetworkError::Read`].
pub fn bytes(path: &Path) -> Result<Vec<u8>, NetworkError> {
    std::fs::read(path).map_err(|source| NetworkError::Read { path: path.into(), source })
}

/// An ONNX file's bytes as a message; errors call them `path`. They are let go: what follows wants memory.
///
/// # Errors
/// [`NetworkError::Unusable`].
pub fn read(path: &Path, bytes: Vec<u8>) -> Result<ModelProto, NetworkError> {
    // As tract would, without a copy of the file.
    ModelProto::decode(&bytes[..]).map_err(|e| unusable(path, &e.into()))
}

/// A network made ready to run on one picture at a time. Any number of threads may use it at once.
pub struct Plan {
    plan: Arc<TypedRunnableModel>,
    /// Width and height, px.
    size: [usize; 2],
    /// What runs on bytes; without it tract takes the picture as floats.
    bytes: Option<BytesOp>,
}

impl Plan {
    /// Makes a network ready for a picture of `size`, its width and height in px; its outputs must have
    /// these shapes. Convolutions on bytes run on our own kernels, by the threads of `pool`; whatever
    /// else the network does runs on tract.
    ///
    /// # Errors
    /// [`NetworkError::Unusable`].
    pub fn new(
        path: &Path,
        model: ModelProto,
        size: [usize; 2],
        outputs: &[&[usize]],
        pool: &Arc<Pool>,
    ) -> Result<Self, NetworkError> {
        if let Some(name) = model.graph.as_ref().and_then(unmade) {
            let text = format!("nothing makes its output `{name}`");
            return Err(unusable(path, &TractError::msg(text)));
        }
        let convolutions =
            |graph: &GraphProto| graph.node.iter().filter(|node| node.op_type == "Conv").count();
        let all = model.graph.as_ref().map_or(0, convolutions);
        if let Some(name) = unknown_way() {
            log::warn!(
                "{FORCE}={name}: there are {} here; {} it is",
                ways().1.join(", "),
                ways().0
            );
        }
        // The plain reference is there to compare with: tract is faster.
        let region = model.graph.as_ref().filter(|_| is_fast());
        let region = region.and_then(|graph| int8::find(graph, size));
        let taken = region.as_ref().map_or(0, |region| region.taken);
        let is_quantized =
            |graph: &GraphProto| graph.node.iter().any(|node| node.op_type == "DequantizeLinear");
        if is_fast() && taken < all && model.graph.as_ref().is_some_and(is_quantized) {
            log::warn!(
                "{}: {taken} of {all} convolutions run on bytes, the others on tract, which is slower",
                path.display()
            );
        }
        let ready = || -> TractResult<Self> {
            let (model, bytes) = match region {
                Some(region) => with_bytes(model, region, size, pool)?,
                None => (stock(model, size)?, None),
            };
            for (i, wanted) in outputs.iter().enumerate() {
                let shape = model.output_fact(i)?.shape.as_concrete();
                if shape != Some(wanted) {
                    let text = format!("its output {i} is not {wanted:?}: {shape:?}");
                    return Err(TractError::msg(text));
                }
            }
            Ok(Self { plan: model.into_runnable()?, size, bytes })
        };
        ready().map_err(|e| unusable(path, &e))
    }

    /// The outputs for one picture, RGB bytes of the size that the plan is for.
    ///
    /// # Errors
    /// [`NetworkError::Run`], for a picture of another size too.
    pub fn run(&self, pixels: &[u8]) -> Result<TVec<TValue>, NetworkError> {
        let needed = self.size[0] * self.size[1] * 3;
        if pixels.len() != needed {
            let text = format!("a picture of {} bytes where {needed} are needed", pixels.len());
            return Err(NetworkError::Run(text));
        }
        self.run_on(|picture| picture.copy_from_slice(pixels))
    }

    /// The outputs for the picture that `draw` draws, on black, where the network takes it from.
    ///
    /// # Errors
    /// [`NetworkError::Run`].
    pub fn run_on(&self, draw: impl FnOnce(&mut [u8])) -> Result<TVec<TValue>, NetworkError> {
        let [width, height] = self.size;
        let run = || -> TractResult<_> {
            let mut picture = Tensor::zero::<u8>(&[1, height, width, 3])?;
            let mut view = picture.to_plain_array_view_mut::<u8>()?;
            let pixels =
                view.as_slice_mut().ok_or_else(|| TractError::msg("a picture in pieces"))?;
            draw(pixels);
            if self.bytes.is_none() {
                picture = Tensor::from_shape(&[1, 3, height, width], &planes(pixels))?;
            }
            self.plan.run(tvec!(picture.into()))
        };
        run().map_err(|e| NetworkError::Run(one_line(&e)))
    }

    /// The part that runs on our own kernels.
    pub fn on_bytes(&self) -> Option<&Net> {
        self.bytes.as_ref().map(BytesOp::net)
    }
}

/// An output that nothing in a graph makes, over which tract would panic.
fn unmade(graph: &GraphProto) -> Option<&str> {
    let made = |name: &str| {
        let by_nodes = graph.node.iter().flat_map(|node| &node.output).any(|made| made == name);
        let is_weight = graph.initializer.iter().any(|tensor| tensor.name == name);
        let is_input = graph.input.iter().any(|input| input.name == name);
        !name.is_empty() && (by_nodes || is_weight || is_input)
    };
    graph.output.iter().map(|output| output.name.as_str()).find(|name| !made(name))
}

/// The network as tract runs it alone.
fn stock(model: ModelProto, [width, height]: [usize; 2]) -> TractResult<TypedModel> {
    onnx()
        .model_for_proto_model(&model)?
        .with_input_fact(0, f32::fact([1, 3, height, width]).into())?
        .into_optimized()
}

/// The region as one operation, and tract's own for the rest behind it.
fn with_bytes(
    model: ModelProto,
    region: Region,
    [width, height]: [usize; 2],
    pool: &Arc<Pool>,
) -> TractResult<(TypedModel, Option<BytesOp>)> {
    // The whole file's weights go before they are packed: at one time there are two copies, not three.
    let rest = ModelProto { graph: Some(region.rest), ..model };
    let kinds: Vec<Kind> = region.outputs.iter().map(|(_, kind)| *kind).collect();
    let kept: Vec<Map> = kinds.iter().map(Kind::map).collect();
    let op = BytesOp::new(region.net.finish(&kept, Arc::clone(pool)), kinds, region.bytes);
    let mut whole = TypedModel::default();
    let picture = whole.add_source("picture", u8::fact([1, height, width, 3]))?;
    let maps = whole.wire_node("bytes", op.clone(), &[picture])?;
    let mut rest = onnx().model_for_proto_model(&rest)?;
    for (i, map) in maps.iter().enumerate() {
        rest.set_input_fact(i, whole.outlet_fact(*map)?.clone().into())?;
    }
    append(&mut whole, &rest.into_typed()?, &maps)?;
    Ok((whole.into_optimized()?, Some(op)))
}

/// Wires a model behind another, its inputs being `inputs`, its outputs the whole's.
fn append(whole: &mut TypedModel, part: &TypedModel, inputs: &[OutletId]) -> TractResult<()> {
    let mut places: HashMap<OutletId, OutletId> =
        part.input_outlets()?.iter().copied().zip(inputs.iter().copied()).collect();
    for id in part.eval_order()? {
        let node = part.node(id);
        if places.contains_key(&OutletId::new(id, 0)) {
            continue;
        }
        let from: TVec<OutletId> = node.inputs.iter().map(|outlet| places[outlet]).collect();
        let made = whole.wire_node(&node.name, node.op.clone(), &from)?;
        places.extend(made.into_iter().enumerate().map(|(slot, to)| (OutletId::new(id, slot), to)));
    }
    let outputs: Vec<OutletId> =
        part.output_outlets()?.iter().map(|outlet| places[outlet]).collect();
    whole.select_output_outlets(&outputs)
}

fn unusable(path: &Path, error: &TractError) -> NetworkError {
    NetworkError::Unusable { path: path.into(), reason: one_line(error) }
}

/// Bytes by pixel to numbers by channel, a byte over 255.
fn planes(pixels: &[u8]) -> Vec<f32> {
    let channel = |c: usize| pixels.iter().skip(c).step_by(3).map(|&byte| f32::from(byte) / 255.0);
    channel(0).chain(channel(1)).chain(channel(2)).collect()
}

/// tract's errors are chains of many lines; a user wants one.
pub fn one_line(error: &TractError) -> String {
    format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
