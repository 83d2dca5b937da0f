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
#define PLYFS_STORE_OPTIONS_INIT { sizeof(plyfs_store_options), 0, 0 }
#define PLYFS_LOAD_OPTIONS_INIT { sizeof(plyfs_load_options), 0, NULL, 0, 0 }
#define PLYFS_IMPORT_OPTIONS_INIT { sizeof(plyfs_import_options), NULL, NULL, NULL, NULL, 0 }
#define PLYFS_SAVE_OPTIONS_INIT { sizeof(plyfs_save_options), 0, PLYFS_COMPRESSION_DEFAULT, 0 }
#define PLYFS_PRUNE_OPTIONS_INIT { sizeof(plyfs_prune_options), 0, 0, NULL, 0, NULL, 0, NULL, 0 }
#define PLYFS_CONTAINER_OPTIONS_INIT { sizeof(plyfs_container_options), 0, NULL, NULL, 0, NULL }
#define PLYFS_MOUNT_OPTIONS_INIT { sizeof(plyfs_mount_options), 0, NULL }
#define PLYFS_COMMIT_OPTIONS_INIT { sizeof(plyfs_commit_options), NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0 }
#define PLYFS_CHANGE_INIT { sizeof(plyfs_change), NULL, NULL, 0 }
#define PLYFS_FILE_STAT_INIT { sizeof(plyfs_file_stat), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define PLYFS_HISTORY_ENTRY_INIT \
    { sizeof(plyfs_history_entry), NULL, NULL, NULL, NULL, NULL, PLYFS_USAGE_INIT }
#define PLYFS_EXPORT_OPTIONS_INIT { sizeof(plyfs_export_options), 0, 0 }
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

/// Sync each file and directory that an operation made, instead of their file system: no other program's data is waited
/// for, but many small files take longer.
#define PLYFS_STORE_SYNC_FILES 8

/// Open a store whose journal is damaged as well, for reading what is sound of it; plyfs_store_damage() says what is not.
#define PLYFS_STORE_SALVAGE 16

/// Read the journal without mapping it: a medium that fails is then an error and not SIGBUS.
#define PLYFS_STORE_UNMAPPED 32

/// Keep compressed layers as they came, beside their trees, so that they are saved as the same blobs.
#define PLYFS_LOAD_KEEP_BLOBS 1

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

/// Write times later than `clamp_mtime` as that, as SOURCE_DATE_EPOCH asks for.
#define PLYFS_EXPORT_CLAMP_MTIME 1

/// Write the bytes that containerd's differ does, instead of this project's style; every reader of layers understands both.
#define PLYFS_EXPORT_CONTAINERD 2

/// Let the image state the time `created`, so that the same changes give the same image.
#define PLYFS_COMMIT_CREATED 1

/// Give files that changed later than `clamp_mtime` this time, as SOURCE_DATE_EPOCH asks for.
#define PLYFS_COMMIT_CLAMP_MTIME 2

/// Look at a symbolic link itself, and not at what it leads to.
#define PLYFS_VIEW_NOFOLLOW 1

/// Compare every layer with the archive it came from, too.
#define PLYFS_CHECK_DATA 1

/// What a power cut may leave by design: nothing is lost, and the next use makes it whole.
#define PLYFS_SEVERITY_NOTE 1

/// Space that no record speaks of, or something that repeats a record and differs from it.
#define PLYFS_SEVERITY_WARNING 2

/// Something recorded is missing or has other content.
#define PLYFS_SEVERITY_ERROR 3

/// Let the lease live on until its expiry when its holder frees its handle or dies, for whoever opens it again.
#define PLYFS_LEASE_SURVIVES 1

/// Prune images without a name that no container was made of, too.
#define PLYFS_PRUNE_ALL 1

/// Remove nothing: the answer is what would be removed.
#define PLYFS_PRUNE_DRY_RUN 2

/// Of the images without a name prune only those listed, also when none is listed, and of the layers only those they stood
/// on.
#define PLYFS_PRUNE_ONLY 4

/// A thing of a kind that this version of the header does not know.
#define PLYFS_SUBJECT_OTHER 0

/// An image.
#define PLYFS_SUBJECT_IMAGE 1

/// A layer.
#define PLYFS_SUBJECT_LAYER 2

/// A container, by the id of its own layer.
#define PLYFS_SUBJECT_CONTAINER 3

/// A lease.
#define PLYFS_SUBJECT_LEASE 4

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

/// Things that are not as a store's records say.
typedef struct plyfs_findings plyfs_findings;

/// The instructions that made an image, newest first.
typedef struct plyfs_history plyfs_history;

/// An image as one state of the store knew it.
typedef struct plyfs_image plyfs_image;

/// Images in an order that the function which made the list states.
typedef struct plyfs_images plyfs_images;

/// What a store is and what it stands on.
typedef struct plyfs_info plyfs_info;

/// An immutable tree and what made it, as one state of the store knew it.
typedef struct plyfs_layer plyfs_layer;

/// Layers in an order that the function which made the list states.
typedef struct plyfs_layers plyfs_layers;

