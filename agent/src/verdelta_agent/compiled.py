"""Put byte code for the Python at hand beside the sources in the one-file agent.

Python keeps no byte code for what it imports from a zip, and so compiles the agent anew for every audit, which is a
third of what an audit costs.  A zip may hold byte code, though (zipimport, PEP 552).  Another Python than the one that
made it finds a magic number that is not its own, and takes the source.
"""

import errno
import importlib.util
import marshal
import os
import zipfile
import zlib
from io import BytesIO

from .identity import flush

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
UNCHECKED = 1  # flag of PEP 552: the byte code counts as it is; archive and byte code are replaced together
LIMIT = 16 << 20  # bytes of an archive
AGENT = "verdelta_agent/cli.py"  # by which it is known

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, SyntaxError, ValueError)


def add_byte_code(path: str) -> None:
    """Replace the archive by one with byte code, as a whole or not at all.

    Raises OSError, also when it is no agent: of another archive, whatever is no source would be lost.
    """
    with open(path, "rb") as file:
        archive = file.read(LIMIT)
    try:
        compiled = with_byte_code(archive)
    except _DAMAGED as error:
        raise OSError(errno.EINVAL, "not the one-file agent: %s" % error, path) from error
    new = path + ".new"
    with open(new, "wb") as file:
        file.write(compiled)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(new, os.stat(path).st_mode & 0o7777)
    os.rename(new, path)
    flush(os.path.dirname(path) or ".")


def with_byte_code(archive: bytes) -> bytes:
    """Return the archive with byte code beside each source, instead of any that was there.

    Raises one of _DAMAGED for what is no agent, or no whole one.
    """
    with zipfile.ZipFile(BytesIO(archive)) as old:
        if AGENT not in old.namelist():
            raise ValueError("there is no %s in it" % AGENT)
        sources = [(entry.filename, old.read(entry)) for entry in old.infolist() if entry.filename.endswith(".py")]
        first = min(entry.header_offset for entry in old.infolist())
    buffer = BytesIO(archive[:first])  # what makes the file start by itself
    buffer.seek(0, os.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as new:
        for name, source in sources:
            new.writestr(zipfile.ZipInfo(name, EPOCH), source)
            new.writestr(zipfile.ZipInfo(name + "c", EPOCH), _byte_code(name, source))
    return buffer.getvalue()


def _byte_code(name: str, source: bytes) -> bytes:
    """Return what a .pyc file of this Python holds (PEP 552; before 3.7 without flags, and with the source's time)."""
    code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
    if not hasattr(importlib.util, "source_hash"):
        import struct
        import time

        stamp = int(time.mktime(EPOCH + (0, 0, -1))) & 0xFFFFFFFF
        return importlib.util.MAGIC_NUMBER + struct.pack("<II", stamp, len(source) & 0xFFFFFFFF) + code
    flags = UNCHECKED.to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + code
