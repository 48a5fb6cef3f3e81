"""What setup.cfg cannot say: what the source distribution holds, and that it is the
same each time."""

import gzip
import os
import tarfile
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist


class SourceDistribution(sdist):
    """The files that setuptools finds, and those that running the tests takes.

    With ``SOURCE_DATE_EPOCH``, a time in seconds since 1970, what is made of the same
    files has the same octets.
    """

    def make_release_tree(self, base_dir, files):
        more = {
            str(path)
            for folder in ("tests", "docs")
            for path in Path(folder).rglob("*")
            if path.is_file()
            and path.suffix != ".pyc"
            and not any(part.startswith(".") for part in path.parts)
        }
        pages = {str(path) for path in Path().glob("*.md")}
        files = {*files, *more, *pages, "tox.ini"}
        super().make_release_tree(base_dir, sorted(files))

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owner):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, **owner)

        def as_anybody(entry):
            entry.mtime = int(epoch)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            return entry

        name = base_name + ".tar.gz"
        with open(name, "wb") as file, gzip.GzipFile(
            "", "wb", fileobj=file, mtime=int(epoch)
        ) as packed, tarfile.open(mode="w", fileobj=packed) as archive:
            archive.add(base_dir, filter=as_anybody)
        return name


setup(cmdclass={"sdist": SourceDistribution})
