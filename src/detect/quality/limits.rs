use super::Quality;
use serde::{Deserialize, Serialize};

/// What a face must reach to be recognised. Each limit itself still passes.
///
/// The defaults are loose: they keep out what would be recognised by chance, and nobody for the colour
/// of their skin. The tests in `ordinary.rs` hold them to that on photographs of people of all kinds,
/// and print the numbers given here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Least inter-eye distance, px. 30: an adult (63 mm) a metre away has 31 in 640 px of a 66° lens. The
    /// crop for the network has 50 from eye to eye (35 at 112 px), and down to 18 costs little (the networks' cards).
    pub least_eye_distance: f32,
    /// Largest share of the face's box outside of the frame, 0 to 1. 0.15: hair or chin may be cut.
    pub most_outside: f32,
    /// Most landmarks outside of the frame. 0: what is not there was guessed.
    pub most_landmarks_outside: u8,
    /// Least mean luma, 0 to 255. 25: of 100 Black people's pictures 99 are above 41.
    pub least_brightness: f32,
    /// Largest mean luma, 0 to 255. 225: of 100 pictures 99 are below 203.
    pub most_brightness: f32,
    /// Largest share of luma up to 25, 0 to 1. 0.6: beside a window half of a face may be black. Of 100
    /// pictures 99 are below 0.23.
    pub most_dark: f32,
    /// Largest share of luma from 247, 0 to 1. 0.25: foreheads shine. Of 100 pictures 99 are below 0.1.
    pub most_bright: f32,
    /// Least standard deviation of luma. 10: of 100 pictures 99 are above 14; fog on the lens is not.
    pub least_contrast: f32,
    /// Least sharpness. 0.2: of 100 pictures 99 are above 0.21. A Gaussian blur of 0.05 inter-eye
    /// distances takes the middle one from 0.67 to 0.19, one of 0.03 to 0.34.
    pub least_sharpness: f32,
    /// Largest roll to either side, degrees. 35: alignment takes it out, but so far over a detection is
    /// more likely wrong than a head.
    pub most_roll: f32,
    /// Largest yaw to either side, degrees. 35, which may be 25 or 45: beyond, a cheek is hidden.
    pub most_yaw: f32,
    /// Largest pitch to either side, degrees. 35, for a camera at another height than the face.
    pub most_pitch: f32,
    /// Largest misfit to the template, in shares of the inter-eye distance. 0.2: of 100 pictures 99 are
    /// below 0.18, heads turned too far among them.
    pub most_misfit: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            least_eye_distance: 30.0,
            most_outside: 0.15,
            most_landmarks_outside: 0,
            least_brightness: 25.0,
            most_brightness: 225.0,
            most_dark: 0.6,
            most_bright: 0.25,
            least_contrast: 10.0,
            least_sharpness: 0.2,
            most_roll: 35.0,
            most_yaw: 35.0,
            most_pitch: 35.0,
            most_misfit: 0.2,
        }
    }
}

/// Why a face is not recognised yet. What it displays is what the person at the door should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The landmarks are no face.
    #[error("show your face to the camera")]
    NoFace,
    /// Too few pixels from eye to eye.
    #[error("come closer")]
    TooSmall,
    /// Part of the face is outside of the frame.
    #[error("step into the middle of the picture")]
    CutOff,
    /// Too little light on the face.
    #[error("too dark: switch a light on")]
    TooDark,
    /// Too much.
    #[error("too bright: step out of the light")]
    TooBright,
    /// Light and shadow hardly differ.
    #[error("the picture is hazy: wipe the camera")]
    Flat,
    /// The head is turned, raised, lowered or tilted.
    #[error("look at the camera")]
    Turned,
    /// Blurred by motion or out of focus.
    #[error("hold still")]
    Blurred,
    /// The landmarks stand as they do in no face: some are guessed.
    #[error("take off what covers your face")]
    Covered,
}

impl Refusal {
    /// A name for logs and machines that stays the same whatever is said to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFace => "no_face",
            Self::TooSmall => "too_small",
            Self::CutOff => "cut_off",
            Self::TooDark => "too_dark",
            Self::TooBright => "too_bright",
            Self::Flat => "flat",
            Self::Turned => "turned",
            Self::Blurred => "blurred",
            Self::Covered => "covered",
        }
    }
}

impl Limits {
    /// Every limit by its name.
    pub fn values(&self) -> [(&'static str, f64); 13] {
        // Taken apart, so that a new limit cannot be forgotten here.
        let Self {
            least_eye_distance,
            most_outside,
            most_landmarks_outside,
            least_brightness,
            most_brightness,
            most_dark,
            most_bright,
            least_contrast,
            least_sharpness,
            most_roll,
            most_yaw,
            most_pitch,
            most_misfit,
        } = *self;
        [
            ("least_eye_distance", least_eye_distance.into()),
            ("most_outside", most_outside.into()),
            ("most_landmarks_outside", most_landmarks_outside.into()),
            ("least_brightness", least_brightness.into()),
            ("most_brightness", most_brightness.into()),
            ("most_dark", most_dark.into()),
            ("most_bright", most_bright.into()),
            ("least_contrast", least_contrast.into()),
            ("least_sharpness", least_sharpness.into()),
            ("most_roll", most_roll.into()),
            ("most_yaw", most_yaw.into()),
            ("most_pitch", most_pitch.into()),
            ("most_misfit", most_misfit.into()),
        ]
    }

    /// Whether a face may be recognised, or the first thing to do about it. In an order in which each
    /// measure can be trusted once those before it have passed: a small face looks blurred, a dark one
    /// flat, and one turned away covered.
    ///
    /// # Errors
    /// [`Refusal`]. NaN passes no limit, on either side.
    pub fn judge(&self, quality: &Quality) -> Result<(), Refusal> {
        let Quality { light, pose, .. } = quality;
        let within = |angle: f32, most: f32| angle.abs() <= most;
        let passes = [
            (quality.misfit.is_finite(), Refusal::NoFace),
            (quality.eye_distance >= self.least_eye_distance, Refusal::TooSmall),
            (quality.outside <= self.most_outside, Refusal::CutOff),
            (quality.landmarks_outside <= self.most_landmarks_outside, Refusal::CutOff),
            (light.brightness >= self.least_brightness, Refusal::TooDark),
            (light.dark <= self.most_dark, Refusal::TooDark),
            (light.brightness <= self.most_brightness, Refusal::TooBright),
            (light.bright <= self.most_bright, Refusal::TooBright),
            (light.contrast >= self.least_contrast, Refusal::Flat),
            (within(pose.roll, self.most_roll), Refusal::Turned),
            (within(pose.yaw, self.most_yaw), Refusal::Turned),
            (within(pose.pitch, self.most_pitch), Refusal::Turned),
            (light.sharpness >= self.least_sharpness, Refusal::Blurred),
            (quality.misfit <= self.most_misfit, Refusal::Covered),
        ];
        passes.into_iter().find(|(passed, _)| !passed).map_or(Ok(()), |(_, refusal)| Err(refusal))
    }
}
