//! The bar that shows how far long work is: on standard error, for a person, and only when asked for nothing less.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plyfs::{Progress, Stage, Step};

use crate::{human, interrupt};

/// Runs `work` with a progress bar, if standard error is a terminal and `quiet` is not asked for.
///
/// A signal that asks the program to end stops the work.
pub(crate) fn with_bar<T>(quiet: bool, work: impl FnOnce(Progress<'_>) -> T) -> T {
    interrupt::watch();
    let go_on = || if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    if quiet || !std::io::stderr().is_terminal() {
        return work(Progress::new(&|_| go_on()));
    }
    let bar = Bar::new(ProgressDrawTarget::stderr());
    let done = work(Progress::new(&|step| {
        bar.step(step);
        go_on()
    }));
    bar.bar.finish_and_clear();
    done
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    /// What the bar shows now; steps of two threads may come in turn.
    shown: Mutex<Option<(Stage, String)>>,
}

impl Bar {
    fn new(target: ProgressDrawTarget) -> Self {
        Self { bar: ProgressBar::with_draw_target(None, target), shown: Mutex::new(None) }
    }

    fn step(&self, step: &Step<'_>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(stage, item)| (*stage, item.as_str()) != (step.stage, step.item)) {
            *shown = Some((step.stage, step.item.to_owned()));
            self.begin(step);
        }
        self.bar.set_position(step.done);
    }

    /// Shows another item: a bar where its size is known, else a count.
    fn begin(&self, step: &Step<'_>) {
        let template = match step.expected {
            Some(_) => "{prefix:>8} {msg:14} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
            None => "{prefix:>8} {msg:14} {decimal_bytes} {decimal_bytes_per_sec}",
        };
        let style = ProgressStyle::with_template(template).expect("a template of known fields");
        // The style first: each of these calls may draw.
        self.bar.set_style(style.progress_chars("=> "));
        match step.expected {
            Some(expected) => self.bar.set_length(expected),
            None => self.bar.unset_length(),
        }
        self.bar.set_prefix(step.stage.to_string());
        self.bar.set_message(label(step.item));
        self.bar.reset();
    }
}

/// A digest by its first digits, any other item by its last part.
fn label(item: &str) -> String {
    let name = if item.starts_with("sha256:") { human::short(item) } else { last_part(item).to_owned() };
    human::one_line(&name).chars().take(40).collect()
}

fn last_part(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_shown_short() {
        assert_eq!(label("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(label("/a/b/svc.tar"), "svc.tar");
        assert_eq!(label("web\n1"), "web\\n1");
    }
}
