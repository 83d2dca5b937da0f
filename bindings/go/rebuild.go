package plyfs

// #include <plyfs.h>
import "C"

import "context"

// Rebuilt is what a rebuild found again, lost and repaired.
type Rebuilt struct {
	// Found are the images, which have no names, and the layers.
	Found []Subject
	// Containers are the made-up names of those that were made of writable layers.
	Containers []string
	// Lost says what is lost, a line each.
	Lost []string
	// Kept is where in the store the old journal is; empty where there was none.
	Kept string
	// Acts are what was wrong and was put right, Left what is wrong still.
	Acts, Left []Finding
}

// CheckAt checks the store at path as [Store.Check] does. Of one that does not open it lists each part that is missing or damaged and
// each damaged place of its journal, and looks at nothing else.
func CheckAt(ctx context.Context, path string, options CheckOptions) ([]Finding, error) {
	var found *C.plyfs_findings
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return at(path, func(path *C.char, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_check_at(path, options.flags(), progress, user, &found, err)
		})
	})
	return findingsOf(found), err
}

// RestoreParts makes those parts of the store at path anew that are missing and follow from the others, and plyfs.toml where it is
// damaged, too: then it opens, and [Store.Repair] puts right the rest. Durable on return.
func RestoreParts(path string) ([]Finding, error) {
	var acts *C.plyfs_findings
	err := at(path, func(path *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_restore_parts(path, &acts, err)
	})
	return findingsOf(acts), err
}

// Rebuild makes the journal of the store at path anew from its directories, where it is lost or damaged, and repairs what is left.
// Names, labels and options lived in the journal alone and are lost. The old journal is kept in the store's aside; one that is sound is
// [ErrInvalidInput]. No other process may have the store open. Durable on return.
func Rebuild(ctx context.Context, path string) (Rebuilt, error) {
	var native *C.plyfs_rebuilt
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return at(path, func(path *C.char, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_rebuild(path, progress, user, &native, err)
		})
	})
	if err != nil {
		return Rebuilt{}, err
	}
	defer C.plyfs_rebuilt_free(native)
	return Rebuilt{
		Found:      subjectsIn(C.plyfs_rebuilt_found(native)),
		Containers: texts(func(i C.size_t) *C.char { return C.plyfs_rebuilt_container(native, i) }),
		Lost:       texts(func(i C.size_t) *C.char { return C.plyfs_rebuilt_lost(native, i) }),
		Kept:       C.GoString(C.plyfs_rebuilt_kept(native)),
		Acts:       findingsIn(C.plyfs_rebuilt_acts(native)),
		Left:       findingsIn(C.plyfs_rebuilt_left(native)),
	}, nil
}

// at makes a call with the path of a store.
func at(path string, make func(*C.char, **C.plyfs_error) C.int32_t) error {
	return lending(func(a *arena) error {
		place := a.text(path)
		return a.call(func(err **C.plyfs_error) C.int32_t { return make(place, err) })
	})
}
