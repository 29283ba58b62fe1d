use crate::align::Landmarks;
use serde::Serialize;

/// How far the tip of the nose stands out from the plane of eyes and mouth, in shares of the distance
/// between the eyes: an estimate, some 25 mm of 63, for want of pictures with measured angles. A face off
/// by a fifth has its angles off by about as much.
const NOSE_DEPTH: f32 = 0.4;

/// From the eyes' middle to the mouth's, in shares of the distance between the eyes. The median of
/// 13,336 faces of the detector's training labels is 1.00.
const FACE_HEIGHT: f32 = 1.0;

/// How far down from the eyes' to the mouth's middle the tip of the nose is seen when a head is level,
/// 0 to 1. The median is 0.59 to 0.62 in each of the three sources of those labels; of single faces
/// two in three are within 0.05, which is 7 degrees.
const NOSE_REST: f32 = 0.6;

/// Which way a head points, degrees, 0 of each for one that is level and faces the camera.
///
/// Eyes and mouth corners are taken as the corners of a flat rectangle and the tip of the nose as a
/// point straight in front of it, all seen from far away (parallel projection). Then where the nose is
/// seen, written in the rectangle's own axes as it is seen, gives the direction to the camera exactly, in
/// any mixture of the three angles. What is not exact is that people's noses differ: good to some
/// 10 degrees, enough to tell whether somebody looks at the door.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pose {
    /// The line of the eyes, −180 to 180, above 0 where it falls towards the right of the picture: the
    /// head leans towards its left shoulder.
    pub roll: f32,
    /// −90 to 90, above 0 where the nose points to the right of the picture, the person's left, as
    /// ANSI/NIST-ITL counts it.
    pub yaw: f32,
    /// −90 to 90, above 0 where the nose points down.
    pub pitch: f32,
}

impl Pose {
    /// Of a face's landmarks; NaN where they are not finite or do not say.
    pub fn of(landmarks: &Landmarks) -> Self {
        let [left_eye, right_eye, nose, left_mouth, right_mouth] =
            landmarks.0.map(|p| p.map(f64::from));
        let [eyes, mouth] = [middle(left_eye, right_eye), middle(left_mouth, right_mouth)];
        let (across, down) = (minus(right_eye, left_eye), minus(mouth, eyes));
        let tip = minus(nose, eyes);
        // tip = sideways·across + along·down, by Cramer's rule.
        let area = cross(across, down);
        let (sideways, along) = (cross(tip, down) / area, cross(across, tip) / area);
        // A turn by ψ narrows the rectangle to cos ψ and moves the tip by depth·sin ψ.
        let yaw = (sideways as f32 / NOSE_DEPTH).atan();
        let pitch = ((along as f32 - NOSE_REST) * FACE_HEIGHT / NOSE_DEPTH).atan();
        // Two eyes on one spot have no direction, where atan2 would say 0.
        let roll = if across == [0.0; 2] { f64::NAN } else { across[1].atan2(across[0]) };
        Self { roll: roll.to_degrees() as f32, yaw: yaw.to_degrees(), pitch: pitch.to_degrees() }
    }
}

fn middle(p: [f64; 2], q: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|axis| (p[axis] + q[axis]) / 2.0)
}

fn minus(p: [f64; 2], q: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|axis| p[axis] - q[axis])
}

