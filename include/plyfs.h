/* plyfs: container layer storage on OverlayFS, as a library.
 *
 * Generated from crates/plyfs-capi by `cargo xtask header`; not edited by hand.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The contract
 * ============
 *
 * It holds for every function here and is not repeated at each.
 *
 * Calls. A function takes its object first, then inputs, then outputs, and last where an error goes. It returns
 * a status: PLYFS_OK, or the number of the kind of its error. Numbers are never reused; a program treats one it
 * does not know as PLYFS_ERR_OTHER. Outputs are written on PLYFS_OK alone. Functions without a status answer
 * NULL, 0 or false for NULL.
 *
 * Errors. `err` may be NULL. Else a failed call leaves an error at `*err`, which the caller frees with
 * plyfs_error_free(); what stood there before is overwritten, so begin with NULL and free before reuse. Nothing
 * is kept per thread, and nothing is printed.
 *
 * Pointers. NULL where something is needed is PLYFS_ERR_INVALID_INPUT, and the message names it. Every other
 * pointer has to be valid for the call. Text is NUL-terminated UTF-8; paths are NUL-terminated bytes, kept as
 * they are.
 *
 * Ownership. A handle that a call wrote to `T **` belongs to the caller and ends with the function that frees
 * that type, or with one that says it does; every free accepts NULL. A `const T *` that a call returns belongs
 * to the list it came from. Text that a function returns belongs to the handle it was asked of and lives as
 * long, unless its comment says otherwise. Handles may be freed in any order: none needs another to live.
 * What was freed is never used again.
 *
 * Descriptors given to a call are borrowed: duplicated inside, never closed. They share their offset with the
 * caller's.
 *
 * Structures that begin with `size` may grow at their end. The caller sets `size` to sizeof, which the macros
 * PLYFS_*_INIT do, together with zeros for the rest. A library that knows fewer fields than the caller refuses
 * those that say something as PLYFS_ERR_UNSUPPORTED. Unknown flags are PLYFS_ERR_INVALID_INPUT.
 *
 * Threads. Everything may be called from any thread. A handle may be used by several threads at once where a
 * function takes it as `const`; where it does not, nobody else uses it meanwhile. Every call may block. A
 * progress callback may be called from any thread, from several at once, and never while a lock is held; it
 * returns, and neither throws nor jumps out.
 *
 * Processes. Several may use one store at once. After fork() the child only calls exec or _exit: handles hold
 * locks, which end when their holder and all its forks have closed them. Descriptors are close-on-exec. The
 * library does not change the directory, the umask, signals or the environment, and does not read the latter.
 *
 * Durability. What a call that changes the store did survives a power cut once it returned, unless the store was
 * opened with PLYFS_STORE_NO_SYNC. A call that failed, or was cut, left the store as it was.
 *
 * Panics do not cross: a defect of the library is PLYFS_ERR_PANIC.
 */

#ifndef PLYFS_H
#define PLYFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Structures that carry their size, as they begin. */
#define PLYFS_CONTAINER_OPTIONS_INIT { sizeof(plyfs_container_options), 0, NULL, NULL, 0 }
#define PLYFS_MOUNT_OPTIONS_INIT { sizeof(plyfs_mount_options), 0, NULL }
#define PLYFS_COMMIT_OPTIONS_INIT { sizeof(plyfs_commit_options), NULL, NULL, NULL, NULL, 0 }
#define PLYFS_CHANGE_INIT { sizeof(plyfs_change), NULL, NULL, 0 }
#define PLYFS_EXPORTED_INIT { sizeof(plyfs_exported), 0, { 0 } }
#define PLYFS_PRUNED_INIT { sizeof(plyfs_pruned), 0, 0, 0, PLYFS_USAGE_INIT }
#define PLYFS_USAGE_INIT { 0, 0, 0 }
#define PLYFS_STORE_USAGE_INIT \
    { sizeof(plyfs_store_usage), 0, 0, 0, PLYFS_USAGE_INIT, PLYFS_USAGE_INIT, PLYFS_USAGE_INIT, \
      PLYFS_USAGE_INIT, PLYFS_USAGE_INIT, 0, 0, 0, 0 }

