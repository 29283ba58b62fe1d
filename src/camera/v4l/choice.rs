use crate::camera::{Wanted, convert::PixelFormat};

/// One thing that a camera can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    pub format: PixelFormat,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Frames a second; `None` if the driver does not say.
    pub fastest: Option<f64>,
}

/// The offer nearest to what is wanted: first by size, where a larger one beats any smaller, then by
/// rate, then by the order of [`PixelFormat::ALL`]. So a webcam whose YUYV is slow at the wanted size
/// gives MJPG.
pub fn choose(offers: &[Offer], want: &Wanted) -> Option<Offer> {
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let cost = |offer: &Offer| {
        let too_small = offer.width < want.width || offer.height < want.height;
        let off = area(offer.width, offer.height).abs_diff(area(want.width, want.height));
        // In whole frames: 29.97 is as good as 30.
        let missing = offer.fastest.map_or(0.0, |fps| (want.fps.get() - fps).round().max(0.0));
        let rank = PixelFormat::ALL.iter().position(|&format| format == offer.format);
        (too_small, off, missing as u64, rank)
    };
    offers.iter().min_by_key(|offer| cost(offer)).copied()
}

/// The side nearest to the wanted one that is not below it, of those from `min` to `max` in steps.
pub fn nearest_side(min: u32, max: u32, step: u32, want: u32) -> u32 {
    let step = step.max(1);
    let steps = want.saturating_sub(min).div_ceil(step).min(max.saturating_sub(min) / step);
    min + steps * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Fps;
    use PixelFormat::{Grey, Mjpeg, Nv12, Yuyv};
    use proptest::prelude::*;

    fn offer(format: PixelFormat, width: u32, height: u32, fps: f64) -> Offer {
        Offer { format, width, height, fastest: Some(fps) }
    }

    fn want(width: u32, height: u32, fps: f64) -> Wanted {
        Wanted { width, height, fps: Fps::new(fps).unwrap(), format: None }
    }

    #[test]
    fn the_best_format_that_gives_size_and_rate_is_chosen() {
        let webcam = [
            offer(Mjpeg, 1280, 720, 30.0),
            offer(Mjpeg, 640, 480, 30.0),
            offer(Yuyv, 640, 480, 29.97),
            offer(Yuyv, 1280, 720, 10.0),
            offer(Grey, 1280, 720, 60.0),
            offer(Nv12, 320, 240, 30.0),
        ];
        for (wanted, chosen) in [
            (want(640, 480, 30.0), webcam[2]),
            (want(1280, 720, 10.0), webcam[3]),
            (want(1280, 720, 30.0), webcam[0]),
            (want(1280, 720, 60.0), webcam[4]),
            (want(320, 240, 10.0), webcam[5]),
            (want(800, 600, 10.0), webcam[3]),
            (want(1920, 1080, 10.0), webcam[3]),
        ] {
            assert_eq!(choose(&webcam, &wanted), Some(chosen), "{wanted:?}");
        }
        assert_eq!(choose(&[], &want(640, 480, 30.0)), None);
    }

    #[test]
    fn a_rate_that_is_not_known_is_trusted() {
        let silent = Offer { fastest: None, ..offer(Yuyv, 640, 480, 0.0) };
        let offers = [offer(Mjpeg, 640, 480, 30.0), silent];
        assert_eq!(choose(&offers, &want(640, 480, 30.0)), Some(silent));
    }

    proptest! {
        #[test]
        fn the_nearest_side_is_one_there_is(
            min in 0u32..5000, span in 0u32..5000, step in 0u32..70, want: u32,
        ) {
            let side = nearest_side(min, min + span, step, want);
            prop_assert!(side >= min && side <= min + span);
            prop_assert_eq!((side - min) % step.max(1), 0);
            let next = side + step.max(1);
            prop_assert!(side >= want || next > min + span);
        }
    }
}
