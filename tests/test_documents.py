"""The documents are true: their examples run, their names and options exist, their links lead somewhere."""

import ast
import dataclasses
import functools
import re
import shlex
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
LINKING = [
    README,
    *DOCS,
    ROOT / "CHANGELOG.md",
    ROOT / "studies" / "README.md",
    ROOT / "bayes_clv" / "customers" / "data" / "README.md",
]


def blocks(page, language):
    """Return (line, text) of each block of code in a language."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: block.start(1)].count("\n"), block[1]) for block in found]


def run(page, names):
    """Run a page's Python with these names at hand; a traceback shows the page's own line."""
    for line, text in blocks(page, "python"):
        exec(compile("\n" * line + text, str(page), "exec"), names)


def of_page(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """The names that the README's ten lines leave, with fits by laplace of few draws, each made once.

    A page says ``seed=1`` and no more, and NUTS would take its time: what is tested here is the road, not the draws.
    """
    known = {}

    def quick(function, first, *data, include=(), method="laplace", draws=50, **options):
        given = [first, *data]
        if method == "mode":
            # A point, quick by itself, and the figures of the papers where the priors are flat.
            return function(*given, method=method, **options)
        if "calendar" in options or "over_time" in options:
            # It has fewer groups than what others are given below; of spend it has no other way than NUTS.
            of_spend = first in ("lognormal_spend", "gamma_gamma")
            few = {"method": method, "draws": draws} if of_spend else {"method": "laplace", "draws": 50}
            return function(*given, include=include, **few, **options)
        what = [
            each if isinstance(each, str) else (dict(each.sizes), sorted(each.variables)) for each in given
        ]
        key = repr((what, sorted(options.items())))
        if key not in known:
            if isinstance(first, str):
                options["include"] = (
                    *("prior", "prior_predictive", "posterior_predictive"),
                    *("log_prior", "log_likelihood"),
                )
            known[key] = function(*given, method="laplace", draws=50, **options)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        patch.setattr(clv, "fit", functools.partial(quick, clv.fit))
        patch.setattr(clv.targeting, "fit_response", functools.partial(quick, clv.targeting.fit_response))
        names = {}
        run(README, names)
        assert Path("report.html").stat().st_size > 100_000
        yield names
    plt.close("all")


def test_readme_runs(readme):
    assert readme["table"].shape[0] == 2357


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "python")], ids=of_page)
def test_examples_run(page, readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A family that a page registers is gone after it.
    monkeypatch.setattr("bayes_clv.families.registry._registered", {})
    run(page, dict(readme))


def test_readme_is_short():
    assert len(README.read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", LINKING, ids=of_page)
def test_links_lead_somewhere(page):
    lost = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            lost.append(f"{target}#{anchor}" if anchor else target)
    assert not lost


def _anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [README, *DOCS, ROOT / "CHANGELOG.md"], ids=of_page)
def test_names_exist(page):
    missing = []
    for name in sorted(set(re.findall(r"\bclv((?:\.[A-Za-z_]\w*)+)", page.read_text()))):
        try:
            functools.reduce(getattr, name.strip(".").split("."), clv)
        except AttributeError:
            missing.append(f"clv{name}")
    assert not missing


def commands():
    """Return each call of bayes-clv in the documents, a list of words, with the page."""
    for page in (README, *DOCS):
        for _, text in blocks(page, "sh"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                if "bayes-clv" in words:
                    yield pytest.param(
                        words[words.index("bayes-clv") + 1 :], id=f"{of_page(page)}: {line[:60]}"
                    )


@pytest.mark.parametrize("words", list(commands()))
def test_commands_have_these_options(words):
    command, *rest = words
    told = _help(command)
    missing = [word for word in rest if word.startswith("--") and not re.search(rf"{word}\b", told)]
    assert not missing


@functools.cache
def _help(command):
    return CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout


def test_every_field_of_a_family_is_told():
    told = (ROOT / "docs" / "own_family.md").read_text()
    records = (getattr(clv.families, name) for name in ("Family", "Forecast", "SpendLevel", "Renewals"))
    fields = {field.name for record in records for field in dataclasses.fields(record)}
    assert sorted(name for name in fields if f"`{name}`" not in told) == []


def test_changelog_has_the_table_of_names():
    table = re.search(
        r"^\| 0\.1 \| 0\.2 \|\n(?:\|.*\n)+", (ROOT / "docs" / "names.md").read_text(), re.MULTILINE
    )
    assert table[0] in (ROOT / "CHANGELOG.md").read_text()


def test_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {project['version']}" in citation
    assert f"license: {project['license']}" in citation
    assert [f"  - name: {author['name']}" for author in project["authors"]] == [
        line for line in citation if line.startswith("  - name:")
    ]


def test_every_study_is_in_the_index():
    index = (ROOT / "studies" / "README.md").read_text()
    studies = [
        path.name
        for path in sorted((ROOT / "studies").glob("*.py"))
        if "rule" in (ast.get_docstring(ast.parse(path.read_text())) or "").lower()
        and path.name != "__init__.py"
    ]
    assert len(studies) > 10
    assert [name for name in studies if f"({name})" not in index] == []
