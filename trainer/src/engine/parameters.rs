use crate::net::{Graph, ParamSpec, Role};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Tensors by name, as they travel to and from a checkpoint: f32 on the CPU.
pub type NamedTensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Each parameter starts on a multiple of this many values (64 bytes), where SIMD loads are aligned.
const ALIGN: i64 = 16;

/// A network's values. Everything that a gradient moves lies in one flat tensor and all moving
/// statistics in another; the named parameters are views of the two. So the optimizer and the moving
/// average work on whole tensors.
pub struct Parameters {
    specs: Vec<ParamSpec>,
    /// For each spec a view of `flat` or of `statistics`.
    tensors: Vec<Tensor>,
    /// Where each spec's values start in the one that its role says.
    starts: Vec<i64>,
    index: BTreeMap<String, usize>,
    flat: Tensor,
    statistics: Tensor,
    /// The last gradient, laid out like `flat`; zero between the parameters.
    gradient: Tensor,
}

impl Parameters {
    /// Parameters of a graph (and of a head beside it) with the usual starting values: He-normal
    /// weights by fan-out (He et al. 2015), factors and variances one, offsets and means zero.
    /// `seed` decides the values, whatever the device and whatever else draws from libtorch's generator,
    /// which a process has one of.
    pub fn new(graph: &Graph, head: &[ParamSpec], seed: i64, device: Device) -> Self {
        let specs: Vec<_> = graph.params().into_iter().chain(head.iter().cloned()).collect();
        let mut lengths = [0i64; 2];
        let starts: Vec<_> = (specs.iter())
            .map(|spec| {
                let length = &mut lengths[usize::from(spec.role.trained())];
                let start = *length;
                *length += (spec.count() as i64 + ALIGN - 1) / ALIGN * ALIGN;
                start
            })
            .collect();
        let [statistics, flat] = lengths.map(|n| Tensor::zeros([n], (Kind::Float, device)));
        let index = specs.iter().enumerate().map(|(i, s)| (s.name.clone(), i)).collect();
        let tensors = (specs.iter().zip(&starts))
            .map(|(spec, &start)| match spec.role.trained() {
                true => view(&flat, start, spec).set_requires_grad(true),
                false => view(&statistics, start, spec),
            })
            .collect();
        let gradient = flat.zeros_like();
        let this = Self { specs, tensors, starts, index, flat, statistics, gradient };
        this.start_values(seed);
        this
    }

    fn start_values(&self, seed: i64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let _guard = tch::no_grad_guard();
        for (spec, tensor) in self.specs.iter().zip(&self.tensors) {
            let mut tensor = tensor.detach();
            match spec.role {
                Role::Weight => {
                    let window: usize = spec.shape[2..].iter().product();
                    let depthwise = spec.shape.len() == 4 && spec.shape[1] == 1;
                    let fan_out = if depthwise { window } else { spec.shape[0] * window };
                    let std = (2.0 / fan_out as f32).sqrt();
                    let normal = (&mut rng).sample_iter::<f32, _>(StandardNormal);
                    let values: Vec<f32> = normal.take(spec.count()).map(|v| v * std).collect();
                    tensor.copy_(&Tensor::from_slice(&values).view(&tensor.size()[..]));
                }
                Role::Scale | Role::Variance => _ = tensor.fill_(1.0),
                Role::Offset | Role::Mean => _ = tensor.zero_(),
            }
        }
    }

    /// The tensor of a name.
    ///
    /// # Panics
    /// There is none: graph and parameters do not belong together.
    pub fn get(&self, name: &str) -> &Tensor {
        &self.tensors[self.index[name]]
    }

    /// The tensor of a name, if there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    /// What the tensors are.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// All trained values in one tensor.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// All moving statistics in one tensor.
    pub fn statistics(&self) -> &Tensor {
        &self.statistics
    }

    /// A flat tensor of 1 where weight decay applies and 0 elsewhere.
    pub fn decay_mask(&self) -> Tensor {
        let mask = self.flat.zeros_like();
        for (spec, start, _) in self.trained().filter(|(spec, ..)| spec.role == Role::Weight) {
            _ = mask.narrow(0, start, spec.count() as i64).fill_(1.0);
        }
        mask
    }

    /// Gradient of `loss`, laid out like [`Parameters::flat`]. The next call writes over it.
    pub fn gradient(&self, loss: &Tensor) -> Tensor {
        let leaves: Vec<_> = self.trained().map(|(_, _, tensor)| tensor).collect();
        let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
        for ((spec, start, _), gradient) in self.trained().zip(&gradients) {
            let mut place = view(&self.gradient, start, spec);
            match gradient.defined() {
                true => place.copy_(gradient),
                false => _ = place.zero_(),
            }
        }
        self.gradient.shallow_clone()
    }

