use super::{NamedTensors, NoHook, Parameters, Pass, forward, forward::folded, send};
use crate::{
    loss::unit,
    net::{Architecture, Graph, Op},
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
        Ok(Self::without_norms(&graph, &params))
    }

    /// The same network with each convolution's batch norm in its weights, which saves a third of the
    /// memory that an image is moved through.
    fn without_norms(graph: &Graph, params: &Parameters) -> Self {
        let _guard = tch::no_grad_guard();
        let mut plain = graph.clone();
        for node in &mut plain.nodes {
            if let Op::Conv(conv) = &mut node.op {
                (conv.norm, conv.bias) = (None, true);
            }
        }
        let fused = Parameters::new(&plain, &[], 0, params.flat().device());
        fused.import("", &params.export(""));
        for node in &graph.nodes {
            if let Op::Conv(conv) = &node.op {
                let (weight, bias) = folded(node, params, conv.norm.as_ref());
                fused.get(&format!("{}.weight", node.name)).detach().copy_(&weight);
                fused.get(&format!("{}.bias", node.name)).detach().copy_(&bias);
            }
        }
        Self { graph: plain, params: fused }
    }

    /// Side of the image that it looks at, px.
    pub fn input_size(&self) -> usize {
        self.graph.input_size()
    }

    /// Unit-length embeddings [N, 128] of images [N, 3, S, S] in [0, 1], worked out in the images'
    /// kind and given in f32; another S than 112 is scaled to it by area.
    pub fn embed(&self, images: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let size = self.graph.input_size() as i64;
        let images = match images.size()[2] {
            s if s == size => images.shallow_clone(),
            s if s > size => shrink(images, size),
            _ => images.upsample_bilinear2d([size, size], false, None, None),
        };
        unit(&forward(&self.graph, &self.params, &images, Pass::Evaluate, &mut NoHook))
    }
}

/// Images [N, 3, S, S] averaged by area to `size` a side, channels-last.
///
/// Not libtorch's adaptive pooling: that weighs every pixel a window touches alike, and comes out a
/// little farther from the teacher's tables (mean cosine 0.982 instead of 0.986).
fn shrink(images: &Tensor, size: i64) -> Tensor {
    let [n, channels, side, _] = images.size()[..] else { panic!("images have four dimensions") };
    let ratio = side as f64 / size as f64;
    let share = |i: i64| {
        let (to, from) = ((i / side) as f64 * ratio, (i % side) as f64);
        let overlap = (to + ratio).min(from + 1.0) - to.max(from);
        (overlap.max(0.0) / ratio) as f32
    };
    let shares: Vec<f32> = (0..size * side).map(share).collect();
    let shares = Tensor::from_slice(&shares).view([size, side]);
    let shares = send(&shares, images.device()).to_kind(images.kind());
    let rows = shares.matmul(&images.permute([0, 2, 3, 1]).reshape([n, side, side * channels]));
    let both = shares.matmul(&rows.view([n * size, side, channels]));
    both.view([n, size, size, channels]).permute([0, 3, 1, 2])
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

#[cfg(test)]
impl Teacher {
    /// One that was never taught.
    pub fn untaught() -> Self {
        let graph = Architecture::teacher();
        Self::without_norms(&graph, &Parameters::new(&graph, &[], 1, Device::Cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// The teacher's graph with its batch norms moved off their starting values.
    fn unfolded() -> (Graph, Parameters) {
        let graph = Architecture::teacher();
        let params = Parameters::new(&graph, &[], 1, Device::Cpu);
        let _guard = tch::no_grad_guard();
        for spec in params.specs().iter().filter(|spec| spec.name.contains(".bn.")) {
            let noise = Tensor::rand(params.get(&spec.name).size(), tch::kind::FLOAT_CPU) * 0.2;
            _ = params.get(&spec.name).detach().g_add_(&noise);
        }
        (graph, params)
    }

    #[test]
    fn folding_the_batch_norms_changes_nothing_and_bfloat16_little() {
        let (graph, params) = unfolded();
        let teacher = Teacher::without_norms(&graph, &params);
        let images = Tensor::rand([4, 3, 112, 112], tch::kind::FLOAT_CPU);
        let raw = tch::no_grad(|| forward(&graph, &params, &images, Pass::Evaluate, &mut NoHook));
        let least = |other: &Tensor| {
            let cosines = (unit(&raw) * other).sum_dim_intlist(&[1i64][..], false, Kind::Float);
            cosines.min().double_value(&[])
        };
        let ours = teacher.embed(&images);
        assert!(least(&ours) > 0.99999, "{}", least(&ours));
        let half = teacher.embed(&images.to_kind(Kind::BFloat16));
        assert_eq!(half.kind(), Kind::Float);
        assert!(least(&half) > 0.98, "{}", least(&half));
    }
}
