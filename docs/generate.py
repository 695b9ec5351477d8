"""Writes what the docs can take from the code: `make docs` writes, `make check` fails when a file is stale.

python docs/generate.py            write docs/operators.md
python docs/generate.py --check    exit 1 where it is not what the code says
python docs/generate.py --demo     also run `trine demo` and put its table into README.md (`make readme`)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

import numpy as np

from trine.compilers.operators import Operator, operators
from trine.edge.operators import Kernel, kernel_of, kernels

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "operators.md"
WIDTH = 118
HEAD = """# Operators

Made from the code by `make docs`; do not edit. An operator is one file in `compilers/operators` (its meaning
in float) and, where no kernel serves it yet, one in `edge/operators` (its meaning in int8, as ONNX and as C).

*Cases* are checked in every print: NumPy against onnxruntime, C against NumPy. *Spellings* are further ways
of writing the operator in ONNX, each read and compared with onnxruntime. ONNX opset 13 and later.
"""


def documentation(package: str, module: str) -> list[str]:
    """The paragraphs of a module's docstring, each on one line."""
    text = cleandoc(import_module(f"{package}.{module}").__doc__ or "")
    return [" ".join(part.split()) for part in text.split("\n\n")]


def operator_parts(operator: Operator) -> tuple[str, str]:
    """(what the operator is, its normal form) from its file's docstring."""
    text = " ".join(documentation("trine.compilers.operators", operator.name.lower()))
    what, _, form = text.partition("Normal form: ")
    return what.strip(), form.strip()


def unserved(operator: Operator) -> str:
    """What int8 makes of an operator without a kernel."""
    if not operator.cases:
        return "read as others"
    if operator.name.endswith("uantizeLinear"):
        return "states scales"
    if all(np.dtype(kind).kind in "iub" for case in operator.cases for kind in case.dtypes or ("float32",)):
        return "`float32`: whole numbers and truth values as they are"
    return "none yet"


def operator_row(operator: Operator) -> str:
    """One line of the table of operators."""
    kernel = kernel_of().get(operator.name)
    cells = (
        operator.name,
        operator_parts(operator)[0],
        unserved(operator) if kernel is None else f"`{kernel.name}`",
        str(len(operator.cases)),
        str(len(operator.forms)),
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def kernel_row(kernel: Kernel) -> str:
    """One line of the table of kernels."""
    what = documentation("trine.edge.operators", kernel.name)[0]
    layout = {"last": "channels last", "row": "ONNX order", "any": "any"}[kernel.layout]
    return f"| `{kernel.name}` | {what} | {layout} | {'yes' if kernel.in_place else 'no'} |"


def page() -> str:
    """The text of docs/operators.md."""
    known = [operators()[name] for name in sorted(operators())]
    lines = [HEAD, "| operator | what it is | int8 kernel | cases | spellings |", "|---|---|---|---|---|"]
    lines += [operator_row(operator) for operator in known]
    lines += [
        "",
        "## Normal forms",
        "",
        "What a `Graph` holds once a file is read. Shapes are those of one example.",
        "",
    ]
    lines += [f"- **{o.name}**: {form}" for o in known if (form := operator_parts(o)[1])]
    lines += ["", "## int8 kernels", ""]
    lines += ["| kernel | what it computes | tensors in C | in place |", "|---|---|---|---|"]
    lines += [kernel_row(kernel) for _, kernel in sorted(kernels().items())]
    return "\n".join(lines) + "\n"


def demo_output() -> str:
    """What `trine demo` prints, as it looks in a wide terminal, run in an empty folder."""
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "dumb", "NO_COLOR": "1"}
    command = [str(Path(sys.executable).parent / "trine"), "demo"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines())


def with_demo(readme: str, output: str) -> str:
    """README.md with the output of the block whose command is `trine demo` replaced."""
    block = re.compile(r"^(```console\n\$ trine demo\n)(?:(?!```).*\n)*```$", re.MULTILINE)
    if not block.search(readme):
        raise SystemExit("README.md: no ```console block that starts with `$ trine demo`")
    return block.sub(lambda found: f"{found[1]}{output}\n```", readme)


def main(arguments: list[str]) -> int:
    """0 when everything is written or fresh, 1 when a page is stale."""
    if "--check" in arguments:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not what the code says: run make docs", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    if "--demo" in arguments:
        readme = ROOT / "README.md"
        readme.write_text(with_demo(readme.read_text(encoding="utf-8"), demo_output()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
