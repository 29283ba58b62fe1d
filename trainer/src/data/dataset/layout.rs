use super::{DataError, Source, Split};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, path::Path};

/// A file that holds a picture, and whose, by its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) split: Split,
    pub(super) person: Option<String>,
}

/// Sorts the pictures among `paths` into splits and people. Files that are no pictures, hidden
/// ones and a Mac's `__MACOSX` are passed over.
pub(super) fn read(source: &Source, paths: &[String]) -> Result<Vec<Entry>, DataError> {
    let pictures: Vec<&String> = paths.iter().filter(|p| is_picture(p)).collect();
    if pictures.is_empty() {
        return Err(DataError::NoPictures(source.path.clone()));
    }
    let tops: BTreeSet<&str> = pictures.iter().filter_map(|p| Some(p.split_once('/')?.0)).collect();
    let split_layout = tops.iter().any(|top| split_named(top).is_some());
    pictures
        .into_iter()
        .map(|path| {
            let (split, person) = if split_layout {
                in_splits(path)
            } else {
                path.split_once('/').map(|(person, _)| (held_out(source, person), Some(person)))
            }
            .ok_or_else(|| DataError::Stray { root: source.path.clone(), path: path.clone() })?;
            Ok(Entry { path: path.clone(), split, person: person.map(str::to_owned) })
        })
        .collect()
}

fn in_splits(path: &str) -> Option<(Split, Option<&str>)> {
    let (top, rest) = path.split_once('/')?;
    match split_named(top)? {
        Split::Unlabelled => Some((Split::Unlabelled, None)),
        split => rest.split_once('/').map(|(person, _)| (split, Some(person))),
    }
}

fn split_named(folder: &str) -> Option<Split> {
    match folder {
        "train" => Some(Split::Train),
        "val" => Some(Split::Val),
        "unlabelled" => Some(Split::Unlabelled),
        _ => None,
    }
}

fn is_picture(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
    !hidden && facelatch::files::is_picture(Path::new(path))
}

/// A person's side depends on the name and the seed alone, so people added later move nobody.
fn held_out(source: &Source, person: &str) -> Split {
    let digest = Sha256::new()
        .chain_update(source.val_seed.to_le_bytes())
        .chain_update(source.namespace())
        .chain_update([0])
        .chain_update(person)
        .finalize();
    let head = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let draw = f64::from(head) / 2f64.powi(32);
    if draw < source.val_share { Split::Val } else { Split::Train }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(source: &Source, paths: &[&str]) -> Result<Vec<Entry>, DataError> {
        read(source, &paths.iter().map(|p| p.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn a_path_says_its_split_and_its_person() {
        struct Case {
            name: &'static str,
            paths: &'static [&'static str],
            expected: &'static [(Split, Option<&'static str>)],
        }
        let cases = [
            Case {
                name: "splits",
                paths: &[
                    "train/ann/1.webp",
                    "unlabelled/1.png",
                    "unlabelled/a/2.png",
                    "val/b/1.jpg",
                ],
                expected: &[
                    (Split::Train, Some("ann")),
                    (Split::Unlabelled, None),
                    (Split::Unlabelled, None),
                    (Split::Val, Some("b")),
                ],
            },
            Case {
                name: "plain image folder",
                paths: &["ann/1.JPG", "ann/session 2/1.jpeg", "bob/1.png"],
                expected: &[
                    (Split::Train, Some("ann")),
                    (Split::Train, Some("ann")),
                    (Split::Train, Some("bob")),
                ],
            },
            Case {
                name: "what is no picture is passed over",
                paths: &[
                    "README.md",
                    ".cache/a/1.jpg",
                    "__MACOSX/ann/1.jpg",
                    "ann/1.jpg",
                    "ann/.1.jpg",
                ],
                expected: &[(Split::Train, Some("ann"))],
            },
        ];
        for case in cases {
            let found = entries(&Source::new("s", "s"), case.paths).unwrap();
            let found: Vec<_> = found.iter().map(|e| (e.split, e.person.as_deref())).collect();
            assert_eq!(found, case.expected, "{}", case.name);
        }
    }

    #[test]
    fn a_picture_of_nobody_is_named() {
        for paths in [
            &["train/ann/1.jpg", "train/2.jpg"][..],
            &["ann/1.jpg", "2.jpg"],
            &["train/a/1.jpg", "bob/2.jpg"],
        ] {
            let error = entries(&Source::new("s", "s"), paths).unwrap_err().to_string();
            assert!(error.contains(paths[1]), "{error}");
        }
        assert!(matches!(
            entries(&Source::new("s", "s"), &["a.txt"]),
            Err(DataError::NoPictures(_))
        ));
    }

    #[test]
    fn whole_people_are_held_out_and_a_newcomer_moves_nobody() {
        let source = Source { val_share: 0.3, ..Source::new("s", "s") };
        let paths: Vec<String> =
            (0..600).map(|i| format!("person {}/{}.jpg", i / 2, i % 2)).collect();
        let all = read(&source, &paths).unwrap();
        for pair in all.chunks(2) {
            assert_eq!(pair[0].split, pair[1].split);
        }
        let held = all.iter().filter(|e| e.split == Split::Val).count();
        assert!((120..240).contains(&held), "{held} of 600");
        assert_eq!(read(&source, &paths[..200]).unwrap(), all[..200]);
    }
}
