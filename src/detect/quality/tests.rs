use super::*;
use crate::detect::DetectionScore;
use image::{Rgb, imageops};
use proptest::prelude::*;

/// Grey of a drawn face at a place in the 112 px template, 0 to 255.
fn drawn([x, y]: [f32; 2]) -> f32 {
    // 1 inside an ellipse, 0 outside, over about a pixel.
    let spot = |centre: [f32; 2], half: [f32; 2]| {
        let [u, v] = [(x - centre[0]) / half[0], (y - centre[1]) / half[1]];
        ((1.0 - u.hypot(v)) * half[0].min(half[1]) + 0.5).clamp(0.0, 1.0)
    };
    let mut grey = 60.0;
    for (centre, half, target) in [
        ([56.0, 62.0], [40.0, 54.0], 170.0),
        ([38.0, 44.0], [9.0, 2.0], 70.0),
        ([74.0, 44.0], [9.0, 2.0], 70.0),
        ([38.3, 51.7], [6.0, 3.5], 225.0),
        ([73.5, 51.5], [6.0, 3.5], 225.0),
        ([38.3, 51.7], [3.0, 3.0], 30.0),
        ([73.5, 51.5], [3.0, 3.0], 30.0),
        ([52.0, 75.0], [2.0, 1.5], 80.0),
        ([60.0, 75.0], [2.0, 1.5], 80.0),
        ([56.0, 92.3], [15.0, 3.5], 110.0),
    ] {
        grey += (target - grey) * spot(centre, half);
    }
    grey
}

/// A frame of 400×320 with the drawn face at `scale` times its template and its upper left at `shift`.
fn shot(scale: f32, shift: [f32; 2]) -> (RgbImage, Face) {
    let frame = RgbImage::from_fn(400, 320, |x, y| {
        let at = [(x as f32 - shift[0]) / scale, (y as f32 - shift[1]) / scale];
        Rgb([drawn(at) as u8; 3])
    });
    let face = Face {
        bounds: Bounds { x: 16.0, y: 8.0, width: 80.0, height: 108.0 },
        landmarks: template(112),
        score: DetectionScore(0.9),
    };
    (frame, face.moved(scale, shift))
}

fn ordinary() -> (RgbImage, Face) {
    shot(2.0, [80.0, 40.0])
}

fn recoloured(frame: &RgbImage, change: impl Fn(f32) -> f32) -> RgbImage {
    let mut frame = frame.clone();
    frame.iter_mut().for_each(|v| *v = change(f32::from(*v)) as u8);
    frame
}

fn moved(mut face: Face, point: usize, by: [f32; 2]) -> Face {
    (0..2).for_each(|axis| face.landmarks.0[point][axis] += by[axis]);
    face
}

#[test]
fn each_fault_gets_its_own_advice() {
    let (frame, face) = ordinary();
    let (small, far) = shot(0.6, [100.0, 100.0]);
    let (cut, half_outside) = shot(2.0, [-110.0, 40.0]);
    let blurred = imageops::blur(&frame, 8.0);
    let wide = moved(moved(face, 3, [-40.0, 0.0]), 4, [40.0, 0.0]);
    let around = face.landmarks.0.map(|[x, y]| [200.0 - (y - 160.0), 160.0 + (x - 200.0)]);
    for (name, frame, face, expected) in [
        ("ordinary", &frame, face, Ok(())),
        ("far away", &small, far, Err(Refusal::TooSmall)),
        ("half outside", &cut, half_outside, Err(Refusal::CutOff)),
        ("night", &recoloured(&frame, |v| v * 0.1), face, Err(Refusal::TooDark)),
        ("half night", &recoloured(&frame, |v| v * 0.145), face, Err(Refusal::TooDark)),
        ("torch", &recoloured(&frame, |v| v * 0.5 + 160.0), face, Err(Refusal::TooBright)),
        ("fog", &recoloured(&frame, |v| 100.0 + v * 0.2), face, Err(Refusal::Flat)),
        ("moving", &blurred, face, Err(Refusal::Blurred)),
        ("nose aside", &frame, moved(face, 2, [30.0, 0.0]), Err(Refusal::Turned)),
        ("nose up", &frame, moved(face, 2, [0.0, -25.0]), Err(Refusal::Turned)),
        ("lying", &frame, Face { landmarks: Landmarks(around), ..face }, Err(Refusal::Turned)),
        ("mouth guessed", &frame, wide, Err(Refusal::Covered)),
        ("no face", &frame, moved(face, 4, [f32::NAN, 0.0]), Err(Refusal::NoFace)),
    ] {
        let quality = assess(frame, &face);
        assert_eq!(Limits::default().judge(&quality), expected, "{name}: {quality:?}");
    }
    let dot = Face { landmarks: Landmarks([[50.0; 2]; 5]), ..face };
    assert_eq!(Limits::default().judge(&assess(&frame, &dot)), Err(Refusal::NoFace));
    assert_eq!(
        Limits::default().judge(&assess(&RgbImage::new(0, 0), &face)),
        Err(Refusal::CutOff),
        "a frame without pixels"
    );
}

