use super::{
    choice::{Offer, choose, nearest_side},
    timeline::Timeline,
};
use crate::camera::{
    CameraError, Frame, FrameSource, Wanted,
    convert::{ConvertError, Layout, PixelFormat, Range, to_rgb},
};
use ::v4l::{
    Device, Format, FourCC, Fraction,
    buffer::{Flags, Metadata, Type},
    device::Handle,
    format::{Colorspace, Quantization},
    frameinterval::FrameIntervalEnum,
    framesize::FrameSizeEnum,
    io::{
        mmap::Stream,
        traits::{CaptureStream, Stream as _},
    },
    video::{Capture, capture::Parameters},
};
use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// A driver that gives no whole frame for this long is stuck; the slowest webcam gives five a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// One is read from, one is being filled, and two more while we are late.
const BUFFERS: u32 = 4;
/// `poll` for a frame to read: `POLLIN` of the kernel's `poll.h`, the same on every architecture.
const READABLE: i16 = 1;

/// A camera that is streaming into memory shared with its driver.
pub(in crate::camera) struct Camera {
    device: PathBuf,
    layout: Layout,
    fps: Option<f64>,
    handle: Arc<Handle>,
    /// Gone once the camera is lost: the driver's memory is given back at once.
    stream: Option<Stream<'static>>,
    opened: Instant,
    timeline: Timeline,
}

impl Camera {
    /// Opens the device, agrees on a format and starts the stream.
    pub fn open(path: &Path, want: &Wanted) -> Result<Self, CameraError> {
        let failed = |doing| failure(path, doing);
        let kind = fs::metadata(path).map_err(failed("opening it"))?.file_type();
        if !kind.is_char_device() {
            return Err(unsuitable(path, "not a device; name one like /dev/video0"));
        }
        let device = Device::with_path(path).map_err(failed("opening it"))?;
        let layout = agree(&device, path, want)?;
        let fps = set_rate(&device, want);
        let stream = start(&device).map_err(failed("starting the stream"))?;
        Ok(Self {
            device: path.to_path_buf(),
            layout,
            fps,
            handle: device.handle(),
            stream: Some(stream),
            opened: Instant::now(),
            timeline: Timeline::default(),
        })
    }

    /// The newest whole frame, waiting until there is one.
    fn latest(&mut self) -> Result<Frame, CameraError> {
        let deadline = Instant::now() + PATIENCE;
        let (mut torn, mut passed_over) = (None, 0);
        loop {
            if !self.ready(deadline)? {
                let (device, waited) = (self.device.clone(), PATIENCE);
                return Err(match torn {
                    Some(source) => CameraError::Torn { device, source },
                    None => CameraError::Stuck { device, waited },
                });
            }
            let failed = failure(&self.device, "taking a frame");
            let Some(stream) = &mut self.stream else {
                return Err(failed(io::Error::other("it was lost; open it again")));
            };
            // Gives the frame before back to the driver.
            let (bytes, meta) = CaptureStream::next(stream).map_err(&failed)?;
            let now = self.opened.elapsed();
            let (sequence, at) = self.timeline.stamp(meta.sequence, taken(meta), now);
            // The latest wins. Bounded: a driver that is faster than we are must not keep us here.
            if passed_over < BUFFERS && poll(&self.handle, Duration::ZERO).map_err(&failed)? {
                passed_over += 1;
                continue;
            }
            match convert(&self.layout, bytes, meta) {
                Ok(pixels) => return Ok(Frame { pixels, at, sequence }),
                Err(error) => {
                    log::debug!("{}: frame {sequence}: {error}", self.device.display());
                    torn = Some(error);
                }
            }
        }
    }

    /// Waits for a frame; false when the deadline has come.
    fn ready(&self, deadline: Instant) -> Result<bool, CameraError> {
        let left = deadline.saturating_duration_since(Instant::now());
        poll(&self.handle, left).map_err(failure(&self.device, "waiting for a frame"))
    }
}

impl FrameSource for Camera {
    fn next(&mut self) -> Result<Frame, CameraError> {
        let frame = self.latest();
        if frame.as_ref().is_err_and(CameraError::is_lost) {
            self.stream = None;
        }
        frame
    }

