package plyfs

// #include <plyfs.h>
import "C"

import (
	"context"
	"time"
)

// Usage is what a tree takes, each hard-linked file counted once: bytes of content, bytes on the disk, inodes.
type Usage struct{ Apparent, Allocated, Inodes uint64 }

// StoreUsage is what a store holds, what it shares, and what copies would have cost.
type StoreUsage struct {
	// Images, Layers and Containers say how many there are.
	Images, Layers, Containers uint64
	// Stored is all layers, each counted once; Shared those that two or more images or containers stand on; Reclaimable those
	// that none does and no lease keeps.
	Stored, Shared, Reclaimable Usage
	// ContainersOwn is what the containers' own layers take, nothing unless they were measured.
	ContainersOwn Usage
	// AsCopies is what the containers would take if each were a full copy; of unmeasured ones, what they stand on.
	AsCopies Usage
	// TotalBytes, FreeBytes, TotalInodes and FreeInodes are of the file system; one without a fixed number of inodes has 0.
	TotalBytes, FreeBytes, TotalInodes, FreeInodes uint64
}

// SubjectKind is what kind of thing an id names.
type SubjectKind int32

// What kinds of things ids name; a later version may know more.
const (
	SubjectOther     SubjectKind = C.PLYFS_SUBJECT_OTHER
	SubjectImage     SubjectKind = C.PLYFS_SUBJECT_IMAGE
	SubjectLayer     SubjectKind = C.PLYFS_SUBJECT_LAYER
	SubjectContainer SubjectKind = C.PLYFS_SUBJECT_CONTAINER // by the id of its own layer
	SubjectLease     SubjectKind = C.PLYFS_SUBJECT_LEASE
)

// Subject is a thing by kind and id.
type Subject struct {
	Kind SubjectKind
	ID   string
	// Reason is why a prune left it, in words: "is kept by lease …".
	Reason string
}

// PruneOptions say what a prune may take beside layers that nothing stands on.
type PruneOptions struct {
	// All takes images without a name that no container was made of, too.
	All bool
	// DryRun removes nothing: the answer is what would be.
	DryRun bool
	// Before takes only what came into the store before it, unless it is zero.
	Before time.Time
	// Only takes of the images without a name those, where it is not nil, and of the layers only those they stood on.
	Only []*Image
	// Labels and WithoutLabels, KEY or KEY=VALUE, take of the images without a name those that have all of the ones and none of
	// the others, and of the layers only those they stood on. They do not go together with Only.
	Labels, WithoutLabels []string
}

// Pruned is what a prune took.
type Pruned struct {
	// Removed are the images, then the layers.
	Removed []Subject
	// Held is what nothing uses and yet stays, each with its reason.
	Held []Subject
	// Reclaimed is what the removed layers took; the space comes back with [Store.Reap].
	Reclaimed Usage
}

// Severity is how bad a finding is.
type Severity int32

// How bad a finding is.
const (
	Note     Severity = C.PLYFS_SEVERITY_NOTE    // what a power cut may leave by design
	Warning  Severity = C.PLYFS_SEVERITY_WARNING // space that no record speaks of, or something that differs from its record
	Critical Severity = C.PLYFS_SEVERITY_ERROR   // something recorded is missing or has other content
)

// Finding is one thing that is not as the records say.
type Finding struct {
	Severity Severity
	// Kind tells programs what it is, "directory-missing" for one; Subject what it is about; Problem what is wrong with it.
	Kind, Subject, Problem string
	// Done is what a repair did about it.
	Done string
}

// CheckOptions say what a check looks at.
type CheckOptions struct {
	// Data compares every layer with the archive it came from, too: contents, owners, modes, times, links, attributes.
	Data bool
}

// Info is what a store is and what it stands on.
type Info struct {
	// Version is that of the store's format.
	Version uint32
	// Dialect is the namespace of the overlay attributes in the layers, FileSystem the file system below.
	Dialect, FileSystem string
	// Kernel has a line for each feature; none without privilege.
	Kernel []string
}

// Exported is what was written: bytes, and their digest, which is the DiffID of the layer they make.
type Exported struct {
	Bytes  uint64
	DiffID string
}

// Usage adds up what the store's records say; what the containers hold themselves is left out.
func (s *Store) Usage() (StoreUsage, error) {
	usage := C.plyfs_store_usage{size: C.sizeof_plyfs_store_usage}
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_get_usage(store, &usage, err)
	})
	return storeUsageOf(&usage), err
}

// Measure does so with what the containers hold themselves: their own trees are walked.
func (s *Store) Measure() (StoreUsage, error) {
	usage := C.plyfs_store_usage{size: C.sizeof_plyfs_store_usage}
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_measure(store, &usage, err)
	})
	return storeUsageOf(&usage), err
}

