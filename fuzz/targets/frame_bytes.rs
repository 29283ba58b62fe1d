#![no_main]
//! What a camera's driver may hand over: any bytes as any format.
use facelatch::camera::convert::{Layout, PixelFormat, Range, to_rgb};

libfuzzer_sys::fuzz_target!(|input: (u8, u8, u8, u16, &[u8])| {
    let (format, width, height, stride, bytes) = input;
    let format = PixelFormat::ALL[usize::from(format) % PixelFormat::ALL.len()];
    let layout = Layout {
        format,
        width: width.into(),
        height: height.into(),
        stride: stride.into(),
        range: Range::Limited,
    };
    let _ = to_rgb(&layout, bytes);
});
