"""The papers behind a fit: every family's are known, each is given once, and one's own stand as written."""

import dataclasses
import re

import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.families.registry import FAMILIES, family


def _tree(name):
    tree = xr.DataTree()
    tree.attrs["family"] = name
    return tree


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_its_papers(name):
    keys = re.findall(r"^@\w+\{(\w+),", clv.cite(_tree(name)), re.MULTILINE)
    assert keys == list(family(name).words.references) != []


def test_each_paper_is_given_once():
    both = clv.cite(_tree("bg_nbd"), _tree("gamma_gamma"))
    assert both.count("@article{fader2005rfm,") == 1
    assert both.startswith(clv.cite(_tree("bg_nbd")))


def test_references_of_ones_own_stand_as_written(monkeypatch):
    monkeypatch.setattr("bayes_clv.families.registry._registered", {})
    record = family("nbd")
    words = dataclasses.replace(record.words, references=("@misc{mine}", "ehrenberg1959"))
    clv.families.register(dataclasses.replace(record, name="mine", words=words))
    assert clv.cite(_tree("mine")).startswith("@misc{mine}\n\n@article{ehrenberg1959,")


def test_what_is_no_posterior():
    with pytest.raises(clv.InputError, match=r"cite needs posteriors of clv\.fit; got Dataset"):
        clv.cite(xr.Dataset())
