use super::axis::Axis;
use crate::files::write_atomically;
use image::{ImageFormat, RgbImage, imageops};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{FontStyle, register_font},
};
use std::{
    ffi::OsString,
    io::{self, Cursor},
    path::Path,
    sync::OnceLock,
};

/// Width and height of a chart in pixels.
const SIZE: (u32, u32) = (1200, 800);

/// The PNG is drawn this many times larger and averaged down: plotters leaves thick lines jagged.
const SUPERSAMPLING: u32 = 3;

/// M. Okabe and K. Ito, "Color universal design", 2008: told apart by colour-blind readers too.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(240, 228, 66),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// A name that every SVG viewer has a font for; the PNG draws it with the font that is built in.
pub(super) const FONT: &str = "sans-serif";

/// Lines over two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The heading.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// What y is, with its unit.
    pub y_label: String,
    /// x on a logarithmic axis; points at or below 0 are left out then.
    pub log_x: bool,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
}

/// One line of a [`Chart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its corners, (x, y); those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// Why a chart was not written.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The file system said no.
    #[error("{path}: {source}; name a folder that is there and can be written")]
    Write {
        /// The file.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// The chart could not be drawn.
    #[error("the chart `{title}` could not be drawn: {reason}")]
    Draw {
        /// Its heading.
        title: String,
        /// What the drawing library said.
        reason: String,
    },
}

impl Chart {
    /// Writes the chart as `path.svg` and `path.png`, 1200×800; a file that is there is replaced.
    ///
    /// # Errors
    /// [`PlotError`].
    pub fn write(&self, path_without_extension: &Path) -> Result<(), PlotError> {
        for (extension, bytes) in [("svg", self.svg()?), ("png", self.png()?)] {
            let mut path = OsString::from(path_without_extension);
            path.push(".");
            path.push(extension);
            write_atomically(Path::new(&path), &bytes).map_err(|source| PlotError::Write {
                path: path.to_string_lossy().into_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// The chart as an SVG document.
    ///
    /// # Errors
    /// [`PlotError::Draw`].
    pub fn svg(&self) -> Result<Vec<u8>, PlotError> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), 1)?;
        Ok(text.into_bytes())
    }

    /// The chart as a PNG file.
    ///
    /// # Errors
    /// [`PlotError::Draw`].
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        let (width, height) = (SIZE.0 * SUPERSAMPLING, SIZE.1 * SUPERSAMPLING);
        let mut large = RgbImage::new(width, height);
        let backend = BitMapBackend::with_buffer(&mut large, (width, height));
        self.draw(&backend.into_drawing_area(), SUPERSAMPLING)?;
        let mut bytes = Cursor::new(Vec::new());
        imageops::thumbnail(&large, SIZE.0, SIZE.1)
            .write_to(&mut bytes, ImageFormat::Png)
            .map_err(|e| self.failed(e))?;
        Ok(bytes.into_inner())
    }

    fn failed(&self, reason: impl ToString) -> PlotError {
        PlotError::Draw { title: self.title.clone(), reason: reason.to_string() }
    }

    fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        scale: u32,
    ) -> Result<(), PlotError> {
        built_in_font().map_err(|reason| self.failed(reason))?;
        let drawn = Painter { chart: self, scale, bitmap: scale > 1 }.draw(root);
        drawn.and_then(|()| root.present()).map_err(|e| self.failed(e))
    }

    fn lines(&self) -> Vec<Vec<(f64, f64)>> {
        let place = |&(x, y): &(f64, f64)| (if self.log_x { x.log10() } else { x }, y);
        let drawn = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        let line = |s: &Series| s.points.iter().map(place).filter(drawn).collect();
        self.series.iter().map(line).collect()
    }
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A chart at a size: every length is in pixels of [`SIZE`] times `scale`.
struct Painter<'a> {
    chart: &'a Chart,
    scale: u32,
    bitmap: bool,
}

