//! The reference: what every other way must give, bit for bit.

use crate::{
    conv::requantize,
    table::{Depthwise, Gemm, Layout, Table, Target},
};

pub(crate) static TABLE: Table = Table {
    name: "scalar",
    layout: Layout { block: 8, step: 1, group: 4, channel: |_, place| place },
    offset: 0,
    lifts: false,
    prepare: None,
    gemm,
    depthwise_pack: |conv| {
        // Taps first: [9][channels].
        (0..9)
            .flat_map(|tap| (0..conv.outputs).map(move |c| (tap, c)))
            .map(|(tap, c)| conv.weights[c * 9 + tap])
            .collect()
    },
    depthwise_channel: |place| place,
    depthwise,
};

unsafe fn gemm(g: &Gemm) {
    for row in 0..g.rows {
        let mut sums = [0i32; 8];
        // SAFETY: `Gemm` promises whole blocks of weights and numbers, and rows that may be read and
        // written as far as they go.
        unsafe {
            for (channel, sum) in sums.iter_mut().enumerate().take(g.channels) {
                *sum = *g.bias.add(channel);
            }
            for group in 0..g.groups {
                let a = g.a.add(row * g.lda + group * 4).cast::<[u8; 4]>().read_unaligned();
                let w = g.w.add(group * g.width * 4);
                for (channel, sum) in sums.iter_mut().enumerate().take(g.channels) {
                    let w = w.add(channel * 4).cast::<[i8; 4]>().read_unaligned();
                    *sum += (0..4).map(|i| i32::from(a[i]) * i32::from(w[i])).sum::<i32>();
                }
            }
            for (channel, sum) in sums.into_iter().enumerate().take(g.channels) {
                let scale = *g.scale.add(channel);
                match g.out {
                    Target::Bytes { to, step, range } => {
                        *to.add(row * step + channel) = requantize(sum, scale, range);
                    }
                    Target::Floats { to, step } => {
                        *to.add(row * step + channel) = sum as f32 * scale;
                    }
                }
            }
        }
    }
}

unsafe fn depthwise(d: &Depthwise) {
    for x in 0..d.columns {
        for channel in 0..d.channels {
            // SAFETY: `Depthwise` promises columns, weights and numbers for every channel, and an
            // output for every column.
            unsafe {
                let mut sum = *d.bias.add(channel);
                for column in 0..3 {
                    let above = d.column(x * d.stride + column, channel);
                    for (row, byte) in above.into_iter().enumerate() {
                        let w = *d.w.add((row * 3 + column) * d.channels + channel);
                        sum += i32::from(*byte) * i32::from(w);
                    }
                }
                *d.out.add(x * d.out_step + channel) =
                    requantize(sum, *d.scale.add(channel), d.range);
            }
        }
    }
}
