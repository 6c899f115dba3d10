"""The command line: what is understood, and the one line that says what is wrong."""

import subprocess
import sys

import pytest

from xemu.cli import help, log, settings
from xemu.cli.keyval import parse_keyval, parse_size, split_commas
from xemu.cli.options import OPTIONS, parse
from xemu.errors import UserError


def build(*argv: str) -> settings.Settings:
    return settings.build(parse(argv))


def error(*argv: str) -> str:
    with pytest.raises(UserError) as caught:
        build(*argv)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_typical_command_line() -> None:
    found = build(
        *("-M", "virt,gic-version=2", "-cpu", "cortex-a72", "-m", "1G", "-smp", "cpus=4", "-kernel", "Image"),
        *("-initrd", "rd", "-append", "console=ttyAMA0 a=b,c", "-nographic", "-no-reboot"),
        *("-d", "int,mmu", "-D", "log"),
    )
    assert (found.machine, found.cpu, found.ram_size, found.cpus) == ("virt", "cortex-a72", 1 << 30, 4)
    assert (found.kernel, found.initrd, found.append) == ("Image", "rd", "console=ttyAMA0 a=b,c")
    assert found.no_reboot and found.log_items == {"int", "mmu"} and found.log_file == "log"
    assert found.accels == ()


def test_the_kernel_may_be_positional_and_options_may_have_two_dashes() -> None:
    assert build("Image", "--machine", "virt", "--m", "2G").kernel == "Image"


def test_serial_is_shared_with_the_escape_keys_unless_told_otherwise() -> None:
    for argv in (("k",), ("k", "-nographic")):
        serial = build(*argv).serial
        assert isinstance(serial, settings.ChardevSpec) and serial.kind == "stdio" and serial.mux
    assert build("k", "-nodefaults").serial is None
    assert build("k", "-serial", "none").serial is None
    assert build("k", "-chardev", "null,id=c", "-serial", "chardev:c").serial == "c"


def test_later_options_win_and_machine_properties_add_up() -> None:
    found = build("k", "-m", "64", "-m", "256", "-M", "virt,dumpdtb=a,,b", "-machine", "dtb-randomness=off")
    assert found.ram_size == 256 << 20
    assert found.dumpdtb == "a,b" and not found.randomness


def test_firmware_and_dumping_need_no_kernel() -> None:
    assert build("-bios", "fw").bios == "fw"
    assert build("-M", "virt,dumpdtb=x").kernel is None


def test_devices_and_harmless_options() -> None:
    found = build(
        *("k", "-display", "none", "-monitor", "none", "-vga", "none", "-nic", "none", "-name", "n", "-no-user-config"),
        *("-global", "virtio-mmio.force-legacy=false", "-rtc", "base=utc,clock=host", "-echr", "2"),
        *("-object", "rng-random,id=r,filename=/dev/urandom", "-device", "virtio-rng-device,rng=r"),
        *("-accel", "tcg,engine=reference,thread=multi", "-cpu", "max,pmu=off"),
    )
    assert [spec.kind for spec in found.devices] == ["virtio-rng-device"]
    assert found.accels[0].engine == "reference" and found.escape_key == 2


def test_the_code_cache() -> None:
    sizes = [build("k", "-accel", accel).accels[0].code_cache >> 20 for accel in ("tcg", "tcg,tb-size=0")]
    assert sizes == [256, 256]
    assert build("k", "-accel", "tcg,tb-size=8").accels[0].code_cache == 8 << 20
    both = build("k", "-M", "virt,accel=kvm", "-accel", "tcg,tb-size=4096")  # -accel counts; and as much as there is
    assert [spec.code_cache for spec in both.accels] == [1 << 30]


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ((), []),
        (("-accel", "kvm"), ["kvm"]),
        (("-enable-kvm",), ["kvm"]),
        (("-M", "virt,accel=kvm:tcg"), ["kvm", "tcg"]),
        (("-accel", "kvm:tcg,engine=reference"), ["kvm", "tcg"]),
        (("-accel", "tcg", "-accel", "kvm"), ["tcg", "kvm"]),
        (("-accel", "tcg", "-enable-kvm"), ["tcg"]),
    ],
)
def test_accelerators_in_the_order_to_try(argv: tuple[str, ...], names: list[str]) -> None:
    found = build("k", *argv).accels
    assert [spec.name for spec in found] == names
    assert all(spec.engine == ("reference" if "engine=reference" in " ".join(argv) else "baseline") for spec in found)


