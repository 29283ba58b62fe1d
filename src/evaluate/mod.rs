//! The evaluation protocol, once: the trainer and the daemon measure a network the same way.
//!
//! Pairs of pictures come from LFW's `pairs.txt` (Huang et al., "Labeled Faces in the Wild", 2007),
//! each pair gets a [`Score`](crate::embed::Score), and a [`Report`] says how well one threshold tells
//! the same person from two people. A pair is accepted when its score is at or above the threshold.
//! Detectors have a protocol of their own, [`detection_report`].

mod clips;
mod cluster;
mod cross;
mod dataset;
mod detected;
mod detection;
mod household;
mod landmarks;
mod pairs;
mod protocol;
mod report;
mod roc;
mod run;

pub use clips::{
    ClipId, ClipPair, ClipReport, ClipsError, FusedReport, Fusion, Sides, SplitsError,
    evaluate_clips, parse_splits,
};
pub use cluster::cluster;
pub use cross::{CrossPairs, CrossPoint, cross_pairs};
pub use dataset::{BrokenImage, DatasetError, FaceSet, text_in};
pub use detected::{DetectedFaces, detect_landmarks};
pub use detection::{
    DetectionPoint, DetectionReport, DetectionSet, DetectionSetError, ManualNme, Nme, PictureTruth,
    RecallAt, Share, SizeBin, detection_curve, detection_report,
};
pub use household::{HouseholdScores, share_above};
pub use landmarks::{LandmarkTable, LandmarksError};
pub use pairs::{Folds, ImageId, Pair, Pairs, PairsError, select_folds};
pub use protocol::{ProtocolError, Scored};
pub use report::{Accuracy, FoldReport, Report};
pub use roc::{RocPoint, TarAtFar, auc, equal_error_rate, roc, tar_at_far, wilson_interval};
pub use run::{Evaluation, RunError, RunOptions, embed_faces, run};
