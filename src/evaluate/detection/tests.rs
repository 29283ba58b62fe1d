use super::*;
use crate::{align::Landmarks, detect::Bounds};
use proptest::prelude::*;

/// A face 40 px wide and high, its eyes 20 px apart.
fn face(x: f32, y: f32, score: f32) -> Face {
    sized(x, y, 40.0, score)
}

fn sized(x: f32, y: f32, size: f32, score: f32) -> Face {
    let points = [[0.25, 0.4], [0.75, 0.4], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]];
    Face {
        bounds: Bounds { x, y, width: size, height: size },
        landmarks: Landmarks(points.map(|[u, v]| [x + u * size, y + v * size])),
        score: DetectionScore(score),
    }
}

fn picture(faces: &[Face], ignore: &[Bounds]) -> PictureTruth {
    PictureTruth {
        image: "a.webp".into(),
        width: 640,
        height: 480,
        split: "test".into(),
        faces: faces.to_vec(),
        ignore: ignore.to_vec(),
        manual_landmarks: None,
    }
}

fn report(pictures: &[(PictureTruth, Vec<Face>)], threshold: f32) -> DetectionReport {
    detection_report(pictures, DetectionScore(threshold))
}

#[test]
fn a_detection_is_right_wrong_or_neither() {
    let (here, there) = (face(0.0, 0.0, 1.0), face(100.0, 0.0, 1.0));
    let unsure = Bounds { x: 200.0, y: 0.0, width: 40.0, height: 40.0 };
    let truth = picture(&[here, there], &[unsure]);
    let flat = |mut face: Face| {
        face.bounds.x = f32::NAN;
        face
    };
    // (right, wrong)
    for (name, detections, expected) in [
        ("nothing", vec![], (0, 0)),
        ("both", vec![face(0.0, 0.0, 0.9), face(100.0, 0.0, 0.8)], (2, 0)),
        ("one twice", vec![face(0.0, 0.0, 0.9), face(1.0, 0.0, 0.8)], (1, 1)),
        // 1200 px² of 2000.
        ("10 px off", vec![face(110.0, 0.0, 0.9)], (1, 0)),
        // 800 px² of 2400.
        ("20 px off", vec![face(120.0, 0.0, 0.9)], (0, 1)),
        ("elsewhere", vec![face(300.0, 0.0, 0.9)], (0, 1)),
        ("unsure", vec![face(200.0, 0.0, 0.9)], (0, 0)),
        ("unsure twice", vec![face(200.0, 0.0, 0.9), face(202.0, 0.0, 0.8)], (0, 0)),
        ("half unsure", vec![face(220.0, 0.0, 0.9)], (0, 0)),
        ("less than half", vec![face(221.0, 0.0, 0.9)], (0, 1)),
        ("large around it", vec![sized(190.0, 0.0, 80.0, 0.9)], (0, 1)),
        ("no score", vec![face(0.0, 0.0, f32::NAN)], (0, 0)),
        ("no place", vec![flat(face(0.0, 0.0, 0.9))], (0, 1)),
        ("not sure enough", vec![face(0.0, 0.0, 0.3)], (0, 0)),
    ] {
        let found = report(&[(truth.clone(), detections)], 0.5).operating;
        assert_eq!((found.recall.hits, found.false_faces), expected, "{name}");
    }
}

#[test]
fn the_surer_detection_takes_the_face_that_it_covers_best() {
    // The faces are 10 px apart, so that each detection lies well on both.
    let truth = picture(&[face(0.0, 0.0, 1.0), face(10.0, 0.0, 1.0)], &[]);
    for detections in
        [[face(9.0, 0.0, 0.9), face(8.0, 0.0, 0.8)], [face(8.0, 0.0, 0.8), face(9.0, 0.0, 0.9)]]
    {
        let report = report(&[(truth.clone(), detections.to_vec())], 0.5);
        assert_eq!(report.operating.recall.hits, 2);
        // 1 px off and 8 px off, of 40.
        let nme = report.landmarks.unwrap();
        assert!((nme.percent_of_box - 100.0 * (1.0 + 8.0) / 2.0 / 40.0).abs() < 1e-4, "{nme}");
    }
}

/// Ten pictures with a face each: four found at falling scores, two false faces between.
fn ten() -> Vec<(PictureTruth, Vec<Face>)> {
    let mut pictures = vec![(picture(&[face(0.0, 0.0, 1.0)], &[]), vec![]); 10];
    for (i, score) in [0.9, 0.8, 0.7, 0.6].into_iter().enumerate() {
        pictures[i].1.push(face(0.0, 0.0, score));
    }
    pictures[4].1.push(face(300.0, 0.0, 0.85));
    pictures[0].1.push(face(300.0, 0.0, 0.65));
    pictures
}

