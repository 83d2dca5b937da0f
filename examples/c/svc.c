/* The task of the README through the C door: load an image, change a file in a container, see what changed, keep it
 * as a new image, and save that.
 *
 *     cc svc.c $(pkg-config --cflags --libs plyfs) -o svc
 *     ./svc STORE ARCHIVE [OUT]
 *
 * STORE is made when it is missing; OUT is STORE.svc-2.tar unless it is given. Mounting needs root. */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <plyfs.h>

/* Says how loading goes on; anything but 0 would cancel it. */
static int32_t on_step(void *user, const plyfs_step *step)
{
    if (step->expected != 0 && step->done == step->expected)
        fprintf(user, "%s %s: %llu bytes\n", step->stage, step->item, (unsigned long long)step->done);
    return 0;
}

/* Writes app/config.properties below root. No step follows a link, which would be resolved on the host. */
static int configure(const char *root, const char *text)
{
    int done = -1, app = -1, file = -1;
    int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 || (mkdirat(dir, "app", 0755) < 0 && errno != EEXIST))
        goto out;
    app = openat(dir, "app", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (app < 0)
        goto out;
    file = openat(app, "config.properties", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text))
        done = 0;
out:
    if (done < 0)
        fprintf(stderr, "%s/app/config.properties: %s\n", root, strerror(errno));
    if (file >= 0)
        close(file);
    if (app >= 0)
        close(app);
    if (dir >= 0)
        close(dir);
    return done;
}

/* Prints what the container changed, one path a line. */
static int32_t print_changes(const plyfs_container *container, plyfs_error **err)
{
    plyfs_changes *changes = NULL;
    plyfs_change change = PLYFS_CHANGE_INIT;
    int32_t status = plyfs_container_changes(container, &changes, err);

    if (status != PLYFS_OK)
        return status;
    while ((status = plyfs_changes_next(changes, &change, err)) == PLYFS_OK)
        puts(change.line);
    plyfs_changes_free(changes);
    return status == PLYFS_DONE ? PLYFS_OK : status;
}

/* Makes an image of the container and writes it to the file out as an OCI archive. */
static int32_t keep(const plyfs_store *store, const plyfs_container *container, const char *out, plyfs_error **err)
{
    const char *const names[] = {"svc:2"};
    plyfs_commit_options options = PLYFS_COMMIT_OPTIONS_INIT;
    plyfs_image *image = NULL;
    int32_t status;
    int fd;

    options.name = names[0];
    options.message = "new port";
    options.author = "the C example";
    status = plyfs_container_commit(container, &options, NULL, NULL, &image, err);
    if (status != PLYFS_OK)
        return status;
    printf("%s is %s\n", plyfs_image_name(image, 0), plyfs_image_id(image));
    plyfs_image_free(image);

    fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", out, strerror(errno));
        return PLYFS_ERR_IO;
    }
    status = plyfs_store_save_fd(store, names, 1, PLYFS_FORMAT_OCI_ARCHIVE, PLYFS_COMPRESSION_DEFAULT, fd,
                                 NULL, NULL, err);
    close(fd);
    return status;
}

/* The life of one container, from its creation to what is kept of it. */
static int32_t live(const plyfs_store *store, const plyfs_container *container, const char *out, plyfs_error **err)
{
    plyfs_mount *mount = NULL;
    int32_t status = plyfs_container_mount(container, NULL, &mount, err);

    if (status != PLYFS_OK)
        return status;
    if (configure(plyfs_mount_path(mount), "port=81\n") < 0) {
        plyfs_mount_free(mount);
        return PLYFS_ERR_IO;
    }
    status = plyfs_mount_unmount(mount, err);
    if (status == PLYFS_OK)
        status = print_changes(container, err);
    if (status == PLYFS_OK)
        status = keep(store, container, out, err);
    return status;
}

static int32_t run(const char *path, const char *archive, const char *out, plyfs_error **err)
{
    plyfs_store *store = NULL;
    plyfs_images *images = NULL;
    plyfs_container *container = NULL;
    int32_t status = plyfs_store_ensure(path, &store, err);

    if (status == PLYFS_OK)
        status = plyfs_store_load_path(store, archive, on_step, stderr, &images, err);
    if (status == PLYFS_OK) {
        const plyfs_image *image = plyfs_images_get(images, 0);
        const char *name = plyfs_image_name(image, 0);

        printf("loaded %s\n", name ? name : plyfs_image_id(image));
        status = plyfs_store_create(store, plyfs_image_id(image), NULL, &container, err);
    }
    if (status == PLYFS_OK) {
        status = live(store, container, out, err);
        /* The container goes whatever happened; the first error is the one to tell. */
        if (status == PLYFS_OK)
            status = plyfs_container_remove(container, 0, err);
        else
            plyfs_container_remove(container, PLYFS_REMOVE_FORCE, NULL);
    }
    if (status == PLYFS_OK)
        status = plyfs_store_reap(store, NULL, err);
    plyfs_container_free(container);
    plyfs_images_free(images);
    plyfs_store_free(store);
    return status;
}

int main(int argc, char **argv)
{
    char beside[4096];
    plyfs_error *err = NULL;
    int32_t status;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s STORE ARCHIVE [OUT]\n", argv[0]);
        return 2;
    }
    snprintf(beside, sizeof beside, "%s.svc-2.tar", argv[1]);
    status = run(argv[1], argv[2], argc == 4 ? argv[3] : beside, &err);
    if (err != NULL)
        fprintf(stderr, "%s: %s\n", argv[0], plyfs_error_message(err));
    plyfs_error_free(err);
    return status;
}