impl Painter<'_> {
    fn px(&self, pixels: u32) -> i32 {
        (pixels * self.scale) as i32
    }

    fn text(&self, pixels: u32) -> TextStyle<'static> {
        (FONT, self.px(pixels)).into_font().color(&INK)
    }

    /// How far text of a size stands too high: plotters puts the baseline of a bitmap's letters half
    /// the size below the top, that of an SVG's about a sixth lower, which is where it belongs.
    fn drop(&self, pixels: u32) -> i32 {
        if self.bitmap { self.px(pixels) / 6 } else { 0 }
    }

    fn line(&self, series: usize) -> ShapeStyle {
        COLOURS[series % COLOURS.len()].stroke_width(3 * self.scale)
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>) -> Drawn<B> {
        root.fill(&WHITE)?;
        root.draw_text(
            &self.chart.title,
            &self.text(38),
            (self.px(30), self.px(24) + self.drop(38)),
        )?;
        let below = self.legend(root, self.px(82))?;
        self.plot(&root.split_vertically(below).1)
    }

    /// The names in rows above the plot, where they hide nothing. Returns the height used up.
    fn legend<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        top: i32,
    ) -> Result<i32, DrawingAreaErrorKind<B::ErrorType>> {
        let style = self.text(26);
        let (left, row, sample) = (self.px(30), self.px(38), self.px(44));
        let (mut x, mut y) = (left, top);
        for (i, series) in self.chart.series.iter().enumerate() {
            let width = root.estimate_text_size(&series.name, &style)?.0 as i32;
            let whole = sample + self.px(12) + width;
            if x > left && x + whole > self.px(SIZE.0 - 30) {
                (x, y) = (left, y + row);
            }
            let middle = y + self.px(11);
            root.draw(&PathElement::new([(x, middle), (x + sample, middle)], self.line(i)))?;
            root.draw_text(&series.name, &style, (x + sample + self.px(12), y + self.drop(26)))?;
            x += whole + self.px(40);
        }
        Ok(y + row)
    }

    fn plot<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Drawn<B> {
        let lines = self.chart.lines();
        let x = Axis::over(lines.iter().flatten().map(|p| p.0), self.chart.log_x);
        let y = Axis::over(lines.iter().flatten().map(|p| p.1), false);
        let mut plot = ChartBuilder::on(area)
            .margin_top(self.px(16))
            .margin_right(self.px(50))
            .margin_bottom(self.px(16))
            .margin_left(self.px(16))
            .x_label_area_size(self.px(84))
            .y_label_area_size(self.px(110))
            .build_cartesian_2d(x, y)?;
        plot.configure_mesh()
            .disable_axes()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(self.scale))
            .draw()?;
        plot.configure_mesh()
            .disable_mesh()
            .axis_style(INK.stroke_width(self.scale))
            .set_all_tick_mark_size(self.px(8))
            .label_style(self.text(24))
            .y_label_offset(self.drop(24))
            .axis_desc_style(self.text(27))
            .x_desc(&self.chart.x_label)
            .y_desc(&self.chart.y_label)
            .draw()?;
        for (i, line) in lines.into_iter().enumerate() {
            plot.draw_series([PathElement::new(line, self.line(i))])?;
        }
        Ok(())
    }
}

/// Registers the font once for all charts.
pub(super) fn built_in_font() -> Result<(), &'static str> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let register =
        || register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok();
    REGISTERED.get_or_init(register).then_some(()).ok_or("the built-in font is broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log_x: bool, series: Vec<Series>) -> Chart {
        let [title, x_label, y_label] = ["Losses < 1 & more", "Epoch", "Loss"].map(String::from);
        Chart { title, x_label, y_label, log_x, series }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.into(), points: points.to_vec() }
    }

    #[test]
    fn both_files_are_written_and_a_dot_in_the_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.v1");
        chart(false, vec![series("training", &[(0.0, 2.0), (5.0, 0.5)])]).write(&path).unwrap();
        let svg = std::fs::read_to_string(dir.path().join("run.v1.svg")).unwrap();
        for text in ["Losses &lt; 1 &amp; more", "Epoch", "training", "#0072B2"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        let png = image::open(dir.path().join("run.v1.png")).unwrap().into_rgb8();
        assert_eq!(png.dimensions(), SIZE);
        assert!(png.pixels().any(|p| p.0 == [0, 114, 178]), "the line has its colour");
    }

    #[test]
    fn anything_can_be_drawn() {
        let odd =
            [(f64::NAN, 1.0), (0.0, f64::INFINITY), (-1.0, 0.0), (1e-3, 0.2), (1e300, -1e300)];
        let names = (0..20).map(|i| series(&format!("a rather long name {i}"), &[(1.0, 1.0)]));
        for log_x in [false, true] {
            chart(log_x, vec![]).png().unwrap();
            chart(log_x, vec![series("nothing", &[])]).svg().unwrap();
            chart(log_x, vec![series("odd", &odd)]).svg().unwrap();
            chart(log_x, names.clone().collect()).svg().unwrap();
        }
    }
}
