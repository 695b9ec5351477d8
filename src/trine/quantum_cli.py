"""Commands of the quantum pillar alone: the catalogue of problems, and stating one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from trine.options import Json
from trine.presenting import print_json, say

if TYPE_CHECKING:
    from trine.quantum.formulate import Formulation, Option
    from trine.quantum.problem import Problem, Stated


class Formulations(TyperGroup):
    """A command a formulation, made when asked for: `trine --help` need not load them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the problems that can be stated."""
        from trine.quantum.formulate import formulations

        return [*formulations(), "molecule"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them as a command. Raises InputError with the nearest names."""
        from trine.quantum.formulate import formulation_named

        made = typer.Typer(add_completion=False, rich_markup_mode=None)
        made.command(cmd_name)(
            molecule() if cmd_name == "molecule" else command_of(formulation_named(cmd_name))
        )
        return typer.main.get_command(made)


def register(app: typer.Typer) -> None:
    """Add the commands `problems` and `formulate`."""
    app.command("problems")(problems)
    stating = typer.Typer(
        cls=Formulations, no_args_is_help=True, rich_markup_mode=None, help="State a problem from files."
    )
    stating.callback()(lambda: None)
    app.add_typer(stating, name="formulate")


def problems(
    name: Annotated[str | None, typer.Argument(help="One problem: its instance, bits and inputs.")] = None,
    as_json: Json = False,
) -> None:
    """The drug-discovery subproblems that can become circuits, or one of them."""
    from trine.quantum.problem import problem_named
    from trine.quantum.problem import problems as catalogue

    if name is not None:
        found = described(problem_named(name))
        if as_json:
            print_json(found)
        else:
            print(as_text(found))
        return
    rows = [described(problem) for problem in catalogue().values()]
    if as_json:
        print_json({"problems": rows})
        return
    wide = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{wide}}  {row['title']} [{row['source']}]")


def described(problem: Problem) -> dict[str, Any]:
    """What the catalogue holds about a problem, and how to state it, as JSON types."""
    from trine.quantum.formulate import formulations

    made = formulations().get(problem.name)
    encoding = problem.encode(problem.example())
    return {
        "name": problem.name,
        "title": problem.title,
        "source": problem.source,
        "unit": problem.unit,
        "instance": dict(problem.keys),
        "example": {
            "qubits": encoding.qubits,
            "penalty": encoding.penalty,
            "penalty_source": encoding.penalty_source,
            "bits": list(encoding.labels[:8]),
        },
        "formulate": {o.flag: o.help for o in made.options} if made else {},
    }


def as_text(found: dict[str, Any]) -> str:
    """One problem for reading."""
    heads = (found["title"], found["source"], found["unit"])
    lines = [f"{found['name']}: {heads[0]}", f"source: {heads[1]}", f"cost in: {heads[2]}", "instance:"]
    lines += [f"  {key}: {text}" for key, text in found["instance"].items()]
    example = found["example"]
    lines += [
        f"bits, as in the example of {example['qubits']} qubits:",
        *(f"  {bit}" for bit in example["bits"]),
    ]
    if example["penalty"] is not None:
        lines.append(f"penalty there: {example['penalty']:g} ({example['penalty_source']})")
    if found["formulate"]:
        lines.append(f"trine formulate {found['name']}:")
        lines += [f"  {flag}: {text}" for flag, text in found["formulate"].items()]
    return "\n".join(lines)


def command_of(made: Formulation) -> Callable[..., None]:
    """A function whose signature typer turns into the formulation's command."""

    def command(**given: Any) -> None:
        out, as_json = given.pop("out"), given.pop("as_json")
        present(made(**given), out, as_json)

    signed(command, made.options)
    command.__doc__ = f"State {made.problem} {made.title}."
    return command


def molecule() -> Callable[..., None]:
    """The command that states a molecule: no function of bits, so a file of its own kind, for `trine vqe`."""
    from trine import molecule_cli
    from trine.quantum.molecules.stating import OPTIONS

    def command(**given: Any) -> None:
        molecule_cli.state(**given)

    signed(command, OPTIONS)
    command.__doc__ = "State a molecule for trine vqe."
    return command


def signed(command: Callable[..., None], options: Sequence[Option]) -> None:
    """Give a command the signature that typer reads: the options, --out and --json."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [
        inspect.Parameter(o.name, keyword, default=[] if o.many else o.default, annotation=annotation(o))
        for o in options
    ]
    out = inspect.Parameter(
        "out",
        keyword,
        annotation=Annotated[Path, typer.Option("-o", "--out", help="Problem file to write, .json.")],
    )
    as_json = inspect.Parameter("as_json", keyword, default=False, annotation=Json)
    vars(command)["__signature__"] = inspect.Signature([*own, out, as_json])


def annotation(option: Option) -> Any:
    """typer's type of an option; a required one is looked for by the formulation, which says what is missing."""
    kind: Any = GenericAlias(list, option.kind) if option.many else option.kind
    if option.default is None and not option.many:
        kind = option.kind | None
    names = (option.flag,)
    text = option.help + (" Required." if option.required else "")
    return Annotated[kind, typer.Option(*names, help=text)]


def present(stated: Stated, out: Path, as_json: bool) -> None:
    """Write the problem file, and say what it holds."""
    from trine.quantum.problem import write_problem

    encoding = stated.problem.encode(stated.instance)
    write_problem(stated, out)
    summary = {
        "problem": stated.problem.name,
        "file": str(out),
        "qubits": encoding.qubits,
        "terms": len(encoding.polynomial.terms),
        "degree": encoding.polynomial.degree,
        "penalty": encoding.penalty,
        "penalty_source": encoding.penalty_source,
        "notes": dict(stated.notes),
    }
    if as_json:
        print_json(summary)
        return
    size = f"{encoding.qubits} qubits, {len(encoding.polynomial.terms)} terms of degree {encoding.polynomial.degree}"
    print(f"{out}: {stated.problem.name}, {size}")
    for key, value in stated.notes.items():
        if value and ("left out" in key or "held fixed" in key):
            say(f"note: {key}: {value}")
