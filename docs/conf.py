"""Sphinx settings. Neither the build nor what it makes needs a network: no intersphinx, no downloads."""

import configparser
import importlib
import os
import re
import sys
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import skal
from skal import strategies

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "skal"
author = "the skal developers"
copyright = "the skal developers"
version = release = skal.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "whole",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["skal.css"]
html_math_renderer = "mathml"
# Single backticks in docstrings are names: links where there is something to link to, else code.
default_role = "py:obj"
# Roles that say what they link to must find it, and so must names of the package. Its rooms have no pages of their own.
nitpicky = True
nitpick_ignore_regex = [("py:obj", r"(?!skal\.\w+\.).*"), ("py:mod", r"skal\.\w+")]

html_theme = "pydata_sphinx_theme"
html_title = f"skal {version}"
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc", "edit-this-page"],
}
html_sidebars = {"changes": [], "index": []}

# Where a page of a project on these hosts is edited.
EDITORS = {"github.com": "edit/main", "gitlab.com": "-/edit/main"}


def edit_page_template(settings):
    """Address at which a page is edited, if the package's settings name the source's at a host that is known."""
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(settings)
    urls = config.get("metadata", "project_urls", fallback="")
    addresses = {label.strip(): url.strip() for label, _, url in (line.partition("=") for line in urls.splitlines())}
    source = addresses.get("Source", "").removesuffix("/")
    editor = EDITORS.get(urlsplit(source).netloc)
    return f"{source}/{editor}/docs/{{{{ file_name }}}}" if editor else None


# Beside the package, since the documentation is built in a copy; an installed package has no settings beside it.
_settings = Path(skal.__file__).parents[1] / "setup.cfg"
if template := edit_page_template(_settings.read_text(encoding="utf-8") if _settings.is_file() else "[metadata]"):
    html_theme_options["use_edit_page_button"] = True
    html_context = {"edit_page_url_template": template}

# The front page's picture is drawn by the code above it.
plot_include_source = True
plot_pre_code = ""
plot_html_show_source_link = plot_html_show_formats = False
plot_formats = [("svg", 100)]
plot_rcparams = {"figure.figsize": (6.4, 3.6), "figure.constrained_layout.use": True, "svg.hashsalt": "skal"}

toc_object_entries_show_parents = "hide"
autosummary_generate = True
# Function twins stand on the pages of their classes.
autosummary_context = {
    "twins": {
        f"skal.strategies.{getattr(strategies, name).strategy_class.__name__}": name
        for name in strategies.__all__
        if hasattr(getattr(strategies, name), "strategy_class")
    }
}
autodoc_typehints = "none"
numpydoc_show_class_members = False

# `plot_*.py` is quick and runs at every build; anything else only when asked for.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$" if os.environ.get("SKAL_DOCS_ALL") else r"/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
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


# Rooms whose names are links wherever they stand; of a name that stands in two, the first is meant.
ROOMS = ["exceptions", "base", "pool", "models", "nets", "strategies", "learners", "meta", "labeling", "experiments"]
ROOMS += ["metrics", "testing"]
NAMES = {name: room for room in reversed(ROOMS) for name in importlib.import_module(f"skal.{room}").__all__}


def _link_public_name(app, env, node, contnode):
    """A public name is a link on pages of other rooms, too: `PoolView.proba` in the docstring of a strategy."""
    name = node["reftarget"].partition(".")[0]
    if node.get("refdomain") == "py" and name in NAMES:
        target = f"skal.{NAMES[name]}.{node['reftarget']}"
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, contnode)


def _without_source(app, pagename, templatename, context, doctree):
    """Pages that are made have no source to be edited."""
    if pagename.startswith(("generated/", "auto_examples/")):
        context["theme_use_edit_page_button"] = False


def setup(app):
    # Before numpydoc, which runs at 500.
    app.connect("autodoc-process-docstring", _escape_shapes, priority=400)
    app.connect("autodoc-skip-member", _leave_out)
    app.connect("missing-reference", _link_public_name)
    # Before the theme, which runs at 500.
    app.connect("html-page-context", _without_source, priority=400)
