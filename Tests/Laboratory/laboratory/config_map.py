"""A mounted ConfigMap, as the kubelet writes it into a volume."""

import os
import shutil
from pathlib import Path


class ConfigMap:
    """`config.json` is a link into `..data`, a link that is replaced whenever the map is another one."""

    def __init__(self, folder: Path, text: str):
        self._folder = folder
        self._number = 0
        folder.mkdir(exist_ok=True)
        self.file = folder / "config.json"
        self.put(text)
        self.file.symlink_to("..data/config.json")

    def put(self, text: str) -> None:
        self._number += 1
        name = f"..2026_11_28_{self._number}"
        (self._folder / name).mkdir(mode=0o755)
        (self._folder / name / "config.json").write_text(text)
        data, new = self._folder / "..data", self._folder / "..data_tmp"
        before = os.readlink(data) if data.is_symlink() else None
        new.symlink_to(name)
        new.rename(data)
        if before:
            shutil.rmtree(self._folder / before)
