use serde::{Deserialize, Serialize};

/// How often and how much a picture is changed. Every field has a default; an unknown one is
/// refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability of a mirrored view. Default 0.5.
    pub flip: f32,
    /// Shift, scale, turn and stretch, together one affine map.
    pub geometry: Geometry,
    /// Brightness, contrast, gamma, saturation and colour of the light.
    pub light: Light,
    /// Probability of a view without colour, as from an infrared camera. Default 0.06.
    pub grayscale: f32,
    /// Things before the face.
    pub occlusion: Occlusion,
    /// A lens out of focus.
    pub blur: Blur,
    /// A face or camera that moved.
    pub motion: Motion,
    /// A face far away: scaled down and up again.
    pub resolution: Resolution,
    /// A sensor in the dark.
    pub noise: Noise,
    /// A stream squeezed hard.
    pub jpeg: Jpeg,
    /// Probability that a picture of a batch's free block is blended with another of it, by one share or by
    /// one that changes across the face: a face of nobody, that the teacher alone can say anything about (`data.teacher`). Default 0.
    pub mix: f32,
}

/// See [`Augment::geometry`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Geometry {
    /// Probability. Default 0.9.
    pub probability: f32,
    /// Largest shift each way, px of the 160 px face. Default 5, which the landmark error of a
    /// small detector calls for; the crop's border holds 8.
    pub shift_px: f32,
    /// Largest change of scale, as a share. Default 0.08.
    pub scale: f32,
    /// Largest turn, degrees. Default 8.
    pub rotate_deg: f32,
    /// Largest change of width against height, as a share. Default 0.03.
    pub stretch: f32,
}

/// See [`Augment::light`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Light {
    /// Probability. Default 0.8.
    pub probability: f32,
    /// Largest change of brightness, as a share of full scale. Default 0.15.
    pub brightness: f32,
    /// Largest change of contrast about mid grey, as a share. Default 0.3.
    pub contrast: f32,
    /// Largest exponent over 1, or 1 over it, of the gamma curve, less 1. Default 0.4.
    pub gamma: f32,
    /// Largest change of saturation, as a share. Default 0.35.
    pub saturation: f32,
    /// Largest change of each of red, green and blue alone, as a share. Default 0.08.
    pub gains: f32,
}

/// See [`Augment::occlusion`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Occlusion {
    /// Probability of a rectangle of noise, of the mean colour or of one colour. Default 0.08.
    pub rectangle: f32,
    /// Least and largest side of the rectangle, px of the 160 px face. Default 20 to 70.
    pub side_px: [f32; 2],
    /// Probability of dark glasses. Default 0.04.
    pub sunglasses: f32,
    /// Probability of a mask over mouth and chin. Default 0.04.
    pub mask: f32,
}

/// See [`Augment::blur`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blur {
    /// Probability. Default 0.15.
    pub probability: f32,
    /// Standard deviation of the Gaussian, px of the 160 px face, least and largest. Default 0.4
    /// to 2.4.
    pub sigma_px: [f32; 2],
}

/// See [`Augment::motion`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Motion {
    /// Probability. Default 0.08.
    pub probability: f32,
    /// Length of the smear, px of the 160 px face, least and largest. Default 3 to 10.
    pub length_px: [f32; 2],
}

/// See [`Augment::resolution`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resolution {
    /// Probability. Default 0.2.
    pub probability: f32,
    /// Side of the small picture as a share of the output's, least and largest. Default 0.25 to 1.
    pub share: [f32; 2],
}

/// See [`Augment::noise`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// Probability. Default 0.2.
    pub probability: f32,
    /// Standard deviation, levels of 255, least and largest. Default 1 to 12.
    pub sigma: [f32; 2],
}

/// See [`Augment::jpeg`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jpeg {
    /// Probability. Default 0.2.
    pub probability: f32,
    /// Quality, 1 to 100, least and largest. Default 20 to 90.
    pub quality: [u8; 2],
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            flip: 0.5,
            geometry: Geometry::default(),
            light: Light::default(),
            grayscale: 0.06,
            occlusion: Occlusion::default(),
            blur: Blur::default(),
            motion: Motion::default(),
            resolution: Resolution::default(),
            noise: Noise::default(),
            jpeg: Jpeg::default(),
            mix: 0.0,
        }
    }
}

impl Default for Geometry {
    fn default() -> Self {
        Self { probability: 0.9, shift_px: 5.0, scale: 0.08, rotate_deg: 8.0, stretch: 0.03 }
    }
}

impl Default for Light {
    fn default() -> Self {
        Self {
            probability: 0.8,
            brightness: 0.15,
            contrast: 0.3,
            gamma: 0.4,
            saturation: 0.35,
            gains: 0.08,
        }
    }
}

