package plyfs

// #include <plyfs.h>
import "C"

import (
	"context"
	"errors"
)

// Access says whether a mount is writable.
type Access int

const (
	// AsCreated is as the container was created.
	AsCreated Access = iota
	// ReadOnly is never writable.
	ReadOnly
	// ReadWrite is writable, whatever the container was created with.
	ReadWrite
)

// MountOptions say how a container is mounted.
type MountOptions struct {
	// At is an existing directory to mount at; the container's own where it is empty.
	At string
	// Access is as the container was created unless it is set.
	Access Access
	// NoSUID ignores setuid bits and file capabilities inside, NoDev refuses device nodes, NoExec refuses to run programs.
	NoSUID, NoDev, NoExec bool
}

// Mount is a container or a layer made visible, as a guard.
//
// A container has one mount at most; mounting a mounted one gives another guard of it.
type Mount struct {
	handle  *handle[*C.plyfs_mount]
	path    string
	isMaker bool
}

// Mount mounts the container at its own directory.
func (c *Container) Mount(ctx context.Context) (*Mount, error) {
	return c.MountWith(ctx, MountOptions{})
}

// MountWith mounts the container as the options say. [ErrInUse] when it is mounted at another place or in another mount
// namespace.
func (c *Container) MountWith(ctx context.Context, options MountOptions) (*Mount, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, &Error{Kind: ErrCancelled, Message: "mount " + quoted(c.Name), cause: err}
	}
	var mount *C.plyfs_mount
	err := c.handle.use(func(container *C.plyfs_container) error {
		return lending(func(a *arena) error {
			how := C.plyfs_mount_options{
				size: C.sizeof_plyfs_mount_options,
				flags: flag(options.Access == ReadOnly, C.PLYFS_MOUNT_READ_ONLY) |
					flag(options.Access == ReadWrite, C.PLYFS_MOUNT_READ_WRITE) |
					flag(options.NoSUID, C.PLYFS_MOUNT_NOSUID) |
					flag(options.NoDev, C.PLYFS_MOUNT_NODEV) |
					flag(options.NoExec, C.PLYFS_MOUNT_NOEXEC),
				at: a.optional(options.At),
			}
			return a.call(func(err **C.plyfs_error) C.int32_t {
				return C.plyfs_container_mount(container, &how, &mount, err)
			})
		})
	})
	return newMount(mount, err)
}

func newMount(native *C.plyfs_mount, err error) (*Mount, error) {
	if err != nil {
		return nil, err
	}
	return &Mount{
		handle:  own("mount", native, func(mount *C.plyfs_mount) { C.plyfs_mount_free(mount) }),
		path:    C.GoString(C.plyfs_mount_path(native)),
		isMaker: bool(C.plyfs_mount_is_maker(native)),
	}, nil
}

// Path is where it is visible. A program that keeps the path alone calls [Mount.Keep]: a mount that nothing refers to is forgotten,
// and ends.
func (m *Mount) Path() string { return m.path }

// Close lets the guard go. It unmounts when this guard made the mount and no other guard of it lives; [ErrBusy] while programs
// work inside, and then it stays mounted and [Container.Unmount] ends it. Closing again does nothing.
func (m *Mount) Close() error {
	if !m.isMaker {
		m.handle.close()
		return nil
	}
	if err := m.Unmount(); err != nil && !errors.Is(err, ErrInUse) {
		return err
	}
	return nil
}

// Unmount lets the guard go and unmounts, whoever made the mount. [ErrInUse] while another guard of it lives, [ErrBusy] while
// programs work inside; then it stays mounted and [Container.Unmount] ends it. Does nothing once the guard is gone.
func (m *Mount) Unmount() error {
	mount := m.handle.take()
	if mount == nil {
		return nil
	}
	return call(func(err **C.plyfs_error) C.int32_t { return C.plyfs_mount_unmount(mount, err) })
}

// Keep lets the guard go and leaves it mounted.
func (m *Mount) Keep() {
	if mount := m.handle.take(); mount != nil {
		C.plyfs_mount_keep(mount)
	}
}

// Unmounting says how a mount ends.
type Unmounting int

const (
	// Plain refuses with [ErrInUse] while a guard lives in any process, and with [ErrBusy] while programs work inside.
	Plain Unmounting = iota
	// Detach ends it in every mount namespace, and programs inside keep what they have open.
	Detach
)

// Unmount ends its mount for all; fine when it is not mounted.
func (c *Container) Unmount(how Unmounting) error {
	return c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
		return C.plyfs_container_unmount(container, flag(how == Detach, C.PLYFS_UNMOUNT_DETACH), err)
	})
}

// MountedAt is where it is mounted now, in whatever mount namespace; empty where it is not.
func (c *Container) MountedAt() (string, error) {
	var path *C.char
	err := c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
		return C.plyfs_container_mounted_at(container, &path, err)
	})
	defer C.plyfs_text_free(path)
	return C.GoString(path), err
}

// MountSpec is what a runtime needs to make a container's mount itself. Whoever mounts it so keeps the rule of one mount for one
// container.
type MountSpec struct {
	// Lower are the directories of the layers, uppermost first.
	Lower []string
	// Upper is the writable directory, Work the one beside it, Target the container's own mount point, which is there only
	// while it is mounted.
	Upper, Work, Target string
	// Options are what mount -t overlay -o takes.
	Options string
}

// MountSpec says how it would be mounted; nothing is mounted.
func (c *Container) MountSpec() (MountSpec, error) {
	var spec *C.plyfs_mount_spec
	err := c.use(func(container *C.plyfs_container, err **C.plyfs_error) C.int32_t {
		return C.plyfs_container_mount_spec(container, &spec, err)
	})
	defer C.plyfs_mount_spec_free(spec)
	return MountSpec{
		Lower:   texts(func(i C.size_t) *C.char { return C.plyfs_mount_spec_lower(spec, i) }),
		Upper:   C.GoString(C.plyfs_mount_spec_upper(spec)),
		Work:    C.GoString(C.plyfs_mount_spec_work(spec)),
		Target:  C.GoString(C.plyfs_mount_spec_target(spec)),
		Options: C.GoString(C.plyfs_mount_spec_options(spec)),
	}, err
}
