package plyfs

// #include <plyfs.h>
import "C"

// Store is one directory tree with a journal. Any number of handles, goroutines and processes may use one at once.
type Store struct {
	handle *handle[*C.plyfs_store]
	path   string
}

// Durability is what the return of a call promises.
type Durability int

const (
	// SyncFileSystem syncs the store's file system once an operation: what returned survives a power cut.
	SyncFileSystem Durability = iota
	// SyncFiles syncs each file and directory that an operation made: no other program's data is waited for, but many small
	// files take longer.
	SyncFiles
	// NoSync syncs nothing. A killed process loses nothing; a power cut may lose or damage what was done lately.
	NoSync
)

// OpenOptions say how a store is opened.
type OpenOptions struct {
	// Create makes the store where there is nothing or an empty directory.
	Create bool
	// ReadOnly refuses every change and makes none itself.
	ReadOnly bool
	// Durability is SyncFileSystem unless it is set.
	Durability Durability
	// Threads is how many threads all operations of the open store may have together, beside those of their callers: 0 for
	// one for each core, -1 for none.
	Threads int
	// Unmapped reads the journal without mapping it: a medium that fails is then an error and not SIGBUS.
	Unmapped bool
	// Salvage opens a store whose journal is damaged, too, for reading what is sound; [Store.Damage] says what is not.
	Salvage bool
}

// Ensure opens the store at path; where there is nothing, or an empty directory, it makes one first.
func Ensure(path string) (*Store, error) { return OpenWith(path, OpenOptions{Create: true}) }

// Open opens the store at path, which must be there.
func Open(path string) (*Store, error) { return OpenWith(path, OpenOptions{}) }

// OpenWith opens the store at path as the options say.
func OpenWith(path string, options OpenOptions) (*Store, error) {
	native := C.plyfs_store_options{
		size: C.sizeof_plyfs_store_options,
		flags: flag(options.Create, C.PLYFS_STORE_CREATE) |
			flag(options.ReadOnly, C.PLYFS_STORE_READ_ONLY) |
			flag(options.Durability == NoSync, C.PLYFS_STORE_NO_SYNC) |
			flag(options.Durability == SyncFiles, C.PLYFS_STORE_SYNC_FILES) |
			flag(options.Salvage, C.PLYFS_STORE_SALVAGE) |
			flag(options.Unmapped, C.PLYFS_STORE_UNMAPPED),
		threads: C.int64_t(options.Threads),
	}
	var store *C.plyfs_store
	err := lending(func(a *arena) error {
		place := a.text(path)
		return a.call(func(err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_open_options(place, &native, &store, err)
		})
	})
	if err != nil {
		return nil, err
	}
	return newStore(store), nil
}

func newStore(native *C.plyfs_store) *Store {
	free := func(store *C.plyfs_store) { C.plyfs_store_free(store) }
	return &Store{handle: own("store", native, free), path: C.GoString(C.plyfs_store_path(native))}
}

// Close frees the handle; images, containers and mounts made from it go on working.
func (s *Store) Close() error {
	s.handle.close()
	return nil
}

// Path is the absolute path of the store's root as it was when it was opened.
func (s *Store) Path() string { return s.path }

// IsWritable says whether changes are possible.
func (s *Store) IsWritable() bool {
	var is bool
	_ = s.handle.use(func(store *C.plyfs_store) error {
		is = bool(C.plyfs_store_is_writable(store))
		return nil
	})
	return is
}

// Damage names the damaged places of the journal of a store that was opened with OpenOptions.Salvage.
func (s *Store) Damage() []string {
	var all []string
	_ = s.handle.use(func(store *C.plyfs_store) error {
		all = texts(func(i C.size_t) *C.char { return C.plyfs_store_damage(store, i) })
		return nil
	})
	return all
}

// Image finds an image: by its name, then below docker.io/library/, then below localhost/, then by its id or the only id that
// begins with these four or more digits.
func (s *Store) Image(name string) (*Image, error) {
	var image *C.plyfs_image
	err := s.naming(name, func(store *C.plyfs_store, name *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_image(store, name, &image, err)
	})
	if err != nil {
		return nil, err
	}
	return newImage(ownImage(image), image), nil
}

// Images lists all images, sorted by their first name, nameless ones last.
func (s *Store) Images() ([]*Image, error) {
	var list *C.plyfs_images
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_images(store, &list, err)
	})
	if err != nil {
		return nil, err
	}
	return imagesOf(list), nil
}

// Container finds a container by its name.
func (s *Store) Container(name string) (*Container, error) {
	var container *C.plyfs_container
	err := s.naming(name, func(store *C.plyfs_store, name *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_container(store, name, &container, err)
	})
	if err != nil {
		return nil, err
	}
	return ownContainer(container), nil
}

// Containers lists all containers, sorted by name.
func (s *Store) Containers() ([]*Container, error) {
	var list *C.plyfs_containers
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_containers(store, &list, err)
	})
	if err != nil {
		return nil, err
	}
	return containersOf(list), nil
}

