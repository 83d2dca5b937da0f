//! Long calls: telling a Python callback how far they are, and stopping when it, or a signal, says so.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
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

    fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs long work with the interpreter released, watched by a callback or none.
pub(crate) fn watched<T: Send>(
    py: Python<'_>,
    callback: Option<Py<PyAny>>,
    work: impl FnOnce(&Raised, Progress<'_>) -> Outcome<T> + Send,
) -> PyResult<T> {
    let raised = Raised::default();
    let watch = Watch { callback, raised: &raised, last: Mutex::new(None) };
    let outcome = py.detach(|| {
        let report = |step: &Step<'_>| watch.report(step);
        work(&raised, Progress::new(&report))
    });
    match (outcome, raised.take()) {
        (Ok(done), None) => Ok(done),
        (Ok(done), Some(late)) => {
            // It is done and durable; whoever calls must get what was made.
            late.write_unraisable(py, None);
            Ok(done)
        }
        (Err(_), Some(raised)) => Err(raised),
        (Err(failure), None) => Err(failure.into_exception(py)),
    }
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

impl Watch<'_> {
    fn report(&self, step: &Step<'_>) -> ControlFlow<()> {
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
