use crate::align::Landmarks;
use serde::Serialize;

/// A rectangle in pixels, by its outer edges: a pixel at integer (x, y) covers x − ½ to x + ½.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// From left to right, above 0.
    pub width: f32,
    /// From top to bottom, above 0.
    pub height: f32,
}

impl Bounds {
    /// Width times height, px².
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// Side of the square of the same area, px: what is called the size of a face.
    pub fn size(&self) -> f32 {
        self.area().sqrt()
    }

    /// The middle, [x, y].
    pub fn centre(&self) -> [f32; 2] {
        [self.x + self.width / 2.0, self.y + self.height / 2.0]
    }

    /// The area that both cover, px².
    pub fn overlap(&self, other: &Self) -> f32 {
        let side = |a: f32, b: f32, c: f32, d: f32| ((a + b).min(c + d) - a.max(c)).max(0.0);
        side(self.x, self.width, other.x, other.width)
            * side(self.y, self.height, other.y, other.height)
    }

    /// Intersection over union, 0 to 1; 0 where either has no area.
    pub fn iou(&self, other: &Self) -> f32 {
        let overlap = self.overlap(other);
        let union = self.area() + other.area() - overlap;
        if overlap > 0.0 && union > 0.0 { overlap / union } else { 0.0 }
    }
}

/// How sure the detector is that there is a face, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
pub struct DetectionScore(pub f32);

/// A face in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// From forehead to chin and cheek to cheek, px of the frame; may reach over its edge.
    pub bounds: Bounds,
    /// px of the frame.
    pub landmarks: Landmarks,
    /// How sure.
    pub score: DetectionScore,
}

impl Face {
    /// The face after every point p of it has become `scale`·p + `shift`.
    pub fn moved(&self, scale: f32, shift: [f32; 2]) -> Self {
        let point = |[x, y]: [f32; 2]| [x * scale + shift[0], y * scale + shift[1]];
        let [x, y] = point([self.bounds.x, self.bounds.y]);
        let (width, height) = (self.bounds.width * scale, self.bounds.height * scale);
        Self {
            bounds: Bounds { x, y, width, height },
            landmarks: Landmarks(self.landmarks.0.map(point)),
            score: self.score,
        }
    }
}

/// The faces of one frame, the surest first.
pub type Faces = heapless::Vec<Face, { super::MAX_FACES }>;

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(x: f32, y: f32, width: f32, height: f32) -> Bounds {
        Bounds { x, y, width, height }
    }

    #[test]
    fn overlap_is_shared_area_over_all_area() {
        let a = bounds(0.0, 0.0, 10.0, 10.0);
        for (b, expected) in [
            (a, 1.0),
            (bounds(5.0, 0.0, 10.0, 10.0), 50.0 / 150.0),
            (bounds(10.0, 0.0, 5.0, 5.0), 0.0),
            (bounds(2.0, 2.0, 5.0, 4.0), 0.2),
            (bounds(50.0, 50.0, 5.0, 4.0), 0.0),
            (bounds(1.0, 1.0, 0.0, 0.0), 0.0),
        ] {
            assert!((a.iou(&b) - expected).abs() < 1e-6, "{b:?}: {}", a.iou(&b));
            assert_eq!(a.iou(&b), b.iou(&a));
        }
    }
}
