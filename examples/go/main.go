// The task of the README over the C header by cgo: load an image, change a file in a container, see what changed, keep
// it as a new image, and save that.
//
//	go run . STORE ARCHIVE [OUT]
//
// STORE is made when it is missing; OUT is STORE.svc-2.tar unless it is given. Mounting needs root.
package main

/*
#cgo pkg-config: plyfs
#include <stdlib.h>
#include <plyfs.h>
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// Error is a failed call of libplyfs.
type Error struct {
	Kind    int
	Errno   syscall.Errno
	Message string
}

func (e *Error) Error() string { return e.Message }

// Unwrap lets errors.Is compare with syscall.ENOENT and its like.
func (e *Error) Unwrap() error { return e.Errno }

// call turns a status and its error into an error of Go, and frees the latter.
//
// The error comes by its place: Go may read an argument before it makes the call beside it.
func call(status C.int32_t, place **C.plyfs_error) error {
	if status == C.PLYFS_OK || status == C.PLYFS_DONE {
		return nil
	}
	cerr := *place
	*place = nil
	defer C.plyfs_error_free(cerr)
	return &Error{
		Kind:    int(status),
		Errno:   syscall.Errno(C.plyfs_error_errno(cerr)),
		Message: C.GoString(C.plyfs_error_message(cerr)),
	}
}

// text lends a string to C until the returned function is called.
func text(s string) (*C.char, func()) {
	c := C.CString(s)
	return c, func() { C.free(unsafe.Pointer(c)) }
}

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintf(os.Stderr, "usage: %s STORE ARCHIVE [OUT]\n", os.Args[0])
		os.Exit(2)
	}
	out := os.Args[1] + ".svc-2.tar"
	if len(os.Args) == 4 {
		out = os.Args[3]
	}
	if err := run(os.Args[1], os.Args[2], out); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		if failed, ok := err.(*Error); ok {
			os.Exit(failed.Kind)
		}
		os.Exit(1)
	}
}

func run(path, archive, out string) error {
	var cerr *C.plyfs_error
	cpath, free := text(path)
	defer free()
	var store *C.plyfs_store
	if err := call(C.plyfs_store_ensure(cpath, &store, &cerr), &cerr); err != nil {
		return err
	}
	defer C.plyfs_store_free(store)

	carchive, free := text(archive)
	defer free()
	var images *C.plyfs_images
	if err := call(C.plyfs_store_load_path(store, carchive, nil, nil, &images, &cerr), &cerr); err != nil {
		return err
	}
	defer C.plyfs_images_free(images)
	image := C.plyfs_images_get(images, 0)
	name := C.plyfs_image_name(image, 0)
	if name == nil {
		name = C.plyfs_image_id(image)
	}
	fmt.Println("loaded", C.GoString(name))

	var container *C.plyfs_container
	if err := call(C.plyfs_store_create(store, C.plyfs_image_id(image), nil, &container, &cerr), &cerr); err != nil {
		return err
	}
	defer C.plyfs_container_free(container)
	if err := live(store, container, out); err != nil {
		// The container goes whatever happened; the first error is the one to tell.
		C.plyfs_container_remove(container, C.PLYFS_REMOVE_FORCE, nil)
		return err
	}
	if err := call(C.plyfs_container_remove(container, 0, &cerr), &cerr); err != nil {
		return err
	}
	return call(C.plyfs_store_reap(store, nil, &cerr), &cerr)
}

// live is the life of one container, from its creation to what is kept of it.
func live(store *C.plyfs_store, container *C.plyfs_container, out string) error {
	var cerr *C.plyfs_error
	var mount *C.plyfs_mount
	if err := call(C.plyfs_container_mount(container, nil, &mount, &cerr), &cerr); err != nil {
		return err
	}
	if err := configure(C.GoString(C.plyfs_mount_path(mount)), "port=81\n"); err != nil {
		C.plyfs_mount_free(mount)
		return err
	}
	if err := call(C.plyfs_mount_unmount(mount, &cerr), &cerr); err != nil {
		return err
	}
	if err := printChanges(container); err != nil {
		return err
	}
	return keep(store, container, out)
}

func configure(root, content string) error {
	app := filepath.Join(root, "app")
	if err := os.MkdirAll(app, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(app, "config.properties"), []byte(content), 0o644)
}

// printChanges prints what the container changed, one path a line.
func printChanges(container *C.plyfs_container) error {
	var cerr *C.plyfs_error
	var changes *C.plyfs_changes
	if err := call(C.plyfs_container_changes(container, &changes, &cerr), &cerr); err != nil {
		return err
	}
	defer C.plyfs_changes_free(changes)
	change := C.plyfs_change{size: C.sizeof_plyfs_change}
	for {
		status := C.plyfs_changes_next(changes, &change, &cerr)
		if status != C.PLYFS_OK {
			return call(status, &cerr)
		}
		fmt.Println(C.GoString(change.line))
	}
}

// keep makes an image of the container and writes it to the file out as an OCI archive.
func keep(store *C.plyfs_store, container *C.plyfs_container, out string) error {
	var cerr *C.plyfs_error
	name, free := text("svc:2")
	defer free()
	message, free := text("new port")
	defer free()
	author, free := text("the Go example")
	defer free()
	// Memory of Go may be lent to a call while it points into memory of C alone, as these texts do.
	options := C.plyfs_commit_options{
		size: C.sizeof_plyfs_commit_options, name: name, message: message, author: author,
	}
	var image *C.plyfs_image
	if err := call(C.plyfs_container_commit(container, &options, nil, nil, &image, &cerr), &cerr); err != nil {
		return err
	}
	defer C.plyfs_image_free(image)
	fmt.Println(C.GoString(C.plyfs_image_name(image, 0)), "is", C.GoString(C.plyfs_image_id(image)))

	file, err := os.Create(out)
	if err != nil {
		return err
	}
	status := C.plyfs_store_save_fd(store, &name, 1, C.PLYFS_FORMAT_OCI_ARCHIVE, C.PLYFS_COMPRESSION_DEFAULT,
		C.int32_t(file.Fd()), nil, nil, &cerr)
	if err := call(status, &cerr); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
