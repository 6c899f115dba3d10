"""Single files out of a Debian package, without unpacking the rest."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from xemu.errors import UserError


def read_members(package: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Name (without the leading ./) and contents of every regular file that `wanted` accepts."""
    found: dict[str, bytes] = {}
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacker:
        assert unpacker.stdout is not None
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isfile() and wanted(name):
                        file = archive.extractfile(member)
                        assert file is not None
                        found[name] = file.read()
        except tarfile.TarError as error:
            raise UserError(f"guests: {package} is damaged: {error}; delete it and fetch again") from None
        # What is left must be read, or dpkg-deb complains about its broken pipe.
        while unpacker.stdout.read(1 << 20):
            pass
    return found
