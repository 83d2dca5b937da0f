package plyfs

// #include <plyfs.h>
import "C"

import (
	"context"
	"io"
	"time"
)

// LoadOptions say how images are loaded.
type LoadOptions struct {
	// Platform chooses an image where an index offers several, such as "linux/arm64"; this machine's unless it is set.
	Platform string
	// KeepBlobs keeps compressed layers as they came, so that they are saved as the same blobs.
	KeepBlobs bool
	// Timeout gives up with [ErrTimedOut] when a reader gives nothing for this long; never unless it is set.
	Timeout time.Duration
	// ZstdWindow is the binary logarithm of the largest window of a zstd stream, 10 to 31; 25 unless it is set.
	ZstdWindow uint
}

// ImportOptions say what becomes of an image that a tree becomes.
type ImportOptions struct {
	// Name is taken from the image that has it; without one the image is dangling.
	Name string
	// Parent is the image whose layers are below and whose config is continued.
	Parent *Image
	// Message is kept in the image's history; it says where the tree came from unless it is set.
	Message string
	// Changes are instructions of a Dockerfile that change the config, in their order.
	Changes []string
}

// Format is how images are written.
type Format int32

// How images are written.
const (
	DockerArchive Format = C.PLYFS_FORMAT_DOCKER_ARCHIVE // what docker save writes
	OCIArchive    Format = C.PLYFS_FORMAT_OCI_ARCHIVE    // an OCI layout as a tar, with a manifest.json for docker
)

// Compression is how layers are compressed on their way out.
type Compression int32

// How layers are compressed on their way out.
const (
	Usual Compression = C.PLYFS_COMPRESSION_DEFAULT // what is usual in the format: none for docker, gzip for OCI
	None  Compression = C.PLYFS_COMPRESSION_NONE
	Gzip  Compression = C.PLYFS_COMPRESSION_GZIP
	Zstd  Compression = C.PLYFS_COMPRESSION_ZSTD
)

// SaveOptions say how images are saved.
type SaveOptions struct {
	// Format is DockerArchive unless it is set; a layout has none.
	Format Format
	// Compression is what is usual in the format unless it is set.
	Compression Compression
	// Level is 1 to 9 for gzip, 6 unless it is set, and 1 to 19 for zstd, 3 unless it is set.
	Level uint
}

// Load loads every image of the archive that r reads to its end, all or none; docker-archives and OCI archives are told apart by
// their content. Durable on return.
//
// A file on a disk is read where it lies. Of another reader a Read that blocks is not waited for when the work failed.
func (s *Store) Load(ctx context.Context, r io.Reader) ([]*Image, error) {
	return s.LoadWith(ctx, r, LoadOptions{})
}

// LoadWith does as [Store.Load], as the options say.
func (s *Store) LoadWith(ctx context.Context, r io.Reader, options LoadOptions) ([]*Image, error) {
	var list *C.plyfs_images
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return watch.reading(r, func(fd int) error {
			return s.lending(func(a *arena, store *C.plyfs_store) error {
				how := options.lend(a)
				return a.call(func(err **C.plyfs_error) C.int32_t {
					return C.plyfs_store_load_fd_with(store, C.int32_t(fd), &how, progress, user, &list, err)
				})
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return imagesOf(list), nil
}

// LoadPath loads every image of the archive or OCI layout at path, all or none. Durable on return.
func (s *Store) LoadPath(ctx context.Context, path string, options LoadOptions) ([]*Image, error) {
	var list *C.plyfs_images
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return s.lending(func(a *arena, store *C.plyfs_store) error {
			how, path := options.lend(a), a.text(path)
			return a.call(func(err **C.plyfs_error) C.int32_t {
				return C.plyfs_store_load_path_with(store, path, &how, progress, user, &list, err)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return imagesOf(list), nil
}

func (o *LoadOptions) lend(a *arena) C.plyfs_load_options {
	timeout := o.Timeout.Milliseconds()
	if o.Timeout > 0 && timeout == 0 {
		timeout = 1
	}
	return C.plyfs_load_options{
		size:        C.sizeof_plyfs_load_options,
		flags:       flag(o.KeepBlobs, C.PLYFS_LOAD_KEEP_BLOBS),
		platform:    a.optional(o.Platform),
		timeout_ms:  C.uint64_t(max(timeout, 0)),
		zstd_window: C.uint64_t(o.ZstdWindow),
	}
}

// Import makes the tar archive that r reads, or the directory that an [*os.File] is, one layer and an image of it. Durable on
// return.
func (s *Store) Import(ctx context.Context, r io.Reader, options ImportOptions) (*Image, error) {
	var image *C.plyfs_image
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return watch.reading(r, func(fd int) error {
			return options.Parent.useOptional(func(parent *C.plyfs_image) error {
				return s.lending(func(a *arena, store *C.plyfs_store) error {
					how := C.plyfs_import_options{
						size:    C.sizeof_plyfs_import_options,
						name:    a.optional(options.Name),
						parent:  parent,
						message: a.optional(options.Message),
					}
					how.changes, how.change_count = a.texts(options.Changes)
					return a.call(func(err **C.plyfs_error) C.int32_t {
						return C.plyfs_store_import_fd(store, C.int32_t(fd), &how, progress, user, &image, err)
					})
				})
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return newImage(ownImage(image), image), nil
}

// Apply makes the changeset that r reads, a tar that may be compressed, a layer upon parent, or upon nothing where that is nil.
// Durable on return. A layer that nothing stands on goes with the next prune.
func (s *Store) Apply(ctx context.Context, r io.Reader, parent *Layer) (*Layer, error) {
	var layer *C.plyfs_layer
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return watch.reading(r, func(fd int) error {
			return parent.useOptional(func(parent *C.plyfs_layer) error {
				return s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
					return C.plyfs_store_apply_fd(store, C.int32_t(fd), parent, progress, user, &layer, err)
				})
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return ownLayer(layer), nil
}

// Save writes images with all their names as one archive; the same images give the same bytes. Nothing is synced.
//
// A file on a disk is written directly. Of another writer a Write that blocks is not waited for when the work failed.
func (s *Store) Save(ctx context.Context, w io.Writer, options SaveOptions, images ...*Image) error {
	return watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return watch.writing(w, func(fd int) error {
			return s.lending(func(a *arena, store *C.plyfs_store) error {
				how := options.native()
				all, count := a.texts(ids(images))
				return a.call(func(err **C.plyfs_error) C.int32_t {
					return C.plyfs_store_save_fd_with(store, all, count, &how, C.int32_t(fd), progress, user, err)
				})
			})
		})
	})
}

// SaveLayout writes images with all their names to the OCI layout in the directory at path, which is made when it is missing; to a
// layout that is there they are added. Nothing is synced.
func (s *Store) SaveLayout(ctx context.Context, path string, options SaveOptions, images ...*Image) error {
	return watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return s.lending(func(a *arena, store *C.plyfs_store) error {
			how, path := options.native(), a.text(path)
			all, count := a.texts(ids(images))
			return a.call(func(err **C.plyfs_error) C.int32_t {
				return C.plyfs_store_save_layout_with(store, all, count, &how, path, progress, user, err)
			})
		})
	})
}

func (o *SaveOptions) native() C.plyfs_save_options {
	return C.plyfs_save_options{
		size:        C.sizeof_plyfs_save_options,
		format:      C.int32_t(o.Format),
		compression: C.int32_t(o.Compression),
		level:       C.uint64_t(o.Level),
	}
}

func ids(images []*Image) []string {
	all := make([]string, len(images))
	for i, image := range images {
		all[i] = image.ID
	}
	return all
}
