use super::{Decoder, DetectorContract, Faces, Grid, Letterbox, STRIDES};
use crate::model::{self, NetworkError, Plan};
use facelatch_kernels::Pool;
use image::RgbImage;
use std::{path::Path, sync::Arc};

/// A face detector as the daemon runs it: read from ONNX, held to its [`DetectorContract`], optimised
/// for one frame at a time. Any number of threads may use it at once.
pub struct Detector {
    contract: DetectorContract,
    plan: Plan,
}

impl Detector {
    /// Reads and checks a detector.
    ///
    /// # Errors
    /// [`NetworkError::Read`], [`NetworkError::Contract`], [`NetworkError::Unusable`].
    pub fn load(path: &Path) -> Result<Self, NetworkError> {
        Self::parse(path, model::bytes(path)?, &Arc::new(Pool::new(1)))
    }

    /// [`Detector::load`] of bytes that are read already; errors call them `path`. The threads of `pool`
    /// share the work of each frame.
    ///
    /// # Errors
    /// [`NetworkError::Contract`], [`NetworkError::Unusable`].
    pub fn parse(path: &Path, bytes: Vec<u8>, pool: &Arc<Pool>) -> Result<Self, NetworkError> {
        let model = model::read(path, bytes)?;
        let contract = DetectorContract::of(&model)
            .map_err(|source| NetworkError::Contract { path: path.into(), source })?;
        let input = contract.input.map(|side| side as usize);
        let shapes = contract.shapes();
        let plan = Plan::new(path, model, input, &shapes.each_ref().map(|s| &s[..]), pool)?;
        Ok(Self { contract, plan })
    }

    /// What the file says about itself.
    pub fn contract(&self) -> &DetectorContract {
        &self.contract
    }

    /// How it is run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The faces in a frame of any size, in px of the frame, the surest first. A frame without pixels,
    /// or with a side over 65,535, has none.
    ///
    /// # Errors
    /// [`NetworkError::Run`], [`NetworkError::Output`].
    pub fn detect(&self, frame: &RgbImage, decoder: &Decoder) -> Result<Faces, NetworkError> {
        let [width, height] = self.contract.input.map(|side| side as usize);
        let sides = [frame.width() as usize, frame.height() as usize];
        let Some(letterbox) = Letterbox::new(sides, [width, height]) else {
            return Ok(Faces::new());
        };
        let outputs = self.plan.run_on(|picture| letterbox.fill(frame, picture))?;
        let mut grids = [Grid { values: &[], width: 0, height: 0, stride: 0 }; STRIDES.len()];
        for ((grid, output), (stride, shape)) in
            grids.iter_mut().zip(&outputs).zip(STRIDES.into_iter().zip(self.contract.shapes()))
        {
            let view = output.to_plain_array_view::<f32>();
            let view = view.map_err(|e| NetworkError::Output(model::one_line(&e)))?;
            let values =
                view.to_slice().ok_or_else(|| NetworkError::Output("a grid in pieces".into()))?;
            *grid = Grid { values, width: shape[3], height: shape[2], stride };
        }
        let mut faces = decoder.decode(&grids);
        faces.iter_mut().for_each(|face| *face = letterbox.to_frame(face));
        Ok(faces)
    }
}
