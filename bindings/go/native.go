package plyfs

/*
#cgo pkg-config: plyfs
#include <stdlib.h>
#include <plyfs.h>
*/
import "C"

import (
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// Version is the version of the library that the program runs with.
func Version() string { return C.GoString(C.plyfs_version()) }

// handle owns a pointer of the library and frees it once: when it is closed and nobody is inside a call with it.
type handle[P comparable] struct {
	*resource[P]
	what    string
	cleanup runtime.Cleanup
}

// resource is what outlives a forgotten handle until it is cleaned up.
type resource[P comparable] struct {
	mu       sync.Mutex
	ptr      P
	free     func(P)
	owner    any // a list that the pointer belongs to
	uses     int
	isClosed bool
}

// own makes a handle of a pointer, which free frees.
func own[P comparable](what string, ptr P, free func(P)) *handle[P] {
	r := &resource[P]{ptr: ptr, free: free}
	h := &handle[P]{resource: r, what: what}
	h.cleanup = runtime.AddCleanup(h, func(r *resource[P]) { r.close() }, r)
	return h
}

// borrow makes a handle of a pointer that belongs to a list, which lives as long.
func borrow[P comparable](what string, ptr P, owner any) *handle[P] {
	r := &resource[P]{ptr: ptr, free: func(P) {}, owner: owner}
	return &handle[P]{resource: r, what: what}
}

// use makes a call with the pointer, which lives until that returns.
func (h *handle[P]) use(call func(P) error) error {
	if h == nil {
		return &Error{Kind: ErrInvalidInput, Message: "a handle is nil"}
	}
	h.mu.Lock()
	if h.isClosed {
		h.mu.Unlock()
		return &fs.PathError{Op: "use", Path: h.what, Err: fs.ErrClosed}
	}
	h.uses++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.uses--
		h.end()
		runtime.KeepAlive(h)
	}()
	return call(h.ptr)
}

// take gives the pointer to a call that consumes it; NULL when it is closed, or somebody uses it, whose end frees it.
func (h *handle[P]) take() P {
	var none P
	if h == nil {
		return none
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isClosed || h.uses > 0 {
		h.isClosed = true
		return none
	}
	h.cleanup.Stop()
	h.isClosed = true
	ptr := h.ptr
	h.ptr = none
	return ptr
}

// close frees what the handle holds; the zero value of a type of this package has none.
func (h *handle[P]) close() {
	if h == nil {
		return
	}
	h.cleanup.Stop()
	h.resource.close()
}

func (r *resource[P]) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isClosed = true
	r.end()
}

// end frees a closed pointer that nobody uses.
func (r *resource[P]) end() {
	var none P
	if r.isClosed && r.uses == 0 && r.ptr != none {
		r.free(r.ptr)
		r.ptr, r.owner = none, nil
	}
}

// arena holds what a call borrows, in memory of C: memory of Go that points to such may be lent, and nothing else may.
type arena struct {
	blocks []unsafe.Pointer
	err    error
}

func (a *arena) free() {
	for _, block := range a.blocks {
		C.free(block)
	}
}

// text lends a text; one with a NUL, which C would cut, makes the arena fail.
func (a *arena) text(s string) *C.char {
	if strings.IndexByte(s, 0) >= 0 && a.err == nil {
		a.err = &Error{Kind: ErrInvalidInput, Message: "a NUL byte is in " + quoted(s)}
	}
	c := C.CString(s)
	a.blocks = append(a.blocks, unsafe.Pointer(c))
	return c
}

// optional lends a text; the empty one is NULL.
func (a *arena) optional(s string) *C.char {
	if s == "" {
		return nil
	}
	return a.text(s)
}

// texts lends several texts and says how many.
func (a *arena) texts(all []string) (**C.char, C.size_t) {
	if len(all) == 0 {
		return nil, 0
	}
	array := (**C.char)(C.calloc(C.size_t(len(all)), C.size_t(unsafe.Sizeof(uintptr(0)))))
	a.blocks = append(a.blocks, unsafe.Pointer(array))
	for i, s := range all {
		unsafe.Slice(array, len(all))[i] = a.text(s)
	}
	return array, C.size_t(len(all))
}

// bytes lends bytes and says how many.
func (a *arena) bytes(b []byte) (*C.uint8_t, C.size_t) {
	if len(b) == 0 {
		return nil, 0
	}
	block := C.CBytes(b)
	a.blocks = append(a.blocks, block)
	return (*C.uint8_t)(block), C.size_t(len(b))
}

// flag is value where it is wanted, else nothing.
func flag(isWanted bool, value C.uint64_t) C.uint64_t {
	if isWanted {
		return value
	}
	return 0
}

// call makes a call unless what it was to borrow could not be lent.
func (a *arena) call(make func(**C.plyfs_error) C.int32_t) error {
	if a.err != nil {
		return a.err
	}
	return call(make)
}

// lending gives work an arena, which ends with it.
func lending(work func(*arena) error) error {
	var a arena
	defer a.free()
	return work(&a)
}

// texts reads texts until there are no more.
func texts(at func(C.size_t) *C.char) []string {
	var all []string
	for i := C.size_t(0); ; i++ {
		text := at(i)
		if text == nil {
			return all
		}
		all = append(all, C.GoString(text))
	}
}
