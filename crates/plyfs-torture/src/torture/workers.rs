//! Worker processes: started, killed by SIGKILL after a random while, started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plyfs_testkit::process::was_killed;

use super::program;
use crate::dice::Dice;

/// The longest life of a worker in milliseconds; most are far shorter.
const LONGEST: u64 = 4000;

/// All slots, each with a living process.
#[derive(Debug)]
pub(super) struct Workers {
    dir: PathBuf,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    child: Child,
    ends: Instant,
}

impl Workers {
    /// Starts one process a slot.
    pub(super) fn start(dir: &Path, count: u64, dice: &mut Dice) -> Result<Self> {
        let slots = (0..count).map(|slot| spawn(dir, slot, dice)).collect::<Result<_>>()?;
        Ok(Self { dir: dir.to_owned(), slots })
    }

    /// Kills those whose time has come and starts them again; one that ended by itself found something wrong.
    pub(super) fn tend(&mut self, dice: &mut Dice) -> Result<u64> {
        let mut kills = 0;
        for (number, slot) in (0..).zip(&mut self.slots) {
            if let Some(status) = slot.child.try_wait().context("wait")? {
                bail!("worker {number} ended by itself: {status}; its words are above");
            }
            if Instant::now() < slot.ends {
                continue;
            }
            kills += kill(number, slot)?;
            *slot = spawn(&self.dir, number, dice)?;
        }
        Ok(kills)
    }

    /// Kills all of them.
    pub(super) fn kill_all(mut self) -> Result<u64> {
        (0..).zip(&mut self.slots).map(|(number, slot)| kill(number, slot)).sum()
    }
}

fn kill(number: u64, slot: &mut Slot) -> Result<u64> {
    slot.child.kill().context("kill")?;
    let status = slot.child.wait().context("wait")?;
    if !was_killed(status) {
        bail!("worker {number} ended by itself: {status}; its words are above");
    }
    Ok(1)
}

fn spawn(dir: &Path, slot: u64, dice: &mut Dice) -> Result<Slot> {
    let seed = dice.roll().to_string();
    let mut command = Command::new(program()?);
    command.arg("worker").arg(dir).args([&slot.to_string(), &seed]).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().context("start a worker")?;
    let longest = if dice.one_in(4) { LONGEST } else { LONGEST / 8 };
    Ok(Slot { child, ends: Instant::now() + Duration::from_millis(30 + dice.below(longest)) })
}

impl Drop for Workers {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            let _ = slot.child.kill();
            let _ = slot.child.wait();
        }
    }
}
