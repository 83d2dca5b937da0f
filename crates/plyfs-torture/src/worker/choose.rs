//! What a worker does next: what is possible, by weight.

use crate::dice::Dice;
use crate::model::{IMAGES, Model, Op, Shared};

/// How many containers a worker keeps at most.
const CONTAINERS: u64 = 5;

/// How many leases a worker keeps at most.
const LEASES: usize = 4;

/// Chooses an operation that its own part of the store allows.
pub(super) fn next(dice: &mut Dice, owner: &str, model: &Model) -> Op {
    loop {
        let possible = match dice.below(107) {
            0..12 => Some(Op::Load { n: dice.below(IMAGES) }),
            12..24 => create(dice, owner, model),
            24..42 => container(dice, model).map(|container| Op::Write { container, seed: dice.roll() >> 8 }),
            42..45 => container(dice, model).map(|container| Op::Keep { container }),
            45..48 => container(dice, model).map(|container| Op::Unmount { container }),
            48..53 => container(dice, model)
                .map(|container| Op::Commit { container, name: format!("{owner}/m{}:1", dice.below(3)) }),
            53..57 => rename(dice, owner, model),
            57..61 => image(dice, model).map(|image| Op::Tag { image, name: format!("{owner}/t{}:1", dice.below(3)) }),
            61..63 => dice.pick(&keys(&model.names)).map(|name| Op::Untag { name: name.clone() }),
            63..67 => unused_image(dice, model).map(|image| Op::RemoveImage { image }),
            67..72 => container(dice, model).map(|container| Op::Remove { container }),
            72..74 => image(dice, model).map(|image| Op::Save { image }),
            74..77 => Some(Op::Prune { all: dice.one_in(3) }),
            77..79 => Some(Op::Reap),
            79..80 => Some(Op::Check),
            80..81 => Some(Op::Usage),
            81..83 => Some(Op::Apply { seed: dice.below(20) }),
            83..84 => Some(Op::Reopen),
            84..85 => Some(Op::Verify),
            85..88 => (model.leases.len() < LEASES).then(|| Op::Lease { seed: dice.below(20) }),
            88 => lease(dice, model).map(|lease| Op::Renew { lease }),
            89 => lease(dice, model).map(|lease| Op::Expire { lease }),
            90..92 => lease(dice, model).map(|lease| Op::Release { lease }),
            _ => Some(Op::Shared(shared(dice))),
        };
        if let Some(op) = possible {
            return op;
        }
    }
}

fn keys<V>(of: &std::collections::BTreeMap<String, V>) -> Vec<String> {
    of.keys().cloned().collect()
}

fn lease(dice: &mut Dice, model: &Model) -> Option<String> {
    dice.pick(&keys(&model.leases)).cloned()
}

fn container(dice: &mut Dice, model: &Model) -> Option<String> {
    dice.pick(&keys(&model.containers)).cloned()
}

/// An image with a name: without one others may prune it at any time.
fn image(dice: &mut Dice, model: &Model) -> Option<String> {
    dice.pick(&model.names.values().cloned().collect::<Vec<_>>()).cloned()
}

fn unused_image(dice: &mut Dice, model: &Model) -> Option<String> {
    image(dice, model).filter(|image| model.containers.values().all(|held| held.image != *image))
}

fn create(dice: &mut Dice, owner: &str, model: &Model) -> Option<Op> {
    let container = format!("{owner}-c{}", dice.below(CONTAINERS));
    let image = image(dice, model).filter(|_| !model.containers.contains_key(&container))?;
    Some(Op::Create { container, image })
}

fn rename(dice: &mut Dice, owner: &str, model: &Model) -> Option<Op> {
    let to = format!("{owner}-c{}", dice.below(CONTAINERS));
    let from = container(dice, model).filter(|_| !model.containers.contains_key(&to))?;
    Some(Op::Rename { from, to })
}

fn shared(dice: &mut Dice) -> Shared {
    let n = dice.below(3);
    let container = format!("shared-c{}", dice.below(3));
    let name = [format!("shared/i{n}:1"), "shared/m0:1".to_owned(), "shared/t0:1".to_owned()];
    let image = dice.pick(&name).cloned().expect("three names");
    match dice.below(14) {
        0..3 => Shared::Load { n },
        3..5 => Shared::Create { container, image },
        5..7 => Shared::Write { container, seed: dice.roll() >> 8 },
        7 => Shared::Commit { container, name: "shared/m0:1".to_owned() },
        8 => Shared::Rename { from: container, to: format!("shared-c{}", dice.below(3)) },
        9 => Shared::Tag { image, name: "shared/t0:1".to_owned() },
        10 => Shared::Untag { name: image },
        11 => Shared::RemoveImage { image },
        12 => Shared::Remove { container },
        _ => Shared::Save { image },
    }
}
