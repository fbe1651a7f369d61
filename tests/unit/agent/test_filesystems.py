"""What lies on a device: the same from udev and from its own bytes, and nothing that any bytes can upset."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import block, filesystems, partition_tables, superblocks
from verdelta_agent.collectors.hardware.filesystems import decoded
from verdelta_agent.gather import collect
from verdelta_agent.model import FAILED, OK, check_rows
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
RECORDINGS = sorted(HOSTS.glob("*/hardware.filesystems*.json"))
SIZE = 16 << 20
MAGIC = {  # where it stands, and what: of every kind that is known
    "md 1.1": (0, b"\xfc\x4e\x2b\xa9\1\0\0\0"),
    "md 1.2": (4096, b"\xfc\x4e\x2b\xa9\1\0\0\0"),
    "LVM": (512, b"LABELONE\1\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001"),
    "LUKS": (0, b"LUKS\xba\xbe\0\2"),
    "FAT": (0, b"\xeb\x3c\x90mkfs.fat\0\2\4\1\0\2\0\2\0\x50\xf8\x14\0" + bytes(30) + b"FAT16   "),
    "FAT32": (0, b"\xeb\x3c\x90mkfs.fat\0\2\1\x20\0\2" + bytes(19) + b"\4\0\0\0" + bytes(42) + b"FAT32   "),
    "exFAT": (0, b"\xeb\x76\x90EXFAT   " + bytes(97) + b"\x09\x03"),
    "swap": (4086, b"SWAPSPACE2"),
    "swap of large pages": (65526, b"SWAPSPACE2"),
    "XFS": (0, b"XFSB\0\0\x10\0"),
    "ext": (1080, b"\x53\xef"),
    "ISO 9660": (32768, b"\1CD001\1"),
    "squashfs": (0, b"hsqs"),
    "btrfs": (65600, b"_BHRfS_M"),
    "GPT": (446, b"\0\0\0\0\xee" + bytes(59) + b"\x55\xaaEFI PART\0\0\1\0\x5c\0\0\0"),
    "MBR": (446, bytes(64) + b"\x55\xaa"),
}


def reader(*pieces: tuple[int, bytes], size: int = SIZE) -> superblocks.Read:
    """Return what reads a device that is zero but for the pieces."""
    contents = {"/dev/x": {str(at): data.hex() for at, data in pieces}}
    host = RecordedHost({"devices": contents})

    def read(offset: int, length: int) -> bytes:
        assert offset >= 0
        assert 0 <= length <= 16384
        return host.read_device("/dev/x", offset, max(0, min(length, size - offset)))

    return read


@settings(max_examples=400)
@given(st.sampled_from(sorted(MAGIC)), st.binary(max_size=1200), st.integers(0, 70000), st.booleans())
def test_any_bytes_behind_a_magic_number_are_understood_or_not(name: str, data: bytes, cut: int, whole: bool) -> None:
    offset, magic = MAGIC[name]
    size = SIZE if whole else cut
    read = reader((offset + len(magic), data), (offset, magic), size=size)
    content, table = superblocks.identify(read, size), partition_tables.identify(read, size)
    check_rows({"row": content._asdict() if content else {}})
    check_rows({"row": {"uuid": table.uuid, **{str(n): p.uuid for n, p in table.partitions.items()}} if table else {}})


@pytest.mark.parametrize("name", MAGIC)
@given(st.data())
@settings(max_examples=40)
def test_a_flipped_bit_changes_what_is_told_and_nothing_else(name: str, data: st.DataObject) -> None:
    offset, magic = MAGIC[name]
    block = bytearray(magic + bytes(1024))
    for _ in range(data.draw(st.integers(1, 4))):
        block[data.draw(st.integers(0, len(block) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    superblocks.identify(reader((offset, bytes(block))), SIZE)
    partition_tables.identify(reader((offset, bytes(block))), SIZE)


def test_a_blank_device_is_read_a_few_times_and_holds_nothing() -> None:
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return bytes(length)

    assert superblocks.identify(read, SIZE) is None
    assert partition_tables.identify(read, SIZE) is None
    assert len(reads) < 12
    assert sum(reads) < 16384


def test_a_member_of_an_array_hides_what_the_array_holds() -> None:
    member = b"\xfc\x4e\x2b\xa9\1\0\0\0" + bytes(136) + ((SIZE - 8192) // 512).to_bytes(8, "little")
    found = superblocks.identify(reader((SIZE - 8192, member), (1080, b"\x53\xef")), SIZE)
    assert found
    assert (found.type, found.version) == ("linux_raid_member", "1.0")


# -- the two ways to the same rows


def machine(**more: Any) -> dict[str, Any]:
    path = "/sys/devices/pci0000:00/0000:00:05.0/virtio1/block/vda"
    event = "MAJOR=252\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\nPARTN=1\n"
    files = {f"{path}/size": "32768", f"{path}/serial": "S", f"{path}/dev": "252:0"}
    files |= {f"{path}/vda1/size": "16384", f"{path}/vda1/partition": "1", f"{path}/vda1/uevent": event}
    links = {
        "/sys/class/block/vda": "../../devices" + path[12:],
        "/sys/class/block/vda1": f"../../devices{path[12:]}/vda1",
    }
    return {"files": files | more.get("udev", {}), "links": links, "devices": more.get("devices", {})}


EXT4 = (
    bytes(56) + b"\x53\xef" + bytes(18) + b"\1" + bytes(19) + b"\x40\0\0\0" + bytes(4) + bytes(range(16)) + b"my data"
)
MBR = (0x1BADCAFE).to_bytes(4, "little") + bytes(2) + b"\0\0\0\0\x83" + bytes(59) + b"\x55\xaa"
ON_THE_DEVICES = {"/dev/vda": {"440": MBR.hex()}, "/dev/vda1": {"1024": EXT4.hex()}}
IN_UDEV = {
    "/run/udev/data/b252:0": "I:1\nE:ID_PART_TABLE_TYPE=dos\nE:ID_PART_TABLE_UUID=1badcafe\nG:systemd\n",
    "/run/udev/data/b252:1": "S:disk/by-label/my\\x20data\nI:2\nE:ID_FS_TYPE=ext4\nE:ID_FS_VERSION=1.0\n"
    "E:ID_FS_UUID_ENC=00010203-0405-0607-0809-0a0b0c0d0e0f\nE:ID_FS_LABEL_ENC=my\\x20data\nE:ID_FS_USAGE=filesystem\n"
    "E:ID_PART_TABLE_TYPE=dos\nE:ID_PART_TABLE_UUID=1badcafe\nE:ID_PART_ENTRY_TYPE=0x83\nE:ID_PART_ENTRY_UUID=1badcafe-01\n",
}


def test_udev_and_the_device_itself_say_the_same() -> None:
    told = collect(RecordedHost(machine(udev=IN_UDEV)), filesystems.COLLECTOR)
    read = collect(RecordedHost(machine(devices=ON_THE_DEVICES)), filesystems.COLLECTOR)
    assert told == read
    assert read.rows == {
        "serial:S": {"table": "dos", "table_uuid": "1badcafe"},
        "serial:S part 1": {
            "type": "ext4",
            "version": "1.0",
            "uuid": "00010203-0405-0607-0809-0a0b0c0d0e0f",
            "label": "my data",
            "partuuid": "1badcafe-01",
            "parttype": "0x83",
        },
    }


def test_where_udev_has_looked_no_device_is_touched() -> None:
    empty = dict.fromkeys(IN_UDEV, "I:1\nE:ID_SERIAL=S\n")
    section = collect(RecordedHost(machine(udev=empty)), filesystems.COLLECTOR)  # it would fail: there is none
    assert (section.status, section.error, section.rows) == (OK, None, {})


def test_a_device_that_cannot_be_read_is_named_and_is_never_empty() -> None:
    part = dict(ON_THE_DEVICES, **{"/dev/vda1": {"error": "EIO"}})
    section = collect(RecordedHost(machine(devices=part)), filesystems.COLLECTOR)
    assert section.status == OK
    assert section.error == "partial: not read: serial:S part 1 (Input/output error)"
    none = {name: {"error": "EACCES"} for name in ON_THE_DEVICES}
    assert collect(RecordedHost(machine(devices=none)), filesystems.COLLECTOR).status == FAILED


class Hanging(RecordedHost):
    """A device that does not answer."""

    def read_device(self, path: str, offset: int, size: int) -> bytes:
        time.sleep(5)
        raise OSError


def test_a_hung_device_ends_with_the_deadline() -> None:
    collector = filesystems.COLLECTOR._replace(deadline=0.2)
    section = collect(Hanging(machine()), collector)
    assert (section.status, section.error) == (FAILED, "deadline: not read within 0.2 s")


def test_swap_whose_key_is_forgotten_is_the_same_after_each_start() -> None:
    def started(uuid: str) -> RecordedHost:
        path = "/sys/devices/virtual/block/dm-0"
        known = f"I:1\nE:ID_FS_TYPE=swap\nE:ID_FS_VERSION=1\nE:ID_FS_UUID_ENC={uuid}\n"
        files = {"dm/name": "cryptswap", "dm/uuid": "CRYPT-PLAIN-cryptswap", "size": "8", "dev": "253:0"}
        return RecordedHost(
            {
                "files": {f"{path}/{name}": text for name, text in files.items()} | {"/run/udev/data/b253:0": known},
                "links": {"/sys/class/block/dm-0": "../../devices/virtual/block/dm-0"},
                "directories": [path + "/slaves"],
            }
        )

    first, second = (collect(started(uuid), filesystems.COLLECTOR) for uuid in ("a", "b"))
    assert first.rows == second.rows == {"dm:cryptswap": {"type": "swap", "version": "1"}}
    assert first.volatile["dm:cryptswap"] == {"uuid": "a"}


def test_a_card_in_a_reader_and_compressed_memory_are_not_looked_at() -> None:
    reader_path = "/sys/devices/pci0/usb1/1-1/1-1:1.0/host7/target7:0:0/7:0:0:0/block/sdf"
    files = {f"{reader_path}/{name}": text for name, text in {"size": "8", "removable": "1"}.items()}
    files["/sys/devices/virtual/block/zram0/size"] = "8"
    links = {"sdf": "../../devices" + reader_path[12:], "zram0": "../../devices/virtual/block/zram0"}
    host = RecordedHost({"files": files, "links": {f"/sys/class/block/{name}": to for name, to in links.items()}})
    section = collect(host, filesystems.COLLECTOR)
    assert (section.status, section.error, section.rows) == (OK, None, {})


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("my\\x20data", "my data"),
        ("caf\u00e9", "caf\u00e9"),
        ("\\x5cx20", "\\x20"),
        ("\\xff", "\\xff"),
        ("\\xzz", "\\xzz"),
    ],
)
def test_what_udev_escapes_comes_back(text: str, plain: str) -> None:
    assert decoded(text) == plain


@given(st.binary(max_size=200))
def test_any_database_of_udev_is_read_or_refused(data: bytes) -> None:
    recording = machine(udev={name: {"hex": (text.encode() + data).hex()} for name, text in IN_UDEV.items()})
    assert collect(RecordedHost(recording), filesystems.COLLECTOR).status == OK


@pytest.mark.parametrize(
    "recording", sorted(HOSTS.glob("*/hardware.filesystems*.json")), ids=lambda path: path.parent.name
)
def test_every_key_is_one_of_the_disks(recording: Path) -> None:
    host = RecordedHost(json.loads(recording.read_text())["host"])
    assert collect(host, filesystems.COLLECTOR).rows.keys() <= collect(host, block.COLLECTOR).rows.keys()
