// Package plyfs is the whole job of a container layer store inside your process: it keeps the layers of images once, mounts
// them with OverlayFS, gives each container a writable layer of its own, and turns what a container changed back into an
// image.
//
//	store, err := plyfs.Ensure("/var/lib/plyfs")
//	defer store.Close()
//	images, err := store.Load(ctx, file)
//	container, err := store.Create("svc:1", plyfs.ContainerOptions{Name: "web-1"})
//	mount, err := container.Mount(ctx)
//	err = os.WriteFile(filepath.Join(mount.Path(), "app/config.properties"), []byte("port=81\n"), 0o644)
//	err = mount.Close()
//	for change, err := range container.Changes() {
//		fmt.Println(change, err)
//	}
//	image, err := container.Commit(ctx, plyfs.CommitOptions{Name: "svc:2"})
//	err = store.Save(ctx, out, plyfs.SaveOptions{}, image)
//
// The package is a door to libplyfs and decides nothing itself. What a call that changes the store did survives a power cut
// once it returned, unless the store was opened with [NoSync]; a call that failed left the store as it was.
//
// # Building
//
// The package is built with cgo against plyfs.h and libplyfs, found by pkg-config under the name plyfs. In the project's source
//
//	cargo xtask install /usr/local
//
// puts them there, and ldconfig lets programs find the library; with another prefix, PKG_CONFIG_PATH names its lib/pkgconfig and
// LD_LIBRARY_PATH its lib.
//
// # Errors
//
// Errors of the library are of the type [*Error]. errors.Is compares them with the kinds [ErrNotFound], [ErrInUse] and so on,
// and with errnos: an [ErrNotFound] is also an fs.ErrNotExist.
//
// # Contexts and progress
//
// Long work takes a context. When that ends, the work stops, leaves nothing, and the error is both [ErrCancelled] and what
// context.Cause says. [WithProgress] gives a context that is told how far work is.
//
// A reader or writer of the caller that fails stops the work likewise, and its error is in the chain. One that panics stops it,
// too, and the panic goes on in the goroutine that made the call; a nil one is [ErrInvalidInput].
//
// # Closing
//
// A [Store], a [Mount], a [Lease] and a [View] hold something of the system and are closed by their owner; the garbage
// collector does it for those that were forgotten, some time, quietly. An [Image], a [Layer] and a [Container] are what the
// store knew when they were asked for; they hold memory alone, and Close only returns it sooner. Nothing needs anything else
// to stay open. What is closed answers fs.ErrClosed; closing it while another goroutine is inside a call lets that call end.
//
// # Goroutines and threads
//
// Everything may be used by several goroutines at once. A call that waits for the disk takes an operating system thread
// meanwhile, as a system call does.
//
// # Mount namespaces
//
// A mount appears in the mount namespace of the thread that makes it, and goroutines move between threads. A program that
// stays in one namespace need not care. One that calls unshare(2) or setns(2) has to lock the goroutine to its thread with
// runtime.LockOSThread before, and to make, use and close mounts of that namespace from there; other goroutines run on threads
// that are elsewhere. The store knows of a mount in another namespace and says [ErrInUse]; [Container.Unmount] with [Detach]
// ends it everywhere. After fork only exec is allowed, which is all that os/exec does.
package plyfs
