use super::portrait::{Portrait, SIDES};
use crate::data::augment::about;
use facelatch::{
    align::{Affine, warp_into},
    files::write_atomically,
};
use image::{RgbImage, codecs::jpeg::JpegEncoder};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{error::Error, f32::consts::PI, fs, path::Path};

/// Sides of a frame, px.
const FRAME: [usize; 2] = [480, 360];

/// Frames a second.
const FPS: f32 = 4.0;

/// Pictures of each resident to enrol from.
const SAMPLES: usize = 5;

/// Quality of the JPEGs.
const QUALITY: u8 = 60;

/// Who comes when.
pub struct Evening {
    /// Index of the portrait, arrival and departure in seconds.
    pub visits: Vec<(usize, [f32; 2])>,
    /// How long it lasts, seconds.
    pub length: f32,
}

impl Default for Evening {
    /// A resident, a stranger, the other resident.
    fn default() -> Self {
        Self { visits: vec![(0, [1.5, 5.5]), (2, [8.0, 13.0]), (1, [16.0, 20.0])], length: 26.0 }
    }
}

/// Writes `enrol/NAME/*.jpg` for each name's portrait, and the evening's frames as `evening/*.jpg`.
///
/// # Errors
/// Whatever the file system says.
pub fn write_evening(
    out: &Path,
    names: &[&str],
    portraits: &[Portrait],
    evening: &Evening,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let room = room();
    for (name, portrait) in names.iter().zip(portraits) {
        let folder = out.join("enrol").join(name);
        fs::create_dir_all(&folder)?;
        for i in 0..SAMPLES {
            let mut rng = ChaCha8Rng::seed_from_u64(1000 + i as u64);
            let place = Place { zoom: 1.0 + 0.04 * i as f32, ..Place::draw(&mut rng) };
            let frame = frame(&room, Some((portrait, place)), 1.0, &mut rng);
            write_atomically(&folder.join(format!("{i}.jpg")), &jpeg(&frame)?)?;
        }
    }
    let folder = out.join("evening");
    fs::create_dir_all(&folder)?;
    for i in 0..(evening.length * FPS) as usize {
        let mut rng = ChaCha8Rng::seed_from_u64(i as u64);
        let now = i as f32 / FPS;
        // The light falls slowly, as it does.
        let light = 1.0 - 0.35 * now / evening.length;
        let here = evening.visits.iter().find(|(_, [from, to])| (*from..*to).contains(&now));
        let visitor = here.map(|(who, [from, to])| {
            (&portraits[*who], Place::at((now - from) / (to - from), &mut rng))
        });
        let frame = frame(&room, visitor, light, &mut rng);
        write_atomically(&folder.join(format!("{i:03}.jpg")), &jpeg(&frame)?)?;
    }
    Ok(())
}

/// Where a portrait stands in a frame.
#[derive(Clone, Copy)]
struct Place {
    centre: [f32; 2],
    zoom: f32,
    roll: f32,
}

impl Place {
    fn draw(rng: &mut impl Rng) -> Self {
        Self {
            centre: [240.0 + about(14.0, rng), 208.0 + about(6.0, rng)],
            zoom: 1.0,
            roll: about(0.07, rng),
        }
    }

    /// A share of a visit over: comes nearer from the left, stands, and leaves to the right.
    fn at(share: f32, rng: &mut impl Rng) -> Self {
        let mut place = Self::draw(rng);
        let (coming, leaving) = ((1.0 - share * 5.0).max(0.0), (share * 5.0 - 4.0).max(0.0));
        place.centre[0] += 130.0 * (leaving - coming);
        place.zoom = 1.0 - 0.25 * (coming + leaving);
        // Shoulders end below the frame, however far away.
        place.centre[1] += SIDES[1] as f32 / 2.0 * (1.0 - place.zoom);
        place
    }
}

/// A hall: a wall with a door in it, a lamp's light from above.
fn room() -> RgbImage {
    let [width, height] = FRAME;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        let door = (0.62..0.9).contains(&x) && y > 0.15;
        let frame = (0.6..0.92).contains(&x) && y > 0.12 && !door;
        let light = 1.0 - 0.5 * ((x - 0.4).powi(2) + (y - 0.1).powi(2)).sqrt();
        let colour = match (door, frame, y > 0.9) {
            (true, ..) => [96.0, 70.0, 52.0],
            (_, true, _) => [60.0, 46.0, 36.0],
            (.., true) => [84.0, 80.0, 76.0],
            _ => [172.0, 168.0, 156.0],
        };
        image::Rgb(colour.map(|v: f32| (v * light) as u8))
    })
}

fn frame(
    room: &RgbImage,
    visitor: Option<(&Portrait, Place)>,
    light: f32,
    rng: &mut impl Rng,
) -> RgbImage {
    let mut frame = room.clone();
    if let Some((portrait, place)) = visitor {
        let middle = SIDES.map(|side| side as f32 / 2.0);
        let back = Affine::scale_shift(1.0, 1.0, place.centre.map(|v| -v))
            .then(Affine::rotate(-place.roll))
            .then(Affine::scale_shift(1.0 / place.zoom, 1.0 / place.zoom, middle));
        let mut drawn = vec![0; FRAME[0] * FRAME[1] * 3];
        warp_into(&portrait.pixels, SIDES, &back, &mut drawn, FRAME);
        for (x, y, pixel) in frame.enumerate_pixels_mut() {
            let part = opacity(back.apply([x as f32, y as f32]));
            let at = (y as usize * FRAME[0] + x as usize) * 3;
            for (to, from) in pixel.0.iter_mut().zip(&drawn[at..]) {
                *to = (f32::from(*to) * (1.0 - part) + f32::from(*from) * part) as u8;
            }
        }
    }
    let flicker = light * (0.97 + 0.06 * rng.random::<f32>());
    for v in frame.iter_mut() {
        let noise = (rng.random::<f32>() + rng.random::<f32>() - 1.0) * 3.0;
        *v = (f32::from(*v) * flicker + noise).clamp(0.0, 255.0) as u8;
    }
    frame
}

/// How much of a portrait is to be seen at one of its points: all of head and shoulders, with a soft
/// edge to where four backgrounds are blended.
fn opacity([x, y]: [f32; 2]) -> f32 {
    let (width, height) = (SIDES[0] as f32, SIDES[1] as f32);
    let head = ((x - width / 2.0) / 108.0).hypot((y - 158.0) / 150.0);
    let body = ((x - width / 2.0) / 140.0).hypot((y - height) / 90.0);
    let nearest = head.min(body);
    let edge = ((1.0 - nearest) / 0.18).clamp(0.0, 1.0);
    let inside = (0.0..height).contains(&y) && (0.0..width).contains(&x);
    if inside { 0.5 - 0.5 * (PI * edge).cos() } else { 0.0 }
}

fn jpeg(frame: &RgbImage) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    frame.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(bytes)
}
