use crate::{Conv, Output, table::Table};

/// A convolution's numbers as one way wants them.
pub(crate) struct Packed {
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub scale: Vec<f32>,
    pub blocks: Vec<Block>,
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

/// What is added to a channel's sum once: its bias, and what the zero of the input and the way's
/// offset take off every product.
fn bias(conv: &Conv, channel: usize, offset: i32) -> i32 {
    let depth = conv.depth();
    let weights = &conv.weights[channel * depth..][..depth];
    let sum: i32 = weights.iter().map(|&w| i32::from(w)).sum();
    conv.bias[channel] + sum * (offset - i32::from(conv.input_zero))
}

/// Packs what goes through [`Table::gemm`].
pub(crate) fn dense(conv: &Conv, table: &Table) -> Packed {
    let layout = &table.layout;
    let (depth, groups) = (conv.depth(), conv.depth().div_ceil(layout.group));
    let plain = conv.output == Output::Floats;
    let mut packed = Packed { weights: vec![], bias: vec![], scale: vec![], blocks: vec![] };
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
        packed.bias.extend(order.iter().map(|c| c.map_or(0, |c| bias(conv, c, table.offset))));
        packed.scale.extend(order.iter().map(|c| c.map_or(0.0, |c| conv.scale[c])));
    }
    packed
}

/// Packs what goes through [`Table::depthwise`]; bias and scale are filled up to whole 64s.
pub(crate) fn depthwise(conv: &Conv, table: &Table) -> Packed {
    let channel = |place: usize| {
        let channel = place / 64 * 64 + (table.depthwise_channel)(place % 64);
        (channel < conv.outputs).then_some(channel)
    };
    let places = 0..conv.outputs.next_multiple_of(64);
    Packed {
        weights: (table.depthwise_pack)(conv),
        bias: places
            .clone()
            .map(|p| channel(p).map_or(0, |c| bias(conv, c, table.offset)))
            .collect(),
        scale: places.map(|p| channel(p).map_or(0.0, |c| conv.scale[c])).collect(),
        blocks: vec![],
    }
}
