use super::{CameraError, Fps, LARGEST_SIDE, replay::Stills};
use crate::files::{self, is_picture};
use image::{ImageResult, Limits, RgbImage};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The pictures of a folder, sorted by name.
pub(super) struct Folder {
    folder: PathBuf,
    pictures: Vec<PathBuf>,
    /// How many pictures were gone to.
    gone: usize,
    fps: Fps,
}

impl Folder {
    pub fn open(folder: &Path, fps: Fps) -> Result<Self, CameraError> {
        let read = |source| CameraError::Read { path: folder.to_path_buf(), source };
        let mut pictures = fs::read_dir(folder)
            .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>())
            .map_err(read)?;
        pictures.retain(|path| is_picture(path) && path.is_file());
        pictures.sort_unstable();
        if pictures.is_empty() {
            return Err(CameraError::NoPictures(folder.to_path_buf()));
        }
        Ok(Self { folder: folder.to_path_buf(), pictures, gone: 0, fps })
    }
}

impl Stills for Folder {
    fn advance(&mut self) -> Result<bool, CameraError> {
        let more = self.gone < self.pictures.len();
        self.gone += usize::from(more);
        Ok(more)
    }

    fn decode(&mut self) -> Result<RgbImage, CameraError> {
        let path = &self.pictures[self.gone - 1];
        let problem = |e: image::ImageError| CameraError::Picture {
            path: path.clone(),
            problem: e.to_string(),
        };
        decode(path).map_err(problem)
    }

    fn fps(&self) -> Fps {
        self.fps
    }

    fn describe(&self) -> String {
        let (folder, count) = (self.folder.display(), self.pictures.len());
        format!("{folder}: {count} pictures at {} frames/s", self.fps)
    }
}

fn decode(path: &Path) -> ImageResult<RgbImage> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST_SIDE), Some(LARGEST_SIDE));
    files::decode(&fs::read(path)?, limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{FrameSource, Pace, replay::Replay};
    use image::Rgb;

    fn ten() -> Fps {
        Fps::new(10.0).unwrap()
    }

    fn save(folder: &Path, name: &str, colour: u8) {
        RgbImage::from_pixel(8, 6, Rgb([colour; 3])).save(folder.join(name)).unwrap();
    }

    #[test]
    fn pictures_come_in_the_order_of_their_names_and_other_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), "b.PNG", 20);
        save(dir.path(), "a.webp", 10);
        save(dir.path(), "c.jpg", 30);
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        fs::create_dir(dir.path().join("d.png")).unwrap();
        let mut replay = Replay::new(Folder::open(dir.path(), ten()).unwrap(), Pace::Fast);
        let colours: Vec<_> = std::iter::from_fn(|| replay.next().ok())
            .map(|f| f.pixels.get_pixel(4, 3).0[0])
            .collect();
        assert_eq!(colours, [10, 20, 30]);
        assert!(matches!(replay.next(), Err(CameraError::Ended)));
    }

    #[test]
    fn a_broken_picture_is_named_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1.jpg"), b"\xff\xd8 no jpeg").unwrap();
        save(dir.path(), "2.png", 7);
        let mut replay = Replay::new(Folder::open(dir.path(), ten()).unwrap(), Pace::Fast);
        let error = replay.next().unwrap_err();
        assert!(error.to_string().contains("1.jpg: not a readable picture"), "{error}");
        assert!(!error.is_lost());
        assert_eq!(replay.next().unwrap().sequence, 1);
    }

    #[test]
    fn a_folder_that_is_missing_or_empty_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = Folder::open(dir.path(), ten()).err().unwrap();
        assert!(matches!(&empty, CameraError::NoPictures(path) if path == dir.path()));
        let absent = Folder::open(&dir.path().join("absent"), ten()).err().unwrap();
        assert!(absent.to_string().contains("absent: "), "{absent}");
    }
}
