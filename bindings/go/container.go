package plyfs

// #include <plyfs.h>
import "C"

import (
	"context"
	"io"
	"iter"
	"sort"
	"time"
	"unsafe"
)

// Container is a writable layer over an image, a layer or nothing, with a name, as one state of the store knew it.
type Container struct {
	handle *handle[*C.plyfs_container]
	// Name is unique in the store.
	Name string
	// ID is that of its own layer, 64 hex digits; it stays when the name changes.
	ID string
	// ImageID and ImageName are those of the image it was made of, if any, and the name that was found by.
	ImageID, ImageName string
	// Parent is the id of the layer it stands on.
	Parent string
	// Labels are its labels.
	Labels map[string]string
	// ReadOnly says that it is mounted so unless a mount says otherwise.
	ReadOnly bool
	// Created is when it was created.
	Created time.Time
}

// ContainerOptions say how a container is created.
type ContainerOptions struct {
	// Name is made up where it is empty.
	Name string
	// Labels are kept with it.
	Labels map[string]string
	// ReadOnly mounts it so unless a mount says otherwise.
	ReadOnly bool
	// Layer is what it stands on where no image is given.
	Layer *Layer
}

// CommitOptions say what becomes of an image that a container becomes.
type CommitOptions struct {
	// Name is taken from the image that has it; without one the image is dangling.
	Name string
	// Message and Author are kept in the image's history.
	Message, Author string
	// Changes are instructions of a Dockerfile that change the config, such as "ENV LEVEL=debug", in their order.
	Changes []string
	// CacheKey is what [Store.Cached] finds the new layer by, upon the container's parent.
	CacheKey []byte
	// Created is the time the image states; the present unless it is set.
	Created time.Time
	// ClampMtime is given to files that changed later, unless it is zero.
	ClampMtime time.Time
}

// Create creates a container of the image that is found as by [Store.Image]; an empty name is none, and the container begins
// with the layer of the options, or empty. Durable on return. [ErrExists] when the name is taken.
func (s *Store) Create(image string, options ContainerOptions) (*Container, error) {
	var container *C.plyfs_container
	err := s.creating(image, &options, func(a *arena, store *C.plyfs_store, image *C.char, how *C.plyfs_container_options) error {
		return a.call(func(err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_create_with(store, image, how, &container, err)
		})
	})
	if err != nil {
		return nil, err
	}
	return ownContainer(container), nil
}

// CreateAll creates a container for each of the names, up to 1024, as [Store.Create] does: all or none, at the price of one sync.
// The options are of all of them and have no name.
func (s *Store) CreateAll(image string, names []string, options ContainerOptions) ([]*Container, error) {
	var list *C.plyfs_containers
	err := s.creating(image, &options, func(a *arena, store *C.plyfs_store, image *C.char, how *C.plyfs_container_options) error {
		all, count := a.texts(names)
		return a.call(func(err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_create_all(store, image, all, count, how, &list, err)
		})
	})
	if err != nil {
		return nil, err
	}
	return containersOf(list), nil
}

func (s *Store) creating(
	image string,
	options *ContainerOptions,
	work func(*arena, *C.plyfs_store, *C.char, *C.plyfs_container_options) error,
) error {
	labels := make([]string, 0, len(options.Labels))
	for key, value := range options.Labels {
		labels = append(labels, key+"="+value)
	}
	sort.Strings(labels)
	return options.Layer.useOptional(func(layer *C.plyfs_layer) error {
		return s.lending(func(a *arena, store *C.plyfs_store) error {
			how := C.plyfs_container_options{
				size:  C.sizeof_plyfs_container_options,
				flags: flag(options.ReadOnly, C.PLYFS_CONTAINER_READ_ONLY),
				name:  a.optional(options.Name),
				layer: layer,
			}
			how.labels, how.label_count = a.texts(labels)
			return work(a, store, a.optional(image), &how)
		})
	})
}

func ownContainer(native *C.plyfs_container) *Container {
	free := func(container *C.plyfs_container) { C.plyfs_container_free(container) }
	return newContainer(own("container", native, free), native)
}

