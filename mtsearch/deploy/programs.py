"""A network as a program in a file: for torch alone (`torch.export`), or for any ONNX runtime."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import ExportedProgram

from mtsearch import __version__
from mtsearch.config.errors import BadInput
from mtsearch.deploy.outputs import named_outputs
from mtsearch.deploy.parity import Predict

_BATCH = ({0: torch.export.Dim("batch", min=1)},)


def write_programs(
    network: nn.Module, sample: Tensor, folder: Path, onnx: bool
) -> dict[str, Callable[[Path], Predict]]:
    """Write `model.safetensors`, `model.pt2` and, for `onnx`, `model.onnx` into a folder.

    Args:
        network: in evaluation mode.
        sample: one input (1, ...).

    Returns:
        By file name of a program, the function that reads it back.

    Raises:
        RuntimeError: torch cannot export the network.
    """
    program = program_of(network, sample)
    save_pt2(program, folder / "model.pt2")
    save_file(
        {name: value.contiguous().clone() for name, value in network.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "pt", "mtsearch": __version__},
    )
    # safetensors makes files that only their owner can read
    shutil.copymode(folder / "model.pt2", folder / "model.safetensors")
    if not onnx:
        return {"model.pt2": load_pt2}
    save_onnx(program, folder / "model.onnx")
    return {"model.pt2": load_pt2, "model.onnx": load_onnx}


def program_of(network: nn.Module, sample: Tensor) -> ExportedProgram:
    """The program of a network for any number of inputs of the shape of `sample` (1, ...), without
    the paths of this machine.

    Raises:
        RuntimeError: torch cannot export the network.
    """
    # from a single sample, one would be taken as the only batch size
    two = sample.expand(2, *sample.shape[1:]).clone()
    with _exporting("torch.export should take this network with any batch size"):
        program = torch.export.export(network, (two,), dynamic_shapes=_BATCH)
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # names files of this machine
    _check_type(program, sample.dtype)
    return program


def _check_type(program: ExportedProgram, dtype: torch.dtype) -> None:
    """Make the program refuse inputs of another type: bytes in 0..255 where floats in [0, 1] are
    expected would give wrong outputs."""
    graph = program.graph_module.graph
    images = next(
        node
        for node in graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    )
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    with graph.inserting_after(last):
        check = graph.call_function(
            torch.ops.aten._assert_tensor_metadata.default, (images, None, None, dtype)
        )
    check.meta["val"] = None
    program.graph_module.recompile()


def save_pt2(program: ExportedProgram, path: Path) -> None:
    """Write a program for `torch.export.load`."""
    with _exporting("torch.export should save this network"):
        torch.export.save(program, path)


def load_pt2(path: Path) -> Predict:
    """The outputs by name of a file that `save_pt2` wrote."""
    model = torch.export.load(path).module()
    return lambda inputs: named_outputs(model(inputs))


def need_onnx() -> None:
    """Raises BadInput where a package that ONNX files need is not installed."""
    missing = [
        name for name in ("onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise BadInput(
            f"`onnx=true` needs {' and '.join(missing)}. Write `pip install 'mtsearch[onnx]'`."
        )


def save_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a program as one ONNX file with the input `images` and named outputs.

    Raises:
        RuntimeError: the program has an operation that ONNX lacks, more than 2 GB of weights, or an
            output `images`.
    """
    images = program.example_inputs[0]
    tasks = list(named_outputs(program.module()(*images)))
    if "images" in tasks:
        raise RuntimeError(
            "an ONNX file cannot have an output with the name of its input, `images`. Rename that"
            " task."
        )
    with _exporting("ONNX should be able to express this network"):
        written = torch.onnx.export(
            program,
            images,
            dynamo=True,
            input_names=["images"],
            dynamic_shapes=_BATCH,
            verbose=False,
        )
        assert written is not None
        graph = written.model.graph
        inner = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
        for value in inner:
            if value.name in tasks:  # an operation's name, which a task may have too
                value.name = f"inner/{value.name}"
        for output, task in zip(graph.outputs, tasks, strict=True):
            output.name = task
        written.save(path, external_data=False)


def load_onnx(path: Path) -> Predict:
    """The outputs by name of a file that `save_onnx` wrote, computed by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    with _exporting("ONNX Runtime should be able to read what was written"):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def predict(images: Tensor) -> dict[str, Tensor]:
        with _exporting("ONNX Runtime should be able to run what was written"):
            return dict(
                zip(
                    names,
                    map(torch.from_numpy, session.run(names, {"images": images.numpy()})),
                    strict=True,
                )
            )

    return predict


@contextmanager
def _exporting(what: str) -> Iterator[None]:
    """Raise every exception of an exporter as one RuntimeError; ignore its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RuntimeError(f"{what}. Found {type(error).__name__}: {reason}") from error
