"""The house: no file named as a public name of its folder, no guess at a family, no folder outside the order."""

import ast
import tomllib
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import bayes_clv

HOUSE = Path(bayes_clv.__file__).parent
PROJECT = HOUSE.parent / "pyproject.toml"
FOLDERS = sorted({file.parent for file in HOUSE.rglob("__init__.py")})
FILES = sorted(HOUSE.rglob("*.py"))


def relative(path):
    return path.relative_to(HOUSE.parent).as_posix()


def exported(folder):
    """Return the names that a folder's ``__all__`` lists, in its stub or itself, without files among them."""
    stub = folder / "__init__.pyi"
    listed, files = set(), set()
    for node in ast.parse(
        (stub if stub.exists() else folder / "__init__.py").read_text(encoding="utf-8")
    ).body:
        if isinstance(node, ast.Assign) and [getattr(each, "id", "") for each in node.targets] == ["__all__"]:
            listed = set(ast.literal_eval(node.value))
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None:
            files |= {each.name for each in node.names}
    return listed - files


def test_folders_list_their_names():
    """The next test would say nothing of a folder whose names it cannot read."""
    public = [
        folder for folder in FOLDERS if "__all__" in (folder / "__init__.py").read_text(encoding="utf-8")
    ]
    assert len(public) >= 11
    assert all(exported(folder) for folder in public)


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_no_file_has_the_name_of_a_public_name_of_its_folder(folder):
    """``folder.name`` would be the function or the file, by who imported first."""
    files = {
        item.stem for item in folder.iterdir() if item.suffix == ".py" or (item / "__init__.py").exists()
    }
    assert not files & exported(folder)


def test_commands_have_other_names_than_their_files():
    """What a shell starts is called by many: no function of the workflows, listed or not, has a file's name."""
    folder = HOUSE / "workflows"
    functions = {
        node.name
        for file in folder.glob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert not functions & {file.stem for file in folder.glob("*.py")}


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_a_family_is_a_record_and_nobody_guesses_what_it_has(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "ModuleType" not in names
    guesses = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "getattr"
        and ast.unparse(node.args[0]).split(".")[-1] in ("family", "formulas", "module", "forecast", "known")
    ]
    assert not guesses


def test_every_folder_has_its_place_in_the_order_of_imports():
    """lint-imports holds the order (CI); a folder that it does not name would stand outside."""
    contracts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (order,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    named = {part.strip().split(".")[1] for layer in order for part in layer.split("|")}
    found = {item.stem for item in HOUSE.iterdir() if item.suffix == ".py" or (item / "__init__.py").exists()}
    assert named == found - {"__init__"}


def passed_on(tree):
    """Return errors that are raised with the words of a caught ``InputError`` as Python says them."""
    return [
        ast.unparse(raised)
        for caught in ast.walk(tree)
        if isinstance(caught, ast.ExceptHandler) and caught.name and ast.unparse(caught.type) == "InputError"
        for raised in ast.walk(caught)
        if isinstance(raised, ast.Raise) and raised.exc is not None
        for each in ast.walk(raised.exc)
        if (isinstance(each, ast.FormattedValue) and ast.unparse(each.value) == caught.name)
        or (isinstance(each, ast.Call) and ast.unparse(each) == f"str({caught.name})")
    ]


def test_a_message_that_is_passed_on_keeps_its_mentions_of_arguments():
    """With its words alone a shell would be told Python's: ``error.text`` has both."""
    wrong = (
        "try:\n    f()\nexcept InputError as e:\n    raise InputError(f'a: {e}')\n"
        "try:\n    f()\nexcept InputError as e:\n    raise InputError(str(e))\n"
    )
    assert len(passed_on(ast.parse(wrong))) == 2
    found = {relative(file): passed_on(ast.parse(file.read_text(encoding="utf-8"))) for file in FILES}
    assert {name: each for name, each in found.items() if each} == {}


def test_workflows_mention_arguments_that_a_command_has():
    """An argument that no command has as an option would be told in Python's words at a shell."""
    from bayes_clv.workflows import choices, settings
    from bayes_clv.workflows.options import options_of

    records = [each for where in (choices, settings) for each in vars(where).values() if is_dataclass(each)]
    known = {name for record in records for name in options_of(record)}
    mentioned = {
        (relative(file), node.args[0].value)
        for file in (HOUSE / "workflows").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "argument"
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    assert len(mentioned) > 20
    assert {each for each in mentioned if each[1] not in known} == set()