func newContainer(handle *handle[*C.plyfs_container], native *C.plyfs_container) *Container {
	keys := texts(func(i C.size_t) *C.char { return C.plyfs_container_label_key(native, i) })
	labels := make(map[string]string, len(keys))
	for i, key := range keys {
		labels[key] = C.GoString(C.plyfs_container_label_value(native, C.size_t(i)))
	}
	return &Container{
		handle:    handle,
		Name:      C.GoString(C.plyfs_container_name(native)),
		ID:        C.GoString(C.plyfs_container_id(native)),
		ImageID:   C.GoString(C.plyfs_container_image_id(native)),
		ImageName: C.GoString(C.plyfs_container_image_name(native)),
		Parent:    C.GoString(C.plyfs_container_parent(native)),
		Labels:    labels,
		ReadOnly:  bool(C.plyfs_container_is_read_only(native)),
		Created:   moment(C.plyfs_container_created(native)),
	}
}

// containersOf makes containers of a list, which ends with the last of them.
func containersOf(native *C.plyfs_containers) []*Container {
	list := own("list of containers", native, func(list *C.plyfs_containers) { C.plyfs_containers_free(list) })
	all := make([]*Container, C.plyfs_containers_count(native))
	for i := range all {
		container := (*C.plyfs_container)(unsafe.Pointer(C.plyfs_containers_get(native, C.size_t(i))))
		all[i] = newContainer(borrow("container", container, list), container)
	}
	return all
}

// Close returns memory sooner than the garbage collector would; the container stays in its store.
func (c *Container) Close() error {
	c.handle.close()
	return nil
}

// Rename gives a container another name and returns it under that. Durable on return. [ErrExists] when the name is taken,
// [ErrNotFound] when the container has no longer the name it had when it was asked for.
func (s *Store) Rename(container *Container, name string) (*Container, error) {
	// A handle of its own: others may be inside calls with the given one.
	renamed, err := s.Container(container.Name)
	if err != nil {
		return nil, err
	}
	defer renamed.Close()
	if renamed.ID != container.ID {
		return nil, &Error{Kind: ErrNotFound, Message: "container " + quoted(container.Name) + " is another one by now"}
	}
	err = lending(func(a *arena) error {
		name := a.text(name)
		return renamed.handle.use(func(container *C.plyfs_container) error {
			return a.call(func(err **C.plyfs_error) C.int32_t {
				return C.plyfs_container_rename(container, name, err)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return s.Container(name)
}

// Removal says what becomes of a mounted container that is removed.
type Removal int

const (
	// Unmounted refuses to remove a mounted container, with [ErrInUse].
	Unmounted Removal = iota
	// Force detaches the mount first.
	Force
)

// Remove removes it. Durable on return; the space comes back with [Store.Reap].
func (c *Container) Remove(removal Removal) error {
	return c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
		return C.plyfs_container_remove(container, flag(removal == Force, C.PLYFS_REMOVE_FORCE), err)
	})
}

// Usage walks its own layer and tells what it takes now.
func (c *Container) Usage() (Usage, error) {
	var usage C.plyfs_usage
	err := c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
		return C.plyfs_container_get_usage(container, &usage, err)
	})
	return usageOf(usage), err
}

// ChangeKind is what a container did to a path.
type ChangeKind byte

// What a container did to a path, by the letters that docker diff prints; a later version may know more.
const (
	Added    ChangeKind = C.PLYFS_CHANGE_ADDED
	Modified ChangeKind = C.PLYFS_CHANGE_MODIFIED
	Deleted  ChangeKind = C.PLYFS_CHANGE_DELETED
)

// Change is one path that a container changed.
type Change struct {
	Kind ChangeKind
	// Path is the path from the root, "/etc/motd": any bytes but NUL.
	Path string
	line string
}

// String is the line that all doors print, "C /etc/motd", with what is not printable escaped.
func (c Change) String() string { return c.line }

// Changes gives what it changed, sorted bytewise by path, found while it is iterated over. A mounted container may be read; what
// changes meanwhile may be listed or not. An error ends it.
func (c *Container) Changes() iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		var changes *C.plyfs_changes
		err := c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
			return C.plyfs_container_changes(container, &changes, err)
		})
		if err != nil {
			yield(Change{}, err)
			return
		}
		defer C.plyfs_changes_free(changes)
		for {
			change := C.plyfs_change{size: C.sizeof_plyfs_change}
			isDone := false
			err := call(func(err **C.plyfs_error) C.int32_t {
				status := C.plyfs_changes_next(changes, &change, err)
				isDone = status == C.PLYFS_DONE
				return status
			})
			if err != nil {
				yield(Change{}, err)
				return
			}
			next := Change{Kind: ChangeKind(change.kind), Path: C.GoString(change.path), line: C.GoString(change.line)}
			if isDone || !yield(next, nil) {
				return
			}
		}
	}
}

