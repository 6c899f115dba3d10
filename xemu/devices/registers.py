"""Registers declared in a device's class body.

    class Timer(RegisterDevice):
        name = "timer"
        LOAD: int = register(0x00, "reload value")
        STATUS: int = register(0x04, "interrupt status", access=Access.W1C, fields=Status)
        TARGET: bytearray = register(0x800, "target CPUs", width=1, count=32)
        ticks: int = variable(0, "counted so far")

        def write_LOAD(self, value): ...

On an instance `self.LOAD` is a plain integer (an array for `count`), so behaviour reads like the manual. A method
`read_NAME` or `write_NAME` takes over that direction of the register (with the element's index first, for arrays).
Decoding, access rules, reset, saving, restoring and the printed dump follow from the declaration.

The guest is hostile: an unknown offset, a wrong direction or a misaligned access is counted and logged under
`guest_errors`, reads as zero, and changes nothing.
"""

import copy
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xemu.cli import log


class Access(enum.Enum):
    """What software may do with a register."""

    RO = "read only"
    WO = "write only"
    RW = "read and write"
    W1C = "read, write 1 to clear"
    W1S = "read, write 1 to set"


@dataclass(slots=True)
class Register:
    """One declared register, or an array of equal ones."""

    offset: int
    doc: str
    access: Access
    reset: int
    mask: int  # the bits that software can change
    width: int  # bytes
    count: int | None  # None: a single register; else the length of the array
    fields: dict[str, int] = field(default_factory=dict[str, int])  # name -> mask
    name: str = ""

    def initial(self) -> int | list[int]:
        return self.reset if self.count is None else [self.reset] * self.count


@dataclass(slots=True)
class Variable:
    """Device state that software does not see as a register; saved and reset with the registers."""

    initial: Any
    doc: str


@dataclass(slots=True)
class _Port:
    """How one element of a register is reached by an access of its own width."""

    register: Register
    read: Callable[[Any], int] | None
    write: Callable[[Any, int], None] | None


def register(
    offset: int,
    doc: str,
    *,
    access: Access = Access.RW,
    reset: int = 0,
    mask: int | None = None,
    fields: type | None = None,
    width: int = 4,
    count: int | None = None,
) -> Any:
    """Declare a register; `fields` is a class of named bit masks, which together are the writable bits."""
    named: dict[str, int] = {}
    for base in reversed(fields.__mro__ if fields is not None else ()):
        named |= {k: v for k, v in vars(base).items() if isinstance(v, int) and not k.startswith("_")}
    if mask is None:
        mask = (1 << 8 * width) - 1
        if named:
            mask = 0
            for bits in named.values():
                mask |= bits
    return Register(offset, doc, access, reset, mask, width, count, named)


def variable(initial: Any, doc: str = "") -> Any:
    """Declare other state; a mutable initial value is copied for each instance and reset."""
    return Variable(initial, doc)


