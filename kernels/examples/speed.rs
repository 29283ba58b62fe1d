//! How fast this processor runs MobileNet's convolutions on bytes, stage by stage, on one thread:
//! `cargo run --release -p facelatch-kernels --example speed -- [SIDE] [RUNS] [THREADS]`.
//! Weights are random; speed does not depend on them. For another way than the chosen one set the
//! variable that is printed.

use facelatch_kernels::{Builder, Conv, FORCE, Map, Net, Output, Pool, ways};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Channels and stride of the blocks of MobileNet, arXiv 1704.04861, table 1.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

fn conv(kernel: usize, stride: usize, inputs: usize, outputs: usize, depthwise: bool) -> Conv {
    let depth = kernel * kernel * if depthwise { 1 } else { inputs };
    let before = usize::from(kernel == 3 && stride == 1);
    let after = usize::from(kernel == 3);
    let mut state = 1u32;
    let mut weight = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) as i32 % 127) as i8
    };
    Conv {
        kernel: [kernel; 2],
        stride: [stride; 2],
        pads: [before, before, after, after],
        inputs,
        outputs,
        depthwise,
        weights: (0..outputs * depth).map(|_| weight()).collect(),
        bias: vec![0; outputs],
        scale: vec![1e-4; outputs],
        input_zero: 0,
        output: Output::Bytes { zero: 0, low: 0, high: 255 },
    }
}

fn network(side: usize, threads: usize) -> (Net, Map) {
    let (mut builder, mut at) = Builder::new([side; 2], 3).expect("a picture");
    let mut add = |at, conv| builder.conv(at, conv).expect("a convolution");
    at = add(at, conv(3, 2, 3, 32, false));
    let mut channels = 32;
    for (outputs, stride) in BLOCKS {
        at = add(at, conv(3, stride, channels, channels, true));
        at = add(at, conv(1, 1, channels, outputs, false));
        channels = outputs;
    }
    let end = builder.mean(at, 0, 0.1).expect("a map of bytes");
    (builder.finish(&[end], Arc::new(Pool::new(threads))), end)
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let mut next = |default| arguments.next().unwrap_or(default);
    let (side, runs, threads) = (next(160), next(200), next(1));
    let (net, end) = network(side, threads);
    let picture: Vec<u8> = (0..side * side * 3).map(|i| (i * 7) as u8).collect();
    let start = Instant::now();
    let first = net.run(&picture, None).expect("a picture of this size").floats(end)[0];
    println!("first run {:.3} ms, gives {first}", start.elapsed().as_secs_f64() * 1e3);
    if runs < 2 {
        // For counting instructions: the difference between one run more and none.
        (0..runs).for_each(|_| drop(net.run(&picture, None)));
        return;
    }
    let mut whole = vec![];
    for _ in 0..runs {
        let start = Instant::now();
        net.run(&picture, None).expect("a picture of this size");
        whole.push(start.elapsed());
    }
    whole.sort_unstable();
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let rate = |macs: u64, d: Duration| macs as f64 / d.as_secs_f64() / 1e9;
    for (name, macs, time) in net.profile(runs) {
        println!("{name:<44}{:8.3} ms{:8.1} GMAC/s", ms(time), rate(macs, time));
    }
    let (way, others) = ways();
    println!("{way} ({FORCE}={}), {threads} threads, {} MACs", others.join("|"), net.macs());
    println!(
        "min {:.3} ms, median {:.3} ms, {:.1} GMAC/s",
        ms(whole[0]),
        ms(whole[runs / 2]),
        rate(net.macs(), whole[0])
    );
}
