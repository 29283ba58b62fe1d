//! Cameras by Video4Linux.

#[cfg(feature = "v4l")]
mod camera;
mod choice;
mod timeline;

#[cfg(feature = "v4l")]
pub(super) use camera::Camera;
