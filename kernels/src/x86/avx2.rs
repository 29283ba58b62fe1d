//! AVX2: bytes are widened to 16 bits and `vpmaddwd` multiplies 16 of them and adds them two by two to
//! 8 sums. (`vpmaddubsw`, which takes bytes, would saturate.)

use crate::table::{Depthwise, Gemm, Layout, Prepare, Table, Target};
use std::arch::x86_64::*;

pub(super) static TABLE: Table = Table {
    name: "avx2",
    layout: Layout { block: 16, step: 16, group: 2, channel: |_, place| channel(place) },
    offset: 0,
    lifts: false,
    prepare: Some(Prepare {
        size: 2,
        rows: 1,
        run: |from, to, rows, bytes| {
            // SAFETY: this table is chosen only where the processor has AVX2.
            unsafe { widen(from, to, rows * bytes) }
        },
    }),
    gemm: |g| {
        // SAFETY: as above.
        unsafe { gemm(g) }
    },
    depthwise_pack: |conv| pack(conv),
    depthwise_channel: |place| place / 16 * 16 + channel(place % 16),
    depthwise: |d| {
        // SAFETY: as above.
        unsafe { depthwise(d) }
    },
};

/// Packing works within 128-bit lanes: lane l of vector v holds channels 8·l + 4·v and on.
fn channel(place: usize) -> usize {
    let (vector, lane, i) = (place / 8, place % 8 / 4, place % 4);
    lane * 8 + vector * 4 + i
}

/// Rows of a tile: 12 sums, two vectors of weights and one of inputs fill the 16 registers.
const ROWS: usize = 6;

#[target_feature(enable = "avx2")]
unsafe fn gemm(g: &Gemm) {
    for (row, rows) in g.tiles(ROWS) {
        // SAFETY: rows and block are as `Gemm` promises.
        unsafe {
            match rows {
                1 => self::tile::<1>(g, row),
                2 => self::tile::<2>(g, row),
                3 => self::tile::<3>(g, row),
                4 => self::tile::<4>(g, row),
                5 => self::tile::<5>(g, row),
                _ => self::tile::<6>(g, row),
            }
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn tile<const M: usize>(g: &Gemm, row: usize) {
    // SAFETY: `Gemm` promises M rows from `row` on, widened, and a block of two vectors.
    unsafe {
        let bias = [_mm256_loadu_si256(g.bias.cast()), _mm256_loadu_si256(g.bias.add(8).cast())];
        let mut sums = [bias; M];
        let a = g.a.add(row * g.lda);
        for group in 0..g.groups {
            let w = g.w.add(32 * group);
            let weights = [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(w.cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(16).cast())),
            ];
            for (m, sums) in sums.iter_mut().enumerate() {
                let two = a.add(m * g.lda + 4 * group).cast::<i32>().read_unaligned();
                let two = _mm256_set1_epi32(two);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(two, weights));
                }
            }
        }
        let scale = [_mm256_loadu_ps(g.scale), _mm256_loadu_ps(g.scale.add(8))];
        if let Target::Bytes { to, step, range: WHOLE } = g.out
            && g.channels >= 16
        {
            return rows(to.add(row * step), step, sums, scale);
        }
        for (m, sums) in sums.into_iter().enumerate() {
            match g.out {
                Target::Bytes { to, step, range } => {
                    let bytes = bytes(sums, scale, range);
                    write(to.add((row + m) * step), bytes, g.channels);
                }
                Target::Floats { to, step } => {
                    let mut floats = [0f32; 16];
                    for v in 0..2 {
                        let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), scale[v]);
                        _mm256_storeu_ps(floats.as_mut_ptr().add(8 * v), scaled);
                    }
                    let to = to.add((row + m) * step);
                    to.copy_from_nonoverlapping(floats.as_ptr(), g.channels.min(16));
                }
            }
        }
    }
}

/// What ReLU leaves and bytes cut off by themselves.
const WHOLE: [u8; 3] = [0, 0, 255];

/// Rows of 16 sums as bytes, two at once.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn rows<const M: usize>(
    to: *mut u8,
    step: usize,
    sums: [[__m256i; 2]; M],
    scale: [__m256; 2],
) {
    let words = |row: usize| words(sums[row], scale);
    for row in (0..M - 1).step_by(2) {
        // Each half has eight bytes of the one row, eight of the other.
        let halves = _mm256_packus_epi16(words(row), words(row + 1));
        let rows = _mm256_permute4x64_epi64::<0b11_01_10_00>(halves);
        let to = to.wrapping_add(row * step);
        // SAFETY: the caller's, for 16 bytes of each row.
        unsafe {
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(rows));
            _mm_storeu_si128(to.add(step).cast(), _mm256_extracti128_si256::<1>(rows));
        }
    }
    if M % 2 == 1 {
        let bytes = bytes(sums[M - 1], scale, WHOLE);
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(to.add((M - 1) * step).cast(), bytes) };
    }
}

