//! Processes of this test program that die behind a step of the store's, a test started once more in a role; and what they
//! left, settled.

use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plyfs_store::{Durability, Store};
use plyfs_testkit::process::{run, was_killed};

use crate::names;

const ROLE: &str = "PLYFS_TEST_CUT_ROLE";

/// How many steps are left; none before [`after`].
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// How a process ended.
pub(crate) struct Cut {
    /// Whether it was killed; otherwise it got through.
    pub(crate) is_killed: bool,
    /// The last step it was behind; nothing when it reached none.
    pub(crate) last: String,
}

/// The role of this process, when a test of this program started it.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Starts `test` in a role, behind these words (`unshare --mount`) if there are any, and waits for its end.
pub(crate) fn start(behind: &[&str], test: &str, role: &str) -> Cut {
    let here = std::env::current_exe().expect("a test knows itself");
    let mut command = match behind {
        [] => Command::new(&here),
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg(&here);
            command
        }
    };
    let ran = run(command.args(["--exact", test, "--nocapture"]).env(ROLE, role));
    let is_killed = was_killed(ran.status);
    assert!(is_killed || ran.status.success(), "{role}: {ran:?}");
    let text = ran.text();
    let last = text.lines().filter_map(|line| line.split_once("step ")).next_back();
    Cut { is_killed, last: last.map_or_else(String::new, |(_, step)| step.to_owned()) }
}

/// From now on counts steps, and dies behind the `cut`th.
pub(crate) fn after(cut: usize) {
    LEFT.store(cut, Ordering::SeqCst);
}

/// Says where it is, and dies when its time has come.
pub(crate) fn step(name: &'static str) {
    let one_less = |left: usize| left.checked_sub(1);
    let Ok(left) = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) else { return };
    // To whoever started this process, past what the harness keeps to itself.
    let _ = writeln!(std::io::stdout(), "step {name}");
    if left == 1 {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).expect("killed");
    }
}

/// Opens a store and returns the space of what is gone.
///
/// Where somebody holds the lock of `staging` or `trash`, both leave their work to the next one. Other threads start
/// processes here all the time, and each holds this one's locks until it is another program.
pub(crate) fn settled(path: &std::path::Path) -> plyfs_store::Result<Store> {
    let mut tries = 0;
    loop {
        let store = Store::options().durability(Durability::None).open(path)?;
        store.reap()?;
        let is_left = |name: &String| name.starts_with("staging/") || name.starts_with("trash/");
        if !names(path).iter().any(is_left) {
            return Ok(store);
        }
        tries += 1;
        assert!(tries < 50, "staging or trash is never emptied: {:#?}", names(path));
        std::thread::sleep(Duration::from_millis(10));
    }
}
