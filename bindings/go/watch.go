package plyfs

// #include <stdlib.h>
// #include "watch.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Step is how far one item of a stage is.
type Step struct {
	// Stage is what is being done: "wait" for another load of the same layers, "receive", "unpack", "publish",
	// "save", "export", "check".
	Stage string
	// Item is what it is done to: a layer's digest, an image's name, a file.
	Item string
	// Done and Expected are bytes; Expected is 0 when it is not known.
	Done, Expected uint64
}

type progressKey struct{}

// WithProgress gives a context whose long work is told to report. Several goroutines may call report at once, none of them the
// one that asked for the work; a panic of it cancels the work and goes on in the goroutine that did, runtime.Goexit just cancels.
func WithProgress(ctx context.Context, report func(Step)) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

// watch is one long call, which a context and the caller's readers and writers may end.
type watch struct {
	native *C.plyfs_go_watch
	report func(Step)

	mu       sync.Mutex
	cause    error  // why the work was given up
	panicked any    // what report, a reader or a writer panicked with
	end      func() // what else ends it
}

// watched runs long work until ctx ends.
func watched(ctx context.Context, work func(*watch) error) error {
	w := &watch{}
	w.report, _ = ctx.Value(progressKey{}).(func(Step))
	if err := context.Cause(ctx); err != nil {
		return w.explain(err)
	}
	var told cgo.Handle
	if w.report != nil {
		told = cgo.NewHandle(w)
		defer told.Delete()
	}
	w.native = C.plyfs_go_watch_new(C.uintptr_t(told))

	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		w.fail(context.Cause(ctx))
		close(ended)
	})
	err := work(w)
	if !stop() {
		<-ended
	}
	cause, panicked := w.close()
	if panicked != nil {
		panic(panicked)
	}
	if err != nil && cause != nil {
		return w.explain(cause)
	}
	return err
}

// close ends the watch and tells why the work was given up, if it was, and what panicked. A reader that blocked may still fail or
// panic later, for nobody.
func (w *watch) close() (cause error, panicked any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	C.free(unsafe.Pointer(w.native))
	w.native, w.end = nil, nil
	return w.cause, w.panicked
}

// panics keeps what is to go on in the goroutine of the caller; the first is the one that does.
func (w *watch) panics(p any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.panicked == nil {
		w.panicked = p
	}
}

// fail gives the work up; the first cause is the one that is told.
func (w *watch) fail(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.native == nil {
		return
	}
	if w.cause == nil {
		w.cause = cause
	}
	C.plyfs_go_watch_cancel(w.native)
	if w.end != nil {
		w.end()
	}
}

// explain makes the error of work that was given up.
func (w *watch) explain(cause error) error {
	return &Error{Kind: ErrCancelled, Message: "given up", cause: cause}
}

// step is what C calls, and with.
func (w *watch) step() (C.plyfs_progress, unsafe.Pointer) {
	return C.plyfs_progress(C.plyfs_go_watch_step), unsafe.Pointer(w.native)
}

//export plyfsGoStep
func plyfsGoStep(told C.uintptr_t, step *C.plyfs_step) C.int32_t {
	w := cgo.Handle(told).Value().(*watch)
	at := Step{
		Stage:    C.GoString(step.stage),
		Item:     C.GoString(step.item),
		Done:     uint64(step.done),
		Expected: uint64(step.expected),
	}
	// In a goroutine of its own: one that ends by runtime.Goexit must not take frames of C with it.
	answered := make(chan C.int32_t)
	go w.tell(at, answered)
	return <-answered
}

// tell reports a step and answers what C wants to know: 0 to go on, 1 when report panicked or ended its goroutine.
func (w *watch) tell(step Step, answered chan<- C.int32_t) {
	answer := C.int32_t(1)
	defer func() {
		if p := recover(); p != nil {
			w.panics(p)
		}
		answered <- answer
	}()
	w.report(step)
	answer = 0
}
