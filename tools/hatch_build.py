"""Puts the notebooks into the wheel, as chatlab/notebooks, so that an installed chatlab can hand out its walkthrough.

An editable install gets none: there `notebooks/` lies beside the package and would only be shadowed by an old copy.
"""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NotebooksInTheWheel(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "editable":
            return
        root = Path(self.root)
        for path in sorted((root / "notebooks").rglob("*.ipynb")):
            if ".ipynb_checkpoints" not in path.parts:
                build_data["force_include"][str(path)] = f"chatlab/{path.relative_to(root).as_posix()}"
