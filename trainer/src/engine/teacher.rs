use super::{NamedTensors, NoHook, Parameters, Pass, forward};
use crate::{
    loss::unit,
    net::{Architecture, Graph},
};
use tch::{Device, Tensor};

/// The published MobileFaceNet, run on the same views as the student.
pub struct Teacher {
    graph: Graph,
    params: Parameters,
}

impl Teacher {
    /// Builds the teacher from its published tensors (`conv1.0.weight`, `features.0.conv.0.1.bias` …).
    ///
    /// # Errors
    /// Names the first tensor that is missing or of another shape.
    pub fn new(published: &NamedTensors, device: Device) -> Result<Self, String> {
        let graph = Architecture::teacher();
        let params = Parameters::new(&graph, &[], 0, device);
        let mut named = NamedTensors::new();
        for spec in graph.params() {
            let (name, suffix) = split(&spec.name);
            let [conv, norm] = published_names(name);
            let theirs = match suffix.strip_prefix("bn.") {
                None => format!("{conv}.{suffix}"),
                Some(suffix) => format!("{norm}.{suffix}"),
            };
            let (_, values) = published
                .get(&theirs)
                .ok_or_else(|| format!("the teacher has no tensor {theirs}"))?;
            if values.len() != spec.count() {
                return Err(format!(
                    "the teacher's {theirs} has {} values, not {}",
                    values.len(),
                    spec.count()
                ));
            }
            named.insert(spec.name, (spec.shape, values.clone()));
        }
        // Our dense layer has no bias of its own: a bias before a batch norm is a shift of its mean.
        if let Some((_, bias)) = published.get("conv3.bias")
            && let Some((_, mean)) = named.get_mut("embedding.bn.running_mean")
        {
            mean.iter_mut().zip(bias).for_each(|(m, b)| *m -= b);
        }
        params.import("", &named);
        Ok(Self { graph, params })
    }

    /// Unit-length embeddings [N, 128] of images [N, 3, S, S] in [0, 1]; another S than 112 is
    /// scaled to it by area.
    pub fn embed(&self, images: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let size = self.graph.input_size() as i64;
        let images = match images.size()[2] {
            s if s == size => images.shallow_clone(),
            s if s > size => images.adaptive_avg_pool2d([size, size]),
            _ => images.upsample_bilinear2d([size, size], false, None, None),
        };
        unit(&forward(&self.graph, &self.params, &images, Pass::Evaluate, &mut NoHook))
    }
}

fn split(name: &str) -> (&str, &str) {
    let at = name.find(".bn.").or_else(|| name.find(".weight")).expect("a conv or norm tensor");
    (&name[..at], &name[at + 1..])
}

/// What the checkpoint calls a node's convolution and the batch norm after it.
fn published_names(node: &str) -> [String; 2] {
    if let Some((block, part)) = node.strip_prefix("features.").and_then(|n| n.split_once('.')) {
        let places = match part {
            "expand" => ["0.0", "0.1"],
            "dw" => ["1.0", "1.1"],
            _ => ["2", "3"],
        };
        return places.map(|place| format!("features.{block}.conv.{place}"));
    }
    match node {
        "dw_conv.dw" => ["dw_conv.depthwise", "dw_conv.bn1"].map(str::to_owned),
        "dw_conv.pw" => ["dw_conv.pointwise", "dw_conv.bn2"].map(str::to_owned),
        "gdconv" => ["gdconv.depthwise", "gdconv.bn"].map(str::to_owned),
        "embedding" => ["conv3", "bn"].map(str::to_owned),
        _ => ["0", "1"].map(|place| format!("{node}.{place}")),
    }
}