/// A held lease. What ends one is plyfs_lease_release(); plyfs_lease_free() does too, best effort, unless it was made with
/// PLYFS_LEASE_SURVIVES.
typedef struct plyfs_lease plyfs_lease;

/// All leases that had not ended in one state of the store, sorted by id.
typedef struct plyfs_leases plyfs_leases;

/// A container or a layer made visible.
///
/// A container has at most one mount; each handle of it is a guard. What ends one is plyfs_mount_unmount(),
/// plyfs_mount_keep() or plyfs_mount_free().
typedef struct plyfs_mount plyfs_mount;

/// The directories and options of a container's mount. Whoever mounts it so keeps the rule of one mount for one
/// container.
typedef struct plyfs_mount_spec plyfs_mount_spec;

/// Names in a directory of a view, sorted bytewise.
typedef struct plyfs_names plyfs_names;

/// What a rebuild found again, lost and repaired.
typedef struct plyfs_rebuilt plyfs_rebuilt;

/// One directory tree with a journal. Many handles, threads and processes may use one store at once.
typedef struct plyfs_store plyfs_store;

/// Things by kind and id, in an order that the function which made the list states.
typedef struct plyfs_subjects plyfs_subjects;

/// A merged tree. Links in it lead to what is in it, never out. What it shows cannot be removed while it lives.
typedef struct plyfs_view plyfs_view;

/// Extended attributes by name, sorted bytewise.
typedef struct plyfs_xattrs plyfs_xattrs;

/// How to open a store; begin with PLYFS_STORE_OPTIONS_INIT.
typedef struct plyfs_store_options {
    /// sizeof(plyfs_store_options), set by the caller.
    size_t size;
    /// PLYFS_STORE_*.
    uint64_t flags;
    /// How many threads all operations of the open store may have together, beside those of their callers: 0 for one for
    /// each core, -1 for none.
    int64_t threads;
} plyfs_store_options;

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

/// One instruction of a history; begin with PLYFS_HISTORY_ENTRY_INIT. Its texts live as long as the history.
typedef struct plyfs_history_entry {
    /// sizeof(plyfs_history_entry), set by the caller.
    size_t size;
    /// When, as the config says it, or NULL.
    const char *created;
    /// By what instruction or command, or NULL.
    const char *created_by;
    /// By whom, or NULL.
    const char *author;
    /// Why, or NULL.
    const char *comment;
    /// The id of the layer it made; NULL for an instruction that only changed the config.
    const char *layer;
    /// What that layer takes, nothing without one.
    struct plyfs_usage usage;
} plyfs_history_entry;

/// How far one item of a stage is. The library fills it in; it lives as long as the callback runs.
typedef struct plyfs_step {
    /// The bytes of this structure that the library has filled in.
    size_t size;
    /// What is being done: "wait" for another load of the same layers, "receive", "unpack", "publish",
    /// "save", "export", "check".
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

/// How to load; begin with PLYFS_LOAD_OPTIONS_INIT.
typedef struct plyfs_load_options {
    /// sizeof(plyfs_load_options), set by the caller.
    size_t size;
    /// PLYFS_LOAD_*.
    uint64_t flags;
    /// The platform to choose an image by where an index offers several, such as `linux/arm64` or `linux/arm/v7`; NULL for
    /// this machine's.
    const char *platform;
    /// Give up with PLYFS_ERR_TIMED_OUT when a pipe, socket or device gives nothing for this many milliseconds; 0 for
    /// never.
    uint64_t timeout_ms;
    /// Read zstd streams whose window is up to 2 to the power of this many bytes, 10 to 31; 0 for 25.
    uint64_t zstd_window;
} plyfs_load_options;

/// What is said of an image that a tree becomes; begin with PLYFS_IMPORT_OPTIONS_INIT.
typedef struct plyfs_import_options {
    /// sizeof(plyfs_import_options), set by the caller.
    size_t size;
    /// The name, which is taken from the image that has it; NULL for none.
    const char *name;
    /// The image whose layers are below and whose config is continued; NULL for none.
    const struct plyfs_image *parent;
    /// The message kept in the image's history; NULL for one that says where it came from.
    const char *message;
    /// Instructions of a Dockerfile that change the image's config, such as `ENV LEVEL=debug`, in their order.
    const char *const *changes;
    /// How many there are; 0 for none.
    size_t change_count;
} plyfs_import_options;

/// How to save; begin with PLYFS_SAVE_OPTIONS_INIT.
typedef struct plyfs_save_options {
    /// sizeof(plyfs_save_options), set by the caller.
    size_t size;
    /// PLYFS_FORMAT_*; 0 for a docker-archive, and where a layout is written.
    int32_t format;
    /// PLYFS_COMPRESSION_*.
    int32_t compression;
    /// How hard the compression tries: 1 to 9 for gzip, 1 to 19 for zstd; 0 for 6 and 3.
    uint64_t level;
} plyfs_save_options;

/// What was written.
typedef struct plyfs_exported {
    /// sizeof(plyfs_exported), set by the caller.
    size_t size;
    /// The bytes written.
    uint64_t bytes;
    /// Their digest, which is the DiffID of the layer they make: "sha256:" and 64 hex digits.
    char diff_id[PLYFS_DIGEST_SIZE];
} plyfs_exported;

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
    /// The layer it stands on, where no image is given; NULL for none.
    const struct plyfs_layer *layer;
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

/// How to export; begin with PLYFS_EXPORT_OPTIONS_INIT.
typedef struct plyfs_export_options {
    /// sizeof(plyfs_export_options), set by the caller.
    size_t size;
    /// PLYFS_EXPORT_*.
    uint64_t flags;
    /// With PLYFS_EXPORT_CLAMP_MTIME, the latest time of a file, in seconds since the epoch.
    int64_t clamp_mtime;
} plyfs_export_options;

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
    /// Bytes under which plyfs_store_cached() finds the new layer upon the container's parent; NULL for none.
    const uint8_t *cache_key;
    /// How many bytes the key has; 0 for no key.
    size_t cache_key_length;
    /// PLYFS_COMMIT_*.
    uint64_t flags;
    /// With PLYFS_COMMIT_CREATED, the time the image states, in seconds since the epoch.
    int64_t created;
    /// With PLYFS_COMMIT_CLAMP_MTIME, the latest time of a file, in seconds since the epoch.
    int64_t clamp_mtime;
} plyfs_commit_options;

