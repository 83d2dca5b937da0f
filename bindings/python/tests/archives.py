"""Small images, written byte by byte as `docker save` writes them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

Tree = Mapping[str, bytes | None]
"""Contents by path; None is a directory. Paths that are not UTF-8 carry surrogates."""

BASE: Tree = {
    "app": None,
    "app/config.properties": b"port=80\n",
    "app/old": b"old\n",
    "etc": None,
    "etc/caf\udce9": b"latin1\n",
    "etc/motd": b"hello\n",
}
UPPER: Tree = {"app": None, "app/.wh.old": b"", "app/new": b"new\n"}


def tar(tree: Tree) -> bytes:
    """A plain archive of a tree."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        for name, content in tree.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_700_000_000
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def image(
    layers: Sequence[Tree] = (BASE, UPPER), name: str = "svc:1", *, comment: str = "", architecture: str = "amd64"
) -> bytes:
    """A docker-archive with one image."""
    archives = [tar(layer) for layer in layers]
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2024-05-01T10:20:30.123456789Z",
            "comment": comment,
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(a).hexdigest()}" for a in archives]},
        }
    ).encode()
    id = hashlib.sha256(config).hexdigest()
    members = {f"{n}/layer.tar": archive for n, archive in enumerate(archives)}
    manifest = [{"Config": f"{id}.json", "RepoTags": [name], "Layers": list(members)}]
    members |= {f"{id}.json": config, "manifest.json": json.dumps(manifest).encode()}
    return tar(members)


def write(path: Path, data: bytes) -> Path:
    """Writes `data` and gives the path."""
    path.write_bytes(data)
    return path
