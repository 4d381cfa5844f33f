"""Check what git tracks: no file over 16 MiB, less than 48 MiB in all, no path of one machine."""

import re
import subprocess
import sys
from pathlib import Path

MAX_FILE_BYTES, MAX_TOTAL_BYTES = 16 * 2**20, 48 * 2**20
MACHINE_PATH = re.compile(rb"(?<![\w.])/(?:home|Users|root|work|tmp)/\w")
BINARY = {".safetensors", ".png", ".gif", ".mp4", ".zip"}


def problems(files: list[Path]) -> list[str]:
    """One line a finding."""
    sizes = {path: path.stat().st_size for path in files}
    found = [f"{p}: {n / 2**20:.1f} MiB, at most 16 wanted" for p, n in sizes.items() if n > MAX_FILE_BYTES]
    if sum(sizes.values()) >= MAX_TOTAL_BYTES:
        found.append(f"tracked files take {sum(sizes.values()) / 2**20:.1f} MiB, under 48 wanted")
    for path in files:
        if path.suffix not in BINARY:
            for number, line in enumerate(path.read_bytes().splitlines(), 1):
                if MACHINE_PATH.search(line):
                    found.append(f"{path}:{number}: a path of one machine")
    return found


if __name__ == "__main__":
    names = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\0")
    found = problems([path for path in map(Path, filter(None, names)) if path.is_file() and path != Path(__file__)])
    print("\n".join(found) or "hygiene: clean", file=sys.stderr if found else sys.stdout)
    sys.exit(bool(found))
