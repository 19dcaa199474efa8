"""Small ONNX files, written in ONNX's own text form."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser

HEADER = '<ir_version: {ir}, opset_import: ["" : {opset}]>'


def onnx_file(path: Path, graph: str, *, opset: int = 20, ir: int = 10) -> Path:
    """Writes a model whose graph is given as text, such as `g (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }`."""
    model = onnx.parser.parse_model(HEADER.format(ir=ir, opset=opset) + "\n" + graph)
    onnx.save(model, path)
    return path


DOUBLES = "g (float[N, 3] x) => (float[N, 3] y) { y = Add(x, x) }"
MOVES = "g (float[N, L] x, int64[N, L] mask) => (float[N, L] y) { f = Cast<to = 1>(mask)  y = Mul(x, f) }"
MIXES_ROWS = """g (float[N, 3] x) => (float[N, 3] y) {
    rows = Constant<value_ints = [0]>()
    mean = ReduceMean(x, rows)
    y = Sub(x, mean)
}"""
