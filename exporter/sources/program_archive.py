"""What lies in a `.pt2` file, and what is refused before PyTorch opens it.

PyTorch's own loader unpickles what it finds, and it turns texts of the file into code: operators are looked up by name,
sizes are evaluated, guards and the names of values are written into Python that is then run. So every text of the
program has to look like what it stands for, and whatever would be unpickled is refused.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.export.pt2_archive import PT2ArchiveReader

from exporter.errors import SourceError, first_line

PROGRAM = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
RECORDS = re.compile(
    r"models/model\.json|data/sample_inputs/model\.pt|data/(weights|constants)/(weight_\d+|tensor_\d+|model_\w+\.json)"
    r"|extra/.*|archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment"
)
"""What `torch.export.save` writes for a program of tensors."""
SAVE_AGAIN = "load it where you trust it, and write it again with torch.export.save"

NAME = re.compile(r"[\w.]*|-Infinity")
WORD = re.compile(r"[\w.+\-]*")
OVERLOAD = re.compile(r"torch\.ops\.(aten|prims|quantized_decomposed|torchvision)\.(\w+)\.(\w+)")
TOUCHES_FILES = ("from_file", "save")
FUNCTION = re.compile(
    r"torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl|associative_scan|wrap_with_(set_grad_enabled|autocast))"
    r"|torch\.sym_\w+|math\.[a-z]\w*"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
)
"""Operators that compute. Not those that read or write files, nor anything else that can be reached through `torch`."""
FUNCTION_NAMES = """
    Symbol Integer Rational Float Add Mul Pow Max Min Mod Abs FloorDiv ModularIndexing Where PythonMod CleanDiv CeilDiv
    CeilToInt FloorToInt TruncToInt RoundToInt TruncToFloat RoundDecimal ToFloat PowByNatural FloatPow FloatTrueDiv
    IntTrueDiv Identity Eq Ne Ge Gt Le Lt Equality Unequality GreaterThan LessThan StrictGreaterThan StrictLessThan
    And Or Not floor ceil ceiling trunc sqrt isnan max min abs size stride storage_offset
"""
FUNCTIONS = frozenset(FUNCTION_NAMES.split())
"""What may be called in a text that is evaluated."""
SYNTAX = (ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Load)
ARITHMETIC = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


def refuse_code(path: Path) -> None:
    """Raises SourceError, with the way out, unless `torch.export.load` can open the file without running code of it."""
    try:
        with PT2ArchiveReader(str(path)) as archive:
            _refuse_records(path, archive)
            for config in CONFIGS:
                _refuse_pickles(path, archive, config)
            _refuse_samples(path, archive)
            program = json.loads(archive.read_string(PROGRAM))
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path} is not a program that torch.export.save of PyTorch {torch.__version__} reads: {first_line(error)}",
            str(error),
        ) from error
    try:
        _walk(program, "", path.name)
    except RecursionError as error:
        raise SourceError(f"{path.name} is nested deeper than any program") from error


def _refuse_records(path: Path, archive: PT2ArchiveReader) -> None:
    # As PyTorch's own reader lists them, and as the one does that it falls back on for an older format.
    with zipfile.ZipFile(path) as older:
        names = [*archive.get_file_names(), *(name.partition("/")[2] or name for name in older.namelist())]
    strange = next((name for name in names if not RECORDS.fullmatch(name)), None)
    if strange is not None:
        raise SourceError(
            f"{path.name} holds {strange}, which is a pickle, compiled code, or no part of one program called 'model'; "
            f"{SAVE_AGAIN}"
        )
    if PROGRAM not in names:
        raise SourceError(f"{path.name} holds no program; write it with torch.export.save(program, PATH)")


def _refuse_pickles(path: Path, archive: PT2ArchiveReader, config: str) -> None:
    for name, payload in json.loads(archive.read_string(config))["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise SourceError(
                f"{path.name} keeps {name} as a pickle: opening it can run any code. Make it a plain tensor, and write "
                "the program again with torch.export.save"
            )
        _walk({"name": name, **payload}, "", path.name)


def _refuse_samples(path: Path, archive: PT2ArchiveReader) -> None:
    """The example inputs are a pickle always; PyTorch's restricted reader takes those of tensors and plain values."""
    samples = archive.read_bytes(SAMPLES)
    try:
        if samples:
            torch.load(io.BytesIO(samples), weights_only=True)
    except Exception as error:  # whatever that reader stumbles over, it did not run it
        raise SourceError(
            f"{path.name} keeps example inputs that are not plain tensors: opening them can run any code. {SAVE_AGAIN} "
            "after program.example_inputs = None",
            str(error),
        ) from error