// Layer finds a layer by its id or the only id that begins with these four or more digits.
func (s *Store) Layer(id string) (*Layer, error) {
	var layer *C.plyfs_layer
	err := s.naming(id, func(store *C.plyfs_store, id *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_layer(store, id, &layer, err)
	})
	if err != nil {
		return nil, err
	}
	return ownLayer(layer), nil
}

// Layers lists all layers, sorted by id.
func (s *Store) Layers() ([]*Layer, error) {
	var list *C.plyfs_layers
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_layers(store, &list, err)
	})
	if err != nil {
		return nil, err
	}
	return layersOf(list), nil
}

// Inspect finds a [*Container] by name, else an [*Image] by name or id, else a [*Layer] by id.
func (s *Store) Inspect(what string) (any, error) {
	var container *C.plyfs_container
	var image *C.plyfs_image
	var layer *C.plyfs_layer
	err := s.naming(what, func(store *C.plyfs_store, what *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_inspect(store, what, &container, &image, &layer, err)
	})
	switch {
	case err != nil:
		return nil, err
	case container != nil:
		return ownContainer(container), nil
	case image != nil:
		return newImage(ownImage(image), image), nil
	default:
		return ownLayer(layer), nil
	}
}

// Tag makes name mean this image; a name that meant another is moved. Durable on return.
func (s *Store) Tag(image *Image, name string) error {
	return image.handle.use(func(image *C.plyfs_image) error {
		return s.naming(name, func(store *C.plyfs_store, name *C.char, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_tag(store, image, name, err)
		})
	})
}

// Untag takes a name from its image, which stays. Durable on return.
func (s *Store) Untag(name string) error {
	return s.naming(name, func(store *C.plyfs_store, name *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_untag(store, name, err)
	})
}

// UntagFrom takes a name from this image; [ErrConflict] when it means another one by now. Durable on return.
func (s *Store) UntagFrom(image *Image, name string) error {
	return image.handle.use(func(image *C.plyfs_image) error {
		return s.naming(name, func(store *C.plyfs_store, name *C.char, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_untag_from(store, image, name, err)
		})
	})
}

// RemoveImage removes an image, its names, and those of its layers that nothing else stands on; [ErrInUse] while a container was
// made of it. Durable on return; the space comes back with [Store.Reap].
func (s *Store) RemoveImage(image *Image) error {
	return image.handle.use(func(image *C.plyfs_image) error {
		return s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_remove_image(store, image, nil, err)
		})
	})
}

// RemoveImageName takes a name from an image, and with its last one removes it as [Store.RemoveImage] does, which it tells.
// [ErrConflict] when the name means another image by now. Durable on return.
func (s *Store) RemoveImageName(image *Image, name string) (removed bool, err error) {
	pruned := C.plyfs_pruned{size: C.sizeof_plyfs_pruned}
	err = image.handle.use(func(image *C.plyfs_image) error {
		return s.naming(name, func(store *C.plyfs_store, name *C.char, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_remove_image_name(store, image, name, &pruned, err)
		})
	})
	return pruned.images > 0, err
}

// RemoveLayer removes a layer; [ErrInUse] while something stands on it. Durable on return.
func (s *Store) RemoveLayer(layer *Layer) error {
	return layer.handle.use(func(layer *C.plyfs_layer) error {
		return s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_remove_layer(store, layer, nil, err)
		})
	})
}

// Cached finds the layer that was last committed upon parent, or upon nothing where that is nil, under this key; nil when there
// is none, or none any more. Nothing keeps it from a prune but what stands on it: create a container on it first.
func (s *Store) Cached(parent *Layer, key []byte) (*Layer, error) {
	var layer *C.plyfs_layer
	err := parent.useOptional(func(parent *C.plyfs_layer) error {
		return s.lending(func(a *arena, store *C.plyfs_store) error {
			bytes, length := a.bytes(key)
			return a.call(func(err **C.plyfs_error) C.int32_t {
				return C.plyfs_store_cached(store, parent, bytes, length, &layer, err)
			})
		})
	})
	if err != nil || layer == nil {
		return nil, err
	}
	return ownLayer(layer), nil
}

// use makes a call on the store.
func (s *Store) use(make func(*C.plyfs_store, **C.plyfs_error) C.int32_t) error {
	return s.handle.use(func(store *C.plyfs_store) error {
		return call(func(err **C.plyfs_error) C.int32_t { return make(store, err) })
	})
}

// naming makes a call on the store with a name.
func (s *Store) naming(name string, make func(*C.plyfs_store, *C.char, **C.plyfs_error) C.int32_t) error {
	return s.lending(func(a *arena, store *C.plyfs_store) error {
		name := a.text(name)
		return a.call(func(err **C.plyfs_error) C.int32_t { return make(store, name, err) })
	})
}

// lending gives work the store and an arena.
func (s *Store) lending(work func(*arena, *C.plyfs_store) error) error {
	return s.handle.use(func(store *C.plyfs_store) error {
		return lending(func(a *arena) error { return work(a, store) })
	})
}