#[test]
fn recall_at_a_rate_of_false_faces_worked_by_hand() {
    let report = report(&ten(), 0.6);
    let [tenth, hundredth] = report.at_false_rates[..] else { panic!("two rates") };
    // One false face is allowed: the threshold is just above the second, at 0.65.
    assert_eq!((tenth.threshold.0, tenth.false_faces), (0.65f32.next_up(), 1));
    assert_eq!((tenth.recall.hits, tenth.recall.of, tenth.false_per_image), (3, 10, 0.1));
    // None is: just above 0.85.
    assert_eq!((hundredth.threshold.0, hundredth.false_faces), (0.85f32.next_up(), 0));
    assert_eq!(hundredth.recall.hits, 1);
    assert_eq!((report.operating.recall.hits, report.operating.false_faces), (4, 2));
    // Precision at the hits, made not to rise: 1, 3/4 (for 2/3), 3/4, 4/6.
    let area = (1.0 + 0.75 + 0.75 + 4.0 / 6.0) / 10.0;
    assert!((report.average_precision.unwrap() - area).abs() < 1e-12);
    let curve = detection_curve(&ten());
    let steps: Vec<_> = curve.iter().map(|p| (p.false_per_image, p.recall)).collect();
    assert_eq!(steps, [(0.0, 0.1), (0.1, 0.1), (0.1, 0.2), (0.1, 0.3), (0.2, 0.3), (0.2, 0.4)]);
}

#[test]
fn where_few_false_faces_are_given_every_score_counts() {
    let pictures = vec![(picture(&[face(0.0, 0.0, 1.0)], &[]), vec![face(0.0, 0.0, 0.2)])];
    assert_eq!(report(&pictures, 0.5).at_false_rates[0].threshold.0, 0.2);
    assert_eq!(report(&pictures, 0.5).at_false_rates[0].recall.hits, 1);
}

#[test]
fn equal_scores_go_together() {
    let truth = picture(&[face(0.0, 0.0, 1.0)], &[]);
    let pictures = vec![(truth, vec![face(300.0, 0.0, 0.5), face(0.0, 0.0, 0.5)])];
    assert_eq!(report(&pictures, 0.5).average_precision, Some(0.5));
    assert_eq!(report(&pictures, 0.5).at_false_rates[0].recall.hits, 0);
}

#[test]
fn faces_are_counted_by_their_size() {
    let sizes = [10.0, 23.9, 24.0, 48.0, 96.0, 200.0];
    let pictures: Vec<_> = sizes
        .iter()
        .map(|&size| {
            let found = if size > 90.0 { vec![sized(0.0, 0.0, size, 0.9)] } else { vec![] };
            (picture(&[sized(0.0, 0.0, size, 1.0)], &[]), found)
        })
        .collect();
    let bins = report(&pictures, 0.5).by_size;
    let counted: Vec<_> = bins.iter().map(|bin| (bin.recall.hits, bin.recall.of)).collect();
    assert_eq!(counted, [(0, 2), (0, 1), (0, 1), (2, 2)]);
    assert_eq!((bins[1].from, bins[1].to, bins[3].to), (24.0, Some(48.0), None));
}

#[test]
fn landmarks_are_measured_against_labels_and_against_a_person() {
    let moved = |mut face: Face, by: [f32; 2]| {
        face.landmarks.0.iter_mut().for_each(|[x, y]| (*x, *y) = (*x + by[0], *y + by[1]));
        face
    };
    let main = face(0.0, 0.0, 1.0);
    let other = face(100.0, 0.0, 1.0);
    let mut truth = picture(&[other, main], &[]);
    truth.manual_landmarks = Some(moved(main, [0.0, 2.0]).landmarks);
    // 5 px off the label of a box of 40 and eyes 20 apart; the second face is missed.
    let found = moved(face(0.0, 0.0, 0.9), [3.0, 4.0]);
    let report = report(&[(truth.clone(), vec![found])], 0.5);
    let nme = report.landmarks.unwrap();
    assert_eq!(nme.faces, 1);
    assert!((nme.percent_of_box - 12.5).abs() < 1e-4 && (nme.percent_of_eyes - 25.0).abs() < 1e-4);
    let ManualNme { detected, labels } = report.manual.unwrap();
    let expected = 100.0 * 3f64.hypot(2.0) / 40.0;
    assert!((detected.percent_of_box - expected).abs() < 1e-4, "{detected}");
    assert!((labels.percent_of_box - 5.0).abs() < 1e-4, "{labels}");
    // With only the other face found, there is nothing to hold against the person's points.
    let missed = detection_report(&[(truth, vec![face(100.0, 0.0, 0.9)])], DetectionScore(0.5));
    assert_eq!(missed.manual, None);
}