/// It went well; outputs are written.
#define PLYFS_OK 0

/// A failure that has no kind.
#define PLYFS_ERR_OTHER 1

/// No such store, image, container, layer or file.
#define PLYFS_ERR_NOT_FOUND 3

/// The name or id is taken.
#define PLYFS_ERR_EXISTS 4

/// An argument or an archive is malformed, or a pointer is NULL; the message names it.
#define PLYFS_ERR_INVALID_INPUT 5

/// Something still refers to it: a child layer, an image, a container, a mount.
#define PLYFS_ERR_IN_USE 6

/// Held by the kernel or by another process for now.
#define PLYFS_ERR_BUSY 7

/// Stored or received bytes are not what their checksum or format says.
#define PLYFS_ERR_CORRUPT 8

/// The kernel, the file system or this version cannot do it.
#define PLYFS_ERR_UNSUPPORTED 9

/// No bytes left on the file system.
#define PLYFS_ERR_NO_SPACE 10

/// No inodes left on the file system.
#define PLYFS_ERR_NO_INODES 11

/// A quota is used up.
#define PLYFS_ERR_QUOTA_EXCEEDED 12

/// The caller may not do this.
#define PLYFS_ERR_PERMISSION 13

/// The progress callback asked to stop.
#define PLYFS_ERR_CANCELLED 14

/// A bounded wait ended.
#define PLYFS_ERR_TIMED_OUT 15

/// The thing changed while it was read.
#define PLYFS_ERR_CONFLICT 16

/// The store or the medium is read-only.
#define PLYFS_ERR_READ_ONLY 17

/// A sync failed earlier; nothing is written until the store is opened again.
#define PLYFS_ERR_POISONED 18

/// Any other failure of a system call; plyfs_error_errno() tells which.
#define PLYFS_ERR_IO 19

/// A defect of the library; the operation stopped, the handles it was given are to be freed and not used again.
#define PLYFS_ERR_PANIC 101

/// Of plyfs_changes_next() alone, and no error: there are no more.
#define PLYFS_DONE -1

/// Make the store where there is nothing or an empty directory.
#define PLYFS_STORE_CREATE 1

/// Refuse every change, and make none: what a crash left is not reclaimed.
#define PLYFS_STORE_READ_ONLY 2

/// Sync nothing. A killed process loses nothing; a power cut may lose or damage what was done lately.
#define PLYFS_STORE_NO_SYNC 4

/// Prune images without a name that no container was made of, too.
#define PLYFS_PRUNE_ALL 1

/// What `docker save` writes: a tar archive with manifest.json.
#define PLYFS_FORMAT_DOCKER_ARCHIVE 1

/// A tar archive of an OCI layout, with a manifest.json so that docker loads it too.
#define PLYFS_FORMAT_OCI_ARCHIVE 2

/// What is usual in the format: none in a docker-archive, gzip in the OCI formats.
#define PLYFS_COMPRESSION_DEFAULT 0

/// Plain archives.
#define PLYFS_COMPRESSION_NONE 1

/// gzip, which every tool reads.
#define PLYFS_COMPRESSION_GZIP 2

/// zstd: smaller and several times faster; podman reads it, docker since 23.0.
#define PLYFS_COMPRESSION_ZSTD 3

/// Mount the container read-only unless a mount says otherwise.
#define PLYFS_CONTAINER_READ_ONLY 1

/// Detach the mount of a mounted container instead of refusing to remove it.
#define PLYFS_REMOVE_FORCE 1

/// Mount read-only, whatever the container was created with.
#define PLYFS_MOUNT_READ_ONLY 1

/// Mount writable, whatever the container was created with.
#define PLYFS_MOUNT_READ_WRITE 2