    fn describe(&self) -> String {
        let Layout { format, width, height, .. } = self.layout;
        let device = self.device.display();
        let rate = self.fps.map_or("its own rate".to_owned(), |fps| format!("{fps:.1} frames/s"));
        format!("{device}: a camera, {width} × {height} {format} at {rate}")
    }
}

fn failure(device: &Path, doing: &'static str) -> impl Fn(io::Error) -> CameraError + use<> {
    let device = device.to_path_buf();
    move |source| CameraError::Device { device: device.clone(), doing, source }
}

fn unsuitable(device: &Path, problem: impl Into<String>) -> CameraError {
    CameraError::Unsuitable { device: device.to_path_buf(), problem: problem.into() }
}

/// Sets the best format there is; what the driver then says it has set is what counts.
fn agree(device: &Device, path: &Path, want: &Wanted) -> Result<Layout, CameraError> {
    let failed = failure(path, "setting its format");
    let codes: Vec<FourCC> =
        device.enum_formats().map_err(&failed)?.iter().map(|format| format.fourcc).collect();
    let formats = codes.iter().filter_map(|code| PixelFormat::from_fourcc(&code.repr));
    let formats = formats.filter(|format| want.format.is_none_or(|wanted| wanted == *format));
    let offers: Vec<Offer> = formats.flat_map(|format| offers(device, format, want)).collect();
    let Some(offer) = choose(&offers, want) else {
        return Err(unsuitable(path, no_format(&codes, want.format)));
    };
    let code = FourCC::new(offer.format.fourcc());
    let set = device.set_format(&Format::new(offer.width, offer.height, code)).map_err(failed)?;
    let format = PixelFormat::from_fourcc(&set.fourcc.repr);
    let Some(format) = format.filter(|set| want.format.is_none_or(|wanted| wanted == *set)) else {
        return Err(unsuitable(path, no_format(&[set.fourcc], want.format)));
    };
    // What YUV is by default follows from the colour space: V4L2_MAP_QUANTIZATION_DEFAULT.
    let range = match (set.quantization, set.colorspace) {
        (Quantization::FullRange, _) | (Quantization::Default, Colorspace::JPEG) => Range::Full,
        _ => Range::Limited,
    };
    Ok(Layout { format, width: set.width, height: set.height, stride: set.stride as usize, range })
}

fn no_format(codes: &[FourCC], wanted: Option<PixelFormat>) -> String {
    if codes.is_empty() {
        return "gives no pictures; a camera has several devices, name the first of them"
            .to_owned();
    }
    let codes: Vec<_> = codes.iter().map(|code| code.repr.escape_ascii().to_string()).collect();
    let codes = codes.join(", ");
    match wanted {
        Some(wanted) => format!(
            "gives {codes}, and camera.format asks for {wanted}; name another one, or leave that out"
        ),
        None => format!(
            "gives {codes}, and only {} are read; a ribbon cable's camera has to come through y4m: and a \
             pipe",
            PixelFormat::list()
        ),
    }
}

/// What the camera can do in one format, of ranges of sizes only the one nearest to what is wanted.
fn offers(device: &Device, format: PixelFormat, want: &Wanted) -> Vec<Offer> {
    let code = FourCC::new(format.fourcc());
    // A driver that does not list sizes is asked for the wanted one, and says what it makes of it.
    let mut sizes: Vec<_> = device
        .enum_framesizes(code)
        .unwrap_or_default()
        .into_iter()
        .map(|size| match size.size {
            FrameSizeEnum::Discrete(size) => (size.width, size.height),
            FrameSizeEnum::Stepwise(s) => (
                nearest_side(s.min_width, s.max_width, s.step_width, want.width),
                nearest_side(s.min_height, s.max_height, s.step_height, want.height),
            ),
        })
        .collect();
    if sizes.is_empty() {
        sizes.push((want.width, want.height));
    }
    let offer = |(width, height)| {
        let fastest = fastest(device, code, width, height);
        Offer { format, width, height, fastest }
    };
    sizes.into_iter().map(offer).collect()
}