#[test]
fn nothing_that_is_not_a_number_passes() {
    let (frame, face) = ordinary();
    let good = assess(&frame, &face);
    assert_eq!(Limits::default().judge(&good), Ok(()));
    type Measure = fn(&mut Quality) -> &mut f32;
    let measures: [(&str, Measure); 11] = [
        ("eye distance", |q| &mut q.eye_distance),
        ("outside", |q| &mut q.outside),
        ("brightness", |q| &mut q.light.brightness),
        ("dark", |q| &mut q.light.dark),
        ("bright", |q| &mut q.light.bright),
        ("contrast", |q| &mut q.light.contrast),
        ("sharpness", |q| &mut q.light.sharpness),
        ("roll", |q| &mut q.pose.roll),
        ("yaw", |q| &mut q.pose.yaw),
        ("pitch", |q| &mut q.pose.pitch),
        ("misfit", |q| &mut q.misfit),
    ];
    for (name, measure) in measures {
        let mut quality = good;
        *measure(&mut quality) = f32::NAN;
        assert!(Limits::default().judge(&quality).is_err(), "{name}");
    }
    let blind = Limits { most_yaw: f32::NAN, ..Limits::default() };
    assert_eq!(blind.judge(&good), Err(Refusal::Turned), "a limit that is no number lets none in");
}

#[test]
fn light_is_what_was_drawn() {
    let (_, face) = ordinary();
    let halves = RgbImage::from_fn(400, 320, |x, _| Rgb([if x < 192 { 0 } else { 255 }; 3]));
    let light = assess(&halves, &face).light;
    // The grid is centred on template 55.5, which is at 191 in the frame; a column sees both.
    for (name, value, expected) in [
        ("brightness", light.brightness, 127.5),
        ("dark", light.dark, 0.5),
        ("bright", light.bright, 0.5),
        ("contrast", light.contrast, 127.5),
    ] {
        assert!((value / expected - 1.0).abs() < 0.05, "{name}: {value}");
    }
    let green = RgbImage::from_pixel(400, 320, Rgb([0, 100, 0]));
    let light = assess(&green, &face).light;
    assert!((light.brightness - 71.52).abs() < 0.01, "{light:?}");
    assert_eq!((light.dark, light.bright, light.sharpness), (0.0, 0.0, 0.0));
}

#[test]
fn sharpness_depends_neither_on_the_size_of_the_face_nor_on_the_strength_of_the_light() {
    let (frame, face) = ordinary();
    let sharpness = |frame: &RgbImage, face: &Face| assess(frame, face).light.sharpness;
    let expected = sharpness(&frame, &face);
    for (scale, shift) in [(1.0, [150.0, 100.0]), (1.4, [90.3, 77.7]), (2.7, [30.0, 5.0])] {
        let (frame, face) = shot(scale, shift);
        let found = sharpness(&frame, &face);
        assert!((found / expected - 1.0).abs() < 0.12, "{scale}: {found}, not {expected}");
    }
    let dimmed = sharpness(&recoloured(&frame, |v| v * 0.5), &face);
    assert!((dimmed / expected - 1.0).abs() < 0.02, "{dimmed}, not {expected}");
}

