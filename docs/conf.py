"""Sphinx settings. Nothing here needs a network: no intersphinx, no downloads."""

import os
import re
import warnings

import skal

project = "skal"
author = "the skal developers"
copyright = "the skal developers"
version = release = skal.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
# Single backticks in docstrings are names: links where there is something to link to, else code.
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_title = "skal"
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"changes": [], "index": []}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

# `plot_*.py` is quick and runs at every build; anything else only when asked for.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$" if os.environ.get("SKAL_DOCS_ALL") else r"/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "reference_url": {"skal": None},
    "doc_module": ("skal",),
    "backreferences_dir": "generated/backreferences",
}

# What an example warns about is its own business; its output should hold what it says.
warnings.filterwarnings("ignore", category=DeprecationWarning)


# Called by skorch or scikit-learn, not by users.
HOOKS = {
    "check_data",
    "forward_iter",
    "get_all_learnable_params",
    "get_dataset",
    "get_iterator",
    "get_loss",
    "get_metadata_routing",
    "get_params",
    "get_params_for",
    "get_split_datasets",
    "infer",
    "initialize_module",
    "set_params",
    "validation_step",
}


def _leave_out(app, what, name, obj, skip, options):
    """Leave out hooks, and what a class inherits from scikit-learn, skorch or modAL: it is documented there."""
    # A property's function, a cached property's, or the member itself.
    function = getattr(obj, "fget", None) or getattr(obj, "func", None) or obj
    module = getattr(function, "__module__", None)
    foreign = isinstance(module, str) and not module.startswith("skal")
    return True if foreign or name in HOOKS else None


def _escape_shapes(app, what, name, obj, options, lines):
    """In "of shape (n_labels_,)" the underscore is part of a name, not a reference."""
    lines[:] = [re.sub(r"_(?=[,)])", r"\\_", line) if "of shape (" in line else line for line in lines]


def setup(app):
    # Before numpydoc, which runs at 500.
    app.connect("autodoc-process-docstring", _escape_shapes, priority=400)
    app.connect("autodoc-skip-member", _leave_out)
