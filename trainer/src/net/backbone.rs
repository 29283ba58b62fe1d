use super::{Graph, inception_resnet_v1, mobilefacenet, mobilenet};
use serde::{Deserialize, Serialize};

/// The family of networks to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Backbone {
    /// MobileNet v1 with a 128-d bottleneck: what the door runs.
    Mobilenet,
    /// MobileFaceNet with ReLU6; the teacher's architecture.
    Mobilefacenet,
    /// Inception-ResNet v1, the large one.
    InceptionResnetV1,
}

/// Everything that fixes a network's shape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Architecture {
    /// Which family.
    pub backbone: Backbone,
    /// Factor of every width, (0, 2].
    pub alpha: f64,
    /// Side of the square input in pixels: 64 to 224, a multiple of 16.
    pub input_size: usize,
    /// Share of the pooled features that dropout keeps in training, (0, 1].
    pub dropout_keep: f64,
}

impl Default for Architecture {
    fn default() -> Self {
        Self { backbone: Backbone::Mobilenet, alpha: 1.0, input_size: 160, dropout_keep: 0.4 }
    }
}

impl Architecture {
    /// Length of the embedding.
    pub const EMBEDDING: usize = 128;

    /// Builds the graph.
    ///
    /// # Errors
    /// A sentence that says which value is out of range.
    pub fn graph(&self) -> Result<Graph, String> {
        let Self { backbone, alpha, input_size: size, dropout_keep: keep } = *self;
        if !(64..=224).contains(&size) || size % 16 != 0 {
            return Err(format!(
                "input_size is {size}; it must be a multiple of 16 from 64 to 224"
            ));
        }
        if backbone == Backbone::InceptionResnetV1 && size < 112 {
            return Err(format!("input_size is {size}; inception_resnet_v1 needs at least 112"));
        }
        if !(alpha > 0.0 && alpha <= 2.0) {
            return Err(format!("alpha is {alpha}; it must be above 0 and at most 2"));
        }
        if !(keep > 0.0 && keep <= 1.0) {
            return Err(format!("dropout_keep is {keep}; it must be above 0 and at most 1"));
        }
        Ok(match backbone {
            Backbone::Mobilenet => mobilenet::graph(size, alpha, keep, Self::EMBEDDING),
            Backbone::Mobilefacenet => mobilefacenet::graph(size, alpha, Self::EMBEDDING, false),
            Backbone::InceptionResnetV1 => {
                inception_resnet_v1::graph(size, alpha, keep, Self::EMBEDDING)
            }
        })
    }

    /// The published teacher: MobileFaceNet at 112 pixels with its own input statistics.
    pub fn teacher() -> Graph {
        mobilefacenet::graph(112, 1.0, Self::EMBEDDING, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Role;

    fn graph(backbone: Backbone, input_size: usize) -> Graph {
        Architecture { backbone, input_size, ..Architecture::default() }.graph().unwrap()
    }

    fn count(graph: &Graph, keep: impl Fn(Role) -> bool) -> usize {
        graph.params().iter().filter(|p| keep(p.role)).map(|p| p.count()).sum()
    }

    #[test]
    fn every_block_of_the_mobilenet_has_the_shape_the_article_gives_it() {
        let graph = graph(Backbone::Mobilenet, 160);
        let blocks: Vec<_> = (graph.nodes.iter())
            .filter(|n| n.name == "conv1" || n.name.ends_with(".pw"))
            .map(|n| (n.shape[0], n.shape[1]))
            .collect();
        let expected = [
            (32, 80),
            (64, 80),
            (128, 40),
            (128, 40),
            (256, 20),
            (256, 20),
            (512, 10),
            (512, 10),
            (512, 10),
            (512, 10),
            (512, 10),
            (512, 10),
            (1024, 5),
            (1024, 5),
        ];
        assert_eq!(blocks, expected);
        assert_eq!(graph.output().shape, [128, 1, 1]);
        assert!(graph.nodes.iter().all(|n| n.shape[1] == n.shape[2]));
    }

    #[test]
    fn the_mobilenet_has_the_articles_parameter_count() {
        let graph = graph(Backbone::Mobilenet, 160);
        assert_eq!(count(&graph, |_| true), 3_360_320);
        assert_eq!(count(&graph, Role::trained), 3_338_176);
        assert_eq!(graph.macs(), 289_782_272);
    }

    #[test]
    fn other_sizes_widths_and_backbones_end_in_128() {
        for (backbone, sizes) in [
            (Backbone::Mobilenet, &[64, 112, 128, 160][..]),
            (Backbone::Mobilefacenet, &[64, 112, 128, 160]),
            (Backbone::InceptionResnetV1, &[112, 128, 160]),
        ] {
            for &input_size in sizes {
                for alpha in [0.25, 0.5, 1.0] {
                    let a = Architecture { backbone, input_size, alpha, dropout_keep: 0.4 };
                    assert_eq!(a.graph().unwrap().output().shape, [128, 1, 1], "{a:?}");
                }
            }
        }
    }

    #[test]
    fn the_teacher_ends_in_a_seven_by_seven_window() {
        let graph = Architecture::teacher();
        let gdconv = graph.nodes.iter().find(|n| n.name == "gdconv").unwrap();
        assert_eq!((graph.input_shape(gdconv), gdconv.shape), ([512, 7, 7], [512, 1, 1]));
    }

    #[test]
    fn values_out_of_range_are_refused_in_a_sentence() {
        let base = Architecture::default();
        for (a, word) in [
            (Architecture { input_size: 100, ..base }, "input_size"),
            (Architecture { input_size: 0, ..base }, "input_size"),
            (Architecture { alpha: 0.0, ..base }, "alpha"),
            (Architecture { alpha: f64::NAN, ..base }, "alpha"),
            (Architecture { dropout_keep: 0.0, ..base }, "dropout_keep"),
        ] {
            assert!(a.graph().unwrap_err().contains(word), "{a:?}");
        }
    }
}
