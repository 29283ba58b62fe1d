//! Every way against a convolution written down as it is defined.

use crate::{Builder, Conv, Output, Pool, conv::requantize, table};
use proptest::prelude::*;
use std::sync::Arc;

/// The definition, without a thought for speed.
fn defined(conv: &Conv, input: &[u8], [height, width]: [usize; 2]) -> Vec<(i32, f32)> {
    let [out_height, out_width] = conv.output_size([height, width]).unwrap();
    let group = if conv.depthwise { 1 } else { conv.inputs };
    let mut out = Vec::new();
    for y in 0..out_height {
        for x in 0..out_width {
            for o in 0..conv.outputs {
                let mut sum = conv.bias[o];
                for i in 0..conv.kernel[0] {
                    for j in 0..conv.kernel[1] {
                        for c in 0..group {
                            let y = (y * conv.stride[0] + i).wrapping_sub(conv.pads[0]);
                            let x = (x * conv.stride[1] + j).wrapping_sub(conv.pads[1]);
                            if y < height && x < width {
                                let channel = if conv.depthwise { o } else { c };
                                let at = (y * width + x) * conv.inputs + channel;
                                let w = ((o * conv.kernel[0] + i) * conv.kernel[1] + j) * group + c;
                                let byte = i32::from(input[at]) - i32::from(conv.input_zero);
                                sum += byte * i32::from(conv.weights[w]);
                            }
                        }
                    }
                }
                out.push((sum, conv.scale[o]));
            }
        }
    }
    out
}

fn bytes_of(conv: &Conv, input: &[u8], size: [usize; 2]) -> Vec<u8> {
    let Output::Bytes { zero, low, high } = conv.output else { unreachable!() };
    let sums = defined(conv, input, size);
    sums.into_iter().map(|(sum, scale)| requantize(sum, scale, [zero, low, high])).collect()
}

#[derive(Debug, Clone)]
enum Kind {
    Dense { kernel: [usize; 2], stride: usize, outputs: usize },
    Depthwise { stride: usize },
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1usize..=4, 1usize..=4, 1usize..=2, 1usize..=40)
            .prop_map(|(h, w, stride, outputs)| Kind::Dense { kernel: [h, w], stride, outputs }),
        (1usize..=90).prop_map(|outputs| Kind::Dense { kernel: [1, 1], stride: 1, outputs }),
        (1usize..=2).prop_map(|stride| Kind::Depthwise { stride }),
    ]
}

/// A convolution of `inputs` channels; `numbers` are drawn from as needed. Scales go from those that
/// leave nothing to those that saturate everything.
fn conv(kind: &Kind, inputs: usize, pads: [usize; 4], floats: bool, mut numbers: Numbers) -> Conv {
    let (kernel, stride, outputs, depthwise) = match *kind {
        Kind::Dense { kernel, stride, outputs } => (kernel, stride, outputs, false),
        Kind::Depthwise { stride } => ([3, 3], stride, inputs, true),
    };
    let pads = [0, 1, 2, 3].map(|i| pads[i].min(kernel[i % 2] - 1));
    let depth = kernel[0] * kernel[1] * if depthwise { 1 } else { inputs };
    let low = numbers.below(40) as u8 * u8::from(numbers.below(3) == 0);
    // Whole bytes from 0 up are a case of their own, and so are scales as networks have them.
    let high = 255 - numbers.below(30) as u8 * u8::from(numbers.below(2) == 0);
    let (least, steps) = if numbers.below(2) == 0 { (3, 5) } else { (5, 2) };
    Conv {
        kernel,
        stride: [stride; 2],
        pads,
        inputs,
        outputs,
        depthwise,
        weights: (0..outputs * depth).map(|_| (numbers.below(255) as i32 - 127) as i8).collect(),
        bias: (0..outputs).map(|_| numbers.below(20_001) as i32 - 10_000).collect(),
        scale: (0..outputs)
            .map(|_| {
                (numbers.below(1000) as f32 + 1.0)
                    * 10f32.powi(-(numbers.below(steps) as i32) - least)
            })
            .collect(),
        input_zero: if numbers.below(2) == 0 { 0 } else { numbers.below(256) as u8 },
        output: if floats && !depthwise {
            Output::Floats
        } else {
            let zero = if numbers.below(2) == 0 { 0 } else { numbers.below(256) as u8 };
            Output::Bytes { zero, low, high }
        },
    }
}

#[derive(Clone)]
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn input(len: usize, numbers: &mut Numbers) -> Vec<u8> {
    // Extremes are where sums would overflow.
    let extremes = numbers.below(4) == 0;
    (0..len)
        .map(|_| if extremes { 255 * numbers.below(2) as u8 } else { numbers.below(256) as u8 })
        .collect()
}

