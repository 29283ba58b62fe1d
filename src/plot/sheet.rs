use super::{
    PlotError,
    chart::{FONT, built_in_font},
};
use crate::detect::Bounds;
use image::{ImageFormat, Rgb, RgbImage, imageops};
use plotters::{prelude::*, style::IntoFont};
use std::io::Cursor;

/// Width of a picture on the sheet, px; its height follows.
const WIDTH: u32 = 320;

/// Height of the words below it, px.
const CAPTION: u32 = 52;

/// Room around each, px.
const GAP: u32 = 10;

/// Pictures in a row.
const COLUMNS: u32 = 4;

/// What a colour on a sheet stands for (Okabe and Ito's colours, told apart by colour-blind readers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Let in.
    Good,
    /// Kept out, or an alarm.
    Bad,
    /// Neither yet.
    Neutral,
}

impl Tone {
    fn colour(self) -> [u8; 3] {
        match self {
            Self::Good => [0, 158, 115],
            Self::Bad => [213, 94, 0],
            Self::Neutral => [120, 120, 120],
        }
    }
}

/// A frame with what was made of it.
#[derive(Debug, Clone)]
pub struct Shot {
    /// The frame.
    pub picture: RgbImage,
    /// The faces in it, px of the frame.
    pub faces: Vec<Bounds>,
    /// Colour of the faces and of the line below the picture.
    pub tone: Tone,
    /// Two lines of words.
    pub caption: [String; 2],
}

/// A contact sheet of shots, four in a row, as a PNG file.
///
/// # Errors
/// [`PlotError::Draw`].
pub fn contact_sheet(shots: &[Shot]) -> Result<Vec<u8>, PlotError> {
    let cells: Vec<RgbImage> = shots.iter().map(cell).collect();
    let height = cells.iter().map(RgbImage::height).max().unwrap_or(0);
    let rows = (cells.len() as u32).div_ceil(COLUMNS);
    let (width, all) = (COLUMNS * (WIDTH + GAP) + GAP, rows * (height + CAPTION + GAP) + GAP);
    let mut sheet = RgbImage::from_pixel(width, all, Rgb([255; 3]));
    let corner = |i: usize| {
        let (column, row) = (i as u32 % COLUMNS, i as u32 / COLUMNS);
        (GAP + column * (WIDTH + GAP), GAP + row * (height + CAPTION + GAP))
    };
    for (i, cell) in cells.iter().enumerate() {
        let (x, y) = corner(i);
        imageops::replace(&mut sheet, cell, x.into(), y.into());
    }
    write_captions(&mut sheet, shots, height, corner)?;
    let mut bytes = Cursor::new(Vec::new());
    sheet.write_to(&mut bytes, ImageFormat::Png).map_err(failed)?;
    Ok(bytes.into_inner())
}

fn failed(reason: impl ToString) -> PlotError {
    PlotError::Draw { title: "contact sheet".into(), reason: reason.to_string() }
}

fn cell(shot: &Shot) -> RgbImage {
    let scale = WIDTH as f32 / shot.picture.width().max(1) as f32;
    let height = ((shot.picture.height() as f32 * scale) as u32).max(1);
    let filter = imageops::FilterType::Triangle;
    let mut small = imageops::resize(&shot.picture, WIDTH, height, filter);
    for face in &shot.faces {
        outline(&mut small, face, scale, shot.tone.colour());
    }
    for (x, y) in (0..WIDTH).flat_map(|x| (height.saturating_sub(4)..height).map(move |y| (x, y))) {
        small.put_pixel(x, y, Rgb(shot.tone.colour()));
    }
    small
}

fn outline(picture: &mut RgbImage, face: &Bounds, scale: f32, colour: [u8; 3]) {
    let (width, height) = (picture.width() as i32, picture.height() as i32);
    let [left, top, right, bottom] =
        [face.x, face.y, face.x + face.width, face.y + face.height].map(|v| (v * scale) as i32);
    let mut dot = |x: i32, y: i32| {
        if (0..width).contains(&x) && (0..height).contains(&y) {
            picture.put_pixel(x as u32, y as u32, Rgb(colour));
        }
    };
    for thickness in 0..3 {
        for x in left..=right.min(width) {
            dot(x, top + thickness);
            dot(x, bottom - thickness);
        }
        for y in top..=bottom.min(height) {
            dot(left + thickness, y);
            dot(right - thickness, y);
        }
    }
}

fn write_captions(
    sheet: &mut RgbImage,
    shots: &[Shot],
    height: u32,
    corner: impl Fn(usize) -> (u32, u32),
) -> Result<(), PlotError> {
    built_in_font().map_err(failed)?;
    let size = sheet.dimensions();
    let root = BitMapBackend::with_buffer(sheet, size).into_drawing_area();
    for (i, shot) in shots.iter().enumerate() {
        let (x, y) = corner(i);
        let [r, g, b] = shot.tone.colour();
        for (line, (text, colour)) in
            shot.caption.iter().zip([RGBColor(r, g, b), RGBColor(40, 40, 40)]).enumerate()
        {
            let style = (FONT, 18).into_font().color(&colour);
            let at = (x as i32 + 2, (y + height) as i32 + 6 + 22 * line as i32);
            root.draw_text(text, &style, at).map_err(failed)?;
        }
    }
    root.present().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_shows_each_frame_with_its_faces_and_none_is_no_panic() {
        let shot = |faces| Shot {
            picture: RgbImage::from_pixel(480, 360, Rgb([10; 3])),
            faces,
            tone: Tone::Good,
            caption: ["1.0 s  unlocked".into(), "Ada 0.81".into()],
        };
        let face = Bounds { x: 100.0, y: 90.0, width: 80.0, height: 100.0 };
        let off = Bounds { x: -50.0, y: -50.0, width: 2000.0, height: 2000.0 };
        let sheet = contact_sheet(&[shot(vec![face]), shot(vec![off]), shot(vec![])]).unwrap();
        let sheet = image::load_from_memory(&sheet).unwrap().into_rgb8();
        let green = sheet.pixels().filter(|p| p.0 == Tone::Good.colour()).count();
        assert!(green > 1000, "{green}");
        assert!(contact_sheet(&[]).is_ok());
    }
}
