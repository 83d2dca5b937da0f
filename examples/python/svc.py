"""Loads an image, changes a file in a container of it, shows what changed, keeps it as a new image.

Run it as root: ``python svc.py STORE ARCHIVE OUT``. The archive must hold an image with ``/app/config.properties``.
"""

import sys

import plyfs


def main(path: str, archive: str, out: str) -> None:
    store = plyfs.Store(path)
    image, *_ = store.load(archive)
    print("loaded", image.names[0])
    container = store.create(image, name="web-1")
    with container.mount() as root:
        (root / "app/config.properties").write_text("port=81\n")
    for change in container.changes():
        print(change)
    container.commit("svc:2", message="new port").save(out, format="oci-archive")
    print("saved svc:2 to", out)
    container.remove()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} STORE ARCHIVE OUT")
    try:
        main(*sys.argv[1:])
    except plyfs.Error as error:
        sys.exit(f"{sys.argv[0]}: {error}")
