use tch::{Kind, Reduction, Tensor};

/// Mean of 1 − cos(student, teacher); both unit length, [N, 128].
pub fn cosine(student: &Tensor, teacher: &Tensor) -> Tensor {
    (student * teacher).sum_dim_intlist(&[1i64][..], false, Kind::Float).mean(Kind::Float) * -1.0
        + 1.0
}

/// KL(teacher ‖ student) of the softmax over `scale` × similarities to `bank` [R, 128], averaged over
/// the rows. The bank holds the teacher's embeddings of all training pictures, so it serves as a
/// classifier with one class a picture that needs no labels.
pub fn bank(student: &Tensor, teacher: &Tensor, bank: &Tensor, scale: f64) -> Tensor {
    let target = tch::no_grad(|| {
        (teacher.linear(bank, None::<&Tensor>) * scale).log_softmax(1, Kind::Float)
    });
    let log = (student.linear(bank, None::<&Tensor>) * scale).log_softmax(1, Kind::Float);
    let n = student.size()[0].max(1) as f64;
    log.kl_div(&target, Reduction::Sum, true) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distillation_terms_are_those_worked_out_by_hand() {
        let student = Tensor::from_slice2(&[[1.0f32, 0.0], [0.6, 0.8]]);
        let teacher = Tensor::from_slice2(&[[1.0f32, 0.0], [0.0, 1.0]]);
        let got = cosine(&student, &teacher).double_value(&[]);
        assert!((got - 0.1).abs() < 1e-6, "{got}");
        // Row 0 agrees. Row 1, scale 2, bank = axes: teacher softmax(0, 2) = (0.119203, 0.880797),
        // student softmax(1.2, 1.6) = (0.401312, 0.598688); KL = 0.195348; half of it is the mean.
        let got = bank(&student, &teacher, &Tensor::eye(2, tch::kind::FLOAT_CPU), 2.0);
        let (p, q) = ([0.119203f64, 0.880797], [0.401312f64, 0.598688]);
        let expected = (0..2).map(|i| p[i] * (p[i] / q[i]).ln()).sum::<f64>() / 2.0;
        assert!((got.double_value(&[]) - expected).abs() < 1e-5, "{got:?} {expected}");
    }
}