/// Ignore setuid bits and file capabilities inside.
#define PLYFS_MOUNT_NOSUID 4

/// Refuse device nodes inside.
#define PLYFS_MOUNT_NODEV 8

/// Refuse to run programs inside.
#define PLYFS_MOUNT_NOEXEC 16

/// Detach the mount: it ends in every mount namespace, and programs inside keep what they have open.
#define PLYFS_UNMOUNT_DETACH 1

/// No lower layer shows it; the letter A.
#define PLYFS_CHANGE_ADDED 65

/// A lower layer shows it otherwise, or something below it changed; the letter C.
#define PLYFS_CHANGE_MODIFIED 67

/// A lower layer shows it and the container does not; the letter D.
#define PLYFS_CHANGE_DELETED 68

/// The bytes of "sha256:", 64 hex digits and the NUL.
#define PLYFS_DIGEST_SIZE 72

/// An iterator over what a container changed. One thread uses it at a time.
typedef struct plyfs_changes plyfs_changes;

/// A writable layer over an image or over nothing, with a name.
typedef struct plyfs_container plyfs_container;

/// Containers, sorted by name, or as they were asked for.
typedef struct plyfs_containers plyfs_containers;

/// What went wrong in one call.
typedef struct plyfs_error plyfs_error;

/// An image as one state of the store knew it.
typedef struct plyfs_image plyfs_image;

/// Images in an order that the function which made the list states.
typedef struct plyfs_images plyfs_images;

/// A container made visible.
///
/// A container has at most one mount; each handle of it is a guard. What ends one is plyfs_mount_unmount(),
/// plyfs_mount_keep() or plyfs_mount_free().
typedef struct plyfs_mount plyfs_mount;

/// The directories and options of a container's mount. Whoever mounts it so keeps the rule of one mount for one
/// container.
typedef struct plyfs_mount_spec plyfs_mount_spec;

/// One directory tree with a journal. Many handles, threads and processes may use one store at once.
typedef struct plyfs_store plyfs_store;

/// What a tree takes, each hard-linked file counted once. It does not grow.
typedef struct plyfs_usage {
    /// Bytes of content.
    uint64_t apparent;
    /// Bytes on the disk.
    uint64_t allocated;
    /// Inodes.
    uint64_t inodes;
} plyfs_usage;

/// What a removal took.
typedef struct plyfs_pruned {
    /// sizeof(plyfs_pruned), set by the caller.
    size_t size;
    /// How many images.
    uint64_t images;
    /// How many layers.
    uint64_t layers;
    /// How many things nothing uses that stay: read, built upon, leased.
    uint64_t held;
    /// What the removed layers took, as recorded when they were published.
    struct plyfs_usage reclaimed;
} plyfs_pruned;

/// What a store holds, what it shares, and what copies would have cost.
typedef struct plyfs_store_usage {
    /// sizeof(plyfs_store_usage), set by the caller.
    size_t size;
    /// How many images.
    uint64_t images;
    /// How many layers.
    uint64_t layers;
    /// How many containers.
    uint64_t containers;
    /// All layers, each counted once.
    struct plyfs_usage stored;
    /// Those layers that two or more images or containers stand on.
    struct plyfs_usage shared;
    /// Those layers that no image and no container stands on and no lease keeps.
    struct plyfs_usage reclaimable;
    /// What the containers' own layers take; zero unless they were measured.
    struct plyfs_usage containers_own;
    /// What the containers would take if each were a full copy; of unmeasured ones, what they stand on.
    struct plyfs_usage as_copies;
    /// Bytes of the file system.
    uint64_t total_bytes;
    /// Bytes left to unprivileged users.
    uint64_t free_bytes;
    /// Inodes of the file system, 0 where it has no fixed number.
    uint64_t total_inodes;
    /// Inodes left.
    uint64_t free_inodes;
} plyfs_store_usage;

