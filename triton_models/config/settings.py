"""Any further field of Triton's own config, given as text: `dynamic_batching.max_queue_delay_microseconds=100`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.errors import ConfigError

_STEP = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\[(?P<index>\d+)\])?(?:\.(?P<rest>.*))?")
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_NOT_SET_HERE = {
    "name": "it is given when the model is exported",
    "backend": "Rayton writes models for onnxruntime",
    "platform": "Rayton writes models for onnxruntime",
    "runtime": "Rayton writes models for onnxruntime",
    "default_model_filename": "every version has its model in one place",
    "cc_model_filenames": "every version has its model in one place",
    "max_batch_size": "the proofs of an export are for one size; export with another",
    "input": "the inputs are those of the model",
    "output": "the outputs are those of the model",
    "batch_input": "the inputs are those of the model",
    "batch_output": "the outputs are those of the model",
    "ensemble_scheduling": "the model is one model",
}


def apply(settings: Sequence[str], config: ModelConfig) -> None:
    """Writes settings such as `instance_group[0].count=2` into a config, in their order.

    Lists of groups take an index, the next one after the last adds one; lists of plain values take them all with commas
    between. Maps take their key as the next part: `parameters.intra_op_thread_count=2`. Enums take names. An empty
    value takes the field out. Raises ConfigError for a setting that Triton's config has no place for.
    """
    for setting in settings:
        path, found, value = setting.partition("=")
        if not found:
            raise ConfigError(
                f"setting {setting!r} has no value; write it as in dynamic_batching.preserve_ordering=true"
            )
        try:
            _write(config, "", path.strip(), value.strip())
        except ValueError as error:
            raise ConfigError(f"setting {setting!r}: {error}") from error


def _write(message: Any, above: str, path: str, value: str) -> None:
    """Writes a value at `path` of a message, which is itself at `above`. Raises ValueError for people."""
    step = _STEP.fullmatch(path)
    if step is None:
        raise ValueError(f"{path!r} is no path of fields, such as instance_group[0].count")
    field, index, rest = _field(message, above, step["name"]), step["index"], step["rest"]
    where = f"{above}.{field.name}" if above else field.name
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _write_entry(getattr(message, field.name), field, where, rest, value)
    elif not field.is_repeated or field.message_type is None:
        if index is not None:
            raise ValueError(f"{where} takes no index: it is {_kind(field)}")
        _write_field(message, field, where, rest, value)
    elif index is not None:
        _write_item(getattr(message, field.name), field, f"{where}[{index}]", int(index), rest, value)
    elif rest is None and not value:
        message.ClearField(field.name)
    else:
        raise ValueError(f"{where} is a list; say which one, as in {where}[0]{_example(field)}")


def _field(message: Any, above: str, name: str) -> Any:
    fields = message.DESCRIPTOR.fields_by_name
    if not above and name in _NOT_SET_HERE:
        raise ValueError(f"{name} cannot be set: {_NOT_SET_HERE[name]}")
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=3, cutoff=0.5)
        told = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(fields)}"
        raise ValueError(f"{above or 'the config'} has no field {name!r}; {told}")
    return fields[name]


def _write_field(message: Any, field: Any, where: str, rest: str | None, value: str) -> None:
    """A plain value, a list of them, or something below a group."""
    if field.message_type is not None and rest is not None:
        _write(getattr(message, field.name), where, rest, value)
    elif rest is not None:
        raise ValueError(f"nothing is below {where}, which is {_kind(field)}")
    elif not value:
        message.ClearField(field.name)
    elif field.message_type is not None and not field.message_type.fields and value == "true":
        getattr(message, field.name).SetInParent()
    elif field.message_type is not None:
        raise ValueError(f"{where} is {_group(field)}")
    elif field.is_repeated:
        values = [_plain(field, where, one.strip()) for one in value.split(",")]
        message.ClearField(field.name)
        _checked(lambda: getattr(message, field.name).extend(values), field, where, value)
    else:
        plain = _plain(field, where, value)
        _checked(lambda: setattr(message, field.name, plain), field, where, value)


def _write_item(items: Any, field: Any, where: str, index: int, rest: str | None, value: str) -> None:
    """One group of a list of groups."""
    if index > len(items):
        raise ValueError(f"{where} is not there: the list has {len(items)}, the next one is [{len(items)}]")
    if rest is None and value:
        raise ValueError(f"{where} is {_group(field)}")
    if rest is not None:
        _write(items.add() if index == len(items) else items[index], where, rest, value)
    elif index < len(items):
        del items[index]


def _write_entry(entries: Any, field: Any, where: str, rest: str | None, value: str) -> None:
    """One entry of a map. Keys of plain entries may hold dots, as ONNX Runtime's parameters do."""
    kept = field.message_type.fields_by_name["value"]
    if not rest:
        raise ValueError(f"{where} has entries by name; write {where}.KEY={value}")
    if kept.message_type is None:
        key = _plain(field.message_type.fields_by_name["key"], where, rest)
        entries.pop(key, None)
        if value:
            entries[key] = _plain(kept, where, value)
    elif list(kept.message_type.fields_by_name) == ["string_value"]:
        key = rest.removesuffix(".string_value")
        entries.pop(key, None)
        if value:
            entries[key].string_value = value
    else:
        text, dot, below = rest.partition(".")
        key = _plain(field.message_type.fields_by_name["key"], where, text)
        if dot:
            _write(entries[key], f"{where}.{text}", below, value)
        elif not value:
            entries.pop(key, None)
        else:
            raise ValueError(f"{where}.{text} is {_group(kept)}")


def _plain(field: Any, where: str, value: str) -> Any:
    """A value in the type of its field."""
    try:
        match field.cpp_type:
            case Field.CPPTYPE_BOOL:
                return _WORDS[value.lower()]
            case Field.CPPTYPE_ENUM:
                return field.enum_type.values_by_name[value.upper()].number
            case Field.CPPTYPE_STRING:
                return value
            case Field.CPPTYPE_FLOAT | Field.CPPTYPE_DOUBLE:
                return float(value)
        return int(value)
    except (KeyError, ValueError):
        raise ValueError(f"{where} is {_kind(field)}, not {value!r}") from None


def _checked(write: Any, field: Any, where: str, value: str) -> None:
    """Numbers that are too large for their field are found where they are written."""
    try:
        write()
    except ValueError:
        raise ValueError(f"{where} is {_kind(field)} that does not go as far as {value}") from None


def _kind(field: Any) -> str:
    if field.message_type is not None:
        return _group(field)
    if field.cpp_type == Field.CPPTYPE_ENUM:
        return f"one of {', '.join(field.enum_type.values_by_name)}"
    if field.cpp_type == Field.CPPTYPE_BOOL:
        return "true or false"
    if field.cpp_type == Field.CPPTYPE_STRING:
        return "a text"
    if field.cpp_type in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
        return "a number"
    signed = field.cpp_type in (Field.CPPTYPE_INT32, Field.CPPTYPE_INT64)
    return "a whole number" if signed else "a whole number from 0 up"


def _group(field: Any) -> str:
    below = ", ".join(field.message_type.fields_by_name)
    return f"a group of settings; it has {below}" if below else "an empty group; its only value is true"


def _example(field: Any) -> str:
    return f".{next(iter(field.message_type.fields_by_name))}"