def _walk(found: Any, key: str, where: str) -> None:
    if isinstance(found, dict):
        for name, inner in found.items():
            _text(name, f"{key} key", where)
            if name in ("device", "as_device") and isinstance(inner, dict) and inner.get("type") != "cpu":
                raise SourceError(
                    f"{where} was exported for {inner.get('type')}; move it with "
                    "torch.export.passes.move_to_device_pass(program, 'cpu') and save it again"
                )
            if not _is_free(found, name):
                _walk(inner, name, where)
    elif isinstance(found, list):
        for inner in found:
            _walk(inner, key, where)
    elif isinstance(found, str):
        _text(found, key, where)


def _is_free(found: dict[str, Any], name: str) -> bool:
    """Whether a text may say anything: it is quoted wherever it goes, or shown to people only.

    Values may be called `metadata` or `as_string` as well, so it depends on what lies beside it.
    """
    if name == "metadata":
        return isinstance(found.get("target"), str) or isinstance(found.get("module_call_graph"), list)
    if name == "torch_version":
        return isinstance(found.get("graph_module"), dict)
    return len(found) == 1 and _is_quoted(name, found[name])


def _is_quoted(name: str, inner: Any) -> bool:
    if name == "as_strings":
        return isinstance(inner, list) and all(isinstance(one, str) for one in inner)
    return name == "as_string" and isinstance(inner, str)


def _text(text: str, key: str, where: str) -> None:
    if not _LOOKS.get(key, _is_name)(text):
        what = text if len(text) < 80 else f"{text[:80]}..."
        raise SourceError(
            f"{where} holds {what!r} where {_WANTED.get(key, 'a name')} belongs; PyTorch would turn it into code, so "
            "it is not opened. If you trust it, load it in a factory of your own"
        )


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def _is_operator(text: str) -> bool:
    found = OVERLOAD.fullmatch(text)
    if found is None:
        return FUNCTION.fullmatch(text) is not None
    library, name, overload = found.groups()
    operator = getattr(getattr(getattr(torch.ops, library), name, None), overload, None)
    return isinstance(operator, torch._ops.OpOverload) and name not in TOUCHES_FILES


def _is_arithmetic(text: str) -> bool:
    """Whether evaluating a text can do no more than arithmetic on symbols and sizes."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, MemoryError):
        return False
    return all(map(_is_harmless, nodes))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        return name in FUNCTIONS
    if isinstance(node, ast.Attribute | ast.Name):
        return not (node.attr if isinstance(node, ast.Attribute) else node.id).startswith("_")
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return WORD.fullmatch(node.value) is not None
    return isinstance(node, (*SYNTAX, *ARITHMETIC))


def _is_structure(text: str) -> bool:
    """Whether a text is the JSON of a tree of tuples, lists and dicts whose keys are names."""
    try:
        return _are_names(json.loads(text))
    except ValueError:
        return False


def _are_names(found: Any) -> bool:
    if isinstance(found, dict):
        return "__enum__" not in found and all(map(_are_names, found.values()))
    if isinstance(found, list):
        return all(map(_are_names, found))
    return not isinstance(found, str) or WORD.fullmatch(found) is not None or _is_structure(found)


_LOOKS: dict[str, Callable[[str], bool]] = {
    "target": _is_operator,
    "as_operator": _is_operator,
    "expr_str": _is_arithmetic,
    "range_constraints key": _is_arithmetic,
    "guards_code": _is_arithmetic,
    "in_spec": _is_structure,
    "out_spec": _is_structure,
}
_WANTED = {
    "target": "an operator of PyTorch",
    "as_operator": "an operator of PyTorch",
    "expr_str": "a size",
    "range_constraints key": "a size",
    "guards_code": "a condition on sizes",
    "in_spec": "a structure of tensors",
    "out_spec": "a structure of tensors",
}
