"""Are the zips fit to be shipped? Size, processor and the oldest glibc they run on.

    python3 story/artifacts.py ZIPS [arm64|x86_64]

Needs readelf (binutils), which reads any processor's programs.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MAX_ZIP_BYTES = 6 * 1024 * 1024
# Amazon Linux 2023, which provided.al2023 is.
MAX_GLIBC = (2, 34)
# `e_machine` of ELF files.
ARCHES = {62: "x86_64", 183: "arm64"}


def arch(program: Path) -> str:
    """The processor that the program is for."""
    machine = int.from_bytes(program.read_bytes()[18:20], "little")
    return ARCHES.get(machine, f"machine {machine}")


def glibc_floor(program: Path) -> tuple[int, ...]:
    """The newest version of glibc that the program asks for."""
    printed = subprocess.run(["readelf", "-V", "-W", program], check=True, capture_output=True, text=True).stdout
    return max((tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", printed)), default=(0,))


def main(folder: Path, wanted: str | None) -> bool:
    fit = True
    for binary in ("merge", "index", "render"):
        zipped = folder / binary / "bootstrap.zip"
        with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(zipped) as archive:
            program = Path(archive.extract("bootstrap", place))
            size, floor, whole = zipped.stat().st_size, glibc_floor(program), program.stat().st_size
            found = arch(program)
        good = size <= MAX_ZIP_BYTES and floor <= MAX_GLIBC and wanted in (None, found)
        fit = fit and good
        glibc = ".".join(map(str, floor))
        print(f"{'ok' if good else 'UNFIT'}: {binary}: {found}, zip {size:,} bytes, program {whole:,}, glibc {glibc}")
    return fit


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1]), *sys.argv[2:] or [None]) else 1)
