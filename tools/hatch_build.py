"""What the distribution holds besides the package: the notebooks, the documentation, the test vectors; and its README.

The wheel gets `notebooks/` and `docs/` as chatlab/notebooks and chatlab/docs, so that an installed chatlab can hand
them out. An editable install gets neither: there both lie beside the package, and an old copy would only shadow them.
The README of a package page has no files beside it, so its links to files of the repository become addresses.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

KINDS = (".ipynb", ".json", ".md", ".png")  # and not what running a notebook leaves behind


class DocumentationInTheWheel(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        files = [path for folder in ("docs", "notebooks") for path in sorted((root / folder).rglob("*"))]
        for path in files:
            if path.suffix in KINDS and ".ipynb_checkpoints" not in path.parts:
                build_data["force_include"][str(path)] = f"chatlab/{path.relative_to(root).as_posix()}"


class ReadmeOfThePackagePage(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_addresses(text, metadata["urls"]["Source"])}


def with_addresses(markdown: str, repository: str) -> str:
    """The text with its relative links, and those to pictures, as addresses in the repository."""

    def address(link: re.Match[str]) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}[{link['text']}]({repository}/{kind}/HEAD/{link['path']})"

    return re.sub(r"(?P<picture>!?)\[(?P<text>[^]]*)\]\((?P<path>(?![a-z]+:|#)[^)\s]+)\)", address, markdown)