/// How far one item of a stage is. The library fills it in; it lives as long as the callback runs.
typedef struct plyfs_step {
    /// The bytes of this structure that the library has filled in.
    size_t size;
    /// What is being done: "receive", "unpack", "publish", "save", "export".
    const char *stage;
    /// What it is done to: a layer's digest, an image's name, a file.
    const char *item;
    /// Bytes done.
    uint64_t done;
    /// Bytes expected in all; 0 when that is not known.
    uint64_t expected;
} plyfs_step;

/// Told of every step with the pointer given beside it; returns 0 to go on, anything else to cancel.
/// NULL where nobody wants to know.
typedef int32_t (*plyfs_progress)(void *user, const struct plyfs_step *step);

/// How to create a container; begin with PLYFS_CONTAINER_OPTIONS_INIT.
typedef struct plyfs_container_options {
    /// sizeof(plyfs_container_options), set by the caller.
    size_t size;
    /// PLYFS_CONTAINER_*.
    uint64_t flags;
    /// The name; NULL makes one up.
    const char *name;
    /// Labels as "KEY=VALUE"; NULL when there are none.
    const char *const *labels;
    /// How many labels.
    size_t label_count;
} plyfs_container_options;

/// How to mount; begin with PLYFS_MOUNT_OPTIONS_INIT.
typedef struct plyfs_mount_options {
    /// sizeof(plyfs_mount_options), set by the caller.
    size_t size;
    /// PLYFS_MOUNT_*.
    uint64_t flags;
    /// An existing directory to mount at; NULL for the container's own.
    const char *at;
} plyfs_mount_options;

/// One path and what happened to it; begin with PLYFS_CHANGE_INIT.
typedef struct plyfs_change {
    /// sizeof(plyfs_change), set by the caller.
    size_t size;
    /// The path from the root, "/etc/motd": any bytes but NUL. It lives until the next call with its iterator.
    const char *path;
    /// The line "C /etc/motd" as every door prints it: UTF-8, and one line whatever the path is. It lives as long.
    const char *line;
    /// PLYFS_CHANGE_*, the letter that `docker diff` prints; a later version may know more.
    int32_t kind;
} plyfs_change;

/// What was written.
typedef struct plyfs_exported {
    /// sizeof(plyfs_exported), set by the caller.
    size_t size;
    /// The bytes written.
    uint64_t bytes;
    /// Their digest, which is the DiffID of the layer they make: "sha256:" and 64 hex digits.
    char diff_id[PLYFS_DIGEST_SIZE];
} plyfs_exported;

/// What is said of an image that a container becomes; begin with PLYFS_COMMIT_OPTIONS_INIT.
typedef struct plyfs_commit_options {
    /// sizeof(plyfs_commit_options), set by the caller.
    size_t size;
    /// The name, which is taken from the image that has it; NULL for none.
    const char *name;
    /// The message kept in the image's history; NULL for none.
    const char *message;
    /// The author; NULL for none.
    const char *author;
    /// Instructions of a Dockerfile that change the image's config, such as `ENV LEVEL=debug`, in their order.
    const char *const *changes;
    /// How many there are; 0 for none.
    size_t change_count;
} plyfs_commit_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The version of the library as text, such as `0.1.0`; it belongs to the library.
const char *plyfs_version(void);

/// The name of a status as all doors spell it, such as "NotFound"; "Other" for one this version does not know.
/// It belongs to the library.
const char *plyfs_status_name(int32_t status);

/// The status of the call that failed; PLYFS_OK for NULL.
int32_t plyfs_error_kind(const struct plyfs_error *error);

/// The errno of the system call that failed, or the one that stands for the kind; 0 for NULL.
int32_t plyfs_error_errno(const struct plyfs_error *error);

/// What failed and why, outermost first, on one line of UTF-8 that lives as long as the error; NULL for NULL.
const char *plyfs_error_message(const struct plyfs_error *error);