// Prune removes what nothing uses and the options let go. Durable on return.
func (s *Store) Prune(options PruneOptions) (Pruned, error) {
	pruned := C.plyfs_pruned{size: C.sizeof_plyfs_pruned}
	var removed, held *C.plyfs_subjects
	err := s.lending(func(a *arena, store *C.plyfs_store) error {
		how := C.plyfs_prune_options{
			size: C.sizeof_plyfs_prune_options,
			flags: flag(options.All, C.PLYFS_PRUNE_ALL) |
				flag(options.DryRun, C.PLYFS_PRUNE_DRY_RUN) |
				flag(options.Only != nil, C.PLYFS_PRUNE_ONLY),
		}
		if !options.Before.IsZero() {
			how.added_before = C.uint64_t(max(1, options.Before.Unix()))
		}
		how.images, how.image_count = a.texts(ids(options.Only))
		how.labels, how.label_count = a.texts(options.Labels)
		how.without_labels, how.without_label_count = a.texts(options.WithoutLabels)
		return a.call(func(err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_prune_with(store, &how, &pruned, &removed, &held, err)
		})
	})
	return Pruned{subjectsOf(removed), subjectsOf(held), usageOf(pruned.reclaimed)}, err
}

// Reap deletes what was removed and tells what that took. When another process is at it already, nothing is done.
func (s *Store) Reap() (Usage, error) {
	var freed C.plyfs_usage
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_reap(store, &freed, err)
	})
	return usageOf(freed), err
}

// Check compares the records with the directories and lists what differs, worst first. Nothing is changed.
func (s *Store) Check(ctx context.Context, options CheckOptions) ([]Finding, error) {
	var found *C.plyfs_findings
	err := watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_check(store, options.flags(), progress, user, &found, err)
		})
	})
	return findingsOf(found), err
}

// Repair checks, puts right what can be without loss, and checks again: acts are what was done, left is what is wrong still. Nothing
// is deleted: what no record speaks of is moved into the store's aside. Durable on return.
func (s *Store) Repair(ctx context.Context, options CheckOptions) (acts, left []Finding, err error) {
	var done, wrong *C.plyfs_findings
	err = watched(ctx, func(watch *watch) error {
		progress, user := watch.step()
		return s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
			return C.plyfs_store_repair(store, options.flags(), progress, user, &done, &wrong, err)
		})
	})
	return findingsOf(done), findingsOf(wrong), err
}

func (o CheckOptions) flags() C.uint64_t { return flag(o.Data, C.PLYFS_CHECK_DATA) }

// Info tells what the store is and what it stands on.
func (s *Store) Info() (Info, error) {
	var info *C.plyfs_info
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_info(store, &info, err)
	})
	defer C.plyfs_info_free(info)
	return Info{
		Version:    uint32(C.plyfs_info_version(info)),
		Dialect:    C.GoString(C.plyfs_info_dialect(info)),
		FileSystem: C.GoString(C.plyfs_info_file_system(info)),
		Kernel:     texts(func(i C.size_t) *C.char { return C.plyfs_info_kernel(info, i) }),
	}, err
}

func usageOf(native C.plyfs_usage) Usage {
	return Usage{uint64(native.apparent), uint64(native.allocated), uint64(native.inodes)}
}

func storeUsageOf(native *C.plyfs_store_usage) StoreUsage {
	return StoreUsage{
		Images:        uint64(native.images),
		Layers:        uint64(native.layers),
		Containers:    uint64(native.containers),
		Stored:        usageOf(native.stored),
		Shared:        usageOf(native.shared),
		Reclaimable:   usageOf(native.reclaimable),
		ContainersOwn: usageOf(native.containers_own),
		AsCopies:      usageOf(native.as_copies),
		TotalBytes:    uint64(native.total_bytes),
		FreeBytes:     uint64(native.free_bytes),
		TotalInodes:   uint64(native.total_inodes),
		FreeInodes:    uint64(native.free_inodes),
	}
}

func exportedOf(native *C.plyfs_exported) Exported {
	return Exported{uint64(native.bytes), C.GoString(&native.diff_id[0])}
}

// subjectsOf copies a list and frees it.
func subjectsOf(list *C.plyfs_subjects) []Subject {
	defer C.plyfs_subjects_free(list)
	return subjectsIn(list)
}

// subjectsIn copies a list that belongs to somebody else.
func subjectsIn(list *C.plyfs_subjects) []Subject {
	var all []Subject
	for i := C.size_t(0); i < C.plyfs_subjects_count(list); i++ {
		all = append(all, Subject{
			Kind:   SubjectKind(C.plyfs_subjects_kind(list, i)),
			ID:     C.GoString(C.plyfs_subjects_id(list, i)),
			Reason: C.GoString(C.plyfs_subjects_reason(list, i)),
		})
	}
	return all
}

// findingsOf copies a list and frees it.
func findingsOf(list *C.plyfs_findings) []Finding {
	defer C.plyfs_findings_free(list)
	return findingsIn(list)
}

// findingsIn copies a list that belongs to somebody else.
func findingsIn(list *C.plyfs_findings) []Finding {
	var all []Finding
	for i := C.size_t(0); i < C.plyfs_findings_count(list); i++ {
		all = append(all, Finding{
			Severity: Severity(C.plyfs_findings_severity(list, i)),
			Kind:     C.GoString(C.plyfs_findings_kind(list, i)),
			Subject:  C.GoString(C.plyfs_findings_subject(list, i)),
			Problem:  C.GoString(C.plyfs_findings_problem(list, i)),
			Done:     C.GoString(C.plyfs_findings_done(list, i)),
		})
	}
	return all
}