fn fastest(device: &Device, code: FourCC, width: u32, height: u32) -> Option<f64> {
    let intervals = device.enum_frameintervals(code, width, height).ok()?;
    let rates = intervals.iter().filter_map(|interval| match &interval.interval {
        FrameIntervalEnum::Discrete(shortest) => rate(*shortest),
        FrameIntervalEnum::Stepwise(range) => rate(range.min),
    });
    rates.reduce(f64::max)
}

fn rate(interval: Fraction) -> Option<f64> {
    let fps = f64::from(interval.denominator) / f64::from(interval.numerator);
    fps.is_normal().then_some(fps)
}

/// The rate that the driver has set; `None` from drivers that have no say in it.
fn set_rate(device: &Device, want: &Wanted) -> Option<f64> {
    let interval = Fraction::new(1000, (want.fps.get() * 1000.0).round() as u32);
    let set = device.set_params(&Parameters::new(interval)).or_else(|_| device.params()).ok()?;
    rate(set.interval)
}

/// Starts with all buffers but the first at the driver's. [`CaptureStream::next`] takes that one to be
/// ours still, and never has to wait within itself, where a signal would leave it in disorder.
fn start(device: &Device) -> io::Result<Stream<'static>> {
    let mut stream = Stream::with_buffers(device, Type::VideoCapture, BUFFERS)?;
    // So that even a driver that announces a frame and then has none does not keep us for ever.
    stream.set_timeout(PATIENCE);
    stream.queue(1)?;
    // The driver may have given fewer buffers, or more.
    for index in 2.. {
        if stream.queue(index).is_err() {
            break;
        }
    }
    stream.start()?;
    Ok(stream)
}

/// Whether there is a frame, or an error to fetch, within that time.
fn poll(handle: &Handle, time: Duration) -> io::Result<bool> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        match handle.poll(READABLE, left.try_into().unwrap_or(i32::MAX)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => return Ok(polled? > 0),
        }
    }
}

/// When the frame was taken, by the kernel's monotonic clock.
fn taken(meta: &Metadata) -> Option<Duration> {
    let monotonic = meta.flags & Flags::TIMESTAMP_MASK == Flags::TIMESTAMP_MONOTONIC;
    let seconds = u64::try_from(meta.timestamp.sec).ok()?;
    let microseconds = u64::try_from(meta.timestamp.usec).ok()?;
    let stamp = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
    (monotonic && !stamp.is_zero()).then_some(stamp)
}

fn convert(
    layout: &Layout,
    bytes: &[u8],
    meta: &Metadata,
) -> Result<image::RgbImage, ConvertError> {
    let used = bytes.len().min(meta.bytesused as usize);
    if meta.flags.contains(Flags::ERROR) {
        // The driver knows that packets are missing, whatever the number of bytes.
        let format = layout.format;
        return Err(ConvertError::Damaged { format });
    }
    to_rgb(layout, &bytes[..used])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Fps, Pace, Source};

    fn open(path: &str) -> CameraError {
        let want = Wanted { width: 640, height: 480, fps: Fps::new(10.0).unwrap(), format: None };
        Source::V4l(path.into()).open(&want, Pace::Real).err().unwrap()
    }

    #[test]
    fn what_is_no_camera_is_refused() {
        let absent = open("/dev/no-such-camera");
        assert!(absent.is_lost() && absent.to_string().contains("plug the camera in"), "{absent}");
        let nul = open("/dev/vid\0eo");
        assert!(nul.to_string().contains("opening it"), "{nul}");
        let null = open("/dev/null");
        assert!(null.to_string().starts_with("/dev/null: gives no pictures"), "{null}");
        let folder = open("/dev");
        assert!(folder.is_lost() && folder.to_string().contains("not a device"), "{folder}");
    }

    #[test]
    fn a_camera_with_formats_of_its_own_is_told_what_is_read() {
        let codes = [FourCC::new(b"pBAA"), FourCC::new(b"H264")];
        let problem = no_format(&codes, None);
        assert!(problem.starts_with("gives pBAA, H264, and only YUYV, UYVY, NV12"), "{problem}");
        let problem = no_format(&codes, Some(PixelFormat::Mjpeg));
        assert!(
            problem.starts_with("gives pBAA, H264, and camera.format asks for MJPG"),
            "{problem}"
        );
    }
}