/// Frees an error.
void plyfs_error_free(struct plyfs_error *error);

/// Opens the store at `path`; PLYFS_ERR_NOT_FOUND when there is none.
int32_t plyfs_store_open(const char *path, struct plyfs_store **store, struct plyfs_error **err);

/// Opens the store at `path`; where there is nothing, or an empty directory, makes one first.
int32_t plyfs_store_ensure(const char *path, struct plyfs_store **store, struct plyfs_error **err);

/// Opens the store at `path` as the flags PLYFS_STORE_* say.
int32_t plyfs_store_open_with(const char *path,
                              uint64_t flags,
                              struct plyfs_store **store,
                              struct plyfs_error **err);

/// Frees a store's handle; images, containers and mounts made from it go on working.
void plyfs_store_free(struct plyfs_store *store);

/// The absolute path of the store, which lives as long as the handle; NULL for NULL.
const char *plyfs_store_path(const struct plyfs_store *store);

/// Finds an image: by its name, then below docker.io/library/, then below localhost/, then by its id or the only
/// id that begins with these four or more digits.
int32_t plyfs_store_image(const struct plyfs_store *store,
                          const char *name,
                          struct plyfs_image **image,
                          struct plyfs_error **err);

/// Lists all images, sorted by their first name, nameless ones last, then by id.
int32_t plyfs_store_images(const struct plyfs_store *store,
                           struct plyfs_images **images,
                           struct plyfs_error **err);

/// Finds a container by its name.
int32_t plyfs_store_container(const struct plyfs_store *store,
                              const char *name,
                              struct plyfs_container **container,
                              struct plyfs_error **err);

/// Lists all containers, sorted by name.
int32_t plyfs_store_containers(const struct plyfs_store *store,
                               struct plyfs_containers **containers,
                               struct plyfs_error **err);

/// Makes `name` mean this image; a name that meant another image is moved. Durable on return.
int32_t plyfs_store_tag(const struct plyfs_store *store,
                        const struct plyfs_image *image,
                        const char *name,
                        struct plyfs_error **err);

/// Takes a name from its image, which stays. Durable on return.
int32_t plyfs_store_untag(const struct plyfs_store *store, const char *name, struct plyfs_error **err);

/// Removes an image, its names, and those of its layers that nothing else stands on. Durable on return; the space
/// comes back with plyfs_store_reap(). PLYFS_ERR_IN_USE while a container was made of it. The handle stays to be
/// freed. `pruned` may be NULL.
int32_t plyfs_store_remove_image(const struct plyfs_store *store,
                                 const struct plyfs_image *image,
                                 struct plyfs_pruned *pruned,
                                 struct plyfs_error **err);

/// Removes layers that nothing stands on, and what the flags PLYFS_PRUNE_* add. Durable on return; the space comes
/// back with plyfs_store_reap(). `pruned` may be NULL.
int32_t plyfs_store_prune(const struct plyfs_store *store,
                          uint64_t flags,
                          struct plyfs_pruned *pruned,
                          struct plyfs_error **err);

/// Deletes what was removed, and says what that took; `freed` may be NULL. When another process is at it already,
/// nothing is done.
int32_t plyfs_store_reap(const struct plyfs_store *store,
                         struct plyfs_usage *freed,
                         struct plyfs_error **err);

/// Adds up what the store's records say; nothing is walked, and what the containers hold themselves is left out.
int32_t plyfs_store_get_usage(const struct plyfs_store *store,
                              struct plyfs_store_usage *usage,
                              struct plyfs_error **err);

/// The same with what the containers hold themselves: their own trees are walked, one after another.
int32_t plyfs_store_measure(const struct plyfs_store *store,
                            struct plyfs_store_usage *usage,
                            struct plyfs_error **err);

/// How many images a list has; 0 for NULL.
size_t plyfs_images_count(const struct plyfs_images *images);

