/* A build with a cache through the C door: base, dependencies, application; then the application changes, and only its
 * layer is made anew. A lease keeps what is being built from the prunes of others.
 *
 *     cc build.c $(pkg-config --cflags --libs plyfs) -o build
 *     ./build STORE ARCHIVE
 *
 * STORE is made when it is missing; the first image of ARCHIVE is the base. Mounting needs root. */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <plyfs.h>

/* One step of a build: a file with a content, and the instruction that stands for both in the cache. */
struct step {
    const char *instruction;
    const char *file;
    const char *content;
};

/* Writes a file below the root of a mount. */
static int32_t put(const char *root, const struct step *step)
{
    char path[4096];
    FILE *file;
    int length = snprintf(path, sizeof path, "%s/%s", root, step->file);

    if (length < 0 || (size_t)length >= sizeof path)
        return PLYFS_ERR_INVALID_INPUT;
    file = fopen(path, "w");
    if (file == NULL)
        return PLYFS_ERR_IO;
    if (fputs(step->content, file) < 0) {
        fclose(file);
        return PLYFS_ERR_IO;
    }
    return fclose(file) == 0 ? PLYFS_OK : PLYFS_ERR_IO;
}

/* Runs a step in a container upon a layer and keeps what it did under its key. */
static int32_t run_step(const plyfs_store *store, const plyfs_layer *below, const struct step *step, plyfs_error **err)
{
    plyfs_container_options create = PLYFS_CONTAINER_OPTIONS_INIT;
    plyfs_commit_options commit = PLYFS_COMMIT_OPTIONS_INIT;
    plyfs_container *container = NULL;
    plyfs_mount *mount = NULL;
    plyfs_image *image = NULL;
    int32_t status;

    create.layer = below;
    commit.message = step->instruction;
    commit.cache_key = (const uint8_t *)step->instruction;
    commit.cache_key_length = strlen(step->instruction);
    status = plyfs_store_create_with(store, NULL, &create, &container, err);
    if (status != PLYFS_OK)
        return status;
    status = plyfs_container_mount(container, NULL, &mount, err);
    if (status == PLYFS_OK)
        status = put(plyfs_mount_path(mount), step);
    if (status == PLYFS_OK) {
        status = plyfs_mount_unmount(mount, err);
        mount = NULL;
    }
    plyfs_mount_free(mount);
    if (status == PLYFS_OK)
        status = plyfs_container_commit(container, &commit, NULL, NULL, &image, err);
    /* The container goes whatever happened; the first error is the one to tell. */
    plyfs_container_remove(container, PLYFS_REMOVE_FORCE, NULL);
    plyfs_image_free(image);
    plyfs_container_free(container);
    return status;
}

/* Finds the layer a step makes of the one below, or makes it; says which. The layer belongs to the caller. */
static int32_t layer_of(const plyfs_store *store, const plyfs_layer *below, const struct step *step,
                        plyfs_layer **layer, bool *reused, plyfs_error **err)
{
    const uint8_t *key = (const uint8_t *)step->instruction;
    size_t length = strlen(step->instruction);
    int32_t status = plyfs_store_cached(store, below, key, length, layer, err);

    *reused = status == PLYFS_OK && *layer != NULL;
    if (status != PLYFS_OK || *reused)
        return status;
    status = run_step(store, below, step, err);
    return status == PLYFS_OK ? plyfs_store_cached(store, below, key, length, layer, err) : status;
}

/* Builds the dependencies upon the base, and the application upon them. */
static int32_t build(const plyfs_store *store, const plyfs_layer *base, int number, const struct step *application,
                     plyfs_error **err)
{
    const struct step dependencies = {"COPY dependencies sha256:1", "dependencies", "a library\n"};
    plyfs_layer *below = NULL, *top = NULL;
    bool below_reused = false, top_reused = false;
    int32_t status = layer_of(store, base, &dependencies, &below, &below_reused, err);

    if (status == PLYFS_OK)
        status = layer_of(store, below, application, &top, &top_reused, err);
    if (status == PLYFS_OK)
        printf("build %d: dependencies %s, application %s\n", number, below_reused ? "reused" : "made",
               top_reused ? "reused" : "made");
    plyfs_layer_free(top);
    plyfs_layer_free(below);
    return status;
}

static int32_t builds(const plyfs_store *store, const plyfs_layer *base, plyfs_error **err)
{
    const struct step first = {"COPY application sha256:2", "application", "port=80\n"};
    const struct step changed = {"COPY application sha256:3", "application", "port=81\n"};
    int32_t status = build(store, base, 1, &first, err);

    return status == PLYFS_OK ? build(store, base, 2, &changed, err) : status;
}

/* Says what a prune of all would take, and why it leaves the rest. */
static int32_t forecast(const plyfs_store *store, plyfs_error **err)
{
    plyfs_prune_options options = PLYFS_PRUNE_OPTIONS_INIT;
    plyfs_pruned pruned = PLYFS_PRUNED_INIT;
    plyfs_subjects *held = NULL;
    int32_t status;

    options.flags = PLYFS_PRUNE_ALL | PLYFS_PRUNE_DRY_RUN;
    status = plyfs_store_prune_with(store, &options, &pruned, NULL, &held, err);
    if (status != PLYFS_OK)
        return status;
    printf("a prune would take %llu images\n", (unsigned long long)pruned.images);
    for (size_t i = 0; i < plyfs_subjects_count(held); i++)
        printf("%.12s %s\n", plyfs_subjects_id(held, i), plyfs_subjects_reason(held, i));
    plyfs_subjects_free(held);
    return PLYFS_OK;
}

static int32_t run(const plyfs_store *store, const char *archive, plyfs_error **err)
{
    plyfs_load_options options = PLYFS_LOAD_OPTIONS_INIT;
    plyfs_lease *lease = NULL;
    plyfs_store *kept = NULL;
    plyfs_images *images = NULL;
    plyfs_layers *layers = NULL;
    int32_t status = plyfs_store_lease(store, 3600, 0, &lease, err);

    options.flags = PLYFS_LOAD_KEEP_BLOBS;
    if (status == PLYFS_OK)
        status = plyfs_lease_store(lease, &kept, err);
    if (status == PLYFS_OK)
        status = plyfs_store_load_path_with(kept, archive, &options, NULL, NULL, &images, err);
    if (status == PLYFS_OK)
        status = plyfs_image_layers(plyfs_images_get(images, 0), &layers, err);
    if (status == PLYFS_OK)
        status = builds(kept, plyfs_layers_get(layers, 0), err);
    if (status == PLYFS_OK)
        status = forecast(store, err);
    if (status == PLYFS_OK) {
        status = plyfs_lease_release(lease, err);
        lease = NULL;
    }
    plyfs_layers_free(layers);
    plyfs_images_free(images);
    plyfs_store_free(kept);
    plyfs_lease_free(lease);
    return status;
}

int main(int argc, char **argv)
{
    plyfs_store *store = NULL;
    plyfs_error *err = NULL;
    int32_t status;

    if (argc != 3) {
        fprintf(stderr, "usage: %s STORE ARCHIVE\n", argv[0]);
        return 2;
    }
    status = plyfs_store_ensure(argv[1], &store, &err);
    if (status == PLYFS_OK)
        status = run(store, argv[2], &err);
    if (err != NULL)
        fprintf(stderr, "%s: %s\n", argv[0], plyfs_error_message(err));
    else if (status != PLYFS_OK)
        fprintf(stderr, "%s: %s\n", argv[0], plyfs_status_name(status));
    plyfs_error_free(err);
    plyfs_store_free(store);
    return status;
}
