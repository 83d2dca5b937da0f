package plyfs

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// reading lends work a descriptor that gives what r does.
//
// A file or directory is lent itself. Anything else goes through a pipe, and a failure of r gives the work up. A Read that still
// blocks when the work failed is not waited for.
func (w *watch) reading(r io.Reader, work func(fd int) error) error {
	if r == nil {
		return &Error{Kind: ErrInvalidInput, Errno: syscall.EINVAL, Message: "the reader is nil"}
	}
	if file, ok := r.(*os.File); ok && isOnDisk(file) {
		return lend(file, work)
	}
	out, in, err := pipe(1)
	if err != nil {
		return err
	}
	fed, gone := make(chan struct{}), make(chan struct{})
	go w.copies(in, r, func(err error) {
		if err != nil {
			<-gone // to the library an end would be that of the archive
		}
		in.Close()
		close(fed)
	})
	err = lend(out, work)
	close(gone)
	out.Close()
	if err == nil {
		<-fed
	}
	return err
}

// writing lends work a descriptor that takes what goes to out.
//
// A regular file is lent itself. Anything else goes through a pipe, and a failure of out gives the work up. A Write that still
// blocks when the work failed is not waited for.
func (w *watch) writing(out io.Writer, work func(fd int) error) error {
	if out == nil {
		return &Error{Kind: ErrInvalidInput, Errno: syscall.EINVAL, Message: "the writer is nil"}
	}
	if file, ok := out.(*os.File); ok && isOnDisk(file) {
		return lend(file, work)
	}
	from, in, err := pipe(0)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.end = func() { from.Close() } // the library may wait for the pipe, whose reader waits for out
	w.mu.Unlock()
	drained := make(chan error, 1)
	go w.copies(out, from, func(err error) { drained <- err })
	err = lend(in, work)
	in.Close()
	if err == nil {
		err = <-drained
	}
	from.Close()
	return err
}

// errNotReturned is how a copy fails whose Read or Write panicked, or ended the goroutine by runtime.Goexit.
var errNotReturned = errors.New("a Read or Write did not return")

// copies copies to the end and says how that ended; a failure gives the work up. It has a goroutine of the package to itself, where a
// panic would end the program: that of the caller gets it.
func (w *watch) copies(to io.Writer, from io.Reader, done func(error)) {
	err := errNotReturned
	defer func() {
		if p := recover(); p != nil {
			w.panics(p)
		}
		if err != nil {
			w.fail(err)
		}
		done(err)
	}()
	_, err = io.Copy(to, from)
}

// isOnDisk says whether reading or writing never waits for somebody.
func isOnDisk(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && (info.Mode().IsRegular() || info.IsDir())
}

// lend gives work the descriptor of a file, which stays open meanwhile.
func lend(file *os.File, work func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = work(int(fd)) }); err != nil {
		return err
	}
	return done
}

// pipe makes a pipe, of which Go has the end ours and waits for it without a thread; the library has the other.
func pipe(ours int) (out, in *os.File, err error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := syscall.SetNonblock(ends[ours], true); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(ends[0]), "|0"), os.NewFile(uintptr(ends[1]), "|1"), nil
}
