/// A convolution on bytes, whole: an NHWC map of bytes in, bytes or floats out.
///
/// An output is `scale[o] · (bias[o] + Σ weights · (input − input_zero))`, the sum in exact 32-bit
/// integers, the multiplication in f32; [`Output`] says what becomes of it. This is what ONNX's
/// `DequantizeLinear → Conv → QuantizeLinear` means when the sum is not rounded on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps down and across; 1 or more.
    pub stride: [usize; 2],
    /// Rows and columns of `input_zero` around the map: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Each channel has a window of its own; `inputs` equals `outputs` then.
    pub depthwise: bool,
    /// `[outputs][kernel height][kernel width][inputs, or 1 if depthwise]`.
    pub weights: Vec<i8>,
    /// One for each output, in steps of the sum.
    pub bias: Vec<i32>,
    /// One for each output: from steps of the sum to steps of the output.
    pub scale: Vec<f32>,
    /// The byte that stands for 0.
    pub input_zero: u8,
    /// What the outputs are.
    pub output: Output,
}

/// What a convolution gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Bytes: rounded to the nearest integer, ties to even, `zero` added, held to `low..=high`.
    Bytes {
        /// The byte that stands for 0.
        zero: u8,
        /// The least byte, above 0 where an activation cuts there.
        low: u8,
        /// The greatest byte.
        high: u8,
    },
    /// The f32 as it is.
    Floats,
}

/// Why a convolution or a network of them cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvError {
    /// The parts do not fit each other.
    #[error("{0} numbers of {1} where {2} are needed")]
    Length(usize, &'static str, usize),
    /// A window, a stride or a number of channels that is not supported.
    #[error("{0}")]
    Shape(&'static str),
    /// The sum, or what becomes of it, might not fit.
    #[error("channel {0} may reach sums that 32 bits do not hold")]
    Overflow(usize),
}

/// Sums stay below this, so that no order of adding them can overflow and every f32 made of them can
/// be rounded to an i32.
const MOST: f64 = (1u32 << 30) as f64;

/// Sides of windows, strides and channels at most.
const MOST_SIDE: usize = 1 << 14;

impl Conv {
    /// Inputs that reach one output.
    pub fn depth(&self) -> usize {
        let window = self.kernel[0].saturating_mul(self.kernel[1]);
        window.saturating_mul(if self.depthwise { 1 } else { self.inputs })
    }

    /// The weight of a 3×3 depthwise window; 0 beyond its rows and channels, where packing fills up.
    pub(crate) fn tap(&self, channel: usize, row: usize, column: usize) -> i8 {
        let there = channel < self.outputs && row < 3;
        if there { self.weights[channel * 9 + row * 3 + column] } else { 0 }
    }

    /// Height and width of the output for a map of height and width `input`; nothing where the
    /// window does not fit in.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let [top, left, bottom, right] = self.pads;
        let side = |size: usize, pads: usize, axis: usize| {
            let padded = size.checked_add(pads)?;
            Some(padded.checked_sub(self.kernel[axis])?.checked_div(self.stride[axis])? + 1)
        };
        let [high, wide] = [top.checked_add(bottom)?, left.checked_add(right)?];
        Some([side(input[0], high, 0)?, side(input[1], wide, 1)?])
    }

    /// Whether the parts fit each other and no input can overflow the sums.
    ///
    /// # Errors
    /// [`ConvError`], by the first thing that is off.
    pub fn check(&self) -> Result<(), ConvError> {
        let [height, width] = self.kernel;
        let sides = [height, width, self.inputs, self.outputs, self.stride[0], self.stride[1]];
        // Far beyond any network, and nothing that is multiplied below or while running overflows.
        if sides.into_iter().any(|side| side > MOST_SIDE) {
            return Err(ConvError::Shape("a window, a stride or channels beyond 16,384"));
        }
        if let Output::Bytes { low, high, .. } = self.output
            && low > high
        {
            return Err(ConvError::Shape("a least byte above the greatest"));
        }
        if self.inputs == 0 || self.outputs == 0 || height == 0 || width == 0 {
            return Err(ConvError::Shape("a window or a map without channels"));
        }
        if self.stride.contains(&0) {
            return Err(ConvError::Shape("a stride of 0"));
        }
        if self.pads[0].max(self.pads[2]) >= height || self.pads[1].max(self.pads[3]) >= width {
            return Err(ConvError::Shape("more padding than the window can reach over"));
        }
        if self.depthwise {
            let known = self.kernel == [3, 3] && matches!(self.stride, [1, 1] | [2, 2]);
            if self.inputs != self.outputs || !known || self.output == Output::Floats {
                return Err(ConvError::Shape("a depthwise window other than 3x3 at stride 1 or 2"));
            }
        }
        for (what, found, needed) in [
            ("weights", self.weights.len(), self.outputs.saturating_mul(self.depth())),
            ("bias", self.bias.len(), self.outputs),
            ("scale", self.scale.len(), self.outputs),
        ] {
            if found != needed {
                return Err(ConvError::Length(found, what, needed));
            }
        }
        // ARM adds two products in 16 bits, which holds for all but this; no quantizer of ours writes it.
        if self.weights.contains(&i8::MIN) {
            return Err(ConvError::Shape("a weight of -128"));
        }
        for (channel, weights) in self.weights.chunks(self.depth()).enumerate() {
            let reach = weights.iter().map(|w| f64::from(w.unsigned_abs()) * 255.0).sum::<f64>()
                + f64::from(self.bias[channel].unsigned_abs());
            let scaled = reach * f64::from(self.scale[channel].abs());
            // A NaN is no smaller than anything.
            if !(2.0 * reach < MOST && scaled < MOST) {
                return Err(ConvError::Overflow(channel));
            }
        }
        Ok(())
    }
}

/// What every way to compute makes of a sum.
pub(crate) fn requantize(sum: i32, scale: f32, [zero, low, high]: [u8; 3]) -> u8 {
    let steps = (sum as f32 * scale).round_ties_even() as i32 + i32::from(zero);
    steps.clamp(i32::from(low), i32::from(high)) as u8
}