#[test]
fn a_share_of_the_face_and_its_landmarks_can_be_outside() {
    let (frame, face) = shot(1.0, [0.0, 0.0]);
    // The box is 80 wide from 16: moved by −56.5, half of it lies left of the edge at −0.5.
    let quality = assess(&frame, &face.moved(1.0, [-56.5, 0.0]));
    assert!((quality.outside - 0.5).abs() < 1e-6, "{}", quality.outside);
    // The nose at −0.47 is still on the first pixel; left eye and left mouth corner are not.
    assert_eq!(quality.landmarks_outside, 2);
    assert_eq!(assess(&frame, &face.moved(1.0, [900.0, 0.0])).outside, 1.0);
}

#[test]
fn limits_are_read_from_a_configuration_that_names_some() {
    let limits: Limits = serde_json::from_str(r#"{"most_yaw": 20.0}"#).unwrap();
    assert_eq!(limits, Limits { most_yaw: 20.0, ..Limits::default() });
    assert!(serde_json::from_str::<Limits>(r#"{"most_jaw": 20.0}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sharpness_falls_with_blur(
        scale in 1.0f32..2.5, x in 0f32..100.0, y in 0f32..30.0, grain in 0u32..30, seed: u32,
    ) {
        let (mut frame, face) = shot(scale, [x, y]);
        let mut state = seed | 1;
        for v in frame.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *v = v.saturating_add(((state >> 16) % (grain + 1)) as u8);
        }
        let mut last = assess(&frame, &face).light.sharpness;
        for blur in [0.02, 0.04, 0.07, 0.1, 0.15] {
            let blurred = imageops::blur(&frame, blur * 35.0 * scale);
            let sharpness = assess(&blurred, &face).light.sharpness;
            prop_assert!(sharpness < last, "{} after {} at {}", sharpness, last, blur);
            last = sharpness;
        }
    }
}

proptest! {
    #[test]
    fn a_mirrored_frame_differs_in_the_signs_of_yaw_and_roll_only(
        scale in 0.9f32..1.8, x in 0f32..150.0, y in 0f32..100.0,
        off in prop::array::uniform5(prop::array::uniform2(-3f32..3.0)),
    ) {
        let (frame, mut face) = shot(scale, [x, y]);
        for (point, off) in face.landmarks.0.iter_mut().zip(off) {
            (0..2).for_each(|axis| point[axis] += off[axis]);
        }
        let mut mirrored = face;
        mirrored.bounds.x = 399.0 - face.bounds.x - face.bounds.width;
        let [a, b, nose, c, d] = face.landmarks.0.map(|[x, y]| [399.0 - x, y]);
        mirrored.landmarks = Landmarks([b, a, nose, d, c]);
        let one = assess(&frame, &face);
        let other = assess(&imageops::flip_horizontal(&frame), &mirrored);
        // The template is not quite symmetric, so what hangs on the fit is off by a trifle.
        for (a, b, most) in [
            (one.pose.yaw, -other.pose.yaw, 0.1),
            (one.pose.roll, -other.pose.roll, 0.01),
            (one.pose.pitch, other.pose.pitch, 0.1),
            (one.eye_distance, other.eye_distance, 0.01),
            (one.outside, other.outside, 1e-4),
            (one.misfit, other.misfit, 0.01),
            (one.light.brightness, other.light.brightness, 1.5),
            (one.light.contrast, other.light.contrast, 1.5),
        ] {
            prop_assert!((a - b).abs() <= most, "{:?} {:?}", one, other);
        }
    }

    #[test]
    fn any_numbers_are_measured_and_judged_without_a_panic(
        points in prop::array::uniform5(prop::array::uniform2(prop::num::f32::ANY)),
        bounds in prop::array::uniform4(prop::num::f32::ANY), sides in prop::array::uniform2(0u32..5),
    ) {
        let [x, y, width, height] = bounds;
        let face = Face {
            bounds: Bounds { x, y, width, height },
            landmarks: Landmarks(points),
            score: DetectionScore(f32::NAN),
        };
        let quality = assess(&RgbImage::new(sides[0], sides[1]), &face);
        let judged = Limits::default().judge(&quality);
        if !points.as_flattened().iter().all(|v| v.is_finite()) {
            prop_assert_eq!(judged, Err(Refusal::NoFace));
        }
        prop_assert!(judged.is_err(), "no face fits into 4 pixels");
        prop_assert!(!(quality.outside < 0.0 || quality.outside > 1.0));
    }
}
