//! Files that were damaged, by chance or on purpose, are read or refused; nothing panics. `fuzz/` asks
//! the same of the same parsers for as long as one likes.

#[path = "../../tests/damage/mod.rs"]
mod damage;

use damage::damaged;
use facelatch_train::{
    data::{Source, teacher},
    run::{Checkpoint, Config, RunConfig},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use safetensors::{Dtype, tensor::TensorView};

fn checkpoint() -> Vec<u8> {
    let values: Vec<u8> = [1.0f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = |shape| TensorView::new(Dtype::F32, shape, &values).unwrap();
    let tensors = [("model.a", view(vec![2])), ("average.a", view(vec![2, 1]))];
    let meta = [("facelatch.run", "seed = 1"), ("facelatch.step", "7"), ("facelatch.best", "0.5")];
    let meta = meta.map(|(key, value)| (key.to_owned(), value.to_owned()));
    safetensors::serialize(tensors, Some(meta.into())).unwrap()
}

/// Two pictures, each as is and mirrored, every embedding the first axis.
fn table() -> Vec<u8> {
    let first_axis = |i: usize| if i.is_multiple_of(teacher::DIM) { [0, 0x3c] } else { [0, 0] };
    let rows: Vec<u8> = (0..4 * teacher::DIM).flat_map(first_axis).collect();
    let view = TensorView::new(Dtype::F16, vec![2, 2, teacher::DIM], &rows).unwrap();
    safetensors::serialize([("embedding", view)], None).unwrap()
}

fn config() -> Vec<u8> {
    let mut config = RunConfig::default();
    config.data.sources.push(Source::new("people", "faces/people"));
    config.to_toml().into_bytes()
}

/// What is accepted is written so that it reads back as the same.
fn read_config(text: &str) {
    if let Ok(config) = RunConfig::parse(text) {
        assert_eq!(RunConfig::parse(&config.to_toml()).as_ref(), Ok(&config));
    }
}

#[test]
fn whole_files_are_read() {
    let checkpoint = Checkpoint::parse(&checkpoint()).unwrap();
    assert_eq!((checkpoint.step, checkpoint.best, checkpoint.tensors.len()), (7, Some(0.5), 2));
    let rows = teacher::parse(&table(), &["a.png", "b.png"]).unwrap();
    assert_eq!((rows.len(), rows["b.png"][1][0]), (2, 1.0));
    assert!(RunConfig::parse(std::str::from_utf8(&config()).unwrap()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_as_a_checkpoint_or_a_table(bytes in vec(any::<u8>(), 0..200)) {
        _ = Checkpoint::parse(&bytes);
        _ = teacher::parse(&bytes, &["a.png", "b.png"]);
    }

    #[test]
    fn a_damaged_checkpoint(bytes in damaged(checkpoint())) {
        _ = Checkpoint::parse(&bytes);
    }

    #[test]
    fn a_damaged_table(bytes in damaged(table()), names in vec(".{0,9}", 0..4)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        _ = teacher::parse(&bytes, &names);
    }

    #[test]
    fn any_text_as_a_configuration(text in "[\\PC\n]{0,200}") {
        read_config(&text);
    }

    #[test]
    fn a_damaged_configuration(bytes in damaged(config())) {
        read_config(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_configuration_with_any_number_in_it(
        line in any::<Index>(),
        number in prop_oneof![
            any::<f64>().prop_map(|v| format!("{v:?}")),
            any::<i64>().prop_map(|v| v.to_string()),
        ],
    ) {
        let text = String::from_utf8(config()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = line.index(lines.len());
        if let Some((key, _)) = lines[line].clone().split_once(" = ") {
            lines[line] = format!("{key} = {number}");
        }
        read_config(&lines.join("\n"));
    }
}
