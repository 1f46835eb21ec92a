"""What goes into an image: this machine's Python, named distributions, a shell, a few tools, and their libraries.

Nothing is taken over wholesale: each file is there because something here names it.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.metadata
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from attestations.errors import SandboxUnavailable

SCAFFOLD = ("openai",)
"""What programs that talk to a model expect to find."""

_VERSION = "2"  # part of the key: raise it when images come out otherwise
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY = f"usr/local/lib/{_PYTHON}"
_SITE = f"{_LIBRARY}/site-packages"
_LEFT_OUT = (
    *("site-packages", "__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("_ctypes_test*", "_test*", "_tkinter*", "xxlimited*", "_xx*", "config-*", "*.a", "*.exe"),
)
_TOOLS = (
    *("awk", "base64", "basename", "cat", "chmod", "cmp", "cp", "cut", "date", "dd", "diff", "dirname", "du", "echo"),
    *("env", "expr", "false", "find", "grep", "gzip", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "nproc", "od"),
    *("printf", "pwd", "readlink", "realpath", "rm", "rmdir", "sed", "seq", "sha256sum", "sleep", "sort", "stat"),
    *("tail", "tar", "tee", "timeout", "touch", "tr", "true", "uname", "uniq", "wc", "which", "xargs", "yes"),
)
_GLIBC_PARTS = ("libpthread.so.0", "librt.so.1", "libdl.so.2", "libutil.so.1", "libm.so.6", "libresolv.so.2")
_ETC = {
    "passwd": "root:x:0:0::/:/bin/false\nbox:x:1000:1000::/box:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "group": "root:x:0:\nbox:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
    "os-release": 'ID=safeconduct\nNAME="Safeconduct sandbox"\nVERSION="1"\n',
}


@dataclass(frozen=True)
class Contents:
    """Inputs of an image: distributions by name with their files, and programs by their place in the image."""

    distributions: tuple[tuple[str, importlib.metadata.Distribution], ...]
    programs: tuple[tuple[str, Path], ...]

    def key(self) -> str:
        """Name these inputs, so that what was built from them is found again."""
        parts = [_VERSION, sys.version, sysconfig.get_platform(), *_sources_inside()]
        parts += [f"{name}=={found.version}:{found.read_text('RECORD')}" for name, found in self.distributions]
        parts += [f"{place}:{_stamp(path)}" for place, path in self.programs]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def contents_of(distributions: tuple[str, ...]) -> Contents:
    """Find what an image with these distributions holds.

    Raises:
        SandboxUnavailable: one is not installed here.
    """
    programs: dict[str, Path] = {}
    busybox = shutil.which("busybox")
    for tool in ("sh", "bash", *_TOOLS):
        found = shutil.which(tool) or busybox
        if found is not None:
            programs[f"usr/bin/{tool}"] = Path(found).resolve()
    return Contents(tuple(sorted(_with_needs(distributions).items())), tuple(programs.items()))


def lay(contents: Contents, root: Path) -> None:
    """Write the image into the new folder `root`, everything but the empty folders for mounts."""
    for folder in ("usr/bin", "usr/local/bin", _SITE, "etc", "lib64", "var"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, target in (("bin", "usr/bin"), ("lib", "usr/lib"), ("sbin", "usr/bin"), ("var/tmp", "../tmp")):
        (root / name).symlink_to(target)
    for name, text in _ETC.items():
        (root / "etc" / name).write_text(text)
    taken = _lay_python(root)
    for place, path in contents.programs:
        shutil.copyfile(path, root / place)
        (root / place).chmod(0o755)
        taken.append(path)
    for _, found in contents.distributions:
        taken += _lay_distribution(found, root)
    _lay_libraries(taken, root)
    # Compiled here, since nothing can be written later; by content, since times are not part of an image.
    by_content = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(root / _LIBRARY, quiet=2, invalidation_mode=by_content, stripdir=str(root))


def _lay_python(root: Path) -> list[Path]:
    binary = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    standard = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    place = root / "usr/local/bin" / _PYTHON
    shutil.copyfile(binary, place)
    place.chmod(0o755)
    for name in ("python3", "python"):
        (place.parent / name).symlink_to(_PYTHON)
    shutil.copytree(
        standard, root / _LIBRARY, ignore=shutil.ignore_patterns(*_LEFT_OUT), dirs_exist_ok=True, copy_function=_copy
    )
    inside = Path(__file__).parent / "inside"
    shutil.copytree(
        inside,
        root / _LIBRARY / "safeconduct_inside",
        ignore=shutil.ignore_patterns("__pycache__"),
        copy_function=_copy,
    )
    return [binary, *sorted((standard / "lib-dynload").glob("*.so"))]


def _lay_distribution(found: importlib.metadata.Distribution, root: Path) -> list[Path]:
    libraries = []
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        if file.parts[0] in ("..", "/") or file.suffix == ".pyc" or not source.is_file():
            continue  # commands outside site-packages, and what is compiled anew
        target = root / _SITE / file
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(str(source), str(target))
        if ".so" in source.name:
            libraries.append(source)
    return libraries


def _lay_libraries(programs: list[Path], root: Path) -> None:
    """Copy the shared libraries that `programs` need into the folder where the loader looks first."""
    needed = _needed(programs)
    home = next((path.parent for path in needed if path.name == "libc.so.6"), None)
    if home is None:
        return  # everything is linked statically
    for name in _GLIBC_PARTS:  # older extension modules name the parts that the C library has swallowed since
        if (home / name).exists():
            needed.add(home / name)
    libraries = root / "usr" / "lib" / home.name if home.name != "lib64" else root / "lib64"
    libraries.mkdir(parents=True, exist_ok=True)
    for path in needed:
        loader = path.name.startswith("ld-")
        place = root / str(path).lstrip("/") if loader else libraries / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            _copy(str(path), str(place))
            place.chmod(0o755)


def _needed(programs: list[Path]) -> set[Path]:
    ldd = shutil.which("ldd")
    if ldd is None:
        raise SandboxUnavailable("ldd is not installed: the image's libraries cannot be found", missing="ldd")
    # Only on our own interpreter, tools and installed distributions: ldd may run what it looks at.
    said = subprocess.run(  # noqa: S603
        [ldd, *map(str, programs)], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    found = set()
    for line in said.stdout.splitlines():
        words = line.split()
        place = words[2] if len(words) > 2 and words[1] == "=>" else words[0] if words else ""  # noqa: PLR2004
        if place.startswith("/") and not place.endswith(":") and "site-packages" not in place:
            found.add(Path(place))
    return found


def _with_needs(names: tuple[str, ...]) -> dict[str, importlib.metadata.Distribution]:
    from packaging.requirements import Requirement  # noqa: PLC0415 - only whoever names distributions needs it

    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        wanted = Requirement(waiting.pop())
        name = wanted.name.lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            raise SandboxUnavailable(f"{name} is not installed here", missing="distribution", name=name) from None
        for text in found[name].requires or ():
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(str(need.name))
    return found


def _sources_inside() -> list[str]:
    inside = Path(__file__).parent / "inside"
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(inside.glob("*.py"))]


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{path}:{found.st_size}:{found.st_mtime_ns}"


def _copy(source: str, target: str) -> str:
    shutil.copyfile(source, target)
    if os.access(source, os.X_OK):
        Path(target).chmod(0o755)
    return target
