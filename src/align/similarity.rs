use super::{Affine, AlignError, Landmarks};

/// A turn, a uniform scale and a shift, never a reflection: x' = a·x − b·y + tx, y' = b·x + a·y + ty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: f64,
    b: f64,
    tx: f64,
    ty: f64,
}

impl Similarity {
    /// The similarity that brings `from` nearest to `to` in the least-squares sense, without
    /// reflection: S. Umeyama, "Least-squares estimation of transformation parameters between two
    /// point patterns", PAMI 13(4), 1991, which in two dimensions has this closed form.
    ///
    /// # Errors
    /// [`AlignError::NotFinite`], or [`AlignError::Degenerate`] when either set's points coincide or
    /// the best scale is zero.
    pub fn fit(from: &Landmarks, to: &Landmarks) -> Result<Self, AlignError> {
        let (from, to) = (Centred::of(from)?, Centred::of(to)?);
        let (mut dot, mut cross) = (0.0, 0.0);
        for ([px, py], [qx, qy]) in from.points.iter().zip(to.points) {
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
        }
        let (a, b) = (dot / from.spread, cross / from.spread);
        // The best scale there could be is √(spread ratio); far below it the sets do not correspond.
        if a.hypot(b) < 1e-6 * (to.spread / from.spread).sqrt() {
            return Err(AlignError::Degenerate);
        }
        let [fx, fy] = from.centre;
        let [cx, cy] = to.centre;
        Ok(Self { a, b, tx: cx - a * fx + b * fy, ty: cy - b * fx - a * fy })
    }

    /// The way back. A fitted similarity always has one: its scale is above zero.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: b * self.ty - a * self.tx, ty: -b * self.tx - a * self.ty }
    }

    /// Where the point [x, y] goes.
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (x, y) = (f64::from(x), f64::from(y));
        [(self.a * x - self.b * y + self.tx) as f32, (self.b * x + self.a * y + self.ty) as f32]
    }

    /// How many pixels of the target one pixel of the origin becomes; above 0.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b) as f32
    }
}

impl From<Similarity> for Affine {
    fn from(s: Similarity) -> Self {
        Self([s.a, -s.b, s.tx, s.b, s.a, s.ty].map(|v| v as f32))
    }
}

/// Points relative to their mean, with the sum of their squared distances from it.
struct Centred {
    centre: [f64; 2],
    points: [[f64; 2]; 5],
    spread: f64,
}

impl Centred {
    fn of(landmarks: &Landmarks) -> Result<Self, AlignError> {
        if !landmarks.0.as_flattened().iter().all(|v| v.is_finite()) {
            return Err(AlignError::NotFinite);
        }
        let points = landmarks.0.map(|p| p.map(f64::from));
        let centre = [0, 1].map(|axis| points.iter().map(|p| p[axis]).sum::<f64>() / 5.0);
        let points = points.map(|[x, y]| [x - centre[0], y - centre[1]]);
        let spread = points.iter().map(|[x, y]| x * x + y * y).sum::<f64>();
        // f32 resolves coordinates to 6e-8 of their size: a spread near that is rounding, not a face.
        let size = 1.0 + centre[0].abs().max(centre[1].abs());
        if spread.sqrt() < 1e-6 * size {
            return Err(AlignError::Degenerate);
        }
        Ok(Self { centre, points, spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::template;
    use proptest::prelude::*;

    fn near(a: [f32; 2], b: [f32; 2], tolerance: f32) -> bool {
        (a[0] - b[0]).abs() < tolerance && (a[1] - b[1]).abs() < tolerance
    }

    proptest! {
        #[test]
        fn any_similarity_is_recovered(
            angle in -3.1f64..3.1, scale in 0.05f64..20.0,
            tx in -500.0f64..500.0, ty in -500.0f64..500.0,
        ) {
            let (a, b) = (scale * angle.cos(), scale * angle.sin());
            let truth = Similarity { a, b, tx, ty };
            let from = template(112);
            let to = Landmarks(from.0.map(|p| truth.apply(p)));
            let found = Similarity::fit(&from, &to).unwrap();
            prop_assert!((f64::from(found.scale()) / scale - 1.0).abs() < 1e-4);
            for p in [[0.0, 0.0], [112.0, 0.0], [30.0, 99.0]] {
                prop_assert!(near(found.apply(p), truth.apply(p), 2e-3));
                prop_assert!(near(found.inverse().apply(found.apply(p)), p, 2e-2));
            }
        }

        #[test]
        fn any_points_are_fitted_or_refused_without_a_panic(
            from in prop::array::uniform5(prop::array::uniform2(prop::num::f32::ANY)),
            to in prop::array::uniform5(prop::array::uniform2(prop::num::f32::ANY)),
        ) {
            if let Ok(fit) = Similarity::fit(&Landmarks(from), &Landmarks(to)) {
                prop_assert!(fit.a.is_finite() && fit.b.is_finite());
            }
        }
    }

    #[test]
    fn a_mirrored_face_is_never_matched_by_a_reflection() {
        let face = template(112);
        let mirrored = Landmarks(face.0.map(|[x, y]| [111.0 - x, y]));
        let fit = Similarity::fit(&face, &mirrored).unwrap();
        // A turn keeps the left eye left of the right one as long as the face stands upright.
        let gone = face.0.map(|p| fit.apply(p));
        assert!(gone[0][0] < gone[1][0] || gone[0][1] > gone[3][1]);
    }

    #[test]
    fn points_that_coincide_are_refused_on_either_side() {
        let (face, dot) = (template(112), Landmarks([[3.0, 4.0]; 5]));
        assert_eq!(Similarity::fit(&face, &dot), Err(AlignError::Degenerate));
        assert_eq!(Similarity::fit(&dot, &face), Err(AlignError::Degenerate));
    }
}
