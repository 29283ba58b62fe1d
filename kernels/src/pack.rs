use crate::{Conv, Output, table::Table};

/// A convolution's numbers as one way wants them.
///
/// Where `lift` is there, each bias has the bits of the float 2^23 added: the bits of a sum from 0 up to
/// 2^23 are then those of the float 2^23 + sum, and `scale · float + lift`, with lift = −2^23 · scale, is
/// what `scale · sum` is, rounded once. This spares the conversion of sums to floats. Those of a sum
/// below 0 are those of a float below 2^23, and give no more than 0, which ReLU makes 0 too.
pub(crate) struct Packed {
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub scale: Vec<f32>,
    pub lift: Option<Vec<f32>>,
    pub blocks: Vec<Block>,
}

impl Packed {
    fn new(conv: &Conv, table: &Table) -> Self {
        let lift = (table.lifts && lifts(conv)).then(Vec::new);
        Self { weights: vec![], bias: vec![], scale: vec![], lift, blocks: vec![] }
    }

    /// Adds the numbers of the channels at some places, of none where nothing is. What is added to a sum
    /// once is the bias, what the zero of the input and the way's offset take off every product, and the
    /// lift.
    fn add(&mut self, conv: &Conv, offset: i32, places: &[Option<usize>]) {
        let lifted = if self.lift.is_some() { LIFT.to_bits() as i32 } else { 0 };
        for channel in places {
            let (bias, scale) = channel.map_or((0, 0.0), |channel| {
                let sum = weights(conv, channel).sum::<i32>();
                let zero = sum * (offset - i32::from(conv.input_zero));
                ((conv.bias[channel] + zero).wrapping_add(lifted), conv.scale[channel])
            });
            self.bias.push(bias);
            self.scale.push(scale);
            self.lift.iter_mut().for_each(|lift| lift.push(-LIFT * scale));
        }
    }
}

/// Some output channels of a matrix product.
pub(crate) struct Block {
    /// The first.
    pub first: usize,
    /// How many.
    pub channels: usize,
    /// How many as packed.
    pub width: usize,
    /// Where their weights begin.
    pub weights: usize,
    /// Where their bias and scale begin.
    pub numbers: usize,
}

/// From here up to twice as much floats are integers, each the next.
const LIFT: f32 = (1 << 23) as f32;

fn weights(conv: &Conv, channel: usize) -> impl Iterator<Item = i32> {
    let depth = conv.depth();
    conv.weights[channel * depth..][..depth].iter().map(|&w| i32::from(w))
}

/// Whether sums can be lifted: bytes as ReLU leaves them, no more than 16 bits before they are cut to 8,
/// and no sum of 2^23 or more but where that is cut to 255 as well.
fn lifts(conv: &Conv) -> bool {
    let zero = i32::from(conv.input_zero);
    conv.output == Output::Bytes { zero: 0, low: 0, high: 255 }
        && (0..conv.outputs).all(|channel| {
            let scale = conv.scale[channel];
            let most =
                weights(conv, channel).map(|w| (w * (255 - zero)).max(-w * zero)).sum::<i32>();
            let most = (conv.bias[channel] + most).max(0);
            let float = f32::from_bits(LIFT.to_bits() + most as u32) - LIFT;
            scale >= 0.0
                && float * scale < f32::from(u16::MAX)
                && (float < LIFT || LIFT * scale >= 256.0)
        })
}

/// Packs what goes through [`Table::gemm`].
pub(crate) fn dense(conv: &Conv, table: &Table) -> Packed {
    let layout = &table.layout;
    let (depth, groups) = (conv.depth(), conv.depth().div_ceil(layout.group));
    let plain = conv.output == Output::Floats;
    let mut packed = Packed::new(conv, table);
    for first in (0..conv.outputs).step_by(layout.block) {
        let channels = layout.block.min(conv.outputs - first);
        let width = channels.next_multiple_of(layout.step);
        let (weights, numbers) = (packed.weights.len(), packed.bias.len());
        packed.blocks.push(Block { first, channels, width, weights, numbers });
        let order: Vec<Option<usize>> = (0..width)
            .map(|place| if plain { place } else { (layout.channel)(width, place) })
            .map(|channel| (channel < channels).then_some(first + channel))
            .collect();
        for group in 0..groups {
            for channel in &order {
                packed.weights.extend((0..layout.group).map(|i| {
                    let input = group * layout.group + i;
                    let at = channel.filter(|_| input < depth);
                    at.map_or(0, |channel| conv.weights[channel * depth + input])
                }));
            }
        }
        packed.add(conv, table.offset, &order);
    }
    packed
}

/// Packs what goes through [`Table::depthwise`]; its numbers are filled up to whole 64s.
pub(crate) fn depthwise(conv: &Conv, table: &Table) -> Packed {
    let places: Vec<Option<usize>> = (0..conv.outputs.next_multiple_of(64))
        .map(|place| place / 64 * 64 + (table.depthwise_channel)(place % 64))
        .map(|channel| (channel < conv.outputs).then_some(channel))
        .collect();
    let mut packed = Packed::new(conv, table);
    packed.weights = (table.depthwise_pack)(conv);
    packed.add(conv, table.offset, &places);
    packed
}
