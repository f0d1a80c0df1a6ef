"""Install AWS's session-manager-plugin: download one version, verify its checksum, extract the binary.

Runs while the execution environment is built, with little else than Python. AWS publishes the plugin for Linux as .deb
and .rpm; a .deb is an `ar` archive with a tar archive in it, which Python can read.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import platform
import sys
import tarfile
import urllib.request
from pathlib import Path, PurePosixPath

VERSION = "1.2.835.0"
#: machine -> AWS's name of it, SHA-256 of the package.
PACKAGES = {
    "x86_64": ("ubuntu_64bit", "7c6dcad12518571cc7959a713e6a8ae1bdf6ed66fd9bee37dc189e39ca58ae03"),
    "aarch64": ("ubuntu_arm64", "0add94c4c8b6ca63f26e44fd655d662b0f6455a268b5b9ebebee0f462214e928"),
}
URL = "https://s3.amazonaws.com/session-manager-downloads/plugin/{version}/{folder}/session-manager-plugin.deb"
NAME = "session-manager-plugin"
TIMEOUT_SECONDS = 120


class Unusable(Exception):
    """The package cannot be used; one line says why."""


def main() -> int:
    """Install the plugin; the exit code is 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(description="Install AWS's session-manager-plugin.", allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="folder that gets the binary")
    folder = parser.parse_args().folder
    try:
        url, digest = package_of(platform.machine())
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            package = answer.read()
        install(package, digest, folder)
    except (Unusable, OSError, tarfile.TarError) as error:
        print(f"session-manager-plugin {VERSION} cannot be installed: {error}", file=sys.stderr)
        return 1
    print(f"{NAME} {VERSION} is in {folder}")
    return 0


def package_of(machine: str) -> tuple[str, str]:
    """URL and SHA-256 of the package for a machine."""
    if machine not in PACKAGES:
        raise Unusable(f"there is no package for {machine}, only for {', '.join(PACKAGES)}")
    folder, digest = PACKAGES[machine]
    return URL.format(version=VERSION, folder=folder), digest


def install(package: bytes, digest: str, folder: Path) -> None:
    """Write the binary of a .deb, whose SHA-256 must be ``digest`` (hexadecimal), to a folder."""
    found = hashlib.sha256(package).hexdigest()
    if found != digest:
        raise Unusable(f"the package has the checksum {found} and should have {digest}: nothing of it was used")
    data = next((body for name, body in members(package) if name.startswith("data.tar")), None)
    if data is None:
        raise Unusable("there is no data.tar in the package")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            path = PurePosixPath(entry.name)
            if entry.isfile() and path.name == NAME and path.parent.name == "bin":
                content = archive.extractfile(entry)
                assert content is not None  # it is a file
                (folder / NAME).write_bytes(content.read())
                (folder / NAME).chmod(0o755)
                return
    raise Unusable(f"there is no bin/{NAME} in the package")


def members(package: bytes) -> list[tuple[str, bytes]]:
    """The members of an `ar` archive, name and content."""
    if not package.startswith(b"!<arch>\n"):
        raise Unusable("the package is no ar archive")
    found, at = [], 8
    while at + 60 <= len(package):
        header = package[at : at + 60]
        size = int(header[48:58])
        found.append((header[:16].decode("ascii").strip().rstrip("/"), package[at + 60 : at + 60 + size]))
        at += 60 + size + size % 2
    return found


if __name__ == "__main__":
    sys.exit(main())