/// 16 sums, scaled, rounded and cut to 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn words(sums: [__m256i; 2], scale: [__m256; 2]) -> __m256i {
    let rounded =
        |v: usize| _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), scale[v]));
    _mm256_packs_epi32(rounded(0), rounded(1))
}

/// Bytes as 16-bit numbers, so that one load gives two of them to every lane.
#[target_feature(enable = "avx2")]
unsafe fn widen(from: *const u8, to: *mut u8, count: usize) {
    for at in (0..count).step_by(16) {
        // SAFETY: the caller's: both are multiples of 16 long.
        unsafe {
            let bytes = _mm_loadu_si128(from.add(at).cast());
            _mm256_storeu_si256(to.add(2 * at).cast(), _mm256_cvtepu8_epi16(bytes));
        }
    }
}

/// 16 sums as bytes, in the order that [`channel`] is about.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(sums: [__m256i; 2], scale: [__m256; 2], [zero, low, high]: [u8; 3]) -> __m128i {
    let words = _mm256_adds_epi16(words(sums, scale), _mm256_set1_epi16(i16::from(zero)));
    let bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(low as i8));
    _mm_min_epu8(bytes, _mm_set1_epi8(high as i8))
}

/// The first `count` of 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn write(to: *mut u8, bytes: __m128i, count: usize) {
    // SAFETY: the caller's, for `count` bytes.
    unsafe {
        if count >= 16 {
            _mm_storeu_si128(to.cast(), bytes);
        } else {
            let mut all = [0u8; 16];
            _mm_storeu_si128(all.as_mut_ptr().cast(), bytes);
            to.copy_from_nonoverlapping(all.as_ptr(), count);
        }
    }
}

/// `[channels by 16][column][rows 0 and 1, row 2 and nothing][16 places][2]`.
fn pack(conv: &crate::Conv) -> Vec<i8> {
    let mut packed = Vec::new();
    for first in (0..conv.outputs).step_by(16) {
        for column in 0..3 {
            for pair in [[0, 1], [2, 3]] {
                for place in 0..16 {
                    let channel = first + channel(place);
                    packed.extend(pair.iter().map(|&row| conv.tap(channel, row, column)));
                }
            }
        }
    }
    packed
}

/// Three rows of one column of 16 channels, widened, the first two interleaved, the third with nothing.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn column(d: &Depthwise, x: usize, first: usize) -> [__m256i; 4] {
    // SAFETY: `Depthwise` promises 16 bytes of every column.
    let rows =
        d.column(x, first).map(|row| unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(row.cast())) });
    let zero = _mm256_setzero_si256();
    [
        _mm256_unpacklo_epi16(rows[0], rows[1]),
        _mm256_unpackhi_epi16(rows[0], rows[1]),
        _mm256_unpacklo_epi16(rows[2], zero),
        _mm256_unpackhi_epi16(rows[2], zero),
    ]
}

#[target_feature(enable = "avx2")]
unsafe fn depthwise(d: &Depthwise) {
    for first in (0..d.channels).step_by(16) {
        // SAFETY: `Depthwise` promises the rows, packed weights and numbers for whole blocks of 16, and
        // an output for every column.
        unsafe {
            let w = d.w.add(first * 12);
            let bias = [0, 8].map(|at| _mm256_loadu_si256(d.bias.add(first + at).cast()));
            let scale = [0, 8].map(|at| _mm256_loadu_ps(d.scale.add(first + at)));
            let mut columns = [column(d, 0, first), column(d, 1, first), [bias[0]; 4]];
            for x in 0..d.columns {
                if d.stride == 2 && x > 0 {
                    columns[0] = columns[2];
                    columns[1] = column(d, x * 2 + 1, first);
                }
                columns[2] = column(d, x * d.stride + 2, first);
                let mut sums = bias;
                for (c, column) in columns.iter().enumerate() {
                    for (v, four) in column.iter().enumerate() {
                        let w = _mm_loadu_si128(w.add(64 * c + 16 * v).cast());
                        let product = _mm256_madd_epi16(*four, _mm256_cvtepi8_epi16(w));
                        sums[v % 2] = _mm256_add_epi32(sums[v % 2], product);
                    }
                }
                let to = d.out.add(x * d.out_step + first);
                write(to, bytes(sums, scale, d.range), d.channels - first);
                if d.stride == 1 {
                    columns[0] = columns[1];
                    columns[1] = columns[2];
                }
            }
        }
    }
}
