"""Fetch records of an open PhysioNet database into the user's cache, each file checked by its SHA-256."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from trine.compilers.datasets import Progress
from trine.devices.errors import InputError

# Another mirror, or a folder served in a test: set TRINE_PHYSIONET_URL.
URL = "https://physionet.org/files"
SUMS = "SHA256SUMS.txt"
TIMEOUT_S = 20
CHUNK = 1 << 16


class Unreachable(Exception):
    """PhysioNet, or the mirror in its place, does not answer."""


def cache_folder() -> Path:
    """Where downloads are kept: TRINE_CACHE, else the user's cache folder of this system."""
    if own := os.environ.get("TRINE_CACHE"):
        return Path(own)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("trine"))


def cached(database: str, version: str, files: Iterable[str]) -> Path | None:
    """The cache folder of a database when every file asked for is there, else None."""
    folder = cache_folder() / "physionet" / database / version
    return folder if all((folder / name).is_file() for name in (SUMS, *files)) else None


def fetch(database: str, version: str, files: Iterable[str], progress: Progress) -> Path:
    """Download the files that the cache lacks and return its folder.

    Every file is streamed to a temporary name and renamed only when its SHA-256 equals the one in the
    database's own SHA256SUMS.txt. Raises Unreachable without an answer, InputError for a wrong checksum.
    """
    folder = cache_folder() / "physionet" / database / version
    folder.mkdir(parents=True, exist_ok=True)
    base = f"{os.environ.get('TRINE_PHYSIONET_URL', URL).rstrip('/')}/{database}/{version}"
    _download(f"{base}/{SUMS}", folder / SUMS, None)
    sums = read_sums(folder / SUMS)
    wanted = sorted(set(files))
    for number, name in enumerate(wanted):
        progress(f"{database} from PhysioNet", number, len(wanted))
        if name not in sums:
            raise InputError(f"{base}/{SUMS} does not list {name}: is this {database} {version}?")
        if not (folder / name).is_file() or checksum(folder / name) != sums[name]:
            _download(f"{base}/{name}", folder / name, sums[name])
    progress(f"{database} from PhysioNet", len(wanted), len(wanted))
    return folder


def verify(folder: Path, files: Iterable[str]) -> list[str]:
    """Names of the cached files that differ from the checksums stored beside them."""
    sums = read_sums(folder / SUMS)
    return [name for name in sorted(set(files)) if checksum(folder / name) != sums.get(name)]


def read_sums(path: Path) -> dict[str, str]:
    """File name to hexadecimal SHA-256."""
    pairs = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line.strip())
    return {pair[1].strip().lstrip("*"): pair[0] for pair in pairs if len(pair) == 2}


def checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(url: str, path: Path, expected: str | None) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, unfinished.open("wb") as stream:
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                stream.write(chunk)
        if expected is not None and digest.hexdigest() != expected:
            raise InputError(
                f"{url}: SHA-256 {digest.hexdigest()} is not {expected} of {SUMS}: "
                "the download was cut or altered; try again, or another TRINE_PHYSIONET_URL"
            )
        unfinished.replace(path)
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
        ValueError,
    ) as error:
        raise Unreachable(f"{url}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