ERRORS = [
    ((), "no kernel to start"),
    (("-append", "x"), "-append: there is no kernel"),
    (("-initrd", "x"), "-initrd: there is no kernel"),
    (("-dtb", "x"), "-dtb: there is no kernel"),
    (("a", "b"), "'b': 'a' is the kernel already"),
    (("a", "-kernel", "b"), "'b': 'a' is the kernel already"),
    (("k", "-nograhpic"), "did you mean '-nographic'"),
    (("k", "--hda", "x"), "use -drive file=FILE,format=raw,if=virtio"),
    (("k", "-netdev", "x"), "does not have this option of QEMU's"),
    (("k", "-m"), "-m: needs an argument"),
    (("k", "-M", "vrit"), "did you mean 'virt'"),
    (("k", "-M", "virt,gic-verison=2"), "did you mean 'gic-version'"),
    (("k", "-M", "virt,gic-version=5"), "Invalid gic-version value. Valid values are 3, 2, host, max."),
    (("k", "-M", "virt,gic-version=host"), "gic-version=host requires KVM"),
    (("k", "-M", "virt,gic-version=4"), "gic-version=4 requires virtualization enabled"),
    (("k", "-M", "virt,gic-version=3,its=on"), "interrupt translation service"),
    (("k", "-smp", "9"), "up to 8 (gic-version=3: 123)"),
    (("k", "-M", "virt,gic-version=max", "-smp", "124"), "up to 123"),
    (("k", "-M", "virt,secure=on"), "use secure=off"),
    (("k", "-M", "virt,dumpdtb="), "dumpdtb= is empty"),
    (("k", "-M", "virt,,a"), "no such machine"),
    (("k", "-M", "virt,a=1,a=2"), "'a' is given twice"),
    (("k", "-M", ",x=y"), "an empty name"),
    (("k", "-cpu", "a57"), "did you mean 'cortex-a57'"),
    (("k", "-cpu", "hots"), "no such CPU"),
    (("k", "-cpu", "cortex-a57,pmu=on"), "only off"),
    (("k", "-m", "12"), "12 MiB is too little memory for 'virt'; it takes 64M to 8G"),
    (("k", "-m", "64T"), "64 TiB is too much"),
    (("k", "-m", "9" * 30), "too much"),
    (("k", "-m", "1x"), "is not a size"),
    (("k", "-m", "-1"), "is not a size"),
    (("k", "-m", "1G,slots=2"), "can't be plugged in"),
    (("k", "-smp", "0"), "out of range"),
    (("k", "-smp", "x"), "is not a number"),
    (("k", "-smp", "9"), "too many"),
    (("k", "-smp", "2,cores=4"), "make 4 CPUs, not 2"),
    (("k", "-smp", "2,maxcpus=4"), "maxcpus= must be 2"),
    (("k", "-accel", "kvm:tgc"), "did you mean 'tcg'"),
    (("k", "-accel", "kvm,engine=baseline"), "-accel kvm: no property 'engine'"),
    (("k", "-accel", "tgc"), "did you mean 'tcg'"),
    (("k", "-accel", "tcg,engine=fast"), "engine=fast is not supported"),
    (("k", "-accel", "tcg,tb-size=big"), "tb-size=big is not a number"),
    (("k", "-accel", "tcg,tb-size=-1"), "tb-size=-1 is out of range"),
    (("k", "-device", "virtio-rng-devcie"), "did you mean 'virtio-rng-device'"),
    (("k", "-device", "virtio-rng-device,rgn=x"), "did you mean 'rng'"),
    (("k", "-device", "virtio-rng-device,rng=x"), "add -object rng-random,id=x"),
    (("k", "-device", "virtconsole,chardev=c"), "add -chardev KIND,id=c"),
    (("k", "-chardev", "null,id=c", "-device", "virtconsole,chardev=c"), "-device virtio-serial-device before it"),
    (("k", "-chardev", "null"), "needs an id="),
    (("k", "-chardev", "nul,id=c"), "did you mean 'null'"),
    (("k", "-chardev", "file,id=c"), "needs path="),
    (("k", "-chardev", "file,id=c,pth=x"), "did you mean 'path'"),
    (("k", "-chardev", "socket,id=c"), "needs path=FILE, or port="),
    (("k", "-chardev", "socket,id=c,port=99999"), "out of range"),
    (("k", "-chardev", "socket,id=c,port=1,server=maybe"), "neither on nor off"),
    (("k", "-chardev", "null,id=c", "-chardev", "null,id=c"), "is taken already"),
    (("k", "-serial", "stdoi"), "did you mean 'stdio'"),
    (("k", "-serial", "tcp:99"), "needs a host and a port"),
    (("k", "-serial", "chardev:c"), "no character device with id 'c'"),
    (("k", "-serial", "null", "-serial", "stdio"), "one serial port"),
    (("k", "-d", "in_ams"), "did you mean 'in_asm'"),
    (("k", "-d", ""), "unknown item ''"),
    (("k", "-display", "gtk"), "use -display none"),
    (("k", "-monitor", "stdio"), "use -monitor none"),
    (("k", "-global", "x"), "write DEVICE.PROPERTY=VALUE"),
    (("k", "-global", "virtio-mmio.force-legcay=off"), "did you mean 'virtio-mmio.force-legacy'"),
    (("k", "-rtc", "base=noon"), "neither utc, localtime nor a date"),
    (("k", "-object", "rng-rnadom,id=r"), "did you mean 'rng-random'"),
    (("k", "-echr", "300"), "out of range"),
]


