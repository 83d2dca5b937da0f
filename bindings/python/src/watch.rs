//! Long calls: telling a Python callback how far they are, and stopping when it, or a signal, says so.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use plyfs::{Progress, Step};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::error::Outcome;

/// The shortest time between two reports of one item.
///
/// Work reports every chunk; taking the interpreter for each would slow down both it and the program.
const PAUSE: Duration = Duration::from_millis(50);

/// The first exception that the caller's own code raised while the facade was at work.
///
/// The facade knows nothing of exceptions: it sees a failed reader or a callback that cancels, and ends with an
/// error. What is raised then is the exception kept here.
#[derive(Debug, Default)]
pub(crate) struct Raised(Mutex<Option<PyErr>>);

impl Raised {
    /// Keeps an exception unless one is kept already.
    pub(crate) fn keep(&self, error: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn is_kept(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What the call ends with.
    fn settle<T>(self, py: Python<'_>, outcome: Outcome<T>) -> PyResult<T> {
        let raised = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        match raised {
            // Even when the work was done before it could stop: an exception is never lost, as after any call.
            Some(raised) => Err(raised),
            None => outcome.map_err(|failure| failure.into_exception(py)),
        }
    }
}

/// Runs long work on this thread with the interpreter released, watched by a callback or none.
///
/// This is for work on file objects: one that waits in Python code is interrupted as any other Python code is.
pub(crate) fn watched<T: Send>(
    py: Python<'_>,
    callback: Option<Py<PyAny>>,
    work: impl FnOnce(&Raised, Progress<'_>) -> Outcome<T> + Send,
) -> PyResult<T> {
    let raised = Raised::default();
    let watch = Watch::new(callback, &raised);
    let outcome = py.detach(|| {
        let report = |step: &Step<'_>| watch.report(step);
        work(&raised, Progress::new(&report))
    });
    raised.settle(py, outcome)
}

/// Runs long work aside, while this thread handles signals: Python does that on its main thread alone, and the
/// facade may be at work for long without a report from the thread that called it.
pub(crate) fn watched_aside<T: Send>(
    py: Python<'_>,
    callback: Option<Py<PyAny>>,
    work: impl FnOnce(Progress<'_>) -> Outcome<T> + Send,
) -> PyResult<T> {
    let raised = Raised::default();
    let watch = Watch::new(callback, &raised);
    let outcome = py.detach(|| {
        let report = |step: &Step<'_>| watch.report(step);
        let (ended, end) = sync_channel::<()>(0);
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                // Nothing is sent: its drop, in a panic too, ends the wait.
                let _ended = ended;
                work(Progress::new(&report))
            });
            while end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                if let Err(interrupt) = Python::attach(|py| py.check_signals()) {
                    raised.keep(interrupt);
                }
            }
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    });
    raised.settle(py, outcome)
}

struct Watch<'a> {
    callback: Option<Py<PyAny>>,
    raised: &'a Raised,
    last: Mutex<Option<Reported>>,
}

/// The last report that went through to Python.
struct Reported {
    stage: plyfs::Stage,
    item: String,
    at: Instant,
}

impl<'a> Watch<'a> {
    fn new(callback: Option<Py<PyAny>>, raised: &'a Raised) -> Self {
        Self { callback, raised, last: Mutex::new(None) }
    }

    fn report(&self, step: &Step<'_>) -> ControlFlow<()> {
        if self.raised.is_kept() {
            return ControlFlow::Break(());
        }
        if !self.is_due(step) {
            return ControlFlow::Continue(());
        }
        Python::attach(|py| match self.call(py, step) {
            Ok(flow) => flow,
            Err(error) => {
                self.raised.keep(error);
                ControlFlow::Break(())
            }
        })
    }

    /// Begins and ends of items are always told, what lies between at intervals.
    fn is_due(&self, step: &Step<'_>) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_end = step.expected == Some(step.done);
        let is_soon = last
            .as_ref()
            .is_some_and(|last| last.stage == step.stage && last.item == step.item && last.at.elapsed() < PAUSE);
        if is_soon && !is_end {
            return false;
        }
        *last = Some(Reported { stage: step.stage, item: step.item.to_owned(), at: Instant::now() });
        true
    }

    fn call(&self, py: Python<'_>, step: &Step<'_>) -> PyResult<ControlFlow<()>> {
        py.check_signals()?;
        let Some(callback) = &self.callback else { return Ok(ControlFlow::Continue(())) };
        let answer = callback.bind(py).call1((step.stage.to_string(), step.item, step.done, step.expected))?;
        let go_on = !answer.is(PyBool::new(py, false));
        Ok(if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }
}
