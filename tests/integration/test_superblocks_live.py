"""What lies on a device, against what blkid sees on the same bytes, and lsblk on a loop device."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from zlib import crc32

import pytest

from verdelta_agent.collectors.hardware import filesystems, partition_tables, superblocks
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
UUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
MIB = 1 << 20

# name -> MiB of the image, command ({image} and a directory with a file in it, {content}, are filled in)
MADE = {
    "ext2": (8, "mkfs.ext2 -q -L small {image}"),
    "ext3": (16, "mkfs.ext3 -q {image}"),
    "ext4": (16, "mkfs.ext4 -q -L data {image}"),
    "ext4 without a journal": (16, "mkfs.ext4 -q -O ^has_journal {image}"),
    "journal of ext4": (16, "mke2fs -q -O journal_dev {image}"),
    "xfs": (320, "mkfs.xfs -q -L scratch {image}"),
    "xfs of RHEL 7": (320, "mkfs.xfs -q -m crc=0 {image}"),
    "btrfs": (128, "mkfs.btrfs -q -L pool {image}"),
    "fat12": (2, "mkfs.vfat -F 12 -n TINY {image}"),
    "fat16": (32, "mkfs.vfat -F 16 {image}"),
    "fat32": (64, "mkfs.vfat -F 32 -n EFI {image}"),
    "exfat": (16, "mkfs.exfat -L Exchange {image}"),
    "swap": (8, "mkswap -q -L pages {image}"),
    "swap of large pages": (8, "mkswap -q --pagesize 65536 {image}"),
    "luks1": (8, "cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 {image} {content}/key"),
    "luks2": (
        32,
        "cryptsetup -q luksFormat --type luks2 --label vault --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "
        "{image} {content}/key",
    ),
    "squashfs": (0, "mksquashfs {content} {image} -quiet -no-progress"),
    "iso9660": (0, "genisoimage -quiet -V CDLABEL -o {image} {content}"),
    "iso9660 with Joliet": (0, "genisoimage -quiet -J -V 'My Disc' -o {image} {content}"),
    "gpt": (16, "sfdisk -q {image}"),
    "dos": (16, "sfdisk -q {image}"),
    "nothing": (1, "true"),
}
LAYOUTS = {
    "gpt": f"label: gpt\nlabel-id: {UUID}\nsize=2MiB, type=uefi, name=boot\nsize=3MiB\nstart=9MiB, size=1MiB, type=lvm",
    "dos": "label: dos\nlabel-id: 0x1badcafe\nsize=2MiB, bootable\nsize=2MiB, type=82\nsize=6MiB, type=5\n5: size=1MiB",
}


def told_by_blkid(image: Path, *options: str) -> dict[str, str]:
    """Return what blkid sees, by udev's names of the properties."""
    done = subprocess.run(
        ["blkid", "-p", "-o", "udev", *options, str(image)],
        capture_output=True, text=True, check=False, env={"PATH": PATH, "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr  # the latter: nothing is there
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def as_we_say_it(told: dict[str, str]) -> dict[str, str]:
    """Return the row that we make of udev's properties, where udev runs."""
    return filesystems._from_udev(told, filesystems._UDEV + filesystems._UDEV_TABLE, "loop") or {}


def read_by_us(image: Path) -> tuple[dict[str, str], partition_tables.Table | None]:
    with image.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        reads: list[int] = []

        def read(offset: int, length: int) -> bytes:
            reads.append(length)
            return os.pread(file.fileno(), length, offset)

        content = superblocks.identify(read, size)
        beside = content is None or content.type == "iso9660"
        table = partition_tables.identify(read, size) if beside else None
    assert sum(reads) <= 64 << 10
    seen = dict(content._asdict()) if content else {}
    seen.update({"table": table.kind, "table_uuid": table.uuid} if table else {})
    return {field: value for field, value in seen.items() if value}, table


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/key").write_text("not much of a secret")
    return tmp_path / "content"


def make(name: str, directory: Path, content: Path) -> Path:
    size, command = MADE[name]
    image = directory / "image"
    if shutil.which(command.split()[0], path=PATH) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    if size:
        with image.open("wb") as file:
            file.truncate(size * MIB)
    arguments = command.format(image=image, content=content)
    done = subprocess.run(
        ["sh", "-c", arguments],
        input=LAYOUTS.get(name, ""), capture_output=True, text=True, check=False, env={"PATH": PATH, "LC_ALL": "C"},
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"{command.split()[0]} cannot make {name} here: {done.stderr.strip()[:200]}")
    return image


@pytest.mark.parametrize("name", MADE)
def test_what_is_on_an_image_is_what_blkid_says(name: str, tmp_path: Path, content: Path) -> None:
    if shutil.which("blkid", path=PATH) is None:
        pytest.skip("blkid is not installed")
    image = make(name, tmp_path, content)
    seen, _ = read_by_us(image)
    assert seen == as_we_say_it(told_by_blkid(image))
    assert bool(seen) == (name != "nothing")


def member_of_an_array(version: str) -> tuple[int, bytes]:
    """Return where the superblock of a member of 8 MiB lies, and the superblock (uapi/linux/raid/md_p.h)."""
    offset = {"1.0": 8 * MIB - 8192, "1.1": 0, "1.2": 4096}[version]
    block = bytearray(256)
    block[0:8] = 0xA92B4EFC.to_bytes(4, "little") + (1).to_bytes(4, "little")
    block[16:32], block[168:184] = bytes(range(16)), bytes(range(16, 32))
    block[32:39] = b"any:pv0"
    block[144:152] = (offset // 512).to_bytes(8, "little")
    block[216:220] = _md_checksum(block).to_bytes(4, "little")
    return offset, bytes(block)


def _md_checksum(block: bytes) -> int:
    total = sum(int.from_bytes(block[at : at + 4], "little") for at in range(0, 256, 4))
    return (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF


def physical_volume() -> tuple[int, bytes]:
    """Return where the label of a physical volume lies, and the label (LVM2's lib/format_text/layout.h)."""
    sector = bytearray(512)
    sector[0:8], sector[8:16] = b"LABELONE", (1).to_bytes(8, "little")
    sector[20:24], sector[24:32] = (32).to_bytes(4, "little"), b"LVM2 001"
    sector[32:64] = b"8h3uYQ2mWfK1sJdT0pLzXcVbN4aR7eG9"
    sector[16:20] = (crc32(sector[20:], 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "little")
    return 512, bytes(sector)


MEMBERS = {version: member_of_an_array(version) for version in ("1.0", "1.1", "1.2")} | {"LVM2": physical_volume()}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_an_array_or_a_group_is_what_blkid_says(name: str, tmp_path: Path) -> None:
    if shutil.which("blkid", path=PATH) is None:
        pytest.skip("blkid is not installed")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 * MIB)
        os.pwrite(file.fileno(), MEMBERS[name][1], MEMBERS[name][0])
    seen, _ = read_by_us(image)
    assert seen == as_we_say_it(told_by_blkid(image))
    assert seen["type"] in ("linux_raid_member", "LVM2_member")


@pytest.mark.parametrize("kind", LAYOUTS)
def test_partitions_are_those_of_sfdisk(kind: str, tmp_path: Path, content: Path) -> None:
    image = make(kind, tmp_path, content)
    told = subprocess.run(
        ["sfdisk", "--json", str(image)], capture_output=True, text=True, check=True, env={"PATH": PATH}
    )
    theirs = json.loads(told.stdout)["partitiontable"]["partitions"]
    table = read_by_us(image)[1]
    assert table
    if kind == "gpt":
        assert [(one.uuid, one.type) for one in table.partitions.values()] == [
            (entry["uuid"].lower(), entry["type"].lower()) for entry in theirs
        ]
    else:  # sfdisk shows no UUIDs; those of an MBR follow from its identifier, as the kernel's do
        numbers = [int(entry["node"][len(str(image)) :].lstrip("p")) for entry in theirs]
        assert numbers == [1, 2, 3, 5]
        assert [table.partitions[number].uuid for number in numbers] == [f"1badcafe-{number:02x}" for number in numbers]
        assert [table.partitions[n].type for n in (1, 2, 3)] == [f"0x{entry['type']}" for entry in theirs[:3]]


def test_a_gpt_whose_beginning_is_lost_is_read_from_its_copy(tmp_path: Path, content: Path) -> None:
    image = make("gpt", tmp_path, content)
    before = read_by_us(image)
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(512), 512)
    assert read_by_us(image) == before
    assert before[0]["table_uuid"] == UUID


def loop_devices() -> dict[str, dict[str, str]]:
    done = subprocess.run(
        ["lsblk", "-J", "-l", "-o", "NAME,FSTYPE,UUID,LABEL,PTTYPE,PTUUID"],
        capture_output=True, text=True, check=True, env={"PATH": PATH, "LC_ALL": "C"},
    )  # fmt: skip
    return {entry["name"]: entry for entry in json.loads(done.stdout)["blockdevices"]}


@pytest.mark.parametrize("name", ["ext4", "luks2", "swap", "btrfs"])
def test_a_loop_device_holds_what_blkid_says(name: str, tmp_path: Path, content: Path) -> None:
    image = make(name, tmp_path, content)
    attached = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False, env={"PATH": PATH}
    )
    if attached.returncode:
        pytest.skip(f"there are no loop devices here: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    try:
        try:
            LocalHost().read_device(device, 0, 512)
        except OSError as error:
            pytest.skip(f"{device} cannot be read here: {error.strerror}")
        section = collect(LocalHost(), filesystems.COLLECTOR)
        seen = section.rows[f"loop:{image}"]
        assert seen == as_we_say_it(told_by_blkid(Path(device)))
        listed = loop_devices()[device.rpartition("/")[2]]
        # Without udev lsblk knows of nothing on any device.
        assert (listed["fstype"] or seen["type"], listed["uuid"] or seen["uuid"]) == (seen["type"], seen["uuid"])
        assert collect(LocalHost(), filesystems.COLLECTOR).rows[f"loop:{image}"] == seen
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, env={"PATH": PATH})