@pytest.mark.parametrize(("argv", "text"), ERRORS, ids=[" ".join(argv) or "nothing" for argv, _ in ERRORS])
def test_what_is_wrong_is_said_in_one_line(argv: tuple[str, ...], text: str) -> None:
    assert text in error(*argv)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", 64 << 20), ("64M", 64 << 20), ("1g", 1 << 30), ("1.5G", 3 << 29), ("0x40", 64 << 20), ("65536k", 64 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size("-m", text, "M") == size


def test_commas_and_keys() -> None:
    assert split_commas("a,,b,c") == ["a,b", "c"]
    assert parse_keyval("-x", "virt,a=1,b,c=", implied="type") == {"type": "virt", "a": "1", "b": "on", "c": ""}


def test_help_lists_every_option_and_names_are_unique() -> None:
    text = help.usage()
    names = [name for option in OPTIONS for name in option.names]
    assert len(names) == len(set(names))
    assert all(f"-{option.name}" in text for option in OPTIONS)
    for argv in (["-M", "help"], ["-M", "virt,help"], ["-cpu", "?"], ["-device", "help"], ["-d", "help"]):
        assert help.requested(parse(argv))
    assert help.requested(parse(["-chardev", "help"])) and help.requested(parse(["-accel", "help"]))
    assert help.requested(parse(["k", "-d", "int"])) is None


def test_log_writes_enabled_items_only(tmp_path) -> None:
    target = tmp_path / "log"
    log.configure({"int"}, str(target))
    try:
        assert log.enabled("int") and not log.enabled("mmu")
        log.write("int", "taken")
        log.write("mmu", "not shown")
        assert target.read_text() == "taken\n"
    finally:
        log.close()
    assert not log.enabled("int")
    with pytest.raises(UserError, match="can't open the log file"):
        log.configure({"int"}, str(tmp_path))


def xemu(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xemu", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


def test_the_command_exits_1_with_one_line() -> None:
    done = xemu("-M", "virt", "/nowhere/Image")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "xemu: kernel '/nowhere/Image': can't read it: No such file or directory\n"


def test_a_file_name_cannot_play_tricks_on_the_terminal() -> None:
    done = xemu("a\x1b[2J\nb")
    assert done.stderr.count("\n") == 1 and "\x1b" not in done.stderr


def test_quick_answers_do_not_load_the_translator() -> None:
    program = (
        "import sys\nfrom xemu.cli.main import main\n"
        "codes = [main(['-version']), main(['-M', 'help']), main(['k', '-cpu', 'x']), main(['/nowhere'])]\n"
        "loaded = {'llvmlite', 'capstone', 'jit', 'targets.arm', 'elftools'} & set(sys.modules)\n"
        "print(codes, sorted(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[0, 0, 1, 1] []"