/// The image at `index` of a list, to which it belongs: it ends with the list and is not freed. NULL where there is
/// none.
const struct plyfs_image *plyfs_images_get(const struct plyfs_images *images,
                                           size_t index);

/// Frees a list and the images in it.
void plyfs_images_free(struct plyfs_images *images);

/// The id of an image, the digest of its config: "sha256:" and 64 hex digits. NULL for NULL.
const char *plyfs_image_id(const struct plyfs_image *image);

/// How many names an image had when it was looked up; 0 for NULL.
size_t plyfs_image_name_count(const struct plyfs_image *image);

/// The name of an image at `index`, sorted; NULL where there is none.
const char *plyfs_image_name(const struct plyfs_image *image, size_t index);

/// When an image was built, as its config says it; NULL where that does not say.
const char *plyfs_image_created(const struct plyfs_image *image);

/// The architecture an image's config names, or NULL.
const char *plyfs_image_architecture(const struct plyfs_image *image);

/// The operating system an image's config names, or NULL.
const char *plyfs_image_os(const struct plyfs_image *image);

/// What loading an image could not take over, in words: the first with `index` 0, then NULL after the last. Only images
/// that a loading function returned have any.
const char *plyfs_image_skipped(const struct plyfs_image *image,
                                size_t index);

/// Counts the layers of an image.
int32_t plyfs_image_layer_count(const struct plyfs_image *image, size_t *count, struct plyfs_error **err);

/// The config of an image as it was received: `length` bytes of JSON that live as long as the image. No NUL follows.
int32_t plyfs_image_config(const struct plyfs_image *image,
                           const uint8_t **bytes,
                           size_t *length,
                           struct plyfs_error **err);

/// What the layers of an image take together, whether others stand on them or not.
int32_t plyfs_image_get_usage(const struct plyfs_image *image,
                              struct plyfs_usage *usage,
                              struct plyfs_error **err);

/// Frees an image's handle; the image stays in its store.
void plyfs_image_free(struct plyfs_image *image);

/// Loads every image of the archive or OCI layout at `path`, all or none; the list has the images in its order.
/// Durable on return.
int32_t plyfs_store_load_path(const struct plyfs_store *store,
                              const char *path,
                              plyfs_progress progress,
                              void *user,
                              struct plyfs_images **images,
                              struct plyfs_error **err);

/// Loads every image of the archive that a descriptor reads, from where it stands to its end, all or none. Durable on
/// return. An archive in a file is better loaded by its path: it need not be kept aside meanwhile.
int32_t plyfs_store_load_fd(const struct plyfs_store *store,
                            int32_t fd,
                            plyfs_progress progress,
                            void *user,
                            struct plyfs_images **images,
                            struct plyfs_error **err);

/// Makes the tar archive or directory at `path` one layer, upon `parent` or, where that is NULL, upon nothing, and an
/// image of it; without a `name` it has none. Durable on return.
int32_t plyfs_store_import_path(const struct plyfs_store *store,
                                const char *path,
                                const char *name,
                                const struct plyfs_image *parent,
                                plyfs_progress progress,
                                void *user,
                                struct plyfs_image **image,
                                struct plyfs_error **err);

/// Writes `count` images, each found as by plyfs_store_image(), with all their names as one archive to a descriptor.
/// The same images give the same bytes. Nothing is synced.
int32_t plyfs_store_save_fd(const struct plyfs_store *store,
                            const char *const *images,
                            size_t count,
                            int32_t format,
                            int32_t compression,
                            int32_t fd,
                            plyfs_progress progress,
                            void *user,
                            struct plyfs_error **err);

/// Writes `count` images, each found as by plyfs_store_image(), with all their names to the OCI layout in the directory
/// at `path`, which is made when it is missing; to a layout that is there they are added. Nothing is synced.
int32_t plyfs_store_save_layout(const struct plyfs_store *store,
                                const char *const *images,
                                size_t count,
                                int32_t compression,
                                const char *path,
                                plyfs_progress progress,
                                void *user,
                                struct plyfs_error **err);

