"""Configuration of the documentation site: `make docs` builds it into build/docs."""

from importlib.metadata import version as find_version
from typing import Any

project = "texneg"
author = "The texneg developers"
copyright = author
version = release = find_version("texneg")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["conf.py"]
myst_heading_anchors = 3
default_role = "literal"
highlight_language = "text"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "NDArray": "NDArray"}
add_module_names = False
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "texneg"
html_static_path = ["_static"]
html_css_files = ["texneg.css"]
html_copy_source = False
html_show_sphinx = False


def write_plain_equations(*event: Any) -> None:
    """Make literal blocks of the indented equations of a docstring; elsewhere a bar is a bar."""
    lines: list[str] = event[-1]
    written, literal = list[str](), False
    for i, line in enumerate(lines):
        indented, after_blank = line.startswith("    "), i > 0 and not lines[i - 1].strip()
        if indented and after_blank and not literal:
            written += ["::", ""]
            literal = True
        elif line.strip() and not indented:
            literal = False
        written.append(line if literal else line.replace("|", r"\|"))
    lines[:] = written


def setup(app: Any) -> None:
    """Register the above before napoleon's own step."""
    app.connect("autodoc-process-docstring", write_plain_equations, priority=100)
