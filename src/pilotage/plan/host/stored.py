"""A host's calibration as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pilotage.catalog.accelerators import Accelerator
from pilotage.errors import StoreError
from pilotage.plan.roofline import Efficiency

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCalibration:
    """What was measured on a machine.

    Attributes:
        machine: Its processor, as the operating system names it.
        cores: Cores the engine used.
        date: ISO date of the measurement.
        model: What ran.
        engine: What ran it.
        device: The machine as an accelerator: bandwidth, and fp32 FLOP/s in place of fp16.
        efficiency: Of the engine on it.
        error: Median relative error of the fit on its own steps.
    """

    machine: str
    cores: int
    date: str
    model: str
    engine: str
    device: Accelerator
    efficiency: Efficiency
    error: float

    def save(self, path: Path) -> None:
        """Writes it as JSON.

        Raises:
            StoreError: The file cannot be written.
        """
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"cannot write the calibration: {error.strerror}", where=str(path)
            ) from error

    @staticmethod
    def load(path: Path) -> HostCalibration | None:
        """Reads it; None where there is none.

        Raises:
            StoreError: The file is not one of ours, or of another version.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _broken(path) from error
        try:
            if data.pop("version") != _VERSION:
                raise _broken(path)
            data["device"] = Accelerator(**data["device"])
            data["efficiency"] = Efficiency(**data["efficiency"])
            return HostCalibration(**data)
        except (TypeError, KeyError, AttributeError) as error:
            raise _broken(path) from error


def _broken(path: Path) -> StoreError:
    return StoreError(
        "is not a calibration of this version",
        where=str(path),
        hint="Run pilotage plan calibrate again",
    )
