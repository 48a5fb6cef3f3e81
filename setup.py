"""What setup.cfg cannot say: the source distribution holds the tests and the docs."""

from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist


class SourceDistribution(sdist):
    """The files that setuptools finds, and those that running the tests takes."""

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


setup(cmdclass={"sdist": SourceDistribution})
