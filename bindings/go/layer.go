package plyfs

// #include <plyfs.h>
import "C"

import (
	"context"
	"io"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// Layer is an immutable tree and what made it, as one state of the store knew it.
type Layer struct {
	handle *handle[*C.plyfs_layer]
	// ID is the name of its directory, 64 hex digits; it says nothing of the content.
	ID string
	// Parent is the id of the layer below; the lowest has none.
	Parent string
	// DiffID is the digest of the uncompressed archive it came from, ChainID that of its content and all below it.
	DiffID, ChainID string
	// Blobs are the digests of the compressed forms it came in and that were kept, sorted.
	Blobs []string
	// Link is the id of its short link in overlay2/l.
	Link string
	// Path is its own tree, in which nothing may be changed.
	Path string
	// Depth is how many layers its chain has, itself counted.
	Depth uint64
	// ArchiveSize is the length of the uncompressed archive it came from; 0 where that is not known.
	ArchiveSize uint64
	// Created is when it came into the store.
	Created time.Time
	// Usage is what it takes itself, ChainUsage what it takes with all below it.
	Usage, ChainUsage Usage
}

func ownLayer(native *C.plyfs_layer) *Layer {
	return newLayer(own("layer", native, func(layer *C.plyfs_layer) { C.plyfs_layer_free(layer) }), native)
}

func newLayer(handle *handle[*C.plyfs_layer], native *C.plyfs_layer) *Layer {
	var usage, chain C.plyfs_usage
	C.plyfs_layer_get_usage(native, &usage, &chain, nil)
	return &Layer{
		handle:      handle,
		ID:          C.GoString(C.plyfs_layer_id(native)),
		Parent:      C.GoString(C.plyfs_layer_parent(native)),
		DiffID:      C.GoString(C.plyfs_layer_diff_id(native)),
		ChainID:     C.GoString(C.plyfs_layer_chain_id(native)),
		Blobs:       texts(func(i C.size_t) *C.char { return C.plyfs_layer_blob(native, i) }),
		Link:        C.GoString(C.plyfs_layer_link(native)),
		Path:        C.GoString(C.plyfs_layer_path(native)),
		Depth:       uint64(C.plyfs_layer_depth(native)),
		ArchiveSize: uint64(C.plyfs_layer_archive_size(native)),
		Created:     moment(C.plyfs_layer_created(native)),
		Usage:       usageOf(usage),
		ChainUsage:  usageOf(chain),
	}
}

// layersOf makes layers of a list, which ends with the last of them.
func layersOf(native *C.plyfs_layers) []*Layer {
	list := own("list of layers", native, func(list *C.plyfs_layers) { C.plyfs_layers_free(list) })
	all := make([]*Layer, C.plyfs_layers_count(native))
	for i := range all {
		layer := (*C.plyfs_layer)(unsafe.Pointer(C.plyfs_layers_get(native, C.size_t(i))))
		all[i] = newLayer(borrow("layer", layer, list), layer)
	}
	return all
}

// Close returns memory sooner than the garbage collector would; the layer stays in its store.
func (l *Layer) Close() error {
	l.handle.close()
	return nil
}

// Users lists what stands on it: child layers, images, containers, leases.
func (l *Layer) Users() ([]Subject, error) {
	var users *C.plyfs_subjects
	err := l.handle.use(func(layer *C.plyfs_layer) error {
		return call(func(err **C.plyfs_error) C.int32_t { return C.plyfs_layer_users(layer, &users, err) })
	})
	return subjectsOf(users), err
}

// WriteArchive writes the archive it came from, byte for byte; [ErrCorrupt] when its tree was changed since, and what was written
// until then is to be dropped.
func (l *Layer) WriteArchive(ctx context.Context, w io.Writer) (Exported, error) {
	exported := C.plyfs_exported{size: C.sizeof_plyfs_exported}
	err := watched(ctx, func(watch *watch) error {
		return watch.writing(w, func(fd int) error {
			return l.handle.use(func(layer *C.plyfs_layer) error {
				return call(func(err **C.plyfs_error) C.int32_t {
					return C.plyfs_layer_archive_fd(layer, C.int32_t(fd), &exported, err)
				})
			})
		})
	})
	return exportedOf(&exported), err
}

// WriteBlob writes the compressed form of the digest, one of Blobs; [ErrCorrupt] when it has other bytes, and what was written
// until then is to be dropped.
func (l *Layer) WriteBlob(ctx context.Context, w io.Writer, digest string) error {
	index := slices.Index(l.Blobs, digest)
	if index < 0 {
		return &Error{Kind: ErrNotFound, Errno: syscall.ENOENT, Message: "layer " + l.ID + " has no blob " + quoted(digest)}
	}
	return watched(ctx, func(watch *watch) error {
		return watch.writing(w, func(fd int) error {
			return l.handle.use(func(layer *C.plyfs_layer) error {
				return call(func(err **C.plyfs_error) C.int32_t {
					return C.plyfs_layer_blob_fd(layer, C.size_t(index), C.int32_t(fd), err)
				})
			})
		})
	})
}

// Mount makes it and all below it visible at an existing directory, read-only. It cannot be removed while the mount lives.
func (l *Layer) Mount(at string) (*Mount, error) {
	var mount *C.plyfs_mount
	err := l.handle.use(func(layer *C.plyfs_layer) error {
		return lending(func(a *arena) error {
			at := a.text(at)
			return a.call(func(err **C.plyfs_error) C.int32_t { return C.plyfs_layer_mount(layer, at, &mount, err) })
		})
	})
	return newMount(mount, err)
}

// View gives the merged tree of it and all below it without a mount.
func (l *Layer) View() (*View, error) {
	var view *C.plyfs_view
	err := l.handle.use(func(layer *C.plyfs_layer) error {
		return call(func(err **C.plyfs_error) C.int32_t { return C.plyfs_layer_view(layer, &view, err) })
	})
	return newView(view, err)
}

// useOptional gives work the layer, or NULL where there is none.
func (l *Layer) useOptional(work func(*C.plyfs_layer) error) error {
	if l == nil {
		return work(nil)
	}
	return l.handle.use(work)
}