impl Default for Occlusion {
    fn default() -> Self {
        Self { rectangle: 0.08, side_px: [20.0, 70.0], sunglasses: 0.04, mask: 0.04 }
    }
}

impl Default for Blur {
    fn default() -> Self {
        Self { probability: 0.15, sigma_px: [0.4, 2.4] }
    }
}

impl Default for Motion {
    fn default() -> Self {
        Self { probability: 0.08, length_px: [3.0, 10.0] }
    }
}

impl Default for Resolution {
    fn default() -> Self {
        Self { probability: 0.2, share: [0.25, 1.0] }
    }
}

impl Default for Noise {
    fn default() -> Self {
        Self { probability: 0.2, sigma: [1.0, 12.0] }
    }
}

impl Default for Jpeg {
    fn default() -> Self {
        Self { probability: 0.2, quality: [20, 90] }
    }
}

/// A setting of [`Augment`] out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("augment.{field} is {found} and must be {must}")]
pub struct AugmentError {
    field: &'static str,
    found: String,
    must: &'static str,
}

impl Augment {
    /// Changes nothing: every probability is 0, and a view draws nothing.
    pub fn none() -> Self {
        let mut none = Self::default();
        for (_, probability) in none.probabilities_mut() {
            *probability = 0.0;
        }
        none
    }

    pub(super) fn probabilities_mut(&mut self) -> [(&'static str, &mut f32); 13] {
        [
            ("flip", &mut self.flip),
            ("geometry.probability", &mut self.geometry.probability),
            ("light.probability", &mut self.light.probability),
            ("grayscale", &mut self.grayscale),
            ("occlusion.rectangle", &mut self.occlusion.rectangle),
            ("occlusion.sunglasses", &mut self.occlusion.sunglasses),
            ("occlusion.mask", &mut self.occlusion.mask),
            ("blur.probability", &mut self.blur.probability),
            ("motion.probability", &mut self.motion.probability),
            ("resolution.probability", &mut self.resolution.probability),
            ("noise.probability", &mut self.noise.probability),
            ("jpeg.probability", &mut self.jpeg.probability),
            ("mix", &mut self.mix),
        ]
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`AugmentError`] names the first setting that is off.
    pub fn check(&self) -> Result<(), AugmentError> {
        for (field, p) in self.clone().probabilities_mut() {
            require(field, *p, (0.0..=1.0).contains(p), "0 to 1")?;
        }
        let (geometry, light) = (&self.geometry, &self.light);
        for (field, value, most, must) in [
            ("geometry.shift_px", geometry.shift_px, 80.0, "0 to 80 px"),
            ("geometry.scale", geometry.scale, 0.5, "0 to 0.5"),
            ("geometry.rotate_deg", geometry.rotate_deg, 180.0, "0 to 180 degrees"),
            ("geometry.stretch", geometry.stretch, 0.5, "0 to 0.5"),
            ("light.brightness", light.brightness, 1.0, "0 to 1"),
            ("light.contrast", light.contrast, 1.0, "0 to 1"),
            ("light.gamma", light.gamma, 4.0, "0 to 4"),
            ("light.saturation", light.saturation, 1.0, "0 to 1"),
            ("light.gains", light.gains, 1.0, "0 to 1"),
        ] {
            require(field, value, (0.0..=most).contains(&value), must)?;
        }
        for (field, [low, high], least, most, must) in [
            (
                "occlusion.side_px",
                self.occlusion.side_px,
                1.0,
                160.0,
                "a rising range in 1 to 160 px",
            ),
            ("blur.sigma_px", self.blur.sigma_px, 0.0, 8.0, "a rising range in 0 to 8 px"),
            ("motion.length_px", self.motion.length_px, 0.0, 40.0, "a rising range in 0 to 40 px"),
            ("resolution.share", self.resolution.share, 0.1, 1.0, "a rising range in 0.1 to 1"),
            ("noise.sigma", self.noise.sigma, 0.0, 64.0, "a rising range in 0 to 64 levels"),
        ] {
            require(field, [low, high], least <= low && low <= high && high <= most, must)?;
        }
        let [low, high] = self.jpeg.quality;
        let rising = 1 <= low && low <= high && high <= 100;
        require("jpeg.quality", self.jpeg.quality, rising, "a rising range in 1 to 100")
    }
}

fn require(
    field: &'static str,
    found: impl std::fmt::Debug,
    holds: bool,
    must: &'static str,
) -> Result<(), AugmentError> {
    if holds { Ok(()) } else { Err(AugmentError { field, found: format!("{found:?}"), must }) }
}
