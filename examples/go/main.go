// The task of the README in Go: load an image, change a file in a container, see what changed, keep it as a new image, and
// save that.
//
//	go run . STORE ARCHIVE [OUT]
//
// STORE is made when it is missing; OUT is STORE.svc-2.tar unless it is given. Mounting needs root.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"plyfs.dev/plyfs"
)

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintf(os.Stderr, "usage: %s STORE ARCHIVE [OUT]\n", os.Args[0])
		os.Exit(2)
	}
	out := os.Args[1] + ".svc-2.tar"
	if len(os.Args) == 4 {
		out = os.Args[3]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2], out); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		var failed *plyfs.Error
		if errors.As(err, &failed) {
			os.Exit(int(failed.Kind))
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, path, archive, out string) error {
	store, err := plyfs.Ensure(path)
	if err != nil {
		return err
	}
	defer store.Close()
	images, err := store.LoadPath(ctx, archive, plyfs.LoadOptions{})
	if err != nil {
		return err
	}
	image := images[0]
	fmt.Println("loaded", append(image.Names, image.ID)[0])

	container, err := store.Create(image.ID, plyfs.ContainerOptions{})
	if err != nil {
		return err
	}
	if err := live(ctx, store, container, out); err != nil {
		// The container goes whatever happened; the first error is the one to tell.
		_ = container.Remove(plyfs.Force)
		return err
	}
	if err := container.Remove(plyfs.Unmounted); err != nil {
		return err
	}
	_, err = store.Reap()
	return err
}

// live is the life of one container, from its creation to what is kept of it.
func live(ctx context.Context, store *plyfs.Store, container *plyfs.Container, out string) error {
	if err := configure(ctx, container, "port=81\n"); err != nil {
		return err
	}
	for change, err := range container.Changes() {
		if err != nil {
			return err
		}
		fmt.Println(change)
	}
	next, err := container.Commit(ctx, plyfs.CommitOptions{Name: "svc:2", Message: "new port", Author: "the Go example"})
	if err != nil {
		return err
	}
	fmt.Println(next.Names[0], "is", next.ID)
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(store.Save(ctx, file, plyfs.SaveOptions{Format: plyfs.OCIArchive}, next), file.Close())
}

// configure writes app/config.properties in the container. No link in it leads out of it.
func configure(ctx context.Context, container *plyfs.Container, content string) (err error) {
	mount, err := container.Mount(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mount.Close()) }()
	root, err := os.OpenRoot(mount.Path())
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir("app", 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	file, err := root.Create("app/config.properties")
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}
