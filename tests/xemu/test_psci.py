"""PSCI calls."""

import pytest
from fakes import FakeVcpu

from xemu.devices.psci import Psci

MASK = (1 << 64) - 1
SUSPEND, SUSPEND64, OFF, ON, ON64 = 0x84000001, 0xC4000001, 0x84000002, 0x84000003, 0xC4000003
AFFINITY, FEATURES = 0xC4000004, 0x8400000A


class Board:
    def __init__(self, cpus=2) -> None:
        self.vcpus = [FakeVcpu(self, index) for index in range(cpus)]
        self.vcpus[0].powered = True
        self.requests: list[str] = []
        self.psci = Psci(self, lambda address: address >= 0x40000000)

    def request(self, kind: str) -> None:
        self.requests.append(kind)

    def call(self, *regs: int) -> int:
        value = self.psci.call(self.vcpus[0], [*regs, 0, 0, 0][:4])
        return value - (1 << 64) if value >> 63 else value


@pytest.fixture
def board():
    return Board()


def test_version_and_migration(board):
    assert board.call(0x84000000) == 0x10001
    assert board.call(0x84000006) == 2


@pytest.mark.parametrize("function", [0x84000005, 0xC4000005, 0x84000012, 0x80000000, 0xC4000002, 0, MASK])
def test_unknown_functions(board, function):
    assert board.call(function) == -1
    assert board.call(FEATURES, function) == -1


def test_features(board):
    for function in (0x84000000, SUSPEND, SUSPEND64, OFF, ON, ON64, AFFINITY, 0x84000008, 0x84000009, FEATURES):
        assert board.call(FEATURES, function) == 0


def test_the_function_is_the_low_half_of_x0(board):
    assert board.call(0xFFFFFFFF84000000) == 0x10001


def test_cpu_on(board):
    second = board.vcpus[1]
    assert board.call(AFFINITY, 1, 0) == 1
    assert board.call(ON64, 1, 0x40080000, 0x123456789A) == 0
    assert second.started_at == (0x40080000, 0x123456789A)
    assert board.call(AFFINITY, 1, 0) == 0
    assert board.call(ON64, 1, 0x40080000, 0) == -4
    assert board.call(ON64, 2, 0x40080000, 0) == -2
    assert board.call(ON64, 1 << 8, 0x40080000, 0) == -2


def test_cpu_on_refuses_addresses_without_code(board):
    assert board.call(ON64, 1, 0x1000, 0) == -9
    assert board.call(ON64, 1, 0x40000002, 0) == -9
    assert not board.vcpus[1].powered


def test_32_bit_calls_take_low_halves(board):
    assert board.call(ON, 0xF00000001, 0xF40080000, 0xF00000007) == 0
    assert board.vcpus[1].started_at == (0x40080000, 7)


def test_cpu_off(board):
    assert board.call(OFF) == 0
    assert not board.vcpus[0].powered


def test_suspend(board):
    assert board.call(SUSPEND64, 0) == 0
    assert board.call(SUSPEND, 0x10000) == 0  # a power-down request may end in standby
    assert board.vcpus[0].standbys == 2
    assert board.call(SUSPEND, 0x2000000) == -2
    assert board.vcpus[0].standbys == 2


def test_affinity_info_of_levels_and_strangers(board):
    assert board.call(AFFINITY, 1, 1) == 0
    assert board.call(AFFINITY, 7, 0) == -2


@pytest.mark.parametrize("function, kind", [(0x84000008, "shutdown"), (0x84000009, "reset")])
def test_system_calls_end_the_run(board, function, kind):
    board.call(function)
    assert board.requests == [kind] and not board.vcpus[0].powered
