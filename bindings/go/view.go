package plyfs

// #include <plyfs.h>
import "C"

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
	"unsafe"
)

// View is the merged tree of a container, an image or a layer, read without a mount. It is an [fs.FS], with names as io/fs has them:
// "etc/motd", and "." for the root.
//
// Links are followed as for a process whose root is the view: none leads outside. What a view shows cannot be removed while it is
// open.
type View struct{ handle *handle[*C.plyfs_view] }

var (
	_ fs.ReadDirFS = (*View)(nil)
	_ fs.StatFS    = (*View)(nil)
)

func newView(native *C.plyfs_view, err error) (*View, error) {
	if err != nil {
		return nil, err
	}
	return &View{own("view", native, func(view *C.plyfs_view) { C.plyfs_view_free(view) })}, nil
}

// Close frees the view; files opened from it go on working.
func (v *View) Close() error {
	v.handle.close()
	return nil
}

// Open opens a file, which is an [*os.File], or a directory. What is neither can be looked at but not opened.
func (v *View) Open(name string) (fs.File, error) {
	info, err := v.stat("open", name, 0)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return &directory{view: v, name: name, info: info}, nil
	}
	fd := C.int32_t(-1)
	err = v.at("open", name, func(view *C.plyfs_view, path *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_view_open(view, path, 0, &fd, err)
	})
	if err != nil {
		return nil, err
	}
	return &file{os.NewFile(uintptr(fd), name), info}, nil
}

// Stat tells what a name leads to.
func (v *View) Stat(name string) (fs.FileInfo, error) { return v.stat("stat", name, 0) }

// Lstat tells what is at a name, a symbolic link itself.
func (v *View) Lstat(name string) (fs.FileInfo, error) {
	return v.stat("lstat", name, C.PLYFS_VIEW_NOFOLLOW)
}

// ReadLink tells where a symbolic link points.
func (v *View) ReadLink(name string) (string, error) {
	var target *C.char
	err := v.at("readlink", name, func(view *C.plyfs_view, path *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_view_read_link(view, path, &target, err)
	})
	defer C.plyfs_text_free(target)
	return C.GoString(target), err
}

// Xattrs are the extended attributes of what a name leads to, as a mount shows them.
func (v *View) Xattrs(name string) (map[string][]byte, error) { return v.xattrs("getxattr", name, 0) }

// Lxattrs are those of what is at a name, a symbolic link itself.
func (v *View) Lxattrs(name string) (map[string][]byte, error) {
	return v.xattrs("lgetxattr", name, C.PLYFS_VIEW_NOFOLLOW)
}

func (v *View) xattrs(op, name string, flags C.uint64_t) (map[string][]byte, error) {
	var list *C.plyfs_xattrs
	err := v.at(op, name, func(view *C.plyfs_view, path *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_view_xattrs(view, path, flags, &list, err)
	})
	if err != nil {
		return nil, err
	}
	defer C.plyfs_xattrs_free(list)
	all := make(map[string][]byte)
	for i, name := range texts(func(i C.size_t) *C.char { return C.plyfs_xattrs_name(list, i) }) {
		var length C.size_t
		value := C.plyfs_xattrs_value(list, C.size_t(i), &length)
		all[name] = C.GoBytes(unsafe.Pointer(value), C.int(length))
	}
	return all, nil
}

// ReadDir lists a directory, sorted by name.
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) {
	var list *C.plyfs_names
	err := v.at("readdir", name, func(view *C.plyfs_view, path *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_view_list(view, path, 0, &list, err)
	})
	if err != nil {
		return nil, err
	}
	defer C.plyfs_names_free(list)
	names := texts(func(i C.size_t) *C.char { return C.plyfs_names_get(list, i) })
	all := make([]fs.DirEntry, 0, len(names))
	for _, inner := range names {
		info, err := v.Lstat(path.Join(name, inner))
		if errors.Is(err, ErrNotFound) {
			continue // A mounted container may change meanwhile.
		}
		if err != nil {
			return all, err
		}
		all = append(all, fs.FileInfoToDirEntry(info))
	}
	return all, nil
}

// Stat is what Sys of a view's fs.FileInfo gives.
type Stat struct {
	// UID and GID are the owner and the group.
	UID, GID uint32
	// Links is how many names the inode has in its layer.
	Links uint64
	// Major and Minor are the numbers of a device.
	Major, Minor uint32
	// Layer is the one that shows it, counted from the uppermost.
	Layer uint64
}

func (v *View) stat(op, name string, flags C.uint64_t) (*info, error) {
	native := C.plyfs_file_stat{size: C.sizeof_plyfs_file_stat}
	err := v.at(op, name, func(view *C.plyfs_view, path *C.char, err **C.plyfs_error) C.int32_t {
		return C.plyfs_view_stat(view, path, flags, &native, err)
	})
	if err != nil {
		return nil, err
	}
	return &info{
		name:     path.Base(name),
		size:     int64(native.length),
		mode:     modeOf(uint32(native.mode)),
		modified: time.Unix(int64(native.modified), int64(native.modified_nanoseconds)),
		stat: Stat{
			UID:   uint32(native.uid),
			GID:   uint32(native.gid),
			Links: uint64(native.links),
			Major: uint32(native.major),
			Minor: uint32(native.minor),
			Layer: uint64(native.layer),
		},
	}, nil
}

// at makes a call with a name of io/fs, and tells its error as io/fs does.
func (v *View) at(op, name string, make func(*C.plyfs_view, *C.char, **C.plyfs_error) C.int32_t) error {
	err := fs.ErrInvalid
	if fs.ValidPath(name) {
		err = v.handle.use(func(view *C.plyfs_view) error {
			return lending(func(a *arena) error {
				path := a.text("/" + name)
				return a.call(func(err **C.plyfs_error) C.int32_t { return make(view, path, err) })
			})
		})
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// modeOf makes a mode of Go of one of stat(2).
func modeOf(st uint32) fs.FileMode {
	mode := fs.FileMode(st & 0o777)
	for bit, is := range map[uint32]fs.FileMode{
		syscall.S_ISUID: fs.ModeSetuid, syscall.S_ISGID: fs.ModeSetgid, syscall.S_ISVTX: fs.ModeSticky,
	} {
		if st&bit != 0 {
			mode |= is
		}
	}
	switch st & syscall.S_IFMT {
	case syscall.S_IFDIR:
		mode |= fs.ModeDir
	case syscall.S_IFLNK:
		mode |= fs.ModeSymlink
	case syscall.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case syscall.S_IFBLK:
		mode |= fs.ModeDevice
	case syscall.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		mode |= fs.ModeSocket
	}
	return mode
}

type info struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
	stat     Stat
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.size }
func (i *info) Mode() fs.FileMode  { return i.mode }
func (i *info) ModTime() time.Time { return i.modified }
func (i *info) IsDir() bool        { return i.mode.IsDir() }
func (i *info) Sys() any           { return &i.stat }

// file is a regular file, which says of itself what the view does.
type file struct {
	*os.File
	info *info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

// directory is an open directory.
type directory struct {
	view   *View
	name   string
	info   *info
	isRead bool
	rest   []fs.DirEntry
}

func (d *directory) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *directory) Close() error               { return nil }

func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: syscall.EISDIR}
}

func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.isRead {
		all, err := d.view.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.rest, d.isRead = all, true
	}
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	next := d.rest[:min(n, len(d.rest))]
	d.rest = d.rest[len(next):]
	return next, nil
}
