package plyfs

// #include <plyfs.h>
import "C"

import "time"

// Lease is a promise that what was made under it, and what it holds, is not collected. While it is held it lasts, whatever the
// clock says.
type Lease struct {
	handle *handle[*C.plyfs_lease]
	id     string
}

// LeaseInfo is a lease as one state of the store knew it.
type LeaseInfo struct {
	// ID is what [Store.OpenLease] finds it by.
	ID string
	// Expires is when it ends once nobody holds it.
	Expires time.Time
	// Survives says that it lives on until then without a holder, IsHeld that somebody held it.
	Survives, IsHeld bool
}

// Lease takes a lease. One that survives lives on without its holder until lasts from now is over, for whoever opens it again.
// Durable on return.
func (s *Store) Lease(lasts time.Duration, survives bool) (*Lease, error) {
	var lease *C.plyfs_lease
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_lease(store, seconds(lasts), flag(survives, C.PLYFS_LEASE_SURVIVES), &lease, err)
	})
	return newLease(lease, err)
}

// OpenLease takes hold of a lease that survived its holder; [ErrNotFound] when it ended, [ErrInUse] while somebody holds it.
func (s *Store) OpenLease(id string) (*Lease, error) {
	var lease *C.plyfs_lease
	err := s.naming(id, func(store *C.plyfs_store, id *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_open_lease(store, id, &lease, err)
	})
	return newLease(lease, err)
}

func newLease(native *C.plyfs_lease, err error) (*Lease, error) {
	if err != nil {
		return nil, err
	}
	handle := own("lease", native, func(lease *C.plyfs_lease) { C.plyfs_lease_free(lease) })
	return &Lease{handle: handle, id: C.GoString(C.plyfs_lease_id(native))}, nil
}

// Leases lists the leases that have not ended, sorted by id.
func (s *Store) Leases() ([]LeaseInfo, error) {
	var list *C.plyfs_leases
	err := s.use(func(store *C.plyfs_store, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_leases(store, &list, err)
	})
	if err != nil {
		return nil, err
	}
	defer C.plyfs_leases_free(list)
	all := make([]LeaseInfo, C.plyfs_leases_count(list))
	for i := range all {
		at := C.size_t(i)
		all[i] = LeaseInfo{
			ID:       C.GoString(C.plyfs_leases_id(list, at)),
			Expires:  moment(C.plyfs_leases_expires(list, at)),
			Survives: bool(C.plyfs_leases_survives(list, at)),
			IsHeld:   bool(C.plyfs_leases_is_held(list, at)),
		}
	}
	return all, nil
}

// Leased lists what a lease keeps: images, then layers, each sorted by id.
func (s *Store) Leased(id string) ([]Subject, error) {
	var leased *C.plyfs_subjects
	err := s.naming(id, func(store *C.plyfs_store, id *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_store_leased(store, id, &leased, err)
	})
	return subjectsOf(leased), err
}

// ID is what [Store.OpenLease] finds it by.
func (l *Lease) ID() string { return l.id }

// Expires is when it ends once nobody holds it; the zero time when it was closed.
func (l *Lease) Expires() time.Time {
	var expires time.Time
	_ = l.handle.use(func(lease *C.plyfs_lease) error {
		expires = moment(C.plyfs_lease_expires(lease))
		return nil
	})
	return expires
}

// Store gives a handle of the store whose operations are under this lease: what they publish, and what they found there already,
// stays while it lasts.
func (l *Lease) Store() (*Store, error) {
	var store *C.plyfs_store
	err := l.use(func(lease *C.plyfs_lease, err **C.plyfs_error) C.int32_t {
		return C.plyfs_lease_store(lease, &store, err)
	})
	if err != nil {
		return nil, err
	}
	return newStore(store), nil
}

// Hold keeps a layer and all below it. Durable on return.
func (l *Lease) Hold(layer *Layer) error {
	return layer.handle.use(func(layer *C.plyfs_layer) error {
		return l.use(func(lease *C.plyfs_lease, err **C.plyfs_error) C.int32_t {
			return C.plyfs_lease_hold(lease, layer, err)
		})
	})
}

// HoldImage keeps an image, named or not, and its layers also when it is removed. Durable on return.
func (l *Lease) HoldImage(image *Image) error {
	return image.handle.use(func(image *C.plyfs_image) error {
		return l.use(func(lease *C.plyfs_lease, err **C.plyfs_error) C.int32_t {
			return C.plyfs_lease_hold_image(lease, image, err)
		})
	})
}

// Renew lets it last this long from now on; nobody else uses it meanwhile. Durable on return.
func (l *Lease) Renew(lasts time.Duration) error {
	return l.use(func(lease *C.plyfs_lease, err **C.plyfs_error) C.int32_t {
		return C.plyfs_lease_renew(lease, seconds(lasts), err)
	})
}

// Release ends it; does nothing once it is let go. What it kept goes with the next prune unless something else uses it. Durable on
// return.
func (l *Lease) Release() error {
	lease := l.handle.take()
	if lease == nil {
		return nil
	}
	return call(func(err **C.plyfs_error) C.int32_t { return C.plyfs_lease_release(lease, err) })
}

// Close lets it go: one that does not survive ends, best effort.
func (l *Lease) Close() error {
	l.handle.close()
	return nil
}

func (l *Lease) use(make func(*C.plyfs_lease, **C.plyfs_error) C.int32_t) error {
	return l.handle.use(func(lease *C.plyfs_lease) error {
		return call(func(err **C.plyfs_error) C.int32_t { return make(lease, err) })
	})
}

func seconds(d time.Duration) C.uint64_t { return C.uint64_t(max(0, (d+time.Second-1)/time.Second)) }