/// One inode of a view; begin with PLYFS_FILE_STAT_INIT.
typedef struct plyfs_file_stat {
    /// sizeof(plyfs_file_stat), set by the caller.
    size_t size;
    /// The type and the permission bits, as st_mode has them.
    uint32_t mode;
    /// The owner.
    uint32_t uid;
    /// The group.
    uint32_t gid;
    /// Nanoseconds of when the content last changed.
    uint32_t modified_nanoseconds;
    /// When the content last changed, in seconds since the epoch.
    int64_t modified;
    /// The length of a file or of a link's target.
    uint64_t length;
    /// How many names the inode has in its layer.
    uint64_t links;
    /// Major number of a device.
    uint32_t major;
    /// Minor number of a device.
    uint32_t minor;
    /// Which layer shows it, counted from the uppermost.
    uint64_t layer;
} plyfs_file_stat;

/// What may be pruned; begin with PLYFS_PRUNE_OPTIONS_INIT.
typedef struct plyfs_prune_options {
    /// sizeof(plyfs_prune_options), set by the caller.
    size_t size;
    /// PLYFS_PRUNE_*.
    uint64_t flags;
    /// Only what came into the store before this time, in seconds since the epoch; 0 for whenever it came.
    uint64_t added_before;
    /// The ids of images, for PLYFS_PRUNE_ONLY; NULL when there are none.
    const char *const *images;
    /// How many.
    size_t image_count;
    /// Labels, KEY or KEY=VALUE: of the images without a name prune only those that have all of them, and of the layers only
    /// those they stood on; NULL when there are none. Not together with PLYFS_PRUNE_ONLY.
    const char *const *labels;
    /// How many.
    size_t label_count;
    /// The same for labels that they must not have.
    const char *const *without_labels;
    /// How many.
    size_t without_label_count;
} plyfs_prune_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The version of the library as text, such as `0.1.0`; it belongs to the library.
const char *plyfs_version(void);

/// Frees a text that a call wrote to `char **`; NULL is none.
void plyfs_text_free(char *text);

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

/// Opens the store at `path` with options, which may be NULL.
int32_t plyfs_store_open_options(const char *path,
                                 const struct plyfs_store_options *options,
                                 struct plyfs_store **store,
                                 struct plyfs_error **err);

/// Frees a store's handle; images, containers and mounts made from it go on working.
void plyfs_store_free(struct plyfs_store *store);

/// The absolute path of the store, which lives as long as the handle; NULL for NULL.
const char *plyfs_store_path(const struct plyfs_store *store);

/// Says whether changes are possible; false for NULL.
bool plyfs_store_is_writable(const struct plyfs_store *store);

/// The damaged place of the journal at `index`, in words that name the file and the offset; NULL after the last. Only a
/// store that was opened with PLYFS_STORE_SALVAGE has any.
const char *plyfs_store_damage(const struct plyfs_store *store,
                               size_t index);

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

/// Takes a name from this image; PLYFS_ERR_CONFLICT when it means another one by now. Durable on return.
int32_t plyfs_store_untag_from(const struct plyfs_store *store,
                               const struct plyfs_image *image,
                               const char *name,
                               struct plyfs_error **err);

/// Takes a name from an image, and with its last one removes it as plyfs_store_remove_image() does. Durable on return.
/// PLYFS_ERR_CONFLICT when the name means another image by now. Where the image stays, `pruned`, which may be NULL, counts
/// none.
int32_t plyfs_store_remove_image_name(const struct plyfs_store *store,
                                      const struct plyfs_image *image,
                                      const char *name,
                                      struct plyfs_pruned *pruned,
                                      struct plyfs_error **err);