#[test]
fn only_pictures_without_face_and_doubt_are_to_be_silent() {
    let unsure = Bounds { x: 0.0, y: 0.0, width: 9.0, height: 9.0 };
    let pictures = vec![
        (picture(&[], &[]), vec![]),
        (picture(&[], &[]), vec![face(0.0, 0.0, 0.4)]),
        (picture(&[], &[]), vec![face(0.0, 0.0, 0.9)]),
        (picture(&[], &[unsure]), vec![face(0.0, 0.0, 0.9)]),
        (picture(&[face(0.0, 0.0, 1.0)], &[]), vec![]),
    ];
    assert_eq!(report(&pictures, 0.5).empty, Share::of(2, 3));
    assert_eq!(report(&pictures, 0.3).empty, Share::of(1, 3));
}

#[test]
fn nothing_at_all_is_a_report_too() {
    let report = report(&[], 0.5);
    assert_eq!(
        (report.average_precision, report.landmarks, report.empty.share),
        (None, None, None)
    );
    assert!(report.to_string().contains("none to find"), "{report}");
}

#[test]
fn the_report_prints_every_part_and_becomes_json() {
    let report = report(&ten(), 0.6);
    let table = report.to_string();
    for part in [
        "pictures   10, faces: 10",
        "40.00 %  (16.82 to 68.73)   operating threshold: threshold 0.6000, 2 false, 0.2000",
        "30.00 %  (10.78 to 60.32)   1 false face in 10 pictures",
        "1 false face in 100 pictures",
        "AP         0.31667",
        "0.00 % of √(box area)",
        "24 to 48         10    40.00 %",
        "96 and up         0   none to find",
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["operating"]["recall"]["hits"], 4);
    assert_eq!(json["by_size"][3]["to"], serde_json::Value::Null);
}

fn any_pictures() -> impl Strategy<Value = Vec<(PictureTruth, Vec<Face>)>> {
    let faces = |most| {
        // A coarse net of places and scores, so that ties and overlaps are common.
        let one = (0u8..8, 0u8..8, 1u8..6, 0u8..=20).prop_map(|(x, y, size, score)| {
            let [x, y, size] = [x, y, size].map(|v| f32::from(v) * 10.0);
            sized(x, y, size, f32::from(score) / 20.0)
        });
        prop::collection::vec(one, 0..most)
    };
    let picture = (faces(4), faces(3), faces(8)).prop_map(|(truth, ignore, found)| {
        let ignore: Vec<Bounds> = ignore.iter().map(|f| f.bounds).collect();
        (picture(&truth, &ignore), found)
    });
    prop::collection::vec(picture, 1..12)
}

proptest! {
    #[test]
    fn the_rate_asked_for_is_kept_and_no_lower_threshold_keeps_it(pictures in any_pictures()) {
        for at in report(&pictures, 0.5).at_false_rates {
            let wanted = at.wanted.unwrap();
            prop_assert!(at.false_per_image <= wanted + 1e-6);
            let below = report(&pictures, at.threshold.0.next_down()).operating;
            let lowest = report(&pictures, 0.0).operating;
            prop_assert!(below.false_per_image > wanted || lowest.false_per_image <= wanted + 1e-6);
        }
    }

    #[test]
    fn a_curve_never_falls_and_agrees_with_the_report(pictures in any_pictures()) {
        let curve = detection_curve(&pictures);
        for pair in curve.windows(2) {
            prop_assert!(pair[0].threshold > pair[1].threshold);
            prop_assert!(pair[0].recall <= pair[1].recall);
            prop_assert!(pair[0].false_per_image <= pair[1].false_per_image);
        }
        for point in curve {
            let at = report(&pictures, point.threshold.0).operating;
            prop_assert_eq!(at.recall.share.unwrap_or(0.0), point.recall);
            prop_assert_eq!(at.false_per_image, point.false_per_image);
        }
    }

    #[test]
    fn shares_add_up_and_the_order_of_pictures_is_nothing(pictures in any_pictures()) {
        let report = report(&pictures, 0.4);
        let sum = |f: fn(&Share) -> usize| report.by_size.iter().map(|bin| f(&bin.recall)).sum::<usize>();
        prop_assert_eq!(sum(|s| s.hits), report.operating.recall.hits);
        prop_assert_eq!(sum(|s| s.of), report.faces);
        prop_assert!((0.0..=1.0).contains(&report.average_precision.unwrap_or(0.0)));
        let mut reversed = pictures;
        reversed.reverse();
        let again = detection_report(&reversed, DetectionScore(0.4));
        prop_assert_eq!(again.operating, report.operating);
        prop_assert_eq!(again.average_precision, report.average_precision);
        prop_assert_eq!(again.by_size, report.by_size);
    }
}