fn cross(p: [f64; 2], q: [f64; 2]) -> f64 {
    p[0] * q[1] - p[1] * q[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The model itself, turned by the three angles (yaw first, then pitch, then roll) and projected.
    fn seen(yaw: f32, pitch: f32, roll: f32, eye_distance: f32) -> Landmarks {
        let flat = |x: f32, y: f32| [x * eye_distance, y * eye_distance, 0.0];
        let nose = [0.0, NOSE_REST * FACE_HEIGHT * eye_distance, NOSE_DEPTH * eye_distance];
        let points = [
            flat(-0.5, 0.0),
            flat(0.5, 0.0),
            nose,
            flat(-0.35, FACE_HEIGHT),
            flat(0.35, FACE_HEIGHT),
        ];
        let turn = |a: f32, b: f32, degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            [a * cos - b * sin, a * sin + b * cos]
        };
        Landmarks(points.map(|[x, y, z]| {
            let [z, x] = turn(z, x, yaw);
            let [_, y] = turn(z, y, pitch);
            let [x, y] = turn(x, y, roll);
            [x + 200.0, y + 150.0]
        }))
    }

    #[test]
    fn each_angle_alone_is_read_back() {
        for (yaw, pitch, roll) in [
            (0.0, 0.0, 0.0),
            (30.0, 0.0, 0.0),
            (-45.0, 0.0, 0.0),
            (0.0, 20.0, 0.0),
            (0.0, -35.0, 0.0),
            (0.0, 0.0, 15.0),
            (0.0, 0.0, -80.0),
        ] {
            let pose = Pose::of(&seen(yaw, pitch, roll, 50.0));
            let off = [pose.yaw - yaw, pose.pitch - pitch, pose.roll - roll];
            assert!(off.iter().all(|v| v.abs() < 0.01), "{yaw} {pitch} {roll}: {pose:?}");
        }
    }

    #[test]
    fn the_signs_are_those_of_the_documentation() {
        let pose = Pose::of(&Landmarks([
            [10.0, 10.0],
            [30.0, 12.0],
            [24.0, 26.0],
            [13.0, 31.0],
            [27.0, 32.0],
        ]));
        assert!(pose.roll > 0.0 && pose.yaw > 0.0 && pose.pitch > 0.0, "{pose:?}");
    }

    proptest! {
        #[test]
        fn the_direction_to_the_camera_is_exact_in_any_mixture(
            yaw in -60f32..60.0, pitch in -60f32..60.0, roll in -90f32..90.0, size in 20f32..200.0,
        ) {
            let pose = Pose::of(&seen(yaw, pitch, roll, size));
            prop_assert!((pose.yaw - yaw).abs() < 0.1, "{:?}", pose);
            // The tangent of pitch is measured against the depth that yaw leaves.
            let tangent = pitch.to_radians().tan() / yaw.to_radians().cos();
            prop_assert!((pose.pitch.to_radians().tan() - tangent).abs() < 0.02, "{:?}", pose);
        }

        #[test]
        fn roll_follows_a_rotation_and_the_rest_does_not(
            yaw in -40f32..40.0, pitch in -40f32..40.0, turn in -90f32..90.0,
        ) {
            let upright = Pose::of(&seen(yaw, pitch, 0.0, 60.0));
            let turned = Pose::of(&seen(yaw, pitch, turn, 60.0));
            prop_assert!((turned.roll - upright.roll - turn).abs() < 0.05);
            prop_assert!((turned.yaw - upright.yaw).abs() < 0.1);
            prop_assert!((turned.pitch - upright.pitch).abs() < 0.1);
        }

        #[test]
        fn the_mirror_image_has_the_mirrored_yaw(
            points in prop::array::uniform5(prop::array::uniform2(0f32..640.0)),
        ) {
            let [a, b, nose, c, d] = points.map(|[x, y]| [639.0 - x, y]);
            let (one, other) =
                (Pose::of(&Landmarks(points)), Pose::of(&Landmarks([b, a, nose, d, c])));
            prop_assume!(one.yaw.is_finite());
            prop_assert!((one.yaw + other.yaw).abs() < 0.1, "{:?} {:?}", one, other);
            prop_assert!((one.pitch - other.pitch).abs() < 0.1, "{:?} {:?}", one, other);
            // The tangents of a line and of its mirror image: the angles add up to a whole turn.
            let sum = (one.roll + other.roll).rem_euclid(360.0);
            prop_assert!(sum.min(360.0 - sum) < 0.1, "{:?} {:?}", one, other);
        }
    }
}
