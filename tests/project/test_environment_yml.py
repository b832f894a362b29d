"""environment.yml, for conda, asks for what pyproject.toml asks for: the same packages with the same lower bounds."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

# Where conda-forge calls a package something else than the index that pip asks: {pip's name: conda's name}.
CONDA_NAMES: dict[str, str] = {}


def bounds(lines):
    """{name: specifier} of requirement lines, names as conda-forge spells them."""
    requirements = [Requirement(line) for line in lines]
    names = [canonicalize_name(requirement.name) for requirement in requirements]
    return {CONDA_NAMES.get(name, name): str(requirement.specifier) for name, requirement in zip(names, requirements)}


def pip_bounds():
    extras = PROJECT["optional-dependencies"]
    lines = PROJECT["dependencies"] + extras["notebooks"] + extras["test"]
    return bounds(lines) | {"python": PROJECT["requires-python"]}


def conda_bounds():
    return bounds(line for line in CONDA["dependencies"] if isinstance(line, str) and line != "pip")


def test_both_files_ask_for_the_same_packages_with_the_same_lower_bounds():
    assert conda_bounds() == pip_bounds()


def test_a_package_has_one_bound_in_all_extras():
    extras = PROJECT["optional-dependencies"]
    seen = {}
    for line in [
        *PROJECT["dependencies"],
        *extras["notebooks"],
        *extras["cluster"],
        *extras["parquet"],
        *extras["test"],
        *extras["fast"],
    ]:
        requirement = Requirement(line)
        assert seen.setdefault(requirement.name, line) == line


def test_only_lower_bounds_are_declared():
    for name, specifier in pip_bounds().items():
        assert re.fullmatch(r">=[\d.]+", specifier), f"{name}{specifier}"


@pytest.mark.parametrize("name", ["jupyterlab", "grpcio", "protobuf", "matplotlib", "pytest", "nbval"])
def test_conda_users_get_what_the_lab_needs(name):
    assert name in conda_bounds()


def test_the_environment_is_named_chatlab_and_installs_this_folder():
    assert CONDA["name"] == "chatlab"
    assert CONDA["channels"] == ["conda-forge"]
    assert "pip" in CONDA["dependencies"], "conda warns if pip is used but not asked for"
    (by_pip,) = [item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict)]
    assert by_pip == ["-e .[fast]"]


def test_the_extra_all_is_every_other_extra():
    extras = PROJECT["optional-dependencies"]
    (everything,) = [Requirement(line) for line in extras["all"]]
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(extras) - {"all"}