proptest! {
    // As many cases as PROPTEST_CASES says, 256 if it says nothing.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_way_gives_the_bits_of_the_definition(
        height in 1usize..=8,
        width in 1usize..=8,
        inputs in 1usize..=90,
        kind in kind(),
        pads in proptest::array::uniform4(0usize..=2),
        floats in any::<bool>(),
        threads in 1usize..=3,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers(seed);
        let conv = conv(&kind, inputs, pads, floats, numbers.clone());
        prop_assume!(conv.check().is_ok() && conv.output_size([height, width]).is_some());
        let input = input(height * width * inputs, &mut numbers);
        let pool = Arc::new(Pool::of(threads));
        for table in table::all() {
            let (mut builder, map) = Builder::new([height, width], inputs).unwrap();
            let out = builder.conv(map, conv.clone()).unwrap();
            let net = builder.finish_for(table, &[out], Arc::clone(&pool));
            let run = net.run(&input, None).unwrap();
            if conv.output == Output::Floats {
                let wanted: Vec<f32> = defined(&conv, &input, [height, width])
                    .into_iter().map(|(sum, scale)| sum as f32 * scale).collect();
                prop_assert_eq!(run.floats(out), &wanted[..], "{}", table.name);
            } else {
                let wanted = bytes_of(&conv, &input, [height, width]);
                prop_assert_eq!(run.bytes(out), &wanted[..], "{}", table.name);
            }
        }
    }

    #[test]
    fn a_whole_network_is_the_same_fused_or_not_whatever_the_way_and_the_threads(
        height in 5usize..=20,
        width in 5usize..=20,
        blocks in proptest::collection::vec((1usize..=2, 1usize..=80, any::<bool>()), 1..4),
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers(seed);
        let picture = input(height * width * 3, &mut numbers);
        let mut table_of_bytes = [0u8; 256];
        table_of_bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = 255 - i as u8);
        let looked_up: Vec<u8> = picture.iter().map(|&b| 255 - b).collect();
        // The chain of convolutions, and by the definition what the last one gives.
        let mut convs = Vec::new();
        let (mut map, mut size, mut channels) = (looked_up, [height, width], 3);
        let first = Kind::Dense { kernel: [3, 3], stride: 2, outputs: 20 };
        let mut kinds = vec![(first, [0, 0, 1, 1])];
        for (stride, outputs, keep) in &blocks {
            kinds.push((Kind::Depthwise { stride: *stride }, [1; 4]));
            kinds.push((Kind::Dense { kernel: [1, 1], stride: 1, outputs: *outputs }, [0; 4]));
            if *keep { kinds.push((Kind::Depthwise { stride: 1 }, [1; 4])); }
        }
        for (kind, pads) in kinds {
            let conv = conv(&kind, channels, pads, false, Numbers(numbers.below(1 << 30)));
            prop_assume!(conv.check().is_ok());
            let Some(next) = conv.output_size(size) else { return Ok(()) };
            map = bytes_of(&conv, &map, size);
            (size, channels) = (next, conv.outputs);
            convs.push(conv);
        }
        let pixels = size[0] * size[1];
        let mean: Vec<f32> = (0..channels)
            .map(|c| {
                let sum: i32 = (0..pixels).map(|p| i32::from(map[p * channels + c]) - 7).sum();
                sum as f32 * 0.25 / pixels as f32
            })
            .collect();
        for table in table::all() {
            for threads in 1..=4 {
                let (mut builder, mut at) = Builder::new([height, width], 3).unwrap();
                for conv in &convs {
                    at = builder.conv(at, conv.clone()).unwrap();
                }
                let end = builder.mean(at, 7, 0.25).unwrap();
                let net = builder.finish_for(table, &[at, end], Arc::new(Pool::of(threads)));
                for _ in 0..2 {
                    let run = net.run(&picture, Some(&table_of_bytes)).unwrap();
                    prop_assert_eq!(run.bytes(at), &map[..], "{} x{}", table.name, threads);
                    prop_assert_eq!(run.floats(end), &mean[..], "{} x{}", table.name, threads);
                }
            }
        }
    }
}

#[test]
fn sums_around_the_last_that_a_float_holds_become_the_bytes_of_the_definition() {
    let kind = Kind::Dense { kernel: [1, 1], stride: 1, outputs: 16 };
    let edge = 1 << 23;
    // From scales that cut such sums to 255 down to those that leave them far below.
    for scale in [3.1e-5, 3.0e-5, 1e-5, 1e-9, 0.0] {
        let mut conv = conv(&kind, 8, [0; 4], false, Numbers(3));
        conv.bias = (0..16).map(|i| edge * [-2, -1, 1, 2][i / 4] + [-9, 0, 9, 99][i % 4]).collect();
        conv.scale = vec![scale; 16];
        conv.input_zero = 7;
        conv.output = Output::Bytes { zero: 0, low: 0, high: 255 };
        let picture = input(5 * 8, &mut Numbers(4));
        let wanted = bytes_of(&conv, &picture, [1, 5]);
        for table in table::all() {
            let (mut builder, map) = Builder::new([1, 5], 8).unwrap();
            let out = builder.conv(map, conv.clone()).unwrap();
            let net = builder.finish_for(table, &[out], Arc::new(Pool::of(1)));
            let run = net.run(&picture, None).unwrap();
            assert_eq!(run.bytes(out), &wanted[..], "{} at {scale}", table.name);
        }
    }
}

