"""Fixed shapes on NeuronCores, by the Neuron SDK: a TorchScript file a network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.catalog.neuron_chips import NeuronChipModel
from pilotage.devices import DeviceSlice, discover
from pilotage.engines.compiled.artifact import write_whole
from pilotage.engines.compiled.manifest import CompiledManifest, Target, checked_bytes
from pilotage.engines.compiled.neuron_sdk import DTYPES, chip_of_family, open_sdk
from pilotage.engines.compiled.static_runner import Network, SplitRunner, StaticRunner
from pilotage.engines.compiled.target import Built
from pilotage.engines.config import EngineName
from pilotage.engines.encoders.architecture import EncoderArchitecture
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.runner import Runner
from pilotage.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pilotage.engines.compiled.neuron_model import TracedEncoder

NETWORKS: Final = "networks"

_RUNTIME_BYTES: Final = 64 << 20


class NeuronCompiler:
    """See `target.Compiler`.

    Args:
        files: The model.
        dtype: What matrix products are computed in; "auto" is bf16, which NeuronCores are made
            for.
        chip: What to compile for.
        command: What the user asked for, for error messages.

    Raises:
        UsageError: The SDK or transformers is not installed; the hint says where it is.
        ModelError: The model cannot be opened.
    """

    target: Target = "neuron"
    engine: EngineName = "neuron"

    def __init__(
        self, files: EncoderFiles, *, dtype: str, chip: NeuronChipModel, command: str
    ) -> None:
        self.dtype = "bf16" if dtype == "auto" else dtype
        if self.dtype not in DTYPES:
            raise UsageError(
                f"NeuronCores are not compiled for in {dtype} here",
                where="--dtype",
                hint=f"Use {', '.join(DTYPES)}",
            )
        here = [one for one in discover().neuron if one.version == chip.core_version]
        self._on_device = bool(here)
        self._sdk = open_sdk(chip, on_device=self._on_device, command=command)
        if find_spec("transformers") is None:
            raise UsageError(
                "compiling for Neuron needs an extra that is not installed",
                where="--target neuron",
                hint="Install it with: pip install transformers",
            )
        self._files = files
        self.name = self._sdk.name
        self.flags = self._sdk.flags(self.dtype)
        self.device = f"{chip.name} ({chip.families[0]}, NeuronCore-v{chip.core_version})"
        needs = EncoderArchitecture.from_folder(files.folder, files.task).needs_segments
        self.inputs: tuple[str, ...] = ("input_ids", "attention_mask")
        if needs:
            self.inputs = (*self.inputs, "token_type_ids")
        self._model: TracedEncoder | None = None

    def prepare(self, folder: Path) -> None:
        """Each network has the weights in it: nothing is shared but this folder."""
        (folder / NETWORKS).mkdir(exist_ok=True)

    def build(self, length: int, batch: int, folder: Path) -> Built:
        """Trace one network; the file is what `torch.jit.save` makes."""
        from pilotage.engines.compiled import neuron_model  # noqa: PLC0415  torch

        model = self._loaded()
        example = neuron_model.example_for(self.inputs, length, batch)
        module = self._sdk.trace(model, example, self.flags)
        name = f"{NETWORKS}/{length}x{batch}.pt"
        write_whole(folder / name, neuron_model.script_bytes(module))
        network = neuron_model.TorchNetwork(module, self.inputs) if self._on_device else None
        return Built(network, neuron_model.operators_left(model, example, module), name)

    def reference(self) -> tuple[Runner, str]:
        """The model in torch, float32, on the host's CPU."""
        from pilotage.engines.compiled.neuron_model import TorchReference  # noqa: PLC0415  torch

        runner = TorchReference(self._loaded(), self._files)
        return runner, f"{runner.name}, fp32 on the CPU"

    def memory_bytes(self, folder: Path, shapes: list[tuple[int, int]]) -> int:
        """Each network has the weights on the device; their files are about that size."""
        paths = [folder / NETWORKS / f"{length}x{batch}.pt" for length, batch in shapes]
        return _RUNTIME_BYTES + sum(path.stat().st_size for path in paths)

    def _loaded(self) -> TracedEncoder:
        from pilotage.engines.compiled.neuron_model import load_model  # noqa: PLC0415  torch

        if self._model is None:
            self._model = load_model(self._files, self.inputs)
        return self._model


def open_runner(
    folder: Path, manifest: CompiledManifest, files: EncoderFiles, device: DeviceSlice
) -> Runner:
    """Load an artifact's networks onto the slice's NeuronCores, a copy of all on each.

    Raises:
        UsageError: The SDK is not installed here.
        ModelError: A file is not the one that was compiled, or cannot be loaded.
    """
    family = manifest.device.partition("(")[2].partition(",")[0]
    sdk = open_sdk(chip_of_family(family), on_device=True, command=f"pilotage serve {folder}")
    from pilotage.engines.compiled import neuron_model  # noqa: PLC0415  torch

    def networks() -> dict[tuple[int, int], Network]:
        loaded: dict[tuple[int, int], Any] = {}
        for one in manifest.networks:
            if one.file is None:
                raise ModelError("damaged: a network without a file", where=str(folder))
            content = checked_bytes(folder, manifest, one.file)
            module = neuron_model.load_script(content, folder / one.file)
            loaded[one.length, one.batch] = neuron_model.TorchNetwork(module, manifest.inputs)
        return loaded

    runners: list[Runner] = []
    for core in range(max(len(device.devices), 1)):
        with sdk.on_core(core):
            runner = StaticRunner(networks(), pad_id=files.pad_id, name=sdk.name)
            runner.warm_up()
        runners.append(runner)
    return runners[0] if len(runners) == 1 else SplitRunner(runners)
