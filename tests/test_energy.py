"""Joules: counters of a made-up machine are read, added up, and followed around the corner."""

import sys
from types import SimpleNamespace

import pytest
import torch

from hybrid.eval.measures import energy
from hybrid.eval.measures.energy import Counter, Energy, gpu_counters, processor_counters


@pytest.fixture
def machine(tmp_path):
    """A folder like /sys/class/powercap: two packages, a core zone, memory, and the whole platform."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "package-1"}
    for zone, name in (zones | {"intel-rapl:2": "psys"}).items():
        folder = tmp_path / zone
        folder.mkdir()
        for file, text in (("name", name), ("energy_uj", "5000000"), ("max_energy_range_uj", "100000000")):
            (folder / file).write_text(text + "\n")
    return tmp_path


def spend(machine, **joules):
    for name, value in joules.items():
        zone = next(zone for zone in machine.iterdir() if (zone / "name").read_text().strip() == name.replace("_", "-"))
        (zone / "energy_uj").write_text(str(round(float(value) * 1e6)))


def test_packages_and_their_memory_are_added_and_no_part_is_counted_twice(machine):
    counters = processor_counters(machine)
    assert [counter.read() for counter in counters] == [5.0] * 3 and {counter.range for counter in counters} == {100.0}
    meter = Energy(counters)
    with meter:
        spend(machine, package_0=12, core=50, dram=6, package_1=8, psys=90)
    assert meter.joules == pytest.approx(7 + 1 + 3)


def test_blocks_add_up_and_what_is_between_them_does_not_count(machine):
    meter = Energy(processor_counters(machine))
    for at in (10, 30):
        spend(machine, package_0=at)
        with meter:
            spend(machine, package_0=at + 4)
    assert meter.joules == pytest.approx(8)


def test_a_counter_that_starts_again_is_followed(machine):
    spend(machine, package_0=99)
    with Energy(processor_counters(machine)) as meter:
        spend(machine, package_0=3)
    assert meter.joules == pytest.approx(4)


def test_a_block_that_breaks_is_counted_all_the_same(machine):
    meter = Energy(processor_counters(machine))
    with pytest.raises(RuntimeError), meter:
        spend(machine, dram=9)
        raise RuntimeError
    assert meter.joules == pytest.approx(4)


def test_a_machine_that_does_not_count_says_nothing(tmp_path):
    assert processor_counters(tmp_path) == [] and processor_counters(tmp_path / "none") == []
    (tmp_path / "intel-rapl:0").mkdir()  # Readable for root alone: to us as good as not there.
    assert processor_counters(tmp_path) == []
    with Energy([]) as meter:
        pass
    assert meter.joules is None


class NVML(SimpleNamespace):
    """NVIDIA's library with two GPUs, the counters in millijoules."""

    def __init__(self, refuses=False):
        super().__init__(spent={"GPU-a": 2000.0, "GPU-b": 7000.0}, refuses=refuses)

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if self.refuses:
            raise RuntimeError("Not Supported")
        return self.spent[handle]


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs that torch sees."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="ab"[index]))


def test_gpus_are_found_by_their_own_names_and_added(gpus, monkeypatch):
    nvml = NVML()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with Energy() as meter:
        nvml.spent = {"GPU-a": 2500.0, "GPU-b": 9000.0}
    assert meter.joules == pytest.approx(2.5)


def test_a_gpu_that_does_not_count_is_not_replaced_by_the_processor(gpus, monkeypatch, machine):
    monkeypatch.setattr(energy, "processor_counters", lambda: [Counter(lambda: 1.0)])
    monkeypatch.setitem(sys.modules, "pynvml", NVML(refuses=True))
    assert gpu_counters() == [] and Energy().joules is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # Not installed.
    assert gpu_counters() == [] and Energy().joules is None


def test_without_a_gpu_the_processor_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(energy, "processor_counters", lambda: [Counter(lambda: 1.0)])
    assert Energy().joules == 0.0