    fn trained(&self) -> impl Iterator<Item = (&ParamSpec, i64, &Tensor)> {
        let all = self.specs.iter().zip(&self.starts).zip(&self.tensors);
        all.map(|((spec, &start), tensor)| (spec, start, tensor)).filter(|(s, ..)| s.role.trained())
    }

    /// Copies of all values by name, each name after `prefix`.
    pub fn export(&self, prefix: &str) -> NamedTensors {
        self.named(prefix, &self.flat, &self.statistics)
    }

    /// Like [`Parameters::export`] for other values laid out like [`Parameters::flat`] and
    /// [`Parameters::statistics`]: a moving average.
    pub fn named(&self, prefix: &str, flat: &Tensor, statistics: &Tensor) -> NamedTensors {
        let [flat, statistics] = [flat, statistics].map(|t| t.to_device(Device::Cpu));
        (self.specs.iter().zip(&self.starts))
            .map(|(spec, &start)| {
                let all = if spec.role.trained() { &flat } else { &statistics };
                let values = to_vec(&view(all, start, spec));
                (format!("{prefix}{}", spec.name), (spec.shape.clone(), values))
            })
            .collect()
    }

    /// Takes over the values that `named` holds under `prefix`; gives the names of those it lacks or
    /// holds in another shape, which stay as they are.
    pub fn import(&self, prefix: &str, named: &NamedTensors) -> Vec<String> {
        let _guard = tch::no_grad_guard();
        let mut missing = Vec::new();
        for (spec, tensor) in self.specs.iter().zip(&self.tensors) {
            match named.get(&format!("{prefix}{}", spec.name)) {
                Some((shape, values)) if *shape == spec.shape => {
                    let values = Tensor::from_slice(values).view_as(tensor);
                    tensor.detach().copy_(&values);
                }
                _ => missing.push(spec.name.clone()),
            }
        }
        missing
    }
}

/// The part of a flat tensor that one parameter occupies, as a leaf that shares its storage.
fn view(flat: &Tensor, start: i64, spec: &ParamSpec) -> Tensor {
    let shape: Vec<i64> = spec.shape.iter().map(|&n| n as i64).collect();
    flat.narrow(0, start, spec.count() as i64).view(&shape[..]).detach()
}

/// The values of a tensor, row by row.
pub fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    Vec::try_from(tensor.view([-1])).expect("a flat f32 tensor on the CPU converts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Architecture;

    fn small() -> Graph {
        Architecture { alpha: 0.25, input_size: 64, ..Default::default() }.graph().unwrap()
    }

    #[test]
    fn changing_the_flat_tensor_changes_the_views() {
        let p = Parameters::new(&small(), &[], 1, Device::Cpu);
        let before = p.get("conv1.weight").double_value(&[0, 0, 0, 0]);
        tch::no_grad(|| _ = p.flat().shallow_clone().g_add_scalar_(1.0));
        let after = p.get("conv1.weight").double_value(&[0, 0, 0, 0]);
        assert!((after - before - 1.0).abs() < 1e-6);
    }

    #[test]
    fn values_survive_a_round_trip_by_name() {
        let (a, b) = (
            Parameters::new(&small(), &[], 1, Device::Cpu),
            Parameters::new(&small(), &[], 2, Device::Cpu),
        );
        assert!(b.import("x.", &a.export("x.")).is_empty());
        assert!(to_vec(a.flat()) == to_vec(b.flat()));
    }

    #[test]
    fn a_gradient_lies_where_its_parameter_lies() {
        let p = Parameters::new(&small(), &[], 1, Device::Cpu);
        let loss = (p.get("embedding.bn.bias") * 3.0).sum(Kind::Float);
        let gradient = p.gradient(&loss);
        assert_eq!(gradient.sum(Kind::Float).double_value(&[]), 3.0 * 128.0);
        let named = p.named("", &gradient, p.statistics());
        assert!(named["embedding.bn.bias"].1.iter().all(|&g| g == 3.0));
    }

    #[test]
    fn decay_touches_weights_alone() {
        let p = Parameters::new(&small(), &[], 1, Device::Cpu);
        let weights: usize =
            p.specs().iter().filter(|s| s.role == Role::Weight).map(|s| s.count()).sum();
        assert_eq!(p.decay_mask().sum(Kind::Float).double_value(&[]), weights as f64);
    }
}
