"""-bios, -drive if=pflash, -M pflash0 and -fw_cfg: what is understood, and the one line that says what is wrong."""

from pathlib import Path

import pytest

from xemu.cli import run, settings
from xemu.cli.options import parse
from xemu.errors import UserError


def build(*argv: str) -> settings.Settings:
    return settings.build(parse(argv))


def test_drives_in_flashes() -> None:
    found = build("-drive", "if=pflash,format=raw,file=code,readonly=on", "-drive", "if=pflash,format=raw,file=vars")
    assert found.flash == ("pflash0", "pflash1") and found.kernel is None
    assert [(disk.path, disk.unit, disk.readonly) for disk in found.disks] == [("code", 0, True), ("vars", 1, False)]
    assert not found.devices


def test_units_may_be_named() -> None:
    found = build("-bios", "fw", "-drive", "if=pflash,unit=1,id=v,file=vars", "-kernel", "k", "-append", "x")
    assert found.flash == (None, "v") and (found.bios, found.kernel) == ("fw", "k")
    found = build("-drive", "if=pflash,index=1,file=vars", "-drive", "if=pflash,file=code")
    assert [(disk.path, disk.unit) for disk in found.disks] == [("vars", 1), ("code", 0)]


def test_block_devices_in_flashes() -> None:
    nodes = ("-blockdev", "file,node-name=c,filename=code", "-drive", "if=none,id=v,file=vars")
    assert build(*nodes, "-M", "virt,pflash0=c,pflash1=v").flash == ("c", "v")


ERRORS = [
    ("-drive if=pflash,file=a -drive if=pflash,file=b -drive if=pflash,file=c", "the board has 2 of if=pflash"),
    ("-drive if=pflash,unit=2,file=a", "unit=2 is out of range; it must be 0 to 1"),
    ("-drive if=pflash,unit=0,file=a -drive if=pflash,unit=0,file=b", "the id 'pflash0' is taken already"),
    ("-drive if=pflash,unit=0,file=a,id=a -drive if=pflash,unit=0,file=b,id=b", "flash 0 has an image already"),
    ("-drive if=pflash,file=a -bios b", "-bios b: the first flash has an image already, 'pflash0'"),
    ("-drive if=pflash,unit=1,file=a", "no kernel to start"),
    ("-M virt,pflash0=x", "-M pflash0=x: there is no node 'x'"),
    ("-blockdev file,node-name=n,filename=x -M virt,pflash0=n,pflash1=n", "-M pflash1=n: 'n' is in use already"),
    (
        "-blockdev file,node-name=n,filename=x -device virtio-blk-device,drive=n -M virt,pflash0=n",
        "-M pflash0=n: 'n' is in use already",
    ),
    ("-drive if=pflash,file=a,id=p -device virtio-blk-device,drive=p k", "'p' is in a flash already (if=pflash)"),
    ("-drive if=pflash,file=a -blockdev file,node-name=n,filename=x -M virt,pflash0=n", "flash 0 has an image already"),
    ("-bios f -fw_cfg opt/x", "write name=opt/NAME and either file=FILE or string=TEXT"),
    ("-bios f -fw_cfg opt/x,file=a,string=b", "either file=FILE or string=TEXT"),
    ("-bios f -fw_cfg file=a", "write name=opt/NAME"),
    ("-bios f -fw_cfg name=opt/" + "n" * 52 + ",string=x", "a name is up to 55 printable ASCII characters"),
    ("-bios f -fw_cfg opt/x,string=a -fw_cfg opt/x,string=b", "there is a file 'opt/x' already"),
    ("-bios f -fw_cfg opt/x,strin=a", "did you mean 'string'?"),
    ("-bios f " + " ".join(f"-fw_cfg opt/{k},string=a" for k in range(33)), "33 files are too many"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "text"), ERRORS)
def test_errors(line: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        build(*line.split())
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_files_of_fw_cfg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, firmware = tmp_path / "file", tmp_path / "firmware"
    file.write_bytes(b"a\0b")
    firmware.write_bytes(b"\x1f\x20\x03\xd5" * 64)
    options = ("-fw_cfg", f"opt/file,file={file}", "-fw_cfg", "name=text,string=a,,b")
    images = run._load_images(build("-bios", str(firmware), *options))
    assert images.fw_cfg == [("opt/file", b"a\0b"), ("text", b"a,b")]
    assert capsys.readouterr().err == (
        "xemu: warning: -fw_cfg name=text,string=a,,b: a name of one's own should begin with 'opt/'\n"
    )
    with pytest.raises(UserError, match="No such file"):
        run._load_images(build("-bios", str(firmware), "-fw_cfg", "opt/x,file=/nowhere"))


def test_firmware_gets_the_kernels_file_as_it_is(tmp_path: Path) -> None:
    """What is no kernel for us may be one for firmware: an EFI program."""
    program, firmware = tmp_path / "shell.efi", tmp_path / "firmware"
    program.write_bytes(b"MZ" + bytes(100))
    firmware.write_bytes(b"\x1f\x20\x03\xd5" * 64)
    images = run._load_images(build("-bios", str(firmware), "-kernel", str(program)))
    assert images.kernel is None and images.kernel_file == program.read_bytes()
