"""Are the zips fit to be shipped? Size and the oldest glibc they run on.

    python3 story/artifacts.py ZIPS

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


def glibc_floor(program: Path) -> tuple[int, ...]:
    """The newest version of glibc that the program asks for."""
    printed = subprocess.run(["readelf", "-V", "-W", program], check=True, capture_output=True, text=True).stdout
    return max((tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", printed)), default=(0,))


def main(folder: Path) -> bool:
    fit = True
    for binary in ("merge", "index", "render"):
        zipped = folder / binary / "bootstrap.zip"
        with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(zipped) as archive:
            program = Path(archive.extract("bootstrap", place))
            size, floor, whole = zipped.stat().st_size, glibc_floor(program), program.stat().st_size
        good = size <= MAX_ZIP_BYTES and floor <= MAX_GLIBC
        fit = fit and good
        glibc = ".".join(map(str, floor))
        print(f"{'ok' if good else 'TOO MUCH'}: {binary}: zip {size:,} bytes, program {whole:,}, glibc {glibc}")
    return fit


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
