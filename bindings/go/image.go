package plyfs

// #include <plyfs.h>
import "C"

import (
	"time"
	"unsafe"
)

// Image is an image as one state of the store knew it.
type Image struct {
	handle *handle[*C.plyfs_image]
	// ID is the digest of the config: "sha256:" and 64 hex digits.
	ID string
	// Names are its names with their tags, sorted; a dangling image has none.
	Names []string
	// Created is when it was built, as its config says it.
	Created string
	// Architecture and OS are those its config names.
	Architecture, OS string
	// ManifestDigest is that of the manifest it came with, where there was one.
	ManifestDigest string
	// Added is when it came into the store.
	Added time.Time
	// Skipped is what loading it could not take over, in words.
	Skipped []string
}

// HistoryEntry is one instruction of an image's history.
type HistoryEntry struct {
	// Created, CreatedBy, Author and Comment say when, by what, by whom and why, as the config has it.
	Created, CreatedBy, Author, Comment string
	// Layer is the id of the layer it made; an instruction that only changed the config made none.
	Layer string
	// Usage is what that layer takes.
	Usage Usage
}

func ownImage(native *C.plyfs_image) *handle[*C.plyfs_image] {
	return own("image", native, func(image *C.plyfs_image) { C.plyfs_image_free(image) })
}

func newImage(handle *handle[*C.plyfs_image], native *C.plyfs_image) *Image {
	return &Image{
		handle:         handle,
		ID:             C.GoString(C.plyfs_image_id(native)),
		Names:          texts(func(i C.size_t) *C.char { return C.plyfs_image_name(native, i) }),
		Created:        C.GoString(C.plyfs_image_created(native)),
		Architecture:   C.GoString(C.plyfs_image_architecture(native)),
		OS:             C.GoString(C.plyfs_image_os(native)),
		ManifestDigest: C.GoString(C.plyfs_image_manifest_digest(native)),
		Added:          moment(C.plyfs_image_added(native)),
		Skipped:        texts(func(i C.size_t) *C.char { return C.plyfs_image_skipped(native, i) }),
	}
}

// imagesOf makes images of a list, which ends with the last of them.
func imagesOf(native *C.plyfs_images) []*Image {
	list := own("list of images", native, func(list *C.plyfs_images) { C.plyfs_images_free(list) })
	all := make([]*Image, C.plyfs_images_count(native))
	for i := range all {
		// The list lends its images as const; nothing here changes one.
		image := (*C.plyfs_image)(unsafe.Pointer(C.plyfs_images_get(native, C.size_t(i))))
		all[i] = newImage(borrow("image", image, list), image)
	}
	return all
}

// Close returns memory sooner than the garbage collector would; the image stays in its store.
func (i *Image) Close() error {
	i.handle.close()
	return nil
}

// Config is the config as it was received, whose digest is the id.
func (i *Image) Config() ([]byte, error) {
	var config []byte
	err := i.handle.use(func(image *C.plyfs_image) error {
		var bytes *C.uint8_t
		var length C.size_t
		err := call(func(err **C.plyfs_error) C.int32_t {
			return C.plyfs_image_config(image, &bytes, &length, err)
		})
		config = C.GoBytes(unsafe.Pointer(bytes), C.int(length))
		return err
	})
	return config, err
}

// Layers lists its layers, uppermost first.
func (i *Image) Layers() ([]*Layer, error) {
	var list *C.plyfs_layers
	err := i.use(func(image *C.plyfs_image, err **C.plyfs_error) C.int32_t {
		return C.plyfs_image_layers(image, &list, err)
	})
	if err != nil {
		return nil, err
	}
	return layersOf(list), nil
}

// Containers lists the ids of the containers made of it, which are those of their own layers.
func (i *Image) Containers() ([]string, error) {
	var list *C.plyfs_subjects
	err := i.use(func(image *C.plyfs_image, err **C.plyfs_error) C.int32_t {
		return C.plyfs_image_containers(image, &list, err)
	})
	var all []string
	for _, container := range subjectsOf(list) {
		all = append(all, container.ID)
	}
	return all, err
}

// History tells how it came to be, newest first.
func (i *Image) History() ([]HistoryEntry, error) {
	var history *C.plyfs_history
	err := i.use(func(image *C.plyfs_image, err **C.plyfs_error) C.int32_t {
		return C.plyfs_image_history(image, &history, err)
	})
	if err != nil {
		return nil, err
	}
	defer C.plyfs_history_free(history)
	all := make([]HistoryEntry, C.plyfs_history_count(history))
	for at := range all {
		entry := C.plyfs_history_entry{size: C.sizeof_plyfs_history_entry}
		err := call(func(err **C.plyfs_error) C.int32_t {
			return C.plyfs_history_get(history, C.size_t(at), &entry, err)
		})
		if err != nil {
			return nil, err
		}
		all[at] = HistoryEntry{
			Created:   C.GoString(entry.created),
			CreatedBy: C.GoString(entry.created_by),
			Author:    C.GoString(entry.author),
			Comment:   C.GoString(entry.comment),
			Layer:     C.GoString(entry.layer),
			Usage:     usageOf(entry.usage),
		}
	}
	return all, nil
}

// Usage is what its layers take together, shared or not.
func (i *Image) Usage() (Usage, error) {
	var usage C.plyfs_usage
	err := i.use(func(image *C.plyfs_image, err **C.plyfs_error) C.int32_t {
		return C.plyfs_image_get_usage(image, &usage, err)
	})
	return usageOf(usage), err
}

// View gives its merged tree without a mount.
func (i *Image) View() (*View, error) {
	var view *C.plyfs_view
	err := i.use(func(image *C.plyfs_image, err **C.plyfs_error) C.int32_t {
		return C.plyfs_image_view(image, &view, err)
	})
	return newView(view, err)
}

func (i *Image) use(make func(*C.plyfs_image, **C.plyfs_error) C.int32_t) error {
	return i.handle.use(func(image *C.plyfs_image) error {
		return call(func(err **C.plyfs_error) C.int32_t { return make(image, err) })
	})
}

// useOptional gives work the image, or NULL where there is none.
func (i *Image) useOptional(work func(*C.plyfs_image) error) error {
	if i == nil {
		return work(nil)
	}
	return i.handle.use(work)
}

func moment(unix C.uint64_t) time.Time { return time.Unix(int64(unix), 0).UTC() }
