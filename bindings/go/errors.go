package plyfs

// #include <plyfs.h>
import "C"

import (
	"strconv"
	"syscall"
)

// Kind is what a caller can act on; it is an error so that errors.Is finds it in an [*Error].
type Kind int32

// The kinds of errors. Their numbers are the statuses of the C library and the exit codes of the command.
const (
	ErrOther         Kind = C.PLYFS_ERR_OTHER          // it has no kind
	ErrNotFound      Kind = C.PLYFS_ERR_NOT_FOUND      // no such store, image, container, layer or file
	ErrExists        Kind = C.PLYFS_ERR_EXISTS         // the name or id is taken
	ErrInvalidInput  Kind = C.PLYFS_ERR_INVALID_INPUT  // an argument or an archive is malformed
	ErrInUse         Kind = C.PLYFS_ERR_IN_USE         // something still refers to it
	ErrBusy          Kind = C.PLYFS_ERR_BUSY           // held by the kernel or by another process for now
	ErrCorrupt       Kind = C.PLYFS_ERR_CORRUPT        // bytes are not what their checksum or format says
	ErrUnsupported   Kind = C.PLYFS_ERR_UNSUPPORTED    // the kernel, the file system or this version cannot do it
	ErrNoSpace       Kind = C.PLYFS_ERR_NO_SPACE       // no bytes left on the file system
	ErrNoInodes      Kind = C.PLYFS_ERR_NO_INODES      // no inodes left on the file system
	ErrQuotaExceeded Kind = C.PLYFS_ERR_QUOTA_EXCEEDED // a quota is used up
	ErrPermission    Kind = C.PLYFS_ERR_PERMISSION     // the caller may not do this
	ErrCancelled     Kind = C.PLYFS_ERR_CANCELLED      // the context ended
	ErrTimedOut      Kind = C.PLYFS_ERR_TIMED_OUT      // a bounded wait ended
	ErrConflict      Kind = C.PLYFS_ERR_CONFLICT       // the thing changed while it was read
	ErrReadOnly      Kind = C.PLYFS_ERR_READ_ONLY      // the store or the medium is read-only
	ErrPoisoned      Kind = C.PLYFS_ERR_POISONED       // a sync failed earlier; nothing is written until the next open
	ErrIO            Kind = C.PLYFS_ERR_IO             // any other failure of a system call
	ErrPanic         Kind = C.PLYFS_ERR_PANIC          // a defect of the library
)

// String is the name that all doors of plyfs give the kind, such as "NotFound".
func (k Kind) String() string { return C.GoString(C.plyfs_status_name(C.int32_t(k))) }

// Error makes a kind comparable by errors.Is; errors that calls return are of the type [*Error].
func (k Kind) Error() string { return "plyfs: " + k.String() }

// Error is a failed call of the library.
type Error struct {
	// Kind is what a caller can act on.
	Kind Kind
	// Errno is that of the system call that failed, or the one that stands for the kind.
	Errno syscall.Errno
	// Message says what failed and why, outermost first, on one line.
	Message string
	// cause is why work was given up, where that was not the library's own doing.
	cause error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return "plyfs: " + e.Message + ": " + e.cause.Error()
	}
	return "plyfs: " + e.Message
}

// Is says whether target is the error's kind.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// Unwrap gives the errno, and what ended the work from outside: the cause of a context, the failure of a reader or writer.
func (e *Error) Unwrap() []error {
	var all []error
	if e.Errno != 0 {
		all = append(all, e.Errno)
	}
	if e.cause != nil {
		all = append(all, e.cause)
	}
	return all
}

// call makes a call and turns its status and error into an error of Go.
func call(make func(**C.plyfs_error) C.int32_t) error {
	var cerr *C.plyfs_error
	status := make(&cerr)
	if status == C.PLYFS_OK || status == C.PLYFS_DONE {
		return nil
	}
	defer C.plyfs_error_free(cerr)
	return &Error{
		Kind:    Kind(status),
		Errno:   syscall.Errno(C.plyfs_error_errno(cerr)),
		Message: C.GoString(C.plyfs_error_message(cerr)),
	}
}

func quoted(s string) string { return strconv.QuoteToASCII(s) }
