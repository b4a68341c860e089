"""Who may import whom, as one table; and the few rules about names that keep the tree easy to search."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import henkan

# A row imports only rows below it; the modules and packages of one row do not import each other.
ROWS = """
partner
cli
server
doctor compare on_ray
run evaluation prediction importing exporting
model
recipe
presets
training interop inspection report
tasks
models data metrics objectives decode forecasting
encoders decoders text
nn
config tensors native
problems
settings folder
tree errors reference pages progress
"""

SOURCE = Path(henkan.__path__[0])
ROW_OF = {name: number for number, row in enumerate(ROWS.strip().splitlines()) for name in row.split()}
MODULES = {
    ".".join(("henkan", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in submodules)


IMPORTS = {module: sorted(set(imported_modules(path))) for module, path in MODULES.items()}


def part(module: str) -> str:
    """The module or package of the table that a module belongs to."""
    return [*module.split("."), ""][1]


def test_every_part_has_a_row():
    unplaced = {part(module) for module in MODULES} - set(ROW_OF) - {"", "__main__"}
    assert not unplaced, f"add {sorted(unplaced)} to the table of layers"


def test_rows_import_only_rows_below():
    wrong = [
        f"{module} imports {imported}"
        for module, names in IMPORTS.items()
        for imported in names
        if part(module) in ROW_OF and part(imported) in ROW_OF and imported.startswith("henkan.")
        if part(module) != part(imported) and ROW_OF[part(module)] >= ROW_OF[part(imported)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_cycles():
    graph = {module: [name for name in names if name in MODULES] for module, names in IMPORTS.items()}
    del graph["henkan"]  # the public names are imported lazily, and every module is below this one
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"import cycle: {' -> '.join(error.args[1])}") from None


def test_one_file_knows_about_several_processes():
    users = [module for module, names in IMPORTS.items() if any(name.startswith("torch.distributed") for name in names)]
    assert set(users) <= {"henkan.training.distributed"}, users


def test_file_names_say_what_is_inside():
    vague = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [module for module in MODULES if vague & set(module.split("."))]


def test_no_module_hides_a_public_function():
    hidden = {part(module) for module in MODULES} & set(henkan.__all__)
    assert not hidden, f"henkan.{hidden} would be the module as soon as somebody imports it"
