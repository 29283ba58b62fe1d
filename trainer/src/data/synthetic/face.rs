use super::canvas::{Canvas, Colour, ellipse, lit, mix, stroke};
use crate::data::dataset::{BORDER, CANONICAL};
use rand::{Rng, RngExt};

const SKINS: [Colour; 6] = [
    [0.98, 0.86, 0.77],
    [0.93, 0.76, 0.63],
    [0.86, 0.66, 0.50],
    [0.72, 0.51, 0.37],
    [0.54, 0.36, 0.25],
    [0.38, 0.25, 0.18],
];
const HAIRS: [Colour; 7] = [
    [0.07, 0.06, 0.06],
    [0.22, 0.13, 0.08],
    [0.40, 0.25, 0.13],
    [0.62, 0.32, 0.14],
    [0.83, 0.68, 0.40],
    [0.62, 0.61, 0.60],
    [0.90, 0.89, 0.86],
];
const IRISES: [Colour; 4] =
    [[0.25, 0.15, 0.08], [0.45, 0.31, 0.15], [0.30, 0.45, 0.30], [0.32, 0.50, 0.66]];

/// Where the face template puts the middle of the eyes, the nose's tip and the mouth, px of the
/// 160 px face; the middle column is the face's axis.
const AXIS: f32 = 80.0;
const EYES_Y: f32 = 73.8;
const NOSE_Y: f32 = 102.0;
const MOUTH_Y: f32 = 132.0;

fn between(low: f32, high: f32, rng: &mut impl Rng) -> f32 {
    rng.random_range(low..high)
}

fn near(colours: &[Colour], spread: f32, rng: &mut impl Rng) -> Colour {
    let colour = colours[rng.random_range(0..colours.len())];
    let light = between(1.0 - spread, 1.0 + spread, rng);
    colour.map(|v| (v * light + between(-0.02, 0.02, rng)).clamp(0.02, 1.0))
}

/// What makes an invented person: it stays from picture to picture. Lengths are px of the face.
pub(super) struct Identity {
    skin: Colour,
    hair: Colour,
    iris: Colour,
    lips: Colour,
    width: f32,
    chin: f32,
    jaw: f32,
    hairline: f32,
    hair_wave: [f32; 3],
    hair_volume: f32,
    long_hair: bool,
    bald: bool,
    ears: f32,
    eye_spacing: f32,
    eye_width: f32,
    eye_height: f32,
    eye_tilt: f32,
    iris_size: f32,
    brow_height: f32,
    brow_thick: f32,
    brow_arch: f32,
    brow_tilt: f32,
    nose_length: f32,
    nose_width: f32,
    mouth_width: f32,
    lip_upper: f32,
    lip_lower: f32,
    beard: f32,
    moustache: bool,
    glasses: Option<(f32, f32)>,
    mole: Option<(f32, f32)>,
    cheeks: f32,
}

impl Identity {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let skin = near(&SKINS, 0.06, rng);
        let bearded = rng.random_bool(0.25);
        Self {
            skin,
            hair: near(&HAIRS, 0.15, rng),
            iris: near(&IRISES, 0.15, rng),
            lips: mix(skin, [0.70, 0.22, 0.25], between(0.25, 0.75, rng)),
            width: between(56.0, 70.0, rng),
            chin: between(152.0, 168.0, rng),
            jaw: between(0.0, 1.0, rng),
            hairline: between(18.0, 42.0, rng),
            hair_wave: [between(-14.0, 14.0, rng), between(-9.0, 9.0, rng), between(0.0, 6.3, rng)],
            hair_volume: between(5.0, 17.0, rng),
            long_hair: rng.random_bool(0.4),
            bald: rng.random_bool(0.1),
            ears: between(8.0, 14.0, rng),
            eye_spacing: between(22.5, 28.5, rng),
            eye_width: between(10.0, 14.5, rng),
            eye_height: between(4.5, 8.0, rng),
            eye_tilt: between(-0.16, 0.16, rng),
            iris_size: between(4.2, 6.2, rng),
            brow_height: between(13.0, 20.0, rng),
            brow_thick: between(1.3, 4.2, rng),
            brow_arch: between(0.5, 6.0, rng),
            brow_tilt: between(-0.2, 0.2, rng),
            nose_length: between(-6.0, 6.0, rng),
            nose_width: between(7.0, 13.5, rng),
            mouth_width: between(17.0, 26.0, rng),
            lip_upper: between(1.8, 5.0, rng),
            lip_lower: between(2.5, 7.0, rng),
            beard: if bearded { between(0.35, 0.95, rng) } else { 0.0 },
            moustache: rng.random_bool(if bearded { 0.7 } else { 0.05 }),
            glasses: rng
                .random_bool(0.15)
                .then(|| (between(14.0, 18.0, rng), between(2.0, 6.0, rng))),
            mole: rng
                .random_bool(0.3)
                .then(|| (between(-45.0, 45.0, rng), between(95.0, 145.0, rng))),
            cheeks: between(0.0, 0.35, rng),
        }
    }
}

