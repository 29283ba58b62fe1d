use super::{NamedTensors, Parameters, device::threads, parameters::to_vec};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), β 0.9 and
    /// 0.999, ε 1e-8.
    Adam,
    /// Stochastic gradient descent with Nesterov momentum 0.9.
    Sgd,
}

/// The CPU walks through the flat tensors in pieces of this many values a thread, so that the several
/// operations of one update find their operands in the second-level cache. It is libtorch's own measure:
/// an operation on no more than this many values runs on one thread.
const PIECE: i64 = 32_768;

/// State of an update rule over the flat parameters, and their moving average.
pub struct Optimizer {
    kind: OptimizerKind,
    decay: f64,
    average: f64,
    mask: Tensor,
    first: Tensor,
    second: Tensor,
    /// Moving averages of the flat parameters and of the statistics.
    ema: [Tensor; 2],
    steps: i64,
}

impl Optimizer {
    /// Fresh state. `decay` is the weight decay per step relative to the rate; `average` is the share
    /// of the moving average kept at each step (0 = the average is the last value).
    pub fn new(kind: OptimizerKind, decay: f64, average: f64, params: &Parameters) -> Self {
        let flat = params.flat();
        let second = match kind {
            OptimizerKind::Adam => flat.zeros_like(),
            OptimizerKind::Sgd => Tensor::zeros([0], (flat.kind(), flat.device())),
        };
        Self {
            kind,
            decay,
            average,
            mask: params.decay_mask(),
            first: flat.zeros_like(),
            second,
            ema: [flat.copy(), params.statistics().copy()],
            steps: 0,
        }
    }

    /// The moving averages of the flat parameters and of the statistics: what is evaluated and
    /// exported. They start as a plain mean, so that the starting values do not linger.
    pub fn ema(&self) -> [&Tensor; 2] {
        self.ema.each_ref()
    }

    /// One update with learning rate `rate`.
    pub fn step(&mut self, params: &Parameters, gradient: &Tensor, rate: f64) {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let total = params.flat().size()[0];
        let piece = match params.flat().device() {
            Device::Cpu => PIECE * threads() as i64,
            _ => total,
        };
        let mut start = 0;
        while start < total {
            let length = piece.min(total - start);
            self.update(params.flat(), gradient, rate, start, length);
            start += length;
        }
        _ = self.ema[1].lerp_(params.statistics(), 1.0 - self.kept());
    }

    /// Share of the moving average kept at this step.
    fn kept(&self) -> f64 {
        let steps = self.steps as f64;
        self.average.min(steps / (steps + 10.0))
    }

    fn update(&mut self, flat: &Tensor, gradient: &Tensor, rate: f64, start: i64, length: i64) {
        let part = |t: &Tensor| t.narrow(0, start, length);
        let (mut value, mut first) = (part(flat), part(&self.first));
        let gradient = part(gradient);
        if self.decay > 0.0 {
            let kept = part(&self.mask) * (-rate * self.decay) + 1.0;
            _ = value.g_mul_(&kept);
        }
        match self.kind {
            OptimizerKind::Adam => {
                let (b1, b2) = (0.9f64, 0.999f64);
                let steps = self.steps as i32;
                let (fix1, fix2) = (1.0 - b1.powi(steps), 1.0 - b2.powi(steps));
                let mut second = part(&self.second);
                _ = first.lerp_(&gradient, 1.0 - b1);
                _ = second.lerp_(&gradient.square(), 1.0 - b2);
                let mut update = second.sqrt();
                // rate/fix1 · m / (√v/√fix2 + ε), with the constants gathered in two places.
                _ = update.g_add_scalar_(1e-8 * fix2.sqrt());
                let mut update = first.g_div(&update);
                _ = update.g_mul_scalar_(-rate * fix2.sqrt() / fix1);
                _ = value.g_add_(&update);
            }
            OptimizerKind::Sgd => {
                _ = first.g_mul_scalar_(0.9);
                _ = first.g_add_(&gradient);
                let update = (&gradient + &first * 0.9) * -rate;
                _ = value.g_add_(&update);
            }
        }
        _ = part(&self.ema[0]).lerp_(&value, 1.0 - self.kept());
    }

    /// The state as named tensors, for a checkpoint: the moments flat under `optimizer.`, the moving
    /// average by parameter under `average.`.
    pub fn export(&self, params: &Parameters) -> NamedTensors {
        let flat = |t: &Tensor| (vec![t.numel()], to_vec(t));
        let mut named = params.named("average.", &self.ema[0], &self.ema[1]);
        named.insert("optimizer.first".into(), flat(&self.first));
        named.insert("optimizer.second".into(), flat(&self.second));
        named.insert("optimizer.steps".into(), (vec![1], vec![self.steps as f32]));
        named
    }