/// Creates a container of the image that is found as by plyfs_store_image(); without a `name` one is made up. Durable
/// on return. PLYFS_ERR_EXISTS when the name is taken.
int32_t plyfs_store_create(const struct plyfs_store *store,
                           const char *image,
                           const char *name,
                           struct plyfs_container **container,
                           struct plyfs_error **err);

/// Creates a container with options, which may be NULL. Without an `image` it begins empty. Durable on return.
int32_t plyfs_store_create_with(const struct plyfs_store *store,
                                const char *image,
                                const struct plyfs_container_options *options,
                                struct plyfs_container **container,
                                struct plyfs_error **err);

/// Creates a container for each of the `name_count` names, up to 1024: all, or none with an error that names the one that
/// could not be. The list has them in the order of the names. The options are of all of them, may be NULL, and have no
/// name; without an `image` they begin empty. Durable on return, at the price of one sync. PLYFS_ERR_EXISTS when a
/// name is taken, PLYFS_ERR_INVALID_INPUT when it is given twice.
int32_t plyfs_store_create_all(const struct plyfs_store *store,
                               const char *image,
                               const char *const *names,
                               size_t name_count,
                               const struct plyfs_container_options *options,
                               struct plyfs_containers **containers,
                               struct plyfs_error **err);

/// How many containers a list has; 0 for NULL.
size_t plyfs_containers_count(const struct plyfs_containers *containers);

/// The container at `index` of a list, to which it belongs: it ends with the list and is not freed. NULL where there
/// is none.
const struct plyfs_container *plyfs_containers_get(const struct plyfs_containers *containers,
                                                   size_t index);

/// Frees a list and the containers' handles in it.
void plyfs_containers_free(struct plyfs_containers *containers);

/// The name of a container, which lives until the handle is freed or renamed; NULL for NULL.
const char *plyfs_container_name(const struct plyfs_container *container);

/// The id of a container's own layer, which is the name of its directory: 64 hex digits. NULL for NULL.
const char *plyfs_container_id(const struct plyfs_container *container);

/// The id of the image a container was made of, or NULL.
const char *plyfs_container_image_id(const struct plyfs_container *container);

/// The name a container's image was found by when it was created, or NULL.
const char *plyfs_container_image_name(const struct plyfs_container *container);

/// The key of the label at `index`, sorted; NULL after the last.
const char *plyfs_container_label_key(const struct plyfs_container *container, size_t index);

/// The value of the label at `index`, sorted by key; NULL after the last.
const char *plyfs_container_label_value(const struct plyfs_container *container, size_t index);

/// Says whether a container is mounted read-only unless a mount says otherwise; false for NULL.
bool plyfs_container_is_read_only(const struct plyfs_container *container);

/// What a container's own layer takes now; its tree is walked.
int32_t plyfs_container_get_usage(const struct plyfs_container *container,
                                  struct plyfs_usage *usage,
                                  struct plyfs_error **err);

/// Gives a container another name; its handle has it afterwards. Durable on return. PLYFS_ERR_EXISTS when it is taken.
int32_t plyfs_container_rename(struct plyfs_container *container,
                               const char *name,
                               struct plyfs_error **err);

/// Removes a container as the flags PLYFS_REMOVE_* say. Durable on return; the space comes back with
/// plyfs_store_reap(). PLYFS_ERR_IN_USE while it is mounted. The handle stays to be freed.
int32_t plyfs_container_remove(const struct plyfs_container *container,
                               uint64_t flags,
                               struct plyfs_error **err);

/// Frees a container's handle; the container stays in its store.
void plyfs_container_free(struct plyfs_container *container);

/// Mounts a container; `options` may be NULL. Where it is mounted already, `mount` is one more guard of that mount;
/// PLYFS_ERR_IN_USE when that is at another place or in another mount namespace.
int32_t plyfs_container_mount(const struct plyfs_container *container,
                              const struct plyfs_mount_options *options,
                              struct plyfs_mount **mount,
                              struct plyfs_error **err);

