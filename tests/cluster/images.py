"""Container images without a registry: docker archives that Python writes from the machine's busybox.

The application image is a dynamic busybox with its libraries, one link per applet and a small web root; the
static one cannot look up names. The pause image is the same layer with another command, so the node stores
it once. Both are written to the cache; a node imports them, and gets further tags of the first one as tests
ask for them.
"""

import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .errors import ClusterError
from .paths import cache_dir, locked

APP = "kubeagent.test/busybox:1"
PAUSE = "kubeagent.test/pause:1"
FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var", "var/www")
TEXTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "var/www/index.html": "ok\n",
}


@dataclass(frozen=True)
class Image:
    """One image of an archive: its tag and its default command."""

    tag: str
    command: tuple[str, ...]


IMAGES = (Image(APP, ("sh",)), Image(PAUSE, ("sleep", "2147483647")))


def ensure() -> Path:
    """The archive with both images, which is written first if it is not in the cache."""
    busybox = Path(packages.find_program("busybox") or "busybox")
    recipe = Path(__file__).read_bytes() + busybox.read_bytes()
    archive = cache_dir() / "images" / f"{hashlib.sha256(recipe).hexdigest()[:12]}.tar"
    with locked(archive.parent / "images.lock", waiting="another process is writing the images; waiting for it"):
        if not archive.exists():
            unfinished = archive.with_suffix(f".{os.getpid()}")
            _write_archive(unfinished, _layer(busybox), IMAGES)
            unfinished.rename(archive)
    return archive


def _write_archive(path: Path, layer: bytes, images: tuple[Image, ...]) -> None:
    digest = hashlib.sha256(layer).hexdigest()
    manifest = []
    with tarfile.open(path, "w") as archive:
        _add_file(archive, f"{digest}.tar", layer)
        for image in images:
            config = _config(image, digest)
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_file(archive, name, config)
            manifest.append({"Config": name, "RepoTags": [image.tag], "Layers": [f"{digest}.tar"]})
        _add_file(archive, "manifest.json", json.dumps(manifest).encode())


def _config(image: Image, digest: str) -> bytes:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": image.command, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tests/cluster/images.py"}],
    }
    return json.dumps(config).encode()


def _layer(busybox: Path) -> bytes:
    with tempfile.TemporaryDirectory() as unpacked:
        if not _libraries(busybox):
            busybox = _download_dynamic(Path(unpacked))
        return _pack(busybox, _libraries(busybox))


def _pack(busybox: Path, libraries: list[Path]) -> bytes:
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        folders = {str(parent).lstrip("/") for library in libraries for parent in library.parents}
        for folder in sorted(folders.union(FOLDERS) - {""}):
            _add_entry(layer, folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755)
        _add_file(layer, "bin/busybox", busybox.read_bytes(), 0o755)
        for library in libraries:
            _add_file(layer, str(library).lstrip("/"), library.read_bytes(), 0o755)
        for name, text in TEXTS.items():
            _add_file(layer, name, text.encode())
        for applet in applets:
            if applet != "busybox":
                _add_entry(layer, f"bin/{applet}", tarfile.SYMTYPE, 0o777, "busybox")
    return buffer.getvalue()


def _libraries(binary: Path) -> list[Path]:
    """The shared libraries of a binary; none if it is a static one."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True)
    if done.returncode:
        return []
    return [Path(word) for word in done.stdout.split() if word.startswith("/")]


def _download_dynamic(folder: Path) -> Path:
    """Debian's dynamic busybox, unpacked beside the machine's static one rather than instead of it."""
    for command in (["apt-get", "-q", "download", "busybox"], ["sh", "-c", "dpkg -x busybox_*.deb ."]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise ClusterError(
                f"the test images need the Debian package busybox (not busybox-static): {done.stderr.strip()}"
            )
    return next(path for path in (folder / "bin/busybox", folder / "usr/bin/busybox") if path.exists())


def _add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _add_entry(archive: tarfile.TarFile, name: str, kind: bytes, mode: int, target: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, mode, target
    archive.addfile(entry)