#[test]
fn halves_go_to_the_even_byte_and_sums_far_beyond_any_to_the_one_on_their_side() {
    let kinds =
        [Kind::Dense { kernel: [1, 1], stride: 1, outputs: 16 }, Kind::Depthwise { stride: 1 }];
    let halves = [1, 3, 5, 253, 255, 257, 507, 509, 511, 513];
    let far = [1 << 21, 1 << 22, 3 << 22, 1 << 24, 1 << 26, (1 << 29) - (1 << 20)];
    // Half a step for each of the sum's, and nearly as far as sums may go.
    for (scale, biases) in [(0.5, &halves[..]), (1.0, &far), (1.9, &far), (-1.9, &far)] {
        for (kind, sign, zero) in kinds.iter().flat_map(|kind| {
            [(kind, 1, 0), (kind, 1, 7), (kind, 1, 255), (kind, -1, 7), (kind, -1, 255)]
        }) {
            let mut conv = conv(kind, 16, [0; 4], false, Numbers(3));
            conv.weights.fill(0);
            conv.bias = (0..16).map(|i| sign * biases[i % biases.len()]).collect();
            conv.scale = vec![scale; 16];
            conv.output = Output::Bytes { zero, low: 0, high: 255 };
            let picture = [9; 9 * 16];
            let wanted = bytes_of(&conv, &picture, [3, 3]);
            for table in table::all() {
                let (mut builder, map) = Builder::new([3, 3], 16).unwrap();
                let out = builder.conv(map, conv.clone()).unwrap();
                let net = builder.finish_for(table, &[out], Arc::new(Pool::of(1)));
                let run = net.run(&picture, None).unwrap();
                assert_eq!(run.bytes(out), &wanted[..], "{} {kind:?} {scale} {zero}", table.name);
            }
        }
    }
}

#[test]
fn what_cannot_be_run_exactly_is_refused() {
    let good = || {
        conv(&Kind::Dense { kernel: [1, 1], stride: 1, outputs: 4 }, 8, [0; 4], false, Numbers(1))
    };
    type Case = (&'static str, fn(&mut Conv));
    let cases: [Case; 12] = [
        ("weights of -128", |c| c.weights[3] = -128),
        ("a bias near the edge", |c| c.bias[0] = i32::MAX),
        ("a scale that leaves 32 bits", |c| c.scale[1] = 1e9),
        ("a scale that is none", |c| c.scale[1] = f32::NAN),
        ("too few weights", |c| c.weights.truncate(31)),
        ("too many scales", |c| c.scale.push(1.0)),
        ("no stride", |c| c.stride = [0, 1]),
        ("padding beyond the window", |c| c.pads = [1, 0, 0, 0]),
        ("a depthwise window of one", |c| c.depthwise = true),
        ("a least byte above the greatest", |c| {
            c.output = Output::Bytes { zero: 0, low: 9, high: 3 };
        }),
        ("a window whose size wraps to one", |c| {
            (c.inputs, c.outputs, c.weights) = (1, 1, vec![1]);
            (c.bias, c.scale) = (vec![0], vec![1.0]);
            c.kernel = [3, 0xAAAA_AAAA_AAAA_AAABu64 as usize];
            c.pads = [1, c.kernel[1] - 1, 1, 0];
        }),
        ("channels beyond any network", |c| c.inputs = usize::MAX),
    ];
    assert_eq!(good().check(), Ok(()));
    for (what, change) in cases {
        let mut conv = good();
        change(&mut conv);
        let (mut builder, map) = Builder::new([4, 4], 8).unwrap();
        assert!(builder.conv(map, conv).is_err(), "{what}");
    }
    let (builder, _) = Builder::new([4, 4], 8).unwrap();
    let net = builder.finish_for(table::all()[0], &[], Arc::new(Pool::new(1)));
    assert!(net.run(&[0; 5], None).is_err(), "a picture of another size");
    for (size, channels) in [([0, 4], 3), ([1 << 30, 1 << 20], 3), ([4096, 4096], 4096)] {
        assert!(Builder::new(size, channels).is_err(), "{size:?} of {channels}");
    }
    let (mut large, _) = Builder::new([1, 1], 1).unwrap();
    let (mut builder, map) = Builder::new([4096, 4096], 1).unwrap();
    assert!(builder.mean(map, 0, 1.0).is_err(), "sums beyond 32 bits");
    let (mut other, map) = Builder::new([4, 4], 8).unwrap();
    let map = other.conv(map, good()).unwrap();
    assert!(large.mean(map, 0, 1.0).is_err(), "a map of another network");
}
