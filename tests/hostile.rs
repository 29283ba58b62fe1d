//! Files that were damaged, by chance or on purpose, are read or refused; nothing panics. `fuzz/` asks
//! the same of the same parsers for as long as one likes.

mod damage;
#[allow(dead_code)]
mod tiny;

use damage::damaged;
use facelatch::{embed::Network, files::Tree, model::Pool};
use proptest::{collection::vec, prelude::*};
use prost::Message;
use std::{
    io::{Cursor, Write},
    path::Path,
    sync::Arc,
};

fn archive() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["pairs.txt", "images/Ann/Ann_0001.jpg", "images/Ann/Ann_0002.jpg"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(name.repeat(20).as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn network() -> Vec<u8> {
    tiny::model().encode_to_vec()
}

fn open(bytes: Vec<u8>) {
    if let Ok(tree) = Tree::archive(Path::new("hostile.zip"), bytes) {
        tree.paths().iter().for_each(|path| _ = tree.read(path));
    }
}

fn load(bytes: &[u8]) {
    if let Ok(network) =
        Network::parse(Path::new("hostile.onnx"), bytes.to_vec(), &Arc::new(Pool::new(1)))
    {
        let side = network.input_size();
        _ = network.embed(&image::RgbImage::new(side, side));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_as_an_archive(bytes in vec(any::<u8>(), 0..200)) {
        open(bytes);
    }

    #[test]
    fn a_damaged_archive(bytes in damaged(archive())) {
        open(bytes);
    }

    #[test]
    fn any_bytes_as_a_network(bytes in vec(any::<u8>(), 0..200)) {
        load(&bytes);
    }

    #[test]
    fn a_damaged_network(bytes in damaged(network())) {
        load(&bytes);
    }
}
