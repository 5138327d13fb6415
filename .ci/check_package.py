"""Whether the archives of a folder, `check_package.py FOLDER`, hold what the sources have, and nothing else."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Of the wheel, beside the package itself.
INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
COMMAND = ["[console_scripts]", "skal", "=", "skal.cli:main"]
# Of the source distribution: folders as a whole, and files.
FOLDERS = (".ci", "docs", "skal", "tests")
FILES = {"CITATION.cff", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "pyproject.toml", "setup.cfg"}
# Where tools leave what they make; git ignores it.
LEFTOVERS = {"__pycache__", "_build", "auto_examples", "generated", "sg_execution_times.rst"}


def sources(folder: str, root: Path = ROOT) -> set[str]:
    """The files below a folder of the sources, relative to `root`."""
    files = (path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in files if not LEFTOVERS.intersection(path.parts)}


def faults(found: set[str], expected: set[str]) -> list[str]:
    """What an archive lacks, and what it has too many of."""
    missing, foreign = sorted(expected - found), sorted(found - expected)
    return [f"lacks {name}" for name in missing] + [f"should not hold {name}" for name in foreign]


def wheel_faults(wheel: Path, root: Path = ROOT) -> list[str]:
    """Package, `py.typed` among it, metadata with the licence, and the command; no test, no benchmark."""
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if not name.endswith("/")}
        wrong = faults(found, sources("skal", root) | {f"{info}/{name}" for name in INFO})
        commands = f"{info}/entry_points.txt"
        words = archive.read(commands).decode().split() if commands in found else COMMAND
        if words != COMMAND:
            wrong.append("should have the command skal, and no other")
    return wrong


def sdist_faults(sdist: Path, root: Path = ROOT) -> list[str]:
    """All that tests and documentation need; of the build only metadata."""
    top = sdist.name.removesuffix(".tar.gz") + "/"
    with tarfile.open(sdist) as archive:
        found = {member.name.removeprefix(top) for member in archive.getmembers() if member.isfile()}
    found = {name for name in found if not name.startswith("skal.egg-info/")}
    return faults(found, set().union(*(sources(folder, root) for folder in FOLDERS), FILES, {"PKG-INFO"}))


def main(dist: str) -> int:
    (wheel,), (sdist,) = (list(Path(dist).glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    wrong = [f"{wheel.name} {fault}" for fault in wheel_faults(wheel)]
    wrong += [f"{sdist.name} {fault}" for fault in sdist_faults(sdist)]
    sys.stdout.write("\n".join(wrong or [f"{wheel.name} and {sdist.name} hold what they should"]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