    /// Takes over a state of the same network.
    ///
    /// # Errors
    /// Names the first tensor that is missing or of another length.
    pub fn import(&mut self, params: &Parameters, named: &NamedTensors) -> Result<(), String> {
        let _guard = tch::no_grad_guard();
        for (name, tensor) in [("optimizer.first", &self.first), ("optimizer.second", &self.second)]
        {
            match named.get(name) {
                Some((shape, values)) if shape[..] == [tensor.numel()] => {
                    tensor.detach().copy_(&Tensor::from_slice(values));
                }
                _ => return Err(name.to_owned()),
            }
        }
        let steps = named.get("optimizer.steps").and_then(|(_, v)| v.first());
        self.steps = *steps.ok_or("optimizer.steps")? as i64;
        // By way of the parameters, which know the layout.
        let now = [params.flat().copy(), params.statistics().copy()];
        let missing = params.import("average.", named);
        self.ema = [params.flat().copy(), params.statistics().copy()];
        params.flat().detach().copy_(&now[0]);
        params.statistics().detach().copy_(&now[1]);
        missing.into_iter().next().map_or(Ok(()), |name| Err(format!("average.{name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Architecture;
    use tch::Kind;

    fn params() -> Parameters {
        let a = Architecture { alpha: 0.25, input_size: 64, ..Default::default() };
        Parameters::new(&a.graph().unwrap(), &[], 1, Device::Cpu)
    }

    /// One weight after some steps from 1 with a gradient of 2 everywhere and a rate of 0.1.
    fn run(kind: OptimizerKind, decay: f64, steps: usize) -> f64 {
        let p = params();
        tch::no_grad(|| _ = p.flat().shallow_clone().fill_(1.0));
        let gradient = p.flat().ones_like() * 2.0;
        let mut o = Optimizer::new(kind, decay, 0.0, &p);
        for _ in 0..steps {
            o.step(&p, &gradient, 0.1);
        }
        assert!(
            to_vec(o.ema()[0]) == to_vec(p.flat()),
            "without averaging the average is the value"
        );
        p.get("conv1.weight").double_value(&[0, 0, 0, 0])
    }

    #[test]
    fn updates_are_those_worked_out_by_hand() {
        for (kind, decay, steps, expected) in [
            // Adam moves by the rate whatever the gradient's size, as long as it stays the same.
            (OptimizerKind::Adam, 0.0, 1, 0.9),
            (OptimizerKind::Adam, 0.0, 3, 0.7),
            (OptimizerKind::Adam, 0.5, 1, 1.0 * (1.0 - 0.05) - 0.1),
            // Nesterov: 1 − 0.1·(2 + 0.9·2), then m = 0.9·2 + 2 = 3.8: − 0.1·(2 + 0.9·3.8)
            (OptimizerKind::Sgd, 0.0, 1, 0.62),
            (OptimizerKind::Sgd, 0.0, 2, 0.62 - 0.542),
        ] {
            let got = run(kind, decay, steps);
            assert!((got - expected).abs() < 1e-5, "{kind:?} {decay} {steps}: {got} {expected}");
        }
    }

    #[test]
    fn decay_leaves_the_offsets_alone() {
        let p = params();
        tch::no_grad(|| _ = p.flat().shallow_clone().fill_(1.0));
        let zero = p.flat().zeros_like();
        Optimizer::new(OptimizerKind::Sgd, 0.5, 0.0, &p).step(&p, &zero, 0.1);
        assert!((p.get("conv1.weight").mean(Kind::Float).double_value(&[]) - 0.95).abs() < 1e-6);
        assert_eq!(p.get("conv1.bn.bias").mean(Kind::Float).double_value(&[]), 1.0);
    }

    #[test]
    fn a_restored_state_goes_on_with_the_same_numbers() {
        let (p, q) = (params(), params());
        let gradient = Tensor::randn(p.flat().size(), tch::kind::FLOAT_CPU);
        let mut a = Optimizer::new(OptimizerKind::Adam, 0.1, 0.9, &p);
        a.step(&p, &gradient, 0.01);
        q.import("", &p.export(""));
        let mut b = Optimizer::new(OptimizerKind::Adam, 0.1, 0.9, &q);
        b.import(&q, &a.export(&p)).unwrap();
        a.step(&p, &gradient, 0.01);
        b.step(&q, &gradient, 0.01);
        assert!(p.export("") == q.export(""));
        let average = |p: &Parameters, o: &Optimizer| p.named("", o.ema()[0], o.ema()[1]);
        assert!(average(&p, &a) == average(&q, &b));
    }
}