/// Ends a container's mount as the flags PLYFS_UNMOUNT_* say; fine when it is not mounted. PLYFS_ERR_IN_USE while a
/// guard of it lives in any process, PLYFS_ERR_BUSY while programs work inside.
int32_t plyfs_container_unmount(const struct plyfs_container *container,
                                uint64_t flags,
                                struct plyfs_error **err);

/// Where a mount is visible, which lives as long as the handle; NULL for NULL.
const char *plyfs_mount_path(const struct plyfs_mount *mount);

/// Unmounts and frees the handle, whatever the answer: the honest way out. PLYFS_ERR_IN_USE while another guard of the
/// mount lives, PLYFS_ERR_BUSY while programs work inside; then it stays mounted and plyfs_container_unmount() ends it.
int32_t plyfs_mount_unmount(struct plyfs_mount *mount,
                            struct plyfs_error **err);

/// Frees a mount's handle and leaves it mounted.
void plyfs_mount_keep(struct plyfs_mount *mount);

/// Frees a mount's handle. It unmounts, best effort, when this handle made the mount and no other guard of it lives.
void plyfs_mount_free(struct plyfs_mount *mount);

/// Says how a container would be mounted; nothing is mounted.
int32_t plyfs_container_mount_spec(const struct plyfs_container *container,
                                   struct plyfs_mount_spec **spec,
                                   struct plyfs_error **err);

/// The lower directory at `index`, uppermost first; NULL after the last.
const char *plyfs_mount_spec_lower(const struct plyfs_mount_spec *spec, size_t index);

/// The writable directory; NULL for NULL.
const char *plyfs_mount_spec_upper(const struct plyfs_mount_spec *spec);

/// The work directory; NULL for NULL.
const char *plyfs_mount_spec_work(const struct plyfs_mount_spec *spec);

/// The container's own mount point, which is there only while it is mounted; NULL for NULL.
const char *plyfs_mount_spec_target(const struct plyfs_mount_spec *spec);

/// The options as `mount -t overlay -o` takes them; NULL for NULL.
const char *plyfs_mount_spec_options(const struct plyfs_mount_spec *spec);

/// Frees a mount spec.
void plyfs_mount_spec_free(struct plyfs_mount_spec *spec);

/// Begins to list what a container changed, sorted bytewise by path, as `docker diff` does. A mounted container may be
/// read; what changes meanwhile may be listed or not.
int32_t plyfs_container_changes(const struct plyfs_container *container,
                                struct plyfs_changes **changes,
                                struct plyfs_error **err);

/// Writes the next change and returns PLYFS_OK, or returns PLYFS_DONE when there are no more.
int32_t plyfs_changes_next(struct plyfs_changes *changes,
                           struct plyfs_change *change,
                           struct plyfs_error **err);

/// Frees an iterator.
void plyfs_changes_free(struct plyfs_changes *changes);

/// Writes what a container changed to a descriptor, as an OCI changeset in an uncompressed tar; the same changes give
/// the same bytes. PLYFS_ERR_CONFLICT when a file changes while it is read. `exported` may be NULL.
int32_t plyfs_container_export_fd(const struct plyfs_container *container,
                                  int32_t fd,
                                  plyfs_progress progress,
                                  void *user,
                                  struct plyfs_exported *exported,
                                  struct plyfs_error **err);

/// Makes an image of a container's image and what the container changed; `options` may be NULL. Durable on return. The
/// container stays as it is. PLYFS_ERR_CONFLICT when a file changes while it is read.
int32_t plyfs_container_commit(const struct plyfs_container *container,
                               const struct plyfs_commit_options *options,
                               plyfs_progress progress,
                               void *user,
                               struct plyfs_image **image,
                               struct plyfs_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PLYFS_H */