/// Removes an image, its names, and those of its layers that nothing else stands on. Durable on return; the space
/// comes back with plyfs_store_reap(). PLYFS_ERR_IN_USE while a container was made of it. The handle stays to be
/// freed. `pruned` may be NULL.
int32_t plyfs_store_remove_image(const struct plyfs_store *store,
                                 const struct plyfs_image *image,
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

/// Tells how an image came to be: the instructions its config tells of, newest first, and its layers that it does not
/// tell of.
int32_t plyfs_image_history(const struct plyfs_image *image,
                            struct plyfs_history **history,
                            struct plyfs_error **err);

/// How many entries a history has; 0 for NULL.
size_t plyfs_history_count(const struct plyfs_history *history);

/// Writes the entry at `index`, 0 the newest; PLYFS_ERR_NOT_FOUND behind the last.
int32_t plyfs_history_get(const struct plyfs_history *history,
                          size_t index,
                          struct plyfs_history_entry *entry,
                          struct plyfs_error **err);

/// Frees a history.
void plyfs_history_free(struct plyfs_history *history);

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

/// The digest of the manifest an image came with, or NULL.
const char *plyfs_image_manifest_digest(const struct plyfs_image *image);

/// When an image came into the store, in seconds since the epoch; 0 for NULL.
uint64_t plyfs_image_added(const struct plyfs_image *image);

/// What loading an image could not take over, in words: the first with `index` 0, then NULL after the last. Only images
/// that a loading function returned have any.
const char *plyfs_image_skipped(const struct plyfs_image *image,
                                size_t index);

/// Counts the layers of an image.
int32_t plyfs_image_layer_count(const struct plyfs_image *image, size_t *count, struct plyfs_error **err);

/// Lists the containers made of an image, by the ids of their own layers.
int32_t plyfs_image_containers(const struct plyfs_image *image,
                               struct plyfs_subjects **containers,
                               struct plyfs_error **err);

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

/// Does so with options, which may be NULL.
int32_t plyfs_store_load_path_with(const struct plyfs_store *store,
                                   const char *path,
                                   const struct plyfs_load_options *options,
                                   plyfs_progress progress,
                                   void *user,
                                   struct plyfs_images **images,
                                   struct plyfs_error **err);

/// Loads every image of the archive that a descriptor reads, from where it stands to its end, all or none. Durable on
/// return. A regular file is read where it lies; what can be read only once is kept aside meanwhile.
int32_t plyfs_store_load_fd(const struct plyfs_store *store,
                            int32_t fd,
                            plyfs_progress progress,
                            void *user,
                            struct plyfs_images **images,
                            struct plyfs_error **err);

/// Does so with options, which may be NULL.
int32_t plyfs_store_load_fd_with(const struct plyfs_store *store,
                                 int32_t fd,
                                 const struct plyfs_load_options *options,
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

/// Makes the tar archive or directory at `path` one layer and an image of it, as the options, which may be NULL, say.
/// Durable on return.
int32_t plyfs_store_import_path_with(const struct plyfs_store *store,
                                     const char *path,
                                     const struct plyfs_import_options *options,
                                     plyfs_progress progress,
                                     void *user,
                                     struct plyfs_image **image,
                                     struct plyfs_error **err);

/// Makes the tar archive that a descriptor reads, or the directory that it is, one layer and an image of it, as the
/// options, which may be NULL, say. Durable on return.
int32_t plyfs_store_import_fd(const struct plyfs_store *store,
                              int32_t fd,
                              const struct plyfs_import_options *options,
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

/// Does so with options, which may be NULL.
int32_t plyfs_store_save_fd_with(const struct plyfs_store *store,
                                 const char *const *images,
                                 size_t count,
                                 const struct plyfs_save_options *options,
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

/// Does so with options, which may be NULL.
int32_t plyfs_store_save_layout_with(const struct plyfs_store *store,
                                     const char *const *images,
                                     size_t count,
                                     const struct plyfs_save_options *options,
                                     const char *path,
                                     plyfs_progress progress,
                                     void *user,
                                     struct plyfs_error **err);

/// Finds a layer by its id or the only id that begins with these four or more digits.
int32_t plyfs_store_layer(const struct plyfs_store *store,
                          const char *id,
                          struct plyfs_layer **layer,
                          struct plyfs_error **err);

/// Lists all layers, sorted by id.
int32_t plyfs_store_layers(const struct plyfs_store *store,
                           struct plyfs_layers **layers,
                           struct plyfs_error **err);

/// Lists the layers of an image, uppermost first.
int32_t plyfs_image_layers(const struct plyfs_image *image,
                           struct plyfs_layers **layers,
                           struct plyfs_error **err);

/// How many layers a list has; 0 for NULL.
size_t plyfs_layers_count(const struct plyfs_layers *layers);

/// The layer at `index` of a list, to which it belongs: it ends with the list and is not freed. NULL where there is
/// none.
const struct plyfs_layer *plyfs_layers_get(const struct plyfs_layers *layers,
                                           size_t index);

/// Frees a list and the layers' handles in it.
void plyfs_layers_free(struct plyfs_layers *layers);

/// The id of a layer, which is the name of its directory: 64 hex digits. NULL for NULL.
const char *plyfs_layer_id(const struct plyfs_layer *layer);

/// The id of the layer below, or NULL.
const char *plyfs_layer_parent(const struct plyfs_layer *layer);

/// The digest of the uncompressed archive a layer came from, or NULL.
const char *plyfs_layer_diff_id(const struct plyfs_layer *layer);

/// The digest of a layer's content and all below it, or NULL.
const char *plyfs_layer_chain_id(const struct plyfs_layer *layer);

/// The id of a layer's short link in `overlay2/l`; NULL for NULL.
const char *plyfs_layer_link(const struct plyfs_layer *layer);

/// The directory of a layer's own tree, in which nothing may be changed; NULL for NULL.
const char *plyfs_layer_path(const struct plyfs_layer *layer);

/// The digest of the compressed form at `index` that a layer came in and that was kept, sorted; NULL after the last.
const char *plyfs_layer_blob(const struct plyfs_layer *layer,
                             size_t index);

/// Writes the compressed form at `index` to a descriptor. PLYFS_ERR_NOT_FOUND behind the last, PLYFS_ERR_CORRUPT when it has
/// other bytes than its digest says; what was written until then is to be dropped.
int32_t plyfs_layer_blob_fd(const struct plyfs_layer *layer,
                            size_t index,
                            int32_t fd,
                            struct plyfs_error **err);

/// How many layers the chain of a layer has, itself counted; 0 for NULL.
uint64_t plyfs_layer_depth(const struct plyfs_layer *layer);

/// The length of the uncompressed archive a layer came from; 0 where that is not known.
uint64_t plyfs_layer_archive_size(const struct plyfs_layer *layer);

/// When a layer came into the store, in seconds since the epoch; 0 for NULL.
uint64_t plyfs_layer_created(const struct plyfs_layer *layer);

/// What a layer itself takes, as recorded when it came, and what it takes with all below it; either may be NULL.
int32_t plyfs_layer_get_usage(const struct plyfs_layer *layer,
                              struct plyfs_usage *own,
                              struct plyfs_usage *chain,
                              struct plyfs_error **err);

/// Lists what stands on a layer: child layers, images, containers, leases.
int32_t plyfs_layer_users(const struct plyfs_layer *layer,
                          struct plyfs_subjects **users,
                          struct plyfs_error **err);

/// Writes the archive a layer came from to a descriptor, byte for byte. PLYFS_ERR_CORRUPT when its tree was changed
/// since; what was written until then is to be dropped. `exported` may be NULL.
int32_t plyfs_layer_archive_fd(const struct plyfs_layer *layer,
                               int32_t fd,
                               struct plyfs_exported *exported,
                               struct plyfs_error **err);

/// Makes a layer and all below it visible at the existing directory `at`, read-only. It cannot be removed while the mount
/// lives.
int32_t plyfs_layer_mount(const struct plyfs_layer *layer,
                          const char *at,
                          struct plyfs_mount **mount,
                          struct plyfs_error **err);

/// Makes the changeset that a descriptor reads to its end, a tar that may be compressed, or the directory that it is, a layer upon `parent` or, where
/// that is NULL, upon nothing. Durable on return. A layer that nothing stands on goes with the next prune.
int32_t plyfs_store_apply_fd(const struct plyfs_store *store,
                             int32_t fd,
                             const struct plyfs_layer *parent,
                             plyfs_progress progress,
                             void *user,
                             struct plyfs_layer **layer,
                             struct plyfs_error **err);

/// Finds the layer that was last committed upon `parent`, or upon nothing where that is NULL, under the `length` bytes of
/// `key`; NULL when there is none, or none any more. Nothing keeps it from a prune but what stands on it: create a
/// container on it first.
int32_t plyfs_store_cached(const struct plyfs_store *store,
                           const struct plyfs_layer *parent,
                           const uint8_t *key,
                           size_t length,
                           struct plyfs_layer **layer,
                           struct plyfs_error **err);

/// Removes a layer. Durable on return; the space comes back with plyfs_store_reap(). PLYFS_ERR_IN_USE while something
/// stands on it. The handle stays to be freed. `pruned` may be NULL.
int32_t plyfs_store_remove_layer(const struct plyfs_store *store,
                                 const struct plyfs_layer *layer,
                                 struct plyfs_pruned *pruned,
                                 struct plyfs_error **err);

/// Frees a layer's handle; the layer stays in its store.
void plyfs_layer_free(struct plyfs_layer *layer);

/// Creates a container of the image that is found as by plyfs_store_image(); without a `name` one is made up. Durable
/// on return. PLYFS_ERR_EXISTS when the name is taken.
int32_t plyfs_store_create(const struct plyfs_store *store,
                           const char *image,
                           const char *name,
                           struct plyfs_container **container,
                           struct plyfs_error **err);

/// Creates a container with options, which may be NULL. Without an `image` and a layer it begins empty. Durable on
/// return.
int32_t plyfs_store_create_with(const struct plyfs_store *store,
                                const char *image,
                                const struct plyfs_container_options *options,
                                struct plyfs_container **container,
                                struct plyfs_error **err);

/// Creates a container for each of the `name_count` names, up to 1024: all, or none with an error that names the one that
/// could not be. The list has them in the order of the names. The options are of all of them, may be NULL, and have no
/// name; without an `image` and a layer they begin empty. Durable on return, at the price of one sync. PLYFS_ERR_EXISTS when a
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

/// The id of the layer a container stands on, or NULL.
const char *plyfs_container_parent(const struct plyfs_container *container);

/// When a container was created, in seconds since the epoch; 0 for NULL.
uint64_t plyfs_container_created(const struct plyfs_container *container);

/// Writes where a container is mounted now, in whatever mount namespace, or NULL where it is not. The text is the caller's,
/// who frees it with plyfs_text_free().
int32_t plyfs_container_mounted_at(const struct plyfs_container *container,
                                   char **path,
                                   struct plyfs_error **err);

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

/// Says whether this handle made the mount, and so ends it when freed; false for NULL.
bool plyfs_mount_is_maker(const struct plyfs_mount *mount);

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

/// Writes what a container changed to a descriptor with options, which may be NULL.
int32_t plyfs_container_export_fd_with(const struct plyfs_container *container,
                                       int32_t fd,
                                       const struct plyfs_export_options *options,
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

/// Gives the merged tree of a container, which may be mounted.
int32_t plyfs_container_view(const struct plyfs_container *container,
                             struct plyfs_view **view,
                             struct plyfs_error **err);

/// Gives the merged tree of an image.
int32_t plyfs_image_view(const struct plyfs_image *image, struct plyfs_view **view, struct plyfs_error **err);

/// Gives the merged tree of a layer and all below it.
int32_t plyfs_layer_view(const struct plyfs_layer *layer, struct plyfs_view **view, struct plyfs_error **err);

/// Opens the regular file at `path` for reading; the descriptor is the caller's to close. Anything else is
/// PLYFS_ERR_INVALID_INPUT: no device is opened, and no FIFO waited for.
int32_t plyfs_view_open(const struct plyfs_view *view,
                        const char *path,
                        uint64_t flags,
                        int32_t *fd,
                        struct plyfs_error **err);

/// Tells type, mode, owner, length and time of what is at `path`.
int32_t plyfs_view_stat(const struct plyfs_view *view,
                        const char *path,
                        uint64_t flags,
                        struct plyfs_file_stat *stat,
                        struct plyfs_error **err);

/// Writes where the symbolic link at `path` points. The text is the caller's, who frees it with plyfs_text_free().
int32_t plyfs_view_read_link(const struct plyfs_view *view,
                             const char *path,
                             char **target,
                             struct plyfs_error **err);

/// Lists the names in the directory at `path`, sorted bytewise.
int32_t plyfs_view_list(const struct plyfs_view *view,
                        const char *path,
                        uint64_t flags,
                        struct plyfs_names **names,
                        struct plyfs_error **err);

/// Frees a view.
void plyfs_view_free(struct plyfs_view *view);

/// The name at `index`, any bytes but NUL; NULL after the last.
const char *plyfs_names_get(const struct plyfs_names *names, size_t index);

/// Frees a list of names.
void plyfs_names_free(struct plyfs_names *names);

/// Lists the extended attributes of what is at `path`, as a mount shows them, with their values.
int32_t plyfs_view_xattrs(const struct plyfs_view *view,
                          const char *path,
                          uint64_t flags,
                          struct plyfs_xattrs **xattrs,
                          struct plyfs_error **err);

/// The name of the attribute at `index`, such as "user.comment"; NULL after the last.
const char *plyfs_xattrs_name(const struct plyfs_xattrs *xattrs, size_t index);

/// The value of the attribute at `index`, any bytes, and in `length`, which may be NULL, how many; NULL after the last. It
/// belongs to the list.
const void *plyfs_xattrs_value(const struct plyfs_xattrs *xattrs,
                               size_t index,
                               size_t *length);

/// Frees a list.
void plyfs_xattrs_free(struct plyfs_xattrs *xattrs);

/// Compares a store's records with its directories, as the flags PLYFS_CHECK_* say, and lists what differs, worst first.
/// Nothing is changed.
int32_t plyfs_store_check(const struct plyfs_store *store,
                          uint64_t flags,
                          plyfs_progress progress,
                          void *user,
                          struct plyfs_findings **findings,
                          struct plyfs_error **err);

/// Checks, puts right what can be without loss, and checks again: `acts` lists what was done, `left` what is wrong still.
/// Nothing is deleted: what no record speaks of is moved into the store's `aside/`. Durable on return.
int32_t plyfs_store_repair(const struct plyfs_store *store,
                           uint64_t flags,
                           plyfs_progress progress,
                           void *user,
                           struct plyfs_findings **acts,
                           struct plyfs_findings **left,
                           struct plyfs_error **err);

/// How many findings a list has; 0 for NULL.
size_t plyfs_findings_count(const struct plyfs_findings *findings);

/// How bad the finding at `index` is, PLYFS_SEVERITY_*; 0 where there is none.
int32_t plyfs_findings_severity(const struct plyfs_findings *findings, size_t index);

/// What kind of thing the finding at `index` is, such as "directory-missing"; NULL after the last.
const char *plyfs_findings_kind(const struct plyfs_findings *findings, size_t index);

/// What the finding at `index` is about: "layer …", "container …"; NULL after the last.
const char *plyfs_findings_subject(const struct plyfs_findings *findings, size_t index);

/// What is wrong with it, in words; NULL after the last.
const char *plyfs_findings_problem(const struct plyfs_findings *findings, size_t index);

/// What a repair did about it, in words; NULL in the other lists.
const char *plyfs_findings_done(const struct plyfs_findings *findings, size_t index);

/// Frees a list.
void plyfs_findings_free(struct plyfs_findings *findings);

/// Tells what a store is and what it stands on.
int32_t plyfs_store_info(const struct plyfs_store *store, struct plyfs_info **info, struct plyfs_error **err);

/// The version of the store's format; 0 for NULL.
uint32_t plyfs_info_version(const struct plyfs_info *info);

/// The namespace of the overlay attributes in the layers, such as "trusted"; NULL for NULL.
const char *plyfs_info_dialect(const struct plyfs_info *info);

/// The file system below, by name, or by magic number where the name is not known; NULL for NULL.
const char *plyfs_info_file_system(const struct plyfs_info *info);

/// What the kernel can do, the line at `index`; NULL after the last. Without privilege there is none.
const char *plyfs_info_kernel(const struct plyfs_info *info, size_t index);

/// Frees an info.
void plyfs_info_free(struct plyfs_info *info);

/// Finds a container by name, else an image by name or id, else a layer by id. The output of what was found is written,
/// the other two become NULL.
int32_t plyfs_store_inspect(const struct plyfs_store *store,
                            const char *what,
                            struct plyfs_container **container,
                            struct plyfs_image **image,
                            struct plyfs_layer **layer,
                            struct plyfs_error **err);

/// Takes a lease, as the flags PLYFS_LEASE_* say. While it is held it lasts; `seconds` from now on is when it ends once
/// nobody holds it. Durable on return.
int32_t plyfs_store_lease(const struct plyfs_store *store,
                          uint64_t seconds,
                          uint64_t flags,
                          struct plyfs_lease **lease,
                          struct plyfs_error **err);

/// Takes hold of a lease that survived its holder. PLYFS_ERR_NOT_FOUND when it ended, PLYFS_ERR_IN_USE while somebody holds
/// it.
int32_t plyfs_store_open_lease(const struct plyfs_store *store,
                               const char *id,
                               struct plyfs_lease **lease,
                               struct plyfs_error **err);

/// Lists the leases that have not ended, sorted by id.
int32_t plyfs_store_leases(const struct plyfs_store *store,
                           struct plyfs_leases **leases,
                           struct plyfs_error **err);

/// Lists what a lease keeps: images, then layers, each sorted by id.
int32_t plyfs_store_leased(const struct plyfs_store *store,
                           const char *id,
                           struct plyfs_subjects **leased,
                           struct plyfs_error **err);

/// The id of a lease, by which it can be opened again; NULL for NULL.
const char *plyfs_lease_id(const struct plyfs_lease *lease);

/// When a lease ends once nobody holds it, in seconds since the epoch; 0 for NULL.
uint64_t plyfs_lease_expires(const struct plyfs_lease *lease);

/// Gives a handle of the store whose operations are under this lease: what they publish, and what they found there
/// already, stays while the lease lasts.
int32_t plyfs_lease_store(const struct plyfs_lease *lease,
                          struct plyfs_store **store,
                          struct plyfs_error **err);

/// Keeps a layer and so all below it. Durable on return.
int32_t plyfs_lease_hold(const struct plyfs_lease *lease,
                         const struct plyfs_layer *layer,
                         struct plyfs_error **err);

/// Keeps an image, which no prune takes then for want of a name, and its layers also when it is removed. Durable on
/// return.
int32_t plyfs_lease_hold_image(const struct plyfs_lease *lease,
                               const struct plyfs_image *image,
                               struct plyfs_error **err);

/// Lets a lease last `seconds` from now on. Durable on return.
int32_t plyfs_lease_renew(struct plyfs_lease *lease, uint64_t seconds, struct plyfs_error **err);

/// Ends a lease and frees the handle, whatever the answer. Durable on return; what it kept goes with the next prune unless
/// something else uses it.
int32_t plyfs_lease_release(struct plyfs_lease *lease,
                            struct plyfs_error **err);

/// Frees a lease's handle. It ends the lease, best effort, unless that was made to survive.
void plyfs_lease_free(struct plyfs_lease *lease);

/// How many leases a list has; 0 for NULL.
size_t plyfs_leases_count(const struct plyfs_leases *leases);

/// The id of the lease at `index`; NULL after the last.
const char *plyfs_leases_id(const struct plyfs_leases *leases, size_t index);

/// When the lease at `index` ends once nobody holds it, in seconds since the epoch; 0 where there is none.
uint64_t plyfs_leases_expires(const struct plyfs_leases *leases, size_t index);

/// Says whether the lease at `index` lives on without a holder.
bool plyfs_leases_survives(const struct plyfs_leases *leases, size_t index);

/// Says whether somebody held the lease at `index` when the list was made.
bool plyfs_leases_is_held(const struct plyfs_leases *leases, size_t index);

/// Frees a list.
void plyfs_leases_free(struct plyfs_leases *leases);

/// Removes layers that nothing stands on, and what the flags PLYFS_PRUNE_* add, as plyfs_store_prune_with() does. Durable
/// on return; the space comes back with plyfs_store_reap(). `pruned` may be NULL.
int32_t plyfs_store_prune(const struct plyfs_store *store,
                          uint64_t flags,
                          struct plyfs_pruned *pruned,
                          struct plyfs_error **err);

/// Removes what nothing uses and the options, which may be NULL, let go; lists what was removed, images first, and what
/// nothing uses and yet stays, each with its reason. Durable on return; the space comes back with plyfs_store_reap(). Each of
/// the three outputs may be NULL.
int32_t plyfs_store_prune_with(const struct plyfs_store *store,
                               const struct plyfs_prune_options *options,
                               struct plyfs_pruned *pruned,
                               struct plyfs_subjects **removed,
                               struct plyfs_subjects **held,
                               struct plyfs_error **err);

/// Checks the store at `path` as plyfs_store_check() does; of one that does not open, lists each part that is missing or
/// damaged and each damaged place of its journal, and looks at nothing else.
int32_t plyfs_store_check_at(const char *path,
                             uint64_t flags,
                             plyfs_progress progress,
                             void *user,
                             struct plyfs_findings **findings,
                             struct plyfs_error **err);

/// Makes those parts of the store at `path` anew that are missing and follow from the others: `staging`, `trash`,
/// `overlay2/l`, and plyfs.toml where it is damaged, too. `acts` lists what was done. Durable on return; plyfs_store_repair()
/// then puts right the rest.
int32_t plyfs_store_restore_parts(const char *path,
                                  struct plyfs_findings **acts,
                                  struct plyfs_error **err);

/// Makes the journal of the store at `path` anew from its directories, where it is lost or damaged, and repairs what is left.
/// Names, labels and options lived in the journal alone: they are listed as lost, and containers get made-up names. The old
/// journal is kept in the store's `aside/`; one that is sound is PLYFS_ERR_INVALID_INPUT. No other process may have the store
/// open. Durable on return.
int32_t plyfs_store_rebuild(const char *path,
                            plyfs_progress progress,
                            void *user,
                            struct plyfs_rebuilt **rebuilt,
                            struct plyfs_error **err);

/// The images, which have no names, and layers that were found; the list belongs to the account. NULL for NULL.
const struct plyfs_subjects *plyfs_rebuilt_found(const struct plyfs_rebuilt *rebuilt);

/// What was wrong with the store and was done about it; the list belongs to the account. NULL for NULL.
const struct plyfs_findings *plyfs_rebuilt_acts(const struct plyfs_rebuilt *rebuilt);

/// What is wrong still; the list belongs to the account. NULL for NULL.
const struct plyfs_findings *plyfs_rebuilt_left(const struct plyfs_rebuilt *rebuilt);

/// The made-up name of the container at `index` that was made of a writable layer; NULL after the last.
const char *plyfs_rebuilt_container(const struct plyfs_rebuilt *rebuilt, size_t index);

/// What is lost, the line at `index`; NULL after the last.
const char *plyfs_rebuilt_lost(const struct plyfs_rebuilt *rebuilt, size_t index);

/// Where in the store the old journal is kept; NULL where there was none.
const char *plyfs_rebuilt_kept(const struct plyfs_rebuilt *rebuilt);

/// Frees an account, and the lists that belong to it.
void plyfs_rebuilt_free(struct plyfs_rebuilt *rebuilt);

/// How many things a list has; 0 for NULL.
size_t plyfs_subjects_count(const struct plyfs_subjects *subjects);

/// The kind of the thing at `index`, PLYFS_SUBJECT_*; PLYFS_SUBJECT_OTHER where there is none.
int32_t plyfs_subjects_kind(const struct plyfs_subjects *subjects, size_t index);

/// The id of the thing at `index`; NULL after the last.
const char *plyfs_subjects_id(const struct plyfs_subjects *subjects, size_t index);

/// Why the thing at `index` of what a prune left stays, in words: "is kept by lease …". NULL in other lists.
const char *plyfs_subjects_reason(const struct plyfs_subjects *subjects,
                                  size_t index);

/// Frees a list.
void plyfs_subjects_free(struct plyfs_subjects *subjects);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PLYFS_H */