/// What changes from picture to picture.
pub(super) struct Moment {
    shift: (f32, f32),
    turn: f32,
    scale: f32,
    yaw: f32,
    smile: f32,
    open: f32,
    lids: f32,
    brows: f32,
    gaze: f32,
    light: f32,
    light_from: (f32, f32),
    warmth: f32,
    backdrop: [Colour; 2],
    backdrop_angle: f32,
    /// Largest noise, levels of 255.
    pub(super) noise: f32,
}

impl Moment {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let mut colour = || std::array::from_fn(|_| rng.random_range(0.1f32..0.9));
        let backdrop = [colour(), colour()];
        Self {
            shift: (between(-2.5, 2.5, rng), between(-2.5, 2.5, rng)),
            turn: between(-0.07, 0.07, rng),
            scale: between(0.96, 1.04, rng),
            yaw: between(-1.0, 1.0, rng),
            smile: between(-0.4, 1.0, rng),
            open: if rng.random_bool(0.3) { between(1.0, 7.0, rng) } else { 0.0 },
            lids: between(0.7, 1.08, rng),
            brows: between(-1.5, 3.0, rng),
            gaze: between(-2.0, 2.0, rng),
            light: between(0.72, 1.15, rng),
            light_from: (between(-0.22, 0.22, rng), between(-0.1, 0.16, rng)),
            warmth: between(-0.07, 0.07, rng),
            backdrop,
            backdrop_angle: between(0.0, 6.3, rng),
            noise: between(0.0, 9.0, rng),
        }
    }

    /// From a canvas pixel to px of the upright face.
    fn face_of(&self, x: f32, y: f32) -> (f32, f32) {
        let centre = CANONICAL as f32 / 2.0;
        let (dx, dy) = (x - centre - self.shift.0, y - centre - self.shift.1);
        let (sin, cos) = self.turn.sin_cos();
        let (rx, ry) = ((dx * cos + dy * sin) / self.scale, (dy * cos - dx * sin) / self.scale);
        let middle = centre - BORDER as f32;
        (rx + middle, ry + middle)
    }
}

/// Paints a person at a moment, from the backdrop forwards.
pub(super) fn paint(who: &Identity, now: &Moment, rng: &mut impl Rng) -> Canvas {
    let (sin, cos) = now.backdrop_angle.sin_cos();
    let size = CANONICAL as usize;
    let mut canvas = Canvas::new(size, |x, y| {
        let along = ((x - 88.0) * cos + (y - 88.0) * sin) / 176.0 + 0.5;
        mix(now.backdrop[0], now.backdrop[1], along.clamp(0.0, 1.0))
    });
    for _ in 0..3 {
        let centre = (between(0.0, 176.0, rng), between(0.0, 176.0, rng));
        let (radius, grey) = (between(15.0, 50.0, rng), between(0.1, 0.9, rng));
        let soft = |x: f32, y: f32| ellipse(x - centre.0, y - centre.1, radius, radius) / 12.0;
        canvas.fill(0.4, soft, |_, _| [grey; 3]);
    }
    let mut easel = Easel { canvas, who, now };
    easel.hair_behind();
    easel.head();
    easel.beard();
    for side in [-1.0, 1.0] {
        easel.eye(side);
        easel.brow(side);
    }
    easel.nose();
    easel.mouth();
    easel.hair_before();
    easel.extras();
    let (light, from, warmth) = (now.light, now.light_from, now.warmth);
    easel.canvas.shade(|x, y| {
        let v = light * (1.0 + from.0 * (x - 88.0) / 88.0 - from.1 * (y - 88.0) / 88.0);
        [v * (1.0 + warmth), v, v * (1.0 - warmth)]
    });
    easel.canvas
}

struct Easel<'a> {
    canvas: Canvas,
    who: &'a Identity,
    now: &'a Moment,
}

