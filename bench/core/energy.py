"""Energy counters of this machine: of the GPU by NVML, of the processor packages by RAPL (Linux powercap)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.gpu import Gpu

POWERCAP = Path("/sys/class/powercap")  # its counters are root's to read on many machines


@dataclass
class Meter:
    """Joules by source, `gpu` and `cpu`, of the phases since it was made; what cannot be read is left out.

    RAPL counts the whole package: other work on the machine is in it. Its counters start again at a known range, so
    that a phase must be shorter than that takes (minutes at full power).
    """

    gpu: Gpu | None
    by_phase: dict[str, dict[str, float]] = field(default_factory=dict)  # source -> phase -> joules
    _last: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last = self._read()

    def end(self, phase: str) -> None:
        """Count what was used since the last phase ended to this one."""
        now = self._read()
        for counter, (value, limit) in now.items():
            if counter not in self._last:
                continue
            used = value - self._last[counter][0]
            used += limit if used < 0 and limit is not None else 0.0
            source = counter.split(":")[0]
            phases = self.by_phase.setdefault(source, {})
            phases[phase] = phases.get(phase, 0.0) + max(used, 0.0)
        self._last = now

    def _read(self) -> dict[str, tuple[float, float | None]]:
        """counter -> (joules, range after which it starts again)."""
        found: dict[str, tuple[float, float | None]] = {}
        joules = self.gpu.energy_j() if self.gpu else None
        if joules is not None:
            found["gpu:nvml"] = (joules, None)
        for package in sorted(POWERCAP.glob("*-rapl:[0-9]*")):
            if package.name.count(":") == 1:  # a package, and not a part of it
                try:
                    limit = float((package / "max_energy_range_uj").read_text()) / 1e6
                    found[f"cpu:{package.name}"] = (float((package / "energy_uj").read_text()) / 1e6, limit)
                except (OSError, ValueError):
                    continue
        return found