class RegisterDevice:
    """Base of devices whose programming interface is a block of registers."""

    name = "device"
    registers: dict[str, Register] = {}
    variables: dict[str, Variable] = {}
    _ports: dict[int, _Port] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.registers = dict(cls.registers)
        cls.variables = dict(cls.variables)
        for name, value in list(vars(cls).items()):
            if isinstance(value, Register):
                value.name = name
                cls.registers[name] = value
            elif isinstance(value, Variable):
                cls.variables[name] = value
        for hook in vars(cls):
            direction, _, name = hook.partition("_")
            if direction in ("read", "write") and name.isupper() and name not in cls.registers:
                raise TypeError(f"{cls.__name__}.{hook}: there is no register {name}")
        cls._ports = _build_ports(cls)

    def __init__(self) -> None:
        self.bad_accesses = 0
        self._set_initial()

    def _set_initial(self) -> None:
        for name, declared in self.registers.items():
            setattr(self, name, declared.initial())
        for name, declared in self.variables.items():
            setattr(self, name, copy.deepcopy(declared.initial))

    def reset(self) -> None:
        """The state at power-on. A device that drives lines extends this."""
        self._set_initial()

    # Saving

    def state(self) -> dict[str, Any]:
        """All registers and variables, as plain values of their own."""
        return {name: copy.deepcopy(getattr(self, name)) for name in (*self.registers, *self.variables)}

    def restore(self, state: dict[str, Any]) -> None:
        expected = {*self.registers, *self.variables}
        if state.keys() != expected:
            raise ValueError(f"{self.name}: saved state differs in {sorted(state.keys() ^ expected)}")
        for name, value in state.items():
            setattr(self, name, copy.deepcopy(value))

    def dump(self) -> str:
        """The registers for people: one line each, set fields by name."""
        lines: list[str] = []
        for name, declared in self.registers.items():
            value = getattr(self, name)
            if isinstance(value, int):
                names = [k for k, bits in declared.fields.items() if value & bits]
                lines.append(f"{declared.offset:#05x} {name:<12} {value:#010x} {' '.join(names)}".rstrip())
        return "\n".join(lines)

    # The bus side

    def read(self, offset: int, size: int) -> int:
        port = self._ports.get(offset)
        if port is not None and port.register.width == size:
            if port.read is not None:
                return port.read(self)
            return self._bad("read", offset, size, f"{port.register.name} is write only")
        return self._read_odd(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        port = self._ports.get(offset)
        if port is not None and port.register.width == size:
            if port.write is not None:
                port.write(self, value)
            else:
                self._bad("write", offset, size, f"{port.register.name} is read only (value {value:#x})")
            return
        self._write_odd(offset, size, value)

    def _read_odd(self, offset: int, size: int) -> int:
        """An access narrower or wider than the register."""
        width = self._width_at(offset)
        if width is None or offset % size:
            return self._bad("read", offset, size, "no register" if width is None else "misaligned")
        if size > width:
            parts = (self.read(offset + i, width) << 8 * i for i in range(0, size, width))
            return sum(parts)
        start = offset - offset % width
        return self.read(start, width) >> 8 * (offset - start) & (1 << 8 * size) - 1

    def _write_odd(self, offset: int, size: int, value: int) -> None:
        """Like _read_odd; a narrow write writes zeros to the register's other bytes, as a bus without strobes does."""
        width = self._width_at(offset)
        if width is None or offset % size:
            self._bad("write", offset, size, "no register" if width is None else "misaligned")
        elif size > width:
            for i in range(0, size, width):
                self.write(offset + i, width, value >> 8 * i & (1 << 8 * width) - 1)
        else:
            start = offset - offset % width
            self.write(start, width, value << 8 * (offset - start))

    def _width_at(self, offset: int) -> int | None:
        for width in (1, 2, 4, 8):
            port = self._ports.get(offset - offset % width)
            if port is not None and port.register.width >= width:
                return port.register.width
        return None

    def _bad(self, access: str, offset: int, size: int, why: str) -> int:
        self.bad_accesses += 1
        self.guest_error(f"{access} of {size} bytes at offset {offset:#x}: {why}")
        return 0

    def guest_error(self, text: str) -> None:
        """Something the guest does that hardware would not allow."""
        if log.enabled("guest_errors"):
            log.write("guest_errors", f"{self.name}: {text}")


def _build_ports(cls: type[RegisterDevice]) -> dict[int, _Port]:
    ports: dict[int, _Port] = {}
    for reg in cls.registers.values():
        for index in range(reg.count or 1):
            offset = reg.offset + index * reg.width
            if offset in ports:
                raise TypeError(
                    f"{cls.__name__}: {reg.name} and {ports[offset].register.name} share offset {offset:#x}"
                )
            element = None if reg.count is None else index
            ports[offset] = _Port(reg, _reader(cls, reg, element), _writer(cls, reg, element))
    return ports


def _reader(cls: type, reg: Register, index: int | None) -> Callable[[Any], int] | None:
    name = reg.name
    hook = getattr(cls, f"read_{name}", None)
    if hook is not None:
        return hook if index is None else lambda device: hook(device, index)
    if reg.access is Access.WO:
        return None
    if index is None:
        return lambda device: getattr(device, name)
    return lambda device: getattr(device, name)[index]


def _writer(cls: type, reg: Register, index: int | None) -> Callable[[Any, int], None] | None:
    name, mask = reg.name, reg.mask
    hook = getattr(cls, f"write_{name}", None)
    if hook is not None:
        return hook if index is None else lambda device, value: hook(device, index, value)
    if reg.access is Access.RO:
        return None
    merge = _MERGE[reg.access]
    if index is None:
        return lambda device, value: setattr(device, name, merge(getattr(device, name), value, mask))

    def write_element(device: Any, value: int) -> None:
        array = getattr(device, name)
        array[index] = merge(array[index], value, mask)

    return write_element


def _replace(old: int, value: int, mask: int) -> int:
    return old & ~mask | value & mask


_MERGE: dict[Access, Callable[[int, int, int], int]] = {
    Access.RW: _replace,
    Access.WO: _replace,
    Access.W1C: lambda old, value, mask: old & ~(value & mask),
    Access.W1S: lambda old, value, mask: old | value & mask,
}