impl Easel<'_> {
    /// Paints a shape given in px of the face relative to its axis, moved sideways by `depth` px
    /// for each unit of yaw: what stands out of the face moves more.
    fn fill(
        &mut self,
        depth: f32,
        opacity: f32,
        shape: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32) -> Colour,
    ) {
        let now = self.now;
        let at = |x: f32, y: f32| {
            let (x, y) = now.face_of(x, y);
            (x - AXIS - now.yaw * depth, y)
        };
        let shape = |x, y| {
            let (x, y) = at(x, y);
            shape(x, y)
        };
        self.canvas.fill(opacity, shape, |x, y| {
            let (x, y) = at(x, y);
            colour(x, y)
        });
    }

    fn hair_behind(&mut self) {
        let who = self.who;
        if who.bald {
            return;
        }
        let (rx, ry) = (who.width + who.hair_volume, 78.0 + who.hair_volume);
        let shape = |x: f32, y: f32| {
            let cap = ellipse(x, y - 72.0, rx, ry);
            let fall = (rx - x.abs()).min(y - 72.0);
            if who.long_hair { cap.max(fall) } else { cap.min(118.0 - y) }
        };
        self.fill(-1.0, 1.0, shape, |x, y| strands(who, x, y, 0.72));
    }

    fn head(&mut self) {
        let who = self.who;
        let neck = |x: f32, y: f32| (who.width * 0.62 - x.abs()).min(y - 130.0);
        self.fill(0.0, 1.0, neck, |_, _| lit(who.skin, 0.72));
        if !who.long_hair {
            for side in [-1.0, 1.0] {
                let ear = |x: f32, y: f32| {
                    ellipse(x - side * (who.width + 1.0), y - 86.0, who.ears * 0.6, who.ears * 1.3)
                };
                self.fill(-1.5, 1.0, ear, |_, _| lit(who.skin, 0.85));
            }
        }
        self.fill(
            0.0,
            1.0,
            |x, y| head(who, x, y),
            |x, y| {
                let edge = (head(who, x, y) / 34.0).clamp(0.0, 1.0);
                lit(who.skin, 0.80 + 0.20 * edge.sqrt())
            },
        );
        for side in [-1.0, 1.0] {
            let cheek = |x: f32, y: f32| ellipse(x - side * 36.0, y - 106.0, 15.0, 11.0) / 12.0;
            self.fill(1.0, who.cheeks, cheek, |_, _| mix(who.skin, [0.85, 0.35, 0.32], 0.6));
        }
    }

    fn beard(&mut self) {
        let (who, now) = (self.who, self.now);
        let shape = |x: f32, y: f32| {
            let upper = 104.0 + (1.0 - (x / who.width).powi(2)) * 14.0;
            let mouth = ellipse(x, y - MOUTH_Y, who.mouth_width + 3.0, 9.0 + now.open);
            head(who, x, y).min(y - upper).min(-mouth) / 2.0
        };
        self.fill(0.5, who.beard, shape, |x, y| strands(who, x * 2.0, y * 2.0, 0.9));
        if who.moustache {
            let shape = |x: f32, y: f32| {
                let curve = MOUTH_Y - 9.5 + x * x / 90.0;
                stroke(x, y, who.mouth_width, 4.0, curve, x / 45.0)
            };
            self.fill(2.0, 0.9, shape, |x, y| strands(who, x * 2.0, y * 2.0, 0.95));
        }
    }

    fn eye(&mut self, side: f32) {
        let (who, now) = (self.who, self.now);
        // Eye coordinates: outwards and down, turned by the tilt.
        let local = |x: f32, y: f32| {
            let (u, v) = (side * (x - side * who.eye_spacing), y - EYES_Y);
            (u, v + u * who.eye_tilt)
        };
        let height = who.eye_height * now.lids * (1.0 - 0.15 * now.smile.max(0.0));
        let lids = |u: f32, v: f32| {
            let bow = 1.0 - (u / who.eye_width).powi(2);
            (height * bow - v.abs() * if v > 0.0 { 1.35 } else { 1.0 }).min(bow * 6.0)
        };
        let shadow = |x: f32, y: f32| {
            let (u, v) = local(x, y);
            ellipse(u, v + 2.0, who.eye_width * 1.35, height * 2.0) / 6.0
        };
        self.fill(1.5, 0.35, shadow, |_, _| lit(who.skin, 0.72));
        let white = |x: f32, y: f32| {
            let (u, v) = local(x, y);
            lids(u, v)
        };
        self.fill(1.5, 1.0, white, |_, _| [0.95, 0.94, 0.93]);
        for (radius, colour) in [
            (who.iris_size, lit(who.iris, 0.6)),
            (who.iris_size * 0.84, who.iris),
            (who.iris_size * 0.42, [0.03, 0.03, 0.04]),
        ] {
            let disc = |x: f32, y: f32| {
                let (u, v) = local(x, y);
                ellipse(u - side * now.gaze, v, radius, radius).min(lids(u, v))
            };
            self.fill(1.5, 1.0, disc, |_, _| colour);
        }
        let glint = |x: f32, y: f32| {
            ellipse(x - side * who.eye_spacing - now.gaze - 1.5, y - EYES_Y + 1.8, 1.2, 1.2)
        };
        self.fill(1.5, 0.9, glint, |_, _| [1.0; 3]);
        let lash = |x: f32, y: f32| {
            let (u, v) = local(x, y);
            let curve = -height * (1.0 - (u / who.eye_width).powi(2));
            stroke(u, v, who.eye_width + 1.0, 1.1, curve, 2.0 * height * u / who.eye_width.powi(2))
        };
        self.fill(1.5, 0.95, lash, |_, _| [0.09, 0.06, 0.05]);
    }

    fn brow(&mut self, side: f32) {
        let (who, now) = (self.who, self.now);
        let reach = who.eye_width + 5.0;
        let shape = |x: f32, y: f32| {
            let u = side * (x - side * (who.eye_spacing + 1.0));
            let arch = who.brow_arch * (1.0 - (u / reach).powi(2));
            let curve = EYES_Y - who.brow_height - now.brows - arch + u * who.brow_tilt + 3.0;
            let slope = who.brow_tilt + 2.0 * who.brow_arch * u / (reach * reach);
            stroke(u, y, reach, who.brow_thick, curve, slope)
        };
        self.fill(1.5, 0.92, shape, |_, _| lit(who.hair, 0.75));
    }

    fn nose(&mut self) {
        let who = self.who;
        let tip = NOSE_Y + who.nose_length;
        let dark = lit(who.skin, 0.74);
        let flank = |x: f32, y: f32| {
            let along = ((y - EYES_Y) / (tip - EYES_Y)).clamp(0.0, 1.0);
            let edge = 3.0 + along * along * (who.nose_width - 4.0);
            (1.6 - (x - edge).abs()).min(y - EYES_Y).min(tip - y) / 2.5
        };
        self.fill(3.0, 0.55, flank, |_, _| dark);
        let ridge = |x: f32, y: f32| ellipse(x, y - (tip - 12.0), 3.5, 18.0) / 4.0;
        self.fill(4.0, 0.5, ridge, |_, _| lit(who.skin, 1.12));
        let ball = |x: f32, y: f32| ellipse(x, y - tip, who.nose_width * 0.62, 6.0) / 3.0;
        self.fill(4.0, 0.6, ball, |_, _| lit(who.skin, 1.06));
        let under = |x: f32, y: f32| {
            let curve = tip + 6.5 - (x / who.nose_width).powi(2) * 5.0;
            stroke(x, y, who.nose_width, 1.2, curve, 0.5)
        };
        self.fill(3.5, 0.8, under, |_, _| dark);
        for side in [-1.0, 1.0] {
            let nostril =
                |x: f32, y: f32| ellipse(x - side * who.nose_width * 0.46, y - tip - 4.2, 2.6, 1.6);
            self.fill(3.5, 0.85, nostril, |_, _| lit(who.skin, 0.33));
        }
    }

    fn mouth(&mut self) {
        let (who, now) = (self.who, self.now);
        let reach = who.mouth_width * (1.0 + 0.14 * now.smile);
        let bow = |x: f32| 1.0 - (x / reach).powi(2);
        // A smile lifts the corners and lowers the middle.
        let line = |x: f32| MOUTH_Y + now.smile * 5.5 * (bow(x) - 0.5);
        let lips = |x: f32, y: f32| {
            let cupid = 1.0 - 0.22 * (-(x / 4.0).powi(2)).exp();
            let upper = line(x) - who.lip_upper * bow(x) * cupid - now.open * bow(x) * 0.4;
            let lower = line(x) + (who.lip_lower + now.open) * bow(x);
            (y - upper).min(lower - y).min(reach - x.abs())
        };
        self.fill(2.5, 1.0, lips, |x, y| lit(who.lips, if y < line(x) { 0.86 } else { 1.04 }));
        if now.open > 0.0 {
            let inner = |x: f32, y: f32| {
                let gap = now.open * (1.0 - (x / (reach * 0.86)).powi(2));
                (y - line(x) + gap * 0.4).min(line(x) + gap - y)
            };
            self.fill(2.5, 1.0, inner, |_, _| [0.22, 0.07, 0.08]);
            let teeth = |x: f32, y: f32| inner(x, y).min(line(x) + now.open * 0.3 - y);
            self.fill(2.5, 0.95, teeth, |_, _| [0.93, 0.92, 0.88]);
        } else {
            let seam = |x: f32, y: f32| {
                stroke(x, y, reach + 1.5, 0.9, line(x), now.smile * 11.0 * x / reach.powi(2))
            };
            self.fill(2.5, 0.9, seam, |_, _| lit(who.lips, 0.45));
        }
        let fold = |x: f32, y: f32| {
            let curve = MOUTH_Y + who.lip_lower + now.open + 6.0;
            stroke(x, y, 9.0, 1.0, curve, 0.0) / 2.0
        };
        self.fill(2.0, 0.5, fold, |_, _| lit(who.skin, 0.78));
    }

    fn hair_before(&mut self) {
        let who = self.who;
        if who.bald {
            return;
        }
        let (rx, ry) = (who.width + who.hair_volume * 0.7, 78.0 + who.hair_volume);
        let [slant, wave, phase] = who.hair_wave;
        let shape = |x: f32, y: f32| {
            let t = x / who.width;
            // Down the temples the hair comes lower than on the forehead.
            let line =
                who.hairline + slant * t + wave * (t * 4.0 + phase).sin() + 46.0 * t.abs().powi(5);
            ellipse(x, y - 72.0, rx, ry).min((line - y) / 1.5)
        };
        self.fill(0.5, 1.0, shape, |x, y| strands(who, x, y, 1.0));
    }

    fn extras(&mut self) {
        let who = self.who;
        if let Some((x0, y0)) = who.mole {
            self.fill(
                1.5,
                0.85,
                |x, y| ellipse(x - x0, y - y0, 1.8, 1.8),
                |_, _| [0.22, 0.13, 0.10],
            );
        }
        let Some((radius, power)) = who.glasses else { return };
        for side in [-1.0, 1.0] {
            let rim = |x: f32, y: f32| {
                let (u, v) = ((x - side * who.eye_spacing).abs(), (y - EYES_Y - 1.0).abs() * 1.2);
                let norm = (u.powf(power) + v.powf(power)).powf(1.0 / power);
                1.3 - (norm - radius).abs()
            };
            self.fill(2.5, 1.0, rim, |_, _| [0.10, 0.09, 0.10]);
            let temple = |x: f32, y: f32| {
                (1.2 - (y - EYES_Y + 3.0).abs())
                    .min(side * x - who.eye_spacing - radius)
                    .min(who.width + 2.0 - side * x)
            };
            self.fill(0.5, 1.0, temple, |_, _| [0.10, 0.09, 0.10]);
        }
        let bridge = |x: f32, y: f32| {
            (1.2 - (y - EYES_Y + 2.0).abs()).min(who.eye_spacing - radius - x.abs())
        };
        self.fill(3.0, 1.0, bridge, |_, _| [0.10, 0.09, 0.10]);
    }
}

/// Depth inside the outline of the head: a round skull, and a jaw from pointed to square.
fn head(who: &Identity, x: f32, y: f32) -> f32 {
    const WIDEST: f32 = 78.0;
    if y < WIDEST {
        return ellipse(x, y - WIDEST, who.width, 74.0);
    }
    let height = who.chin - WIDEST;
    let power = 1.8 + 1.3 * who.jaw;
    let (u, v) = ((x / who.width).abs(), (y - WIDEST) / height);
    (1.0 - (u.powf(power) + v.powf(power)).powf(1.0 / power)) * who.width.min(height)
}

/// The colour of hair at a place: light and dark strands.
fn strands(who: &Identity, x: f32, y: f32, light: f32) -> Colour {
    let wave = (x * 0.9 + (y * 0.13 + who.hair_wave[2]).sin() * 4.0).sin();
    lit(who.hair, light * (1.0 + 0.16 * wave + 0.10 * (x * 0.31).cos()))
}