// ExportOptions say what a changeset looks like.
type ExportOptions struct {
	// ClampMtime is written for later times, unless it is zero.
	ClampMtime time.Time
	// Containerd writes the bytes that containerd's differ does; every reader of layers understands both styles.
	Containerd bool
}

// Export writes what it changed as an OCI changeset, an uncompressed tar; the same changes give the same bytes. [ErrConflict] when
// a file changes while it is read.
func (c *Container) Export(ctx context.Context, w io.Writer) (Exported, error) {
	return c.ExportWith(ctx, w, ExportOptions{})
}

// ExportWith does as [Container.Export], as the options say.
func (c *Container) ExportWith(ctx context.Context, w io.Writer, options ExportOptions) (Exported, error) {
	how := C.plyfs_export_options{
		size: C.sizeof_plyfs_export_options,
		flags: flag(!options.ClampMtime.IsZero(), C.PLYFS_EXPORT_CLAMP_MTIME) |
			flag(options.Containerd, C.PLYFS_EXPORT_CONTAINERD),
		clamp_mtime: C.int64_t(options.ClampMtime.Unix()),
	}
	exported := C.plyfs_exported{size: C.sizeof_plyfs_exported}
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return watch.writing(w, func(fd int) error {
			return c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
				return C.plyfs_container_export_fd_with(container, C.int32_t(fd), &how, progress, user, &exported, err)
			})
		})
	})
	return exportedOf(&exported), err
}

// Commit makes an image of its image and what it changed. Durable on return; the container stays as it is.
func (c *Container) Commit(ctx context.Context, options CommitOptions) (*Image, error) {
	var image *C.plyfs_image
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return c.handle.use(func(container *C.plyfs_container) error {
			return lending(func(a *arena) error {
				how := options.lend(a)
				return a.call(func(err **C.plyfs_error) C.int32_t {
					return C.plyfs_container_commit(container, &how, progress, user, &image, err)
				})
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return newImage(ownImage(image), image), nil
}

func (o *CommitOptions) lend(a *arena) C.plyfs_commit_options {
	how := C.plyfs_commit_options{
		size:    C.sizeof_plyfs_commit_options,
		name:    a.optional(o.Name),
		message: a.optional(o.Message),
		author:  a.optional(o.Author),
		flags: flag(!o.Created.IsZero(), C.PLYFS_COMMIT_CREATED) |
			flag(!o.ClampMtime.IsZero(), C.PLYFS_COMMIT_CLAMP_MTIME),
		created:     C.int64_t(o.Created.Unix()),
		clamp_mtime: C.int64_t(o.ClampMtime.Unix()),
	}
	how.changes, how.change_count = a.texts(o.Changes)
	how.cache_key, how.cache_key_length = a.bytes(o.CacheKey)
	return how
}

// View gives its merged tree without a mount; it may be mounted.
func (c *Container) View() (*View, error) {
	var view *C.plyfs_view
	err := c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
		return C.plyfs_container_view(container, &view, err)
	})
	return newView(view, err)
}

func (c *Container) use(make func(*C.plyfs_container, **C.plyfs_error) C.int32_t) error {
	return c.handle.use(func(container *C.plyfs_container) error {
		return call(func(err **C.plyfs_error) C.int32_t { return make(container, err) })
	})
}
